"""Mirror of include/eckart/adapter.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int64, c_uint32, c_uint64
from enum import IntEnum
from typing import Any

from .array import eck_array
from .context import eck_context
from .model import eck_model
from .stage import eck_stage
from .status import eck_error


class eck_adapter_layout(IntEnum):
    ECK_ADAPTER_AUTO = 0
    ECK_ADAPTER_PEFT = 1
    ECK_ADAPTER_KOHYA = 2
    ECK_ADAPTER_DIFFUSERS = 3


class eck_adapter_form(IntEnum):
    ECK_FORM_LORA = 1
    ECK_FORM_TUCKER = 2
    ECK_FORM_LOHA = 3
    ECK_FORM_LOKR = 4


class eck_adapter(Structure):
    """Opaque."""


class eck_adapter_module(Structure):
    name: Bytes | None
    form: int
    dense: eck_stage
    rank: int
    width: int
    alpha: float
    scale: float
    dtype: int
    dora: bool
    parameters: int
    bytes: int
    _fields_ = [
        ("name", c_char_p),
        ("form", c_int),
        ("dense", eck_stage),
        ("rank", c_int64),
        ("width", c_int64),
        ("alpha", c_double),
        ("scale", c_double),
        ("dtype", c_int),
        ("dora", c_bool),
        ("parameters", c_int64),
        ("bytes", c_int64),
    ]


class eck_factors(Structure):
    first: Any
    last: Any
    scale: float
    _fields_ = [
        ("first", POINTER(eck_array)),
        ("last", POINTER(eck_array)),
        ("scale", c_double),
    ]


class eck_adapter_change(Structure):
    name: Bytes | None
    rank_before: int
    rank: int
    kept: bool
    norm: float
    error: float
    energy: float
    energy_clean: float
    noise: float
    rank50: int
    rank80: int
    rank90: int
    optimum_low: float
    optimum_high: float
    engine: int
    _fields_ = [
        ("name", c_char_p),
        ("rank_before", c_int64),
        ("rank", c_int64),
        ("kept", c_bool),
        ("norm", c_double),
        ("error", c_double),
        ("energy", c_double),
        ("energy_clean", c_double),
        ("noise", c_double),
        ("rank50", c_int64),
        ("rank80", c_int64),
        ("rank90", c_int64),
        ("optimum_low", c_double),
        ("optimum_high", c_double),
        ("engine", c_int),
    ]


class eck_adapter_outcome(Structure):
    layout: int
    changes: Any
    count: int
    kept: int
    bytes_before: int
    bytes_after: int
    norm: float
    error: float
    worst: float
    energy: float
    energy_clean: float
    remarks: Any
    remark_count: int
    seconds: float
    _fields_ = [
        ("layout", c_int),
        ("changes", POINTER(eck_adapter_change)),
        ("count", c_int64),
        ("kept", c_int64),
        ("bytes_before", c_int64),
        ("bytes_after", c_int64),
        ("norm", c_double),
        ("error", c_double),
        ("worst", c_double),
        ("energy", c_double),
        ("energy_clean", c_double),
        ("remarks", POINTER(c_char_p)),
        ("remark_count", c_int64),
        ("seconds", c_double),
    ]


class eck_adapter_write(Structure):
    version: int
    path: Bytes | None
    replace: bool
    dry_run: bool
    store: int
    split: int
    shard_bytes: int
    _fields_ = [
        ("version", c_uint32),
        ("path", c_char_p),
        ("replace", c_bool),
        ("dry_run", c_bool),
        ("store", c_int),
        ("split", c_int),
        ("shard_bytes", c_int64),
    ]


class eck_adapter_budget(Structure):
    version: int
    rank: int
    energy: float
    error: float
    bytes: int
    bytes_part: float
    _fields_ = [
        ("version", c_uint32),
        ("rank", c_int64),
        ("energy", c_double),
        ("error", c_double),
        ("bytes", c_int64),
        ("bytes_part", c_double),
    ]


class eck_weighted_adapter(Structure):
    adapter: Any
    weight: float
    _fields_ = [
        ("adapter", POINTER(eck_adapter)),
        ("weight", c_double),
    ]


class eck_adapter_sum(Structure):
    terms: Any
    count: int
    _fields_ = [
        ("terms", POINTER(eck_weighted_adapter)),
        ("count", c_int64),
    ]


class eck_adapter_relation(Structure):
    name: Bytes | None
    rank_a: int
    rank_b: int
    norm_a: float
    norm_b: float
    inner: float
    cosine: float
    distance: float
    overlap_left: float
    overlap_right: float
    angle_left: float
    angle_right: float
    _fields_ = [
        ("name", c_char_p),
        ("rank_a", c_int64),
        ("rank_b", c_int64),
        ("norm_a", c_double),
        ("norm_b", c_double),
        ("inner", c_double),
        ("cosine", c_double),
        ("distance", c_double),
        ("overlap_left", c_double),
        ("overlap_right", c_double),
        ("angle_left", c_double),
        ("angle_right", c_double),
    ]


class eck_adapter_comparison(Structure):
    relations: Any
    count: int
    common: int
    norm_a: float
    norm_b: float
    cosine: float
    distance: float
    _fields_ = [
        ("relations", POINTER(eck_adapter_relation)),
        ("count", c_int64),
        ("common", c_int64),
        ("norm_a", c_double),
        ("norm_b", c_double),
        ("cosine", c_double),
        ("distance", c_double),
    ]


class eck_adapter_base(Structure):
    component: Bytes | None
    model: Any
    _fields_ = [
        ("component", c_char_p),
        ("model", POINTER(eck_model)),
    ]


class eck_convert_options(Structure):
    version: int
    layout: int
    bases: Any
    base_count: int
    component: Bytes | None
    write: eck_adapter_write
    _fields_ = [
        ("version", c_uint32),
        ("layout", c_int),
        ("bases", POINTER(eck_adapter_base)),
        ("base_count", c_int64),
        ("component", c_char_p),
        ("write", eck_adapter_write),
    ]


class eck_extract_options(Structure):
    version: int
    budget: eck_adapter_budget
    layout: int
    component: Bytes | None
    full_modules: bool
    unrelated: bool
    write: eck_adapter_write
    engine: int
    excess: float
    _fields_ = [
        ("version", c_uint32),
        ("budget", eck_adapter_budget),
        ("layout", c_int),
        ("component", c_char_p),
        ("full_modules", c_bool),
        ("unrelated", c_bool),
        ("write", eck_adapter_write),
        ("engine", c_int),
        ("excess", c_double),
    ]


class eck_adapter_start(IntEnum):
    ECK_START_GAUSSIAN = 1
    ECK_START_PISSA = 2
    ECK_START_OLORA = 3


class eck_init_options(Structure):
    version: int
    start: int
    rank: int
    alpha: float
    seed: int
    residual: Bytes | None
    write: eck_adapter_write
    _fields_ = [
        ("version", c_uint32),
        ("start", c_int),
        ("rank", c_int64),
        ("alpha", c_double),
        ("seed", c_uint64),
        ("residual", c_char_p),
        ("write", eck_adapter_write),
    ]


def ECK_ADAPTER_WRITE_INIT() -> eck_adapter_write:
    return eck_adapter_write(1, None, False, False, 0, 0, 5000000000)


def ECK_ADAPTER_BUDGET_INIT() -> eck_adapter_budget:
    return eck_adapter_budget(1, -1, -1, -1, -1, -1)


def ECK_CONVERT_OPTIONS_INIT() -> eck_convert_options:
    return eck_convert_options(1, 1, None, 0, None, (1, None, False, False, 0, 0, 5000000000))


def ECK_EXTRACT_OPTIONS_INIT() -> eck_extract_options:
    return eck_extract_options(2, (1, 32, -1, -1, -1, -1), 1, None, False, False, (1, None, False, False, 0, 0,
        5000000000), 0, 1e-3)


def ECK_INIT_OPTIONS_INIT() -> eck_init_options:
    return eck_init_options(1, 1, 8, 0, 0, None, (1, None, False, False, 0, 0, 5000000000))


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_adapter_layout_name": (c_char_p, [c_int]),
    "eck_adapter_form_name": (c_char_p, [c_int]),
    "eck_adapter_open": (c_int, [POINTER(POINTER(eck_adapter)), c_char_p, POINTER(eck_error)]),
    "eck_adapter_close": (None, [POINTER(eck_adapter)]),
    "eck_adapter_path": (c_char_p, [POINTER(eck_adapter)]),
    "eck_adapter_get_layout": (c_int, [POINTER(eck_adapter)]),
    "eck_adapter_base_name": (c_char_p, [POINTER(eck_adapter)]),
    "eck_adapter_module_count": (c_int64, [POINTER(eck_adapter)]),
    "eck_adapter_get_module": (POINTER(eck_adapter_module), [POINTER(eck_adapter), c_int64]),
    "eck_adapter_extra": (c_char_p, [POINTER(eck_adapter), c_int64]),
    "eck_adapter_warning": (c_char_p, [POINTER(eck_adapter), c_int64]),
    "eck_factors_clear": (None, [POINTER(eck_factors)]),
    "eck_adapter_load": (c_int, [POINTER(eck_factors), POINTER(eck_adapter), c_int64, POINTER(eck_error)]),
    "eck_adapter_outcome_clear": (None, [POINTER(eck_adapter_outcome)]),
    "eck_adapter_resize": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_adapter), POINTER(eck_adapter_budget),
        POINTER(eck_adapter_write), POINTER(eck_context), POINTER(eck_error)]),
    "eck_adapter_combine": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_adapter_sum), c_int64,
        POINTER(eck_adapter_write), POINTER(eck_context), POINTER(eck_error)]),
    "eck_adapter_comparison_clear": (None, [POINTER(eck_adapter_comparison)]),
    "eck_adapter_compare": (c_int, [POINTER(eck_adapter_comparison), POINTER(eck_adapter), POINTER(eck_adapter),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_adapter_convert": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_adapter),
        POINTER(eck_convert_options), POINTER(eck_error)]),
    "eck_adapter_merge": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_model), POINTER(eck_adapter_sum),
        POINTER(eck_adapter_write), POINTER(eck_context), POINTER(eck_error)]),
    "eck_adapter_extract": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_model), POINTER(eck_model),
        POINTER(eck_extract_options), POINTER(eck_context), POINTER(eck_error)]),
    "eck_adapter_init": (c_int, [POINTER(eck_adapter_outcome), POINTER(eck_model), POINTER(eck_init_options),
        POINTER(eck_context), POINTER(eck_error)]),
}
