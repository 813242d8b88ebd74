"""Mirror of include/eckart/operator.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int64, c_uint32, c_void_p
from enum import IntEnum
from typing import Any

from .array import eck_panel, eck_view
from .context import eck_context
from .sparse import eck_sparse_view
from .status import eck_error


class eck_side(IntEnum):
    ECK_SIDE_RIGHT = 0
    ECK_SIDE_LEFT = 1


class eck_operator(Structure):
    """Opaque."""


class eck_scan(Structure):
    max: float
    norm2: float
    first_nonfinite: int
    nonfinite: int
    _fields_ = [
        ("max", c_double),
        ("norm2", c_double),
        ("first_nonfinite", c_int64),
        ("nonfinite", c_int64),
    ]


class eck_operator_methods(Structure):
    version: int
    read: Any
    apply: Any
    apply_transpose: Any
    gram: Any
    scan: Any
    free: Any
    normal: Any
    _fields_ = [
        ("version", c_uint32),
        ("read", CFUNCTYPE(c_int, c_void_p, c_int64, c_int64, eck_panel, POINTER(eck_error))),
        ("apply", CFUNCTYPE(c_int, c_void_p, c_double, eck_panel, eck_panel, POINTER(eck_error))),
        ("apply_transpose", CFUNCTYPE(c_int, c_void_p, c_double, eck_panel, eck_panel, POINTER(eck_error))),
        ("gram", CFUNCTYPE(c_int, c_void_p, c_int, c_double, eck_panel, POINTER(eck_error))),
        ("scan", CFUNCTYPE(c_int, c_void_p, POINTER(eck_scan), POINTER(eck_error))),
        ("free", CFUNCTYPE(None, c_void_p)),
        ("normal", CFUNCTYPE(c_int, c_void_p, c_int, c_double, eck_panel, eck_panel, POINTER(eck_error))),
    ]


class eck_operator_info(Structure):
    version: int
    rows: int
    cols: int
    storage: int
    resident: bool
    symmetric: bool
    name: Bytes | None
    read_error: float
    nonzeros: int
    _fields_ = [
        ("version", c_uint32),
        ("rows", c_int64),
        ("cols", c_int64),
        ("storage", c_int),
        ("resident", c_bool),
        ("symmetric", c_bool),
        ("name", c_char_p),
        ("read_error", c_double),
        ("nonzeros", c_int64),
    ]


def ECK_OPERATOR_INFO_INIT() -> eck_operator_info:
    return eck_operator_info(2, 0, 0, 2)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_operator_create": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_operator_info),
        POINTER(eck_operator_methods), c_void_p, POINTER(eck_error)]),
    "eck_operator_free": (None, [POINTER(eck_operator)]),
    "eck_operator_get_info": (POINTER(eck_operator_info), [POINTER(eck_operator)]),
    "eck_operator_dense": (c_int, [POINTER(POINTER(eck_operator)), eck_view, POINTER(eck_error)]),
    "eck_operator_sparse": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_sparse_view), POINTER(eck_error)]),
    "eck_operator_sum": (c_int, [POINTER(POINTER(eck_operator)), POINTER(POINTER(eck_operator)), POINTER(c_double),
        c_int64, POINTER(eck_error)]),
    "eck_operator_product": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_operator), POINTER(eck_operator),
        c_double, POINTER(eck_error)]),
    "eck_operator_scaled": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_operator), POINTER(c_double),
        POINTER(c_double), POINTER(eck_error)]),
    "eck_operator_transposed": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_operator), POINTER(eck_error)]),
    "eck_operator_centered": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_operator), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_operator_read": (c_int, [POINTER(eck_operator), c_int64, c_int64, eck_panel, POINTER(eck_error)]),
    "eck_operator_apply": (c_int, [POINTER(eck_operator), c_double, eck_panel, eck_panel, POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_operator_apply_transpose": (c_int, [POINTER(eck_operator), c_double, eck_panel, eck_panel,
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_operator_gram": (c_int, [POINTER(eck_operator), c_int, c_double, eck_panel, POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_operator_normal": (c_int, [POINTER(eck_operator), c_int, c_double, eck_panel, eck_panel,
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_operator_scan": (c_int, [POINTER(eck_scan), POINTER(eck_operator), POINTER(eck_context),
        POINTER(eck_error)]),
}
