"""Mirror of include/eckart/multilinear.h, written by scripts/mirror."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_bool, c_double, c_int, c_int32, c_int64, c_uint32, c_uint64
from typing import Any

from .array import ECK_DIMS_MAX, eck_array, eck_panel, eck_view
from .context import eck_context
from .operator import eck_operator
from .status import eck_error
from .svd import eck_certificate


class eck_tucker_options(Structure):
    version: int
    rule: int
    target: float
    ranks: Any
    keep: int
    sweeps: int
    tolerance: float
    store: int
    _fields_ = [
        ("version", c_uint32),
        ("rule", c_int),
        ("target", c_double),
        ("ranks", c_int64 * ECK_DIMS_MAX),
        ("keep", c_uint32),
        ("sweeps", c_int64),
        ("tolerance", c_double),
        ("store", c_int),
    ]


class eck_tucker(Structure):
    ndim: int
    shape: Any
    ranks: Any
    core: Any
    factors: Any
    tails: Any
    truncated: float
    error: float
    sweeps: int
    converged: bool
    certificate: eck_certificate
    seconds: float
    _fields_ = [
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
        ("ranks", c_int64 * ECK_DIMS_MAX),
        ("core", POINTER(eck_array)),
        ("factors", POINTER(eck_array) * ECK_DIMS_MAX),
        ("tails", c_double * ECK_DIMS_MAX),
        ("truncated", c_double),
        ("error", c_double),
        ("sweeps", c_int64),
        ("converged", c_bool),
        ("certificate", eck_certificate),
        ("seconds", c_double),
    ]


class eck_cp_options(Structure):
    version: int
    rank: int
    iterations: int
    tolerance: float
    restarts: int
    seed: int
    slack: float
    degeneracy: float
    store: int
    _fields_ = [
        ("version", c_uint32),
        ("rank", c_int64),
        ("iterations", c_int64),
        ("tolerance", c_double),
        ("restarts", c_int64),
        ("seed", c_uint64),
        ("slack", c_double),
        ("degeneracy", c_double),
        ("store", c_int),
    ]


class eck_cp(Structure):
    ndim: int
    shape: Any
    rank: int
    weights: Any
    factors: Any
    error: float
    degeneracy: float
    degeneracy_before: float
    iterations: int
    converged: bool
    start: int
    certificate: eck_certificate
    seconds: float
    _fields_ = [
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
        ("rank", c_int64),
        ("weights", POINTER(eck_array)),
        ("factors", POINTER(eck_array) * ECK_DIMS_MAX),
        ("error", c_double),
        ("degeneracy", c_double),
        ("degeneracy_before", c_double),
        ("iterations", c_int64),
        ("converged", c_bool),
        ("start", c_int64),
        ("certificate", eck_certificate),
        ("seconds", c_double),
    ]


class eck_tt_options(Structure):
    version: int
    rule: int
    target: float
    ranks: Any
    store: int
    _fields_ = [
        ("version", c_uint32),
        ("rule", c_int),
        ("target", c_double),
        ("ranks", c_int64 * ECK_DIMS_MAX),
        ("store", c_int),
    ]


class eck_tt(Structure):
    ndim: int
    shape: Any
    ranks: Any
    cores: Any
    tails: Any
    truncated: float
    certificate: eck_certificate
    seconds: float
    _fields_ = [
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
        ("ranks", c_int64 * ECK_DIMS_MAX),
        ("cores", POINTER(eck_array) * ECK_DIMS_MAX),
        ("tails", c_double * ECK_DIMS_MAX),
        ("truncated", c_double),
        ("certificate", eck_certificate),
        ("seconds", c_double),
    ]


def ECK_TUCKER_OPTIONS_INIT() -> eck_tucker_options:
    return eck_tucker_options(1, 0, 0.0, (0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 1e-8)


def ECK_CP_OPTIONS_INIT() -> eck_cp_options:
    return eck_cp_options(1, 0, 200, 1e-9, 0, 0, 0.001, 10.0)


def ECK_TT_OPTIONS_INIT() -> eck_tt_options:
    return eck_tt_options(1, 0, 0.0, (0, 0, 0, 0, 0, 0, 0, 0))


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_view_unfold": (c_bool, [POINTER(eck_view), POINTER(eck_view), POINTER(c_int32), c_int32]),
    "eck_operator_unfolding": (c_int, [POINTER(POINTER(eck_operator)), eck_view, POINTER(c_int32), c_int32,
        POINTER(eck_error)]),
    "eck_mode_gram": (c_int, [eck_panel, eck_view, c_int32, POINTER(eck_context), POINTER(eck_error)]),
    "eck_view_norm": (c_int, [POINTER(c_double), eck_view, POINTER(eck_error)]),
    "eck_tucker_options_init": (None, [POINTER(eck_tucker_options)]),
    "eck_tucker_free": (None, [POINTER(eck_tucker)]),
    "eck_tucker_compute": (c_int, [POINTER(POINTER(eck_tucker)), eck_view, POINTER(eck_tucker_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_tucker_reconstruct": (c_int, [POINTER(POINTER(eck_array)), POINTER(eck_tucker), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_cp_options_init": (None, [POINTER(eck_cp_options)]),
    "eck_cp_free": (None, [POINTER(eck_cp)]),
    "eck_cp_compute": (c_int, [POINTER(POINTER(eck_cp)), eck_view, POINTER(eck_cp_options), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_cp_reconstruct": (c_int, [POINTER(POINTER(eck_array)), POINTER(eck_cp), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_tt_options_init": (None, [POINTER(eck_tt_options)]),
    "eck_tt_free": (None, [POINTER(eck_tt)]),
    "eck_tt_compute": (c_int, [POINTER(POINTER(eck_tt)), eck_view, POINTER(eck_tt_options), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_tt_reconstruct": (c_int, [POINTER(POINTER(eck_array)), POINTER(eck_tt), POINTER(eck_context),
        POINTER(eck_error)]),
}
