"""Mirror of include/eckart/decompose.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int32, c_int64, c_uint32
from enum import IntEnum
from typing import Any

from .context import eck_context
from .operator import eck_operator
from .stage import eck_chain, eck_stage
from .status import eck_error
from .svd import eck_certificate, eck_spectrum, eck_spectrum_info


class eck_method(IntEnum):
    ECK_METHOD_DENSE = 0
    ECK_METHOD_SVD = 1
    ECK_METHOD_SPATIAL = 2
    ECK_METHOD_TUCKER1 = 3
    ECK_METHOD_TUCKER2 = 4
    ECK_METHOD_CP = 5
    ECK_METHOD_TT = 6
    ECK_METHOD_DEPTHWISE = 7


ECK_RANKS_MAX = 4


class eck_split(IntEnum):
    ECK_SPLIT_BALANCED = 0
    ECK_SPLIT_LEFT = 1
    ECK_SPLIT_RIGHT = 2


class eck_point(Structure):
    method: int
    rank_count: int
    ranks: Any
    error: float
    damage: float
    parameters: int
    bytes: int
    macs: int
    estimated: bool
    _fields_ = [
        ("method", c_int),
        ("rank_count", c_int32),
        ("ranks", c_int64 * ECK_RANKS_MAX),
        ("error", c_double),
        ("damage", c_double),
        ("parameters", c_int64),
        ("bytes", c_int64),
        ("macs", c_int64),
        ("estimated", c_bool),
    ]


class eck_curve(Structure):
    points: Any
    count: int
    _fields_ = [
        ("points", POINTER(eck_point)),
        ("count", c_int64),
    ]


ECK_METHODS_ALL = 254


class eck_curve_options(Structure):
    version: int
    methods: int
    original: int
    store: int
    rank_multiple: int
    _fields_ = [
        ("version", c_uint32),
        ("methods", c_uint32),
        ("original", c_int),
        ("store", c_int),
        ("rank_multiple", c_int64),
    ]


class eck_fit_options(Structure):
    version: int
    store: int
    split: int
    proof: int
    _fields_ = [
        ("version", c_uint32),
        ("store", c_int),
        ("split", c_int),
        ("proof", c_int),
    ]


class eck_weight(Structure):
    w: Any
    spectrum: Any
    dense: Any
    _fields_ = [
        ("w", POINTER(eck_operator)),
        ("spectrum", POINTER(eck_spectrum)),
        ("dense", POINTER(eck_stage)),
    ]


def ECK_CURVE_OPTIONS_INIT() -> eck_curve_options:
    return eck_curve_options(1, 2, 2, 2, 1)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_method_name": (c_char_p, [c_int]),
    "eck_method_parse": (c_int, [POINTER(c_int), c_char_p, POINTER(eck_error)]),
    "eck_curve_clear": (None, [POINTER(eck_curve)]),
    "eck_storage_floor": (c_double, [c_int]),
    "eck_curve_svd": (c_int, [POINTER(eck_curve), POINTER(eck_stage), POINTER(eck_spectrum_info), c_int, c_int,
        POINTER(eck_error)]),
    "eck_method_applies": (c_bool, [c_int, POINTER(eck_stage)]),
    "eck_curve_best": (POINTER(eck_point), [POINTER(eck_curve), c_int, c_int64]),
    "eck_break_even_rank": (c_int64, [POINTER(eck_stage)]),
    "eck_chain_outline": (c_int, [POINTER(eck_chain), POINTER(eck_stage), POINTER(eck_point), POINTER(eck_error)]),
    "eck_chain_macs": (c_int64, [POINTER(eck_chain), POINTER(c_int64), POINTER(c_int64)]),
    "eck_trial_points": (c_int, [POINTER(eck_curve), POINTER(eck_stage), c_uint32, c_int64, POINTER(eck_error)]),
    "eck_curve_compute": (c_int, [POINTER(eck_curve), POINTER(eck_weight), POINTER(eck_curve_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_chain_fit": (c_int, [POINTER(eck_chain), POINTER(eck_certificate), POINTER(eck_weight), POINTER(eck_point),
        POINTER(eck_fit_options), POINTER(eck_context), POINTER(eck_error)]),
    "eck_operator_chain": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_chain), POINTER(eck_stage),
        POINTER(eck_error)]),
}
