"""Mirror of include/eckart/array.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int32, c_int64, c_void_p
from enum import IntEnum
from typing import Any

from .status import eck_error


class eck_dtype(IntEnum):
    ECK_DTYPE_NONE = 0
    ECK_DTYPE_F64 = 1
    ECK_DTYPE_F32 = 2
    ECK_DTYPE_F16 = 3
    ECK_DTYPE_BF16 = 4
    ECK_DTYPE_F8_E4M3 = 5
    ECK_DTYPE_F8_E5M2 = 6
    ECK_DTYPE_I8 = 16
    ECK_DTYPE_U8 = 17
    ECK_DTYPE_I16 = 18
    ECK_DTYPE_U16 = 19
    ECK_DTYPE_I32 = 20
    ECK_DTYPE_U32 = 21
    ECK_DTYPE_I64 = 22
    ECK_DTYPE_U64 = 23
    ECK_DTYPE_BOOL = 24
    ECK_DTYPE_F4 = 32
    ECK_DTYPE_F6_E2M3 = 33
    ECK_DTYPE_F6_E3M2 = 34
    ECK_DTYPE_F8_E8M0 = 35
    ECK_DTYPE_F8_E4M3FNUZ = 36
    ECK_DTYPE_F8_E5M2FNUZ = 37
    ECK_DTYPE_C64 = 38


ECK_DIMS_MAX = 8


class eck_view(Structure):
    data: int | None
    dtype: int
    ndim: int
    shape: Any
    stride: Any
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int),
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
        ("stride", c_int64 * ECK_DIMS_MAX),
    ]


class eck_panel(Structure):
    data: int | None
    dtype: int
    rows: int
    cols: int
    ld: int
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int),
        ("rows", c_int64),
        ("cols", c_int64),
        ("ld", c_int64),
    ]


class eck_array(Structure):
    data: int | None
    dtype: int
    ndim: int
    shape: Any
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int),
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_dtype_bits": (c_int32, [c_int]),
    "eck_dtype_name": (c_char_p, [c_int]),
    "eck_dtype_parse": (c_int, [c_char_p]),
    "eck_dtype_is_weight": (c_bool, [c_int]),
    "eck_dtype_is_readable": (c_bool, [c_int]),
    "eck_dtype_epsilon": (c_double, [c_int]),
    "eck_array_create": (c_int, [POINTER(POINTER(eck_array)), c_int, c_int32, POINTER(c_int64),
        POINTER(eck_error)]),
    "eck_array_free": (None, [POINTER(eck_array)]),
    "eck_array_count": (c_int64, [POINTER(eck_array)]),
    "eck_array_view": (eck_view, [POINTER(eck_array)]),
    "eck_view_of": (eck_view, [c_void_p, c_int, c_int32, POINTER(c_int64)]),
    "eck_view_matrix": (eck_view, [c_void_p, c_int, c_int64, c_int64]),
    "eck_view_transposed": (eck_view, [eck_view]),
    "eck_view_count": (c_int64, [POINTER(eck_view)]),
    "eck_view_read": (c_int, [POINTER(eck_view), c_int64, c_int64, eck_panel, POINTER(eck_error)]),
    "eck_array_convert": (c_int, [POINTER(POINTER(eck_array)), eck_view, c_int, POINTER(eck_error)]),
}
