"""Mirror of include/eckart/als.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_bool, c_double, c_int, c_int64, c_uint32, c_uint64
from typing import Any

from .array import eck_array
from .context import eck_context
from .operator import eck_operator
from .status import eck_error
from .svd import eck_certificate


class eck_als_options(Structure):
    version: int
    engine: int
    rank: int
    iterations: int
    tolerance: float
    ridge: float
    seed: int
    store: int
    mask: Any
    weights: Any
    _fields_ = [
        ("version", c_uint32),
        ("engine", c_int),
        ("rank", c_int64),
        ("iterations", c_int64),
        ("tolerance", c_double),
        ("ridge", c_double),
        ("seed", c_uint64),
        ("store", c_int),
        ("mask", POINTER(eck_operator)),
        ("weights", POINTER(eck_operator)),
    ]


class eck_als(Structure):
    rows: int
    cols: int
    rank: int
    first: Any
    last: Any
    values: Any
    engine: int
    converged: bool
    iterations: int
    objective: Any
    observed: int
    empty_rows: int
    empty_cols: int
    reproducible: bool
    certificate: eck_certificate
    seconds: float
    _fields_ = [
        ("rows", c_int64),
        ("cols", c_int64),
        ("rank", c_int64),
        ("first", POINTER(eck_array)),
        ("last", POINTER(eck_array)),
        ("values", POINTER(eck_array)),
        ("engine", c_int),
        ("converged", c_bool),
        ("iterations", c_int64),
        ("objective", POINTER(eck_array)),
        ("observed", c_int64),
        ("empty_rows", c_int64),
        ("empty_cols", c_int64),
        ("reproducible", c_bool),
        ("certificate", eck_certificate),
        ("seconds", c_double),
    ]


def ECK_ALS_OPTIONS_INIT() -> eck_als_options:
    return eck_als_options(1, 8, 0, 1000, 1e-10)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_als_options_init": (None, [POINTER(eck_als_options)]),
    "eck_als_free": (None, [POINTER(eck_als)]),
    "eck_als_compute": (c_int, [POINTER(POINTER(eck_als)), POINTER(eck_operator), POINTER(eck_als_options),
        POINTER(eck_context), POINTER(eck_error)]),
}
