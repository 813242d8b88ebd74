"""Mirror of include/eckart/status.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import Structure, c_char, c_char_p, c_int, c_int64
from enum import IntEnum
from typing import Any


class eck_status(IntEnum):
    ECK_OK = 0
    ECK_E_NOMEM = 10
    ECK_E_CANCELLED = 11
    ECK_E_BUDGET = 12
    ECK_E_SHAPE = 20
    ECK_E_RANGE = 21
    ECK_E_NONFINITE = 22
    ECK_E_SOLVER = 30
    ECK_E_PROMISE = 31
    ECK_E_NOTHING = 32
    ECK_E_FORMAT = 40
    ECK_E_UNSUPPORTED = 41
    ECK_E_IO = 50
    ECK_E_EXISTS = 51


class eck_error(Structure):
    status: int
    offset: int
    file: Bytes
    tensor: Bytes
    message: Bytes
    _fields_ = [
        ("status", c_int),
        ("offset", c_int64),
        ("file", c_char * 256),
        ("tensor", c_char * 256),
        ("message", c_char * 1000),
    ]


def ECK_ERROR_INIT() -> eck_error:
    return eck_error(0, -1)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_status_name": (c_char_p, [c_int]),
}
