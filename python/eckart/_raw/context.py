"""Mirror of include/eckart/context.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)
from typing import Any


class eck_context(Structure):
    version: int
    threads: int
    memory: int
    progress: Any
    user: int | None
    _fields_ = [
        ("version", c_uint32),
        ("threads", c_int32),
        ("memory", c_int64),
        ("progress", CFUNCTYPE(c_bool, c_void_p, c_char_p, c_int64, c_int64)),
        ("user", c_void_p),
    ]


class eck_allocator(Structure):
    version: int
    allocate: Any
    reallocate: Any
    release: Any
    user: int | None
    _fields_ = [
        ("version", c_uint32),
        ("allocate", CFUNCTYPE(c_void_p, c_void_p, c_size_t)),
        ("reallocate", CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t)),
        ("release", CFUNCTYPE(None, c_void_p, c_void_p)),
        ("user", c_void_p),
    ]


def ECK_CONTEXT_INIT() -> eck_context:
    return eck_context(1)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_allocator_set": (c_int, [POINTER(eck_allocator)]),
    "eck_text_free": (None, [c_char_p]),
    "eck_version": (c_char_p, []),
    "eck_blas_description": (c_char_p, []),
}
