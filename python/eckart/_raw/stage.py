"""Mirror of include/eckart/stage.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_int, c_int32, c_int64
from enum import IntEnum
from typing import Any

from .array import eck_array

ECK_SPATIAL_MAX = 3


class eck_stage_kind(IntEnum):
    ECK_STAGE_LINEAR = 1
    ECK_STAGE_CONV = 2
    ECK_STAGE_CONV_TRANSPOSE = 3
    ECK_STAGE_LOOKUP = 4
    ECK_STAGE_SCALE = 5


class eck_stage(Structure):
    kind: int
    spatial: int
    out: int
    groups: int
    kernel: Any
    stride: Any
    dilation: Any
    weight: Any
    bias: Any
    _fields_ = [
        ("kind", c_int),
        ("spatial", c_int32),
        ("in", c_int64),
        ("out", c_int64),
        ("groups", c_int64),
        ("kernel", c_int64 * ECK_SPATIAL_MAX),
        ("stride", c_int64 * ECK_SPATIAL_MAX),
        ("dilation", c_int64 * ECK_SPATIAL_MAX),
        ("weight", POINTER(eck_array)),
        ("bias", POINTER(eck_array)),
    ]


class eck_chain(Structure):
    stages: Any
    count: int
    _fields_ = [
        ("stages", POINTER(eck_stage)),
        ("count", c_int32),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_chain_clear": (None, [POINTER(eck_chain)]),
    "eck_stage_linear": (eck_stage, [c_int64, c_int64]),
    "eck_stage_conv": (eck_stage, [c_int64, c_int64, c_int64, c_int32, POINTER(c_int64)]),
    "eck_stage_shape": (c_int32, [POINTER(eck_stage), POINTER(c_int64)]),
    "eck_stage_parameters": (c_int64, [POINTER(eck_stage)]),
}
