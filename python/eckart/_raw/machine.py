"""Mirror of include/eckart/machine.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int32
from typing import Any

from .context import eck_context
from .status import eck_error


class eck_machine(Structure):
    cpu: Bytes | None
    avx2: bool
    avx512: bool
    avx512_bf16: bool
    amx: bool
    neon: bool
    threads: int
    blas: Bytes | None
    gemm_f64: float
    gemm_f32: float
    bandwidth: float
    check_f64: float
    check_f32: float
    _fields_ = [
        ("cpu", c_char_p),
        ("avx2", c_bool),
        ("avx512", c_bool),
        ("avx512_bf16", c_bool),
        ("amx", c_bool),
        ("neon", c_bool),
        ("threads", c_int32),
        ("blas", c_char_p),
        ("gemm_f64", c_double),
        ("gemm_f32", c_double),
        ("bandwidth", c_double),
        ("check_f64", c_double),
        ("check_f32", c_double),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_machine_measure": (c_int, [POINTER(eck_machine), POINTER(eck_context), POINTER(eck_error)]),
}
