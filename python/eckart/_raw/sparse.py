"""Mirror of include/eckart/sparse.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_int, c_int64, c_void_p
from enum import IntEnum
from typing import Any


class eck_sparse_layout(IntEnum):
    ECK_SPARSE_ROWS = 0
    ECK_SPARSE_COLS = 1


class eck_sparse_view(Structure):
    layout: int
    dtype: int
    rows: int
    cols: int
    starts: Any
    indices: Any
    values: int | None
    _fields_ = [
        ("layout", c_int),
        ("dtype", c_int),
        ("rows", c_int64),
        ("cols", c_int64),
        ("starts", POINTER(c_int64)),
        ("indices", POINTER(c_int64)),
        ("values", c_void_p),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
}
