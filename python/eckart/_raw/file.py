"""Mirror of include/eckart/file.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int, c_int64, c_void_p
from typing import Any

from .array import eck_array
from .status import eck_error


class eck_named_array(Structure):
    name: Bytes | None
    array: Any
    _fields_ = [
        ("name", c_char_p),
        ("array", POINTER(eck_array)),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_file_write_arrays": (c_int, [c_char_p, POINTER(eck_named_array), c_int64, c_bool, POINTER(eck_error)]),
    "eck_file_write": (c_int, [c_char_p, c_void_p, c_int64, c_bool, POINTER(eck_error)]),
    "eck_file_read": (c_int, [POINTER(c_char_p), POINTER(c_int64), c_char_p, c_int64, POINTER(eck_error)]),
}
