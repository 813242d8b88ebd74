"""Mirror of include/eckart/batch.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int32, c_int64, c_uint32
from typing import Any

from .array import eck_array, eck_view
from .context import eck_context
from .status import eck_error


class eck_svd_batch_options(Structure):
    version: int
    rank: int
    want: int
    errors: bool
    compute: int
    _fields_ = [
        ("version", c_uint32),
        ("rank", c_int64),
        ("want", c_uint32),
        ("errors", c_bool),
        ("compute", c_int),
    ]


class eck_svd_batch(Structure):
    count: int
    rows: int
    cols: int
    rank: int
    u: Any
    s: Any
    vt: Any
    errors: Any
    engine: int
    kernel: Bytes | None
    unconverged: int
    seconds: float
    _fields_ = [
        ("count", c_int64),
        ("rows", c_int64),
        ("cols", c_int64),
        ("rank", c_int64),
        ("u", POINTER(eck_array)),
        ("s", POINTER(eck_array)),
        ("vt", POINTER(eck_array)),
        ("errors", POINTER(eck_array)),
        ("engine", c_int),
        ("kernel", c_char_p),
        ("unconverged", c_int64),
        ("seconds", c_double),
    ]


def ECK_SVD_BATCH_OPTIONS_INIT() -> eck_svd_batch_options:
    return eck_svd_batch_options(1, 0, 1 | 2 | 4)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_svd_batch_options_init": (None, [POINTER(eck_svd_batch_options)]),
    "eck_svd_batch_free": (None, [POINTER(eck_svd_batch)]),
    "eck_svd_batch_compute": (c_int, [POINTER(POINTER(eck_svd_batch)), eck_view, POINTER(eck_svd_batch_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_svd_batch_memory": (c_int64, [POINTER(eck_view), POINTER(eck_svd_batch_options), c_int32]),
}
