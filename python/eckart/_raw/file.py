"""Mirror of include/eckart/file.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int, c_int32, c_int64, c_void_p
from typing import Any

from .array import ECK_DIMS_MAX, eck_array
from .status import eck_error


class eck_named_array(Structure):
    name: Bytes | None
    array: Any
    _fields_ = [
        ("name", c_char_p),
        ("array", POINTER(eck_array)),
    ]


class eck_array_spec(Structure):
    name: Bytes | None
    dtype: int
    ndim: int
    shape: Any
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int),
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
    ]


class eck_array_writer(Structure):
    """Opaque."""


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_file_write_arrays": (c_int, [c_char_p, POINTER(eck_named_array), c_int64, c_bool, POINTER(eck_error)]),
    "eck_array_writer_create": (c_int, [POINTER(POINTER(eck_array_writer)), c_char_p, POINTER(eck_array_spec),
        c_int64, c_bool, POINTER(eck_error)]),
    "eck_array_writer_write": (c_int, [POINTER(eck_array_writer), c_int64, c_int64, c_void_p, c_int64,
        POINTER(eck_error)]),
    "eck_array_writer_publish": (c_int, [POINTER(eck_array_writer), POINTER(eck_error)]),
    "eck_array_writer_free": (None, [POINTER(eck_array_writer)]),
    "eck_file_write": (c_int, [c_char_p, c_void_p, c_int64, c_bool, POINTER(eck_error)]),
    "eck_file_read": (c_int, [POINTER(c_char_p), POINTER(c_int64), c_char_p, c_int64, POINTER(eck_error)]),
}
