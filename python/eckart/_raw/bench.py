"""Mirror of include/eckart/bench.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64
from typing import Any

from .context import eck_context
from .decompose import eck_point
from .runtime import eck_place, eck_timing, eck_timing_options
from .stage import eck_stage
from .status import eck_error


class eck_bench_layer(Structure):
    name: Bytes | None
    dense: Any
    places: Any
    place_count: int
    points: Any
    count: int
    _fields_ = [
        ("name", c_char_p),
        ("dense", POINTER(eck_stage)),
        ("places", POINTER(eck_place)),
        ("place_count", c_int64),
        ("points", POINTER(eck_point)),
        ("count", c_int64),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_bench_run": (c_int, [POINTER(eck_timing), POINTER(eck_bench_layer), POINTER(eck_timing_options),
        POINTER(eck_context), POINTER(eck_error)]),
}
