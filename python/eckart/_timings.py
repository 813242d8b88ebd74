"""Times of layers, measured on the machine where a model will run."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ._raw import library
from ._raw.model import eck_timings
from ._run import Run

Timings = str | os.PathLike[str] | Mapping[str, Any]


@contextmanager
def timed(run: Run, timings: Timings | None) -> Iterator[Any]:
    """Times from a file, or from the document itself; None where there are none."""
    if timings is None:
        yield None
        return
    if isinstance(timings, Mapping):
        text, file = json.dumps(timings).encode(), "timings"
    else:
        with open(timings, "rb") as stream:
            text, file = stream.read(), os.fspath(timings)
    raw = ctypes.POINTER(eck_timings)()
    run.check(library().eck_timings_parse, ctypes.byref(raw), text, len(text), os.fsencode(file))
    try:
        yield raw
    finally:
        library().eck_timings_free(raw)
