"""Mirror of include/eckart/report.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int64
from typing import Any

from .adapter import eck_adapter, eck_adapter_comparison, eck_adapter_outcome
from .als import eck_als
from .bench import eck_bench_layer
from .context import eck_context
from .machine import eck_machine
from .model import eck_analysis, eck_frontier_row, eck_model, eck_outcome, eck_plan, eck_verdict
from .multilinear import eck_cp, eck_tt, eck_tucker
from .operator import eck_operator_info
from .runtime import eck_timing
from .status import eck_error
from .svd import eck_eigen, eck_svd


class eck_core_trial(Structure):
    core: Bytes | None
    ran: bool
    gemm_f64: float
    gemm_f32: float
    check_f64: float
    check_f32: float
    _fields_ = [
        ("core", c_char_p),
        ("ran", c_bool),
        ("gemm_f64", c_double),
        ("gemm_f32", c_double),
        ("check_f64", c_double),
        ("check_f32", c_double),
    ]


class eck_diagnosis(Structure):
    machine: Any
    settings: Any
    settings_count: int
    trials: Any
    trial_count: int
    advice: Any
    advice_count: int
    _fields_ = [
        ("machine", POINTER(eck_machine)),
        ("settings", POINTER(c_char_p)),
        ("settings_count", c_int64),
        ("trials", POINTER(eck_core_trial)),
        ("trial_count", c_int64),
        ("advice", POINTER(c_char_p)),
        ("advice_count", c_int64),
    ]


class eck_bench_report(Structure):
    model: Bytes | None
    cpu: Bytes | None
    context: Any
    rounds: int
    layers: Any
    timings: Any
    count: int
    _fields_ = [
        ("model", c_char_p),
        ("cpu", c_char_p),
        ("context", POINTER(eck_context)),
        ("rounds", c_int64),
        ("layers", POINTER(eck_bench_layer)),
        ("timings", POINTER(POINTER(eck_timing))),
        ("count", c_int64),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_report_svd": (c_int, [POINTER(c_char_p), POINTER(eck_svd), POINTER(eck_operator_info), c_double,
        POINTER(eck_error)]),
    "eck_report_als": (c_int, [POINTER(c_char_p), POINTER(eck_als), POINTER(eck_operator_info), c_double,
        POINTER(eck_error)]),
    "eck_report_eigen": (c_int, [POINTER(c_char_p), POINTER(eck_eigen), POINTER(eck_operator_info),
        POINTER(eck_error)]),
    "eck_report_curve": (c_int, [POINTER(c_char_p), POINTER(c_double), c_int64, POINTER(eck_error)]),
    "eck_report_inspect": (c_int, [POINTER(c_char_p), POINTER(eck_model), POINTER(eck_error)]),
    "eck_report_analyze": (c_int, [POINTER(c_char_p), POINTER(eck_model), POINTER(eck_analysis), c_bool,
        POINTER(eck_error)]),
    "eck_report_plan": (c_int, [POINTER(c_char_p), POINTER(eck_plan), POINTER(eck_error)]),
    "eck_report_frontier": (c_int, [POINTER(c_char_p), POINTER(eck_model), POINTER(eck_frontier_row), c_int64,
        POINTER(eck_error)]),
    "eck_report_outcome": (c_int, [POINTER(c_char_p), c_char_p, POINTER(eck_outcome), POINTER(eck_verdict),
        POINTER(eck_error)]),
    "eck_report_verify": (c_int, [POINTER(c_char_p), POINTER(eck_verdict), POINTER(eck_error)]),
    "eck_report_doctor": (c_int, [POINTER(c_char_p), POINTER(eck_diagnosis), POINTER(eck_error)]),
    "eck_report_error": (c_int, [POINTER(c_char_p), POINTER(eck_error)]),
    "eck_report_adapter": (c_int, [POINTER(c_char_p), POINTER(eck_adapter), POINTER(eck_error)]),
    "eck_report_adapter_outcome": (c_int, [POINTER(c_char_p), c_char_p, POINTER(eck_adapter_outcome),
        POINTER(eck_error)]),
    "eck_report_adapter_comparison": (c_int, [POINTER(c_char_p), POINTER(eck_adapter_comparison),
        POINTER(eck_error)]),
    "eck_report_tucker": (c_int, [POINTER(c_char_p), POINTER(eck_tucker), POINTER(eck_error)]),
    "eck_report_cp": (c_int, [POINTER(c_char_p), POINTER(eck_cp), POINTER(eck_error)]),
    "eck_report_tt": (c_int, [POINTER(c_char_p), POINTER(eck_tt), POINTER(eck_error)]),
    "eck_report_timings": (c_int, [POINTER(c_char_p), POINTER(eck_bench_report), POINTER(eck_error)]),
}
