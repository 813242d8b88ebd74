"""Mirror of include/eckart/factored.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_bool, c_double, c_int, c_int64
from typing import Any

from .array import eck_array, eck_view
from .status import eck_error


class eck_term(Structure):
    weight: float
    first: eck_view
    last: eck_view
    _fields_ = [
        ("weight", c_double),
        ("first", eck_view),
        ("last", eck_view),
    ]


class eck_factored(Structure):
    """Opaque."""


class eck_factored_info(Structure):
    rows: int
    cols: int
    width: int
    count: int
    values: Any
    tails: Any
    norm: float
    orthogonal: bool
    magnitude: float
    _fields_ = [
        ("rows", c_int64),
        ("cols", c_int64),
        ("width", c_int64),
        ("count", c_int64),
        ("values", POINTER(c_double)),
        ("tails", POINTER(c_double)),
        ("norm", c_double),
        ("orthogonal", c_bool),
        ("magnitude", c_double),
    ]


class eck_truncation(Structure):
    rank: int
    split: int
    store: int
    _fields_ = [
        ("rank", c_int64),
        ("split", c_int),
        ("store", c_int),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_factored_create": (c_int, [POINTER(POINTER(eck_factored)), POINTER(eck_term), c_int64, c_int64,
        POINTER(eck_error)]),
    "eck_factored_free": (None, [POINTER(eck_factored)]),
    "eck_factored_get_info": (POINTER(eck_factored_info), [POINTER(eck_factored)]),
    "eck_factored_truncate": (c_int, [POINTER(POINTER(eck_array)), POINTER(POINTER(eck_array)),
        POINTER(eck_factored), POINTER(eck_truncation), POINTER(eck_error)]),
    "eck_factored_inner": (c_int, [POINTER(c_double), POINTER(eck_factored), POINTER(eck_factored),
        POINTER(eck_error)]),
    "eck_factored_distance": (c_int, [POINTER(c_double), POINTER(eck_factored), POINTER(eck_term),
        POINTER(eck_error)]),
    "eck_factored_angles": (c_int, [POINTER(POINTER(eck_array)), POINTER(eck_factored), POINTER(eck_factored),
        c_int, POINTER(eck_error)]),
}
