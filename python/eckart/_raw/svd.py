"""Mirror of include/eckart/svd.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum
from typing import Any

from .array import eck_array
from .context import eck_context
from .operator import eck_operator, eck_operator_info
from .status import eck_error


class eck_engine(IntEnum):
    ECK_ENGINE_AUTO = 0
    ECK_ENGINE_EXACT = 1
    ECK_ENGINE_DEFLATED = 2
    ECK_ENGINE_KRYLOV = 3
    ECK_ENGINE_JACOBI = 4
    ECK_ENGINE_GOLUB_KAHAN = 5
    ECK_ENGINE_ALS = 8
    ECK_ENGINE_GRADIENT = 9


class eck_rule(IntEnum):
    ECK_RULE_RANK = 0
    ECK_RULE_ENERGY = 1
    ECK_RULE_ERROR = 2
    ECK_RULE_THIN = 5
    ECK_RULE_NUMERICAL = 6
    ECK_RULE_EVBMF = 3
    ECK_RULE_HARD_THRESHOLD = 4


class eck_proof(IntEnum):
    ECK_PROOF_TAIL = 0
    ECK_PROOF_RESIDUAL = 1
    ECK_PROOF_BOUND = 2


ECK_WANT_VALUES = 1
ECK_WANT_LEFT = 2
ECK_WANT_RIGHT = 4
ECK_WANT_COMPACT = 8
ECK_WANT_FULL = 16


class eck_certificate(Structure):
    proof: int
    stored: int
    norm2: float
    error: float
    error_low: float
    error_high: float
    optimum_low: float
    optimum_high: float
    excess_high: float
    floor: float
    failure: float
    orthogonality: float
    _fields_ = [
        ("proof", c_int),
        ("stored", c_int),
        ("norm2", c_double),
        ("error", c_double),
        ("error_low", c_double),
        ("error_high", c_double),
        ("optimum_low", c_double),
        ("optimum_high", c_double),
        ("excess_high", c_double),
        ("floor", c_double),
        ("failure", c_double),
        ("orthogonality", c_double),
    ]


class eck_spectral_proof(Structure):
    bound: float
    above: int
    blur: float
    _fields_ = [
        ("bound", c_double),
        ("above", c_int64),
        ("blur", c_double),
    ]


class eck_svd_options(Structure):
    version: int
    engine: int
    rule: int
    target: float
    rank: int
    want: int
    proof: int
    failure: float
    seed: int
    store: int
    excess: float
    spectral_proof: bool
    _fields_ = [
        ("version", c_uint32),
        ("engine", c_int),
        ("rule", c_int),
        ("target", c_double),
        ("rank", c_int64),
        ("want", c_uint32),
        ("proof", c_int),
        ("failure", c_double),
        ("seed", c_uint64),
        ("store", c_int),
        ("excess", c_double),
        ("spectral_proof", c_bool),
    ]


class eck_svd(Structure):
    rows: int
    cols: int
    rank: int
    numerical_rank: int
    tolerance: float
    engine: int
    solver: Bytes | None
    reproducible: bool
    u: Any
    s: Any
    v: Any
    orthonormal: int
    energy: float
    certificate: eck_certificate
    seconds: float
    bytes_read: int
    passes: float
    compact: bool
    spectral: eck_spectral_proof
    _fields_ = [
        ("rows", c_int64),
        ("cols", c_int64),
        ("rank", c_int64),
        ("numerical_rank", c_int64),
        ("tolerance", c_double),
        ("engine", c_int),
        ("solver", c_char_p),
        ("reproducible", c_bool),
        ("u", POINTER(eck_array)),
        ("s", POINTER(eck_array)),
        ("v", POINTER(eck_array)),
        ("orthonormal", c_int),
        ("energy", c_double),
        ("certificate", eck_certificate),
        ("seconds", c_double),
        ("bytes_read", c_int64),
        ("passes", c_double),
        ("compact", c_bool),
        ("spectral", eck_spectral_proof),
    ]


class eck_engine_choice(Structure):
    engine: int
    exact: float
    krylov: float
    expected_reads: float
    reads: int
    reason: Bytes | None
    memory: int
    _fields_ = [
        ("engine", c_int),
        ("exact", c_double),
        ("krylov", c_double),
        ("expected_reads", c_double),
        ("reads", c_int64),
        ("reason", c_char_p),
        ("memory", c_int64),
    ]


class eck_svd_sink(Structure):
    user: int | None
    begin: Any
    take: Any
    _fields_ = [
        ("user", c_void_p),
        ("begin", CFUNCTYPE(c_int, c_void_p, c_int64, POINTER(eck_error))),
        ("take", CFUNCTYPE(c_int, c_void_p, c_int64, c_int64, c_void_p, POINTER(eck_error))),
    ]


class eck_spectrum(Structure):
    """Opaque."""


class eck_spectrum_info(Structure):
    rows: int
    cols: int
    count: int
    values: Any
    tails: Any
    norm2: float
    tail_error: float
    numerical_rank: int
    tolerance: float
    stable_rank: float
    effective_rank: float
    _fields_ = [
        ("rows", c_int64),
        ("cols", c_int64),
        ("count", c_int64),
        ("values", POINTER(c_double)),
        ("tails", POINTER(c_double)),
        ("norm2", c_double),
        ("tail_error", c_double),
        ("numerical_rank", c_int64),
        ("tolerance", c_double),
        ("stable_rank", c_double),
        ("effective_rank", c_double),
    ]


class eck_eigen(Structure):
    size: int
    rank: int
    values: Any
    vectors: Any
    asymmetry: float
    certificate: eck_certificate
    seconds: float
    _fields_ = [
        ("size", c_int64),
        ("rank", c_int64),
        ("values", POINTER(eck_array)),
        ("vectors", POINTER(eck_array)),
        ("asymmetry", c_double),
        ("certificate", eck_certificate),
        ("seconds", c_double),
    ]


class eck_subspaces(Structure):
    rank: int
    column: Any
    left_null: Any
    row: Any
    null: Any
    _fields_ = [
        ("rank", c_int64),
        ("column", POINTER(eck_array)),
        ("left_null", POINTER(eck_array)),
        ("row", POINTER(eck_array)),
        ("null", POINTER(eck_array)),
    ]


def ECK_SVD_OPTIONS_INIT() -> eck_svd_options:
    return eck_svd_options(3, 0, 0, 0.0, 0, 1 | 2 | 4, 1, 1e-6, 0, 0, 1e-4)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_engine_name": (c_char_p, [c_int]),
    "eck_proof_name": (c_char_p, [c_int]),
    "eck_svd_options_init": (None, [POINTER(eck_svd_options)]),
    "eck_svd_free": (None, [POINTER(eck_svd)]),
    "eck_svd_compute": (c_int, [POINTER(POINTER(eck_svd)), POINTER(eck_operator), POINTER(eck_svd_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_svd_memory": (c_int64, [POINTER(eck_operator_info), POINTER(eck_svd_options), c_int64]),
    "eck_svd_operator": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_svd), POINTER(eck_error)]),
    "eck_svd_choose": (c_int, [POINTER(eck_engine_choice), POINTER(eck_operator), POINTER(eck_svd_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_svd_stream": (c_int, [POINTER(POINTER(eck_svd)), POINTER(eck_operator), POINTER(eck_svd_options),
        POINTER(eck_svd_sink), POINTER(eck_context), POINTER(eck_error)]),
    "eck_svd_stream_memory": (c_int64, [POINTER(eck_operator_info), POINTER(eck_svd_options), c_int64]),
    "eck_spectrum_create": (c_int, [POINTER(POINTER(eck_spectrum)), POINTER(eck_operator), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_spectrum_free": (None, [POINTER(eck_spectrum)]),
    "eck_spectrum_get_info": (POINTER(eck_spectrum_info), [POINTER(eck_spectrum)]),
    "eck_spectrum_svd": (c_int, [POINTER(POINTER(eck_svd)), POINTER(eck_spectrum), POINTER(eck_operator),
        POINTER(eck_svd_options), POINTER(eck_context), POINTER(eck_error)]),
    "eck_rule_rank": (c_int, [POINTER(c_int64), POINTER(eck_spectrum_info), c_int, c_double, c_int64,
        POINTER(eck_error)]),
    "eck_spectrum_save": (c_int, [POINTER(c_char_p), POINTER(c_int64), POINTER(eck_spectrum), POINTER(eck_error)]),
    "eck_spectrum_load": (c_int, [POINTER(POINTER(eck_spectrum)), c_void_p, c_int64, POINTER(eck_error)]),
    "eck_certify": (c_int, [POINTER(eck_certificate), POINTER(eck_operator), POINTER(eck_operator), c_int, c_double,
        c_uint64, POINTER(eck_context), POINTER(eck_error)]),
    "eck_certify_spectral": (c_int, [POINTER(eck_spectral_proof), POINTER(eck_operator), POINTER(eck_operator),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_spectral_memory": (c_int64, [POINTER(eck_operator_info)]),
    "eck_eigen_free": (None, [POINTER(eck_eigen)]),
    "eck_eigen_compute": (c_int, [POINTER(POINTER(eck_eigen)), POINTER(eck_operator), POINTER(eck_svd_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_subspaces_clear": (None, [POINTER(eck_subspaces)]),
    "eck_subspaces_compute": (c_int, [POINTER(eck_subspaces), POINTER(eck_svd), POINTER(eck_error)]),
}
