"""Mirror of include/eckart/report.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_int64
from typing import Any

from .adapter import eck_adapter, eck_adapter_comparison, eck_adapter_outcome
from .als import eck_als
from .model import eck_analysis, eck_frontier_row, eck_model, eck_outcome, eck_plan, eck_verdict
from .operator import eck_operator_info
from .status import eck_error
from .svd import eck_eigen, eck_svd

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
    "eck_report_error": (c_int, [POINTER(c_char_p), POINTER(eck_error)]),
    "eck_report_adapter": (c_int, [POINTER(c_char_p), POINTER(eck_adapter), POINTER(eck_error)]),
    "eck_report_adapter_outcome": (c_int, [POINTER(c_char_p), c_char_p, POINTER(eck_adapter_outcome),
        POINTER(eck_error)]),
    "eck_report_adapter_comparison": (c_int, [POINTER(c_char_p), POINTER(eck_adapter_comparison),
        POINTER(eck_error)]),
}
