"""Finds and loads libeckart, once, when it is first needed; its functions have the types of their prototypes.

Looked for in this order: the file $ECKART_LIBRARY names; inside the package, where a wheel has it; build/ of the
checkout this file lies in; wherever the system's loader looks. A library of another version than the package is
refused: structs may differ.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LibraryError
from ..manifest import PRODUCER_VERSION

# One module a header, beside this one; scripts/mirror makes them.
HEADERS = tuple(sorted({module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)])} - {"library"}))
SONAME = "libeckart.so.0"


class CLibrary:
    """Functions of the library as attributes; looked up and typed at first use. Calls release the interpreter lock."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._dll = ctypes.CDLL(path)
        self._prototypes: dict[str, tuple[Any, list[Any]]] = {}
        for header in HEADERS:
            self._prototypes |= importlib.import_module(f"{__package__}.{header}").FUNCTIONS

    def __getattr__(self, name: str) -> Any:
        if name not in self._prototypes:
            raise AttributeError(f"libeckart has no function '{name}'")
        function = getattr(self._dll, name)
        function.restype, function.argtypes = self._prototypes[name]
        setattr(self, name, function)
        return function


def _candidates() -> Iterator[str]:
    package = Path(__file__).resolve().parents[1]
    yield str(package / "lib" / SONAME)
    if (package.parents[1] / "meson.build").is_file():
        yield str(package.parents[1] / "build" / SONAME)
    yield SONAME


def _load() -> CLibrary:
    given = os.environ.get("ECKART_LIBRARY")
    tried = []
    for path in [given] if given else _candidates():
        if os.path.isabs(path) and not given and not os.path.exists(path):
            tried.append(f"{path}: not there")
            continue
        try:
            found = CLibrary(path)
        except OSError as error:
            tried.append(str(error))
            continue
        version = found.eck_version().decode()
        if version != PRODUCER_VERSION:
            raise LibraryError(f"'{path}' is libeckart {version}, this package needs {PRODUCER_VERSION}")
        return found
    raise LibraryError(
        "cannot load libeckart: build it (make), install it (make install), or name the file in ECKART_LIBRARY; tried: "
        + "; ".join(tried)
    )


_lock = threading.Lock()
_loaded: CLibrary | None = None


def library() -> CLibrary:
    """The library; loaded by the first call. Raises LibraryError, which tells where it was looked for."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded
