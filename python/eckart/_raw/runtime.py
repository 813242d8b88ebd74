"""Mirror of include/eckart/runtime.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint32
from typing import Any

from .context import eck_context
from .stage import ECK_SPATIAL_MAX, eck_chain, eck_stage
from .status import eck_error


class eck_place(Structure):
    version: int
    batch: int
    input: Any
    pad_begin: Any
    pad_end: Any
    stride: Any
    dilation: Any
    output_padding: Any
    _fields_ = [
        ("version", c_uint32),
        ("batch", c_int64),
        ("input", c_int64 * ECK_SPATIAL_MAX),
        ("pad_begin", c_int64 * ECK_SPATIAL_MAX),
        ("pad_end", c_int64 * ECK_SPATIAL_MAX),
        ("stride", c_int64 * ECK_SPATIAL_MAX),
        ("dilation", c_int64 * ECK_SPATIAL_MAX),
        ("output_padding", c_int64 * ECK_SPATIAL_MAX),
    ]


class eck_runner(Structure):
    """Opaque."""


class eck_timing(Structure):
    median: float
    low: float
    high: float
    runs: int
    _fields_ = [
        ("median", c_double),
        ("low", c_double),
        ("high", c_double),
        ("runs", c_int64),
    ]


class eck_timing_options(Structure):
    version: int
    rounds: int
    sample: float
    _fields_ = [
        ("version", c_uint32),
        ("rounds", c_int64),
        ("sample", c_double),
    ]


def ECK_PLACE_INIT() -> eck_place:
    return eck_place(1, 1, (1, 1, 1), (0, 0, 0), (0, 0, 0), (1, 1, 1), (1, 1, 1), (0, 0, 0))


def ECK_TIMING_OPTIONS_INIT() -> eck_timing_options:
    return eck_timing_options(1, 15, 0.002)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_place_output": (c_int32, [POINTER(c_int64), POINTER(eck_place), POINTER(eck_stage)]),
    "eck_runner_create": (c_int, [POINTER(POINTER(eck_runner)), POINTER(eck_chain), POINTER(eck_place),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_runner_free": (None, [POINTER(eck_runner)]),
    "eck_runner_input": (c_int32, [POINTER(eck_runner), POINTER(c_int64)]),
    "eck_runner_output": (c_int32, [POINTER(eck_runner), POINTER(c_int64)]),
    "eck_runner_run": (c_int, [POINTER(eck_runner), POINTER(c_float), POINTER(c_float), POINTER(eck_error)]),
    "eck_runner_time": (c_int, [POINTER(eck_timing), POINTER(POINTER(eck_runner)), c_int64,
        POINTER(eck_timing_options), POINTER(eck_context), POINTER(eck_error)]),
    "eck_runtime_description": (c_char_p, []),
}
