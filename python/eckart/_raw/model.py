"""Mirror of include/eckart/model.h, written by scripts/mirror."""

from __future__ import annotations

from builtins import bytes as Bytes
from ctypes import POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_int, c_int32, c_int64, c_uint32
from typing import Any

from .array import ECK_DIMS_MAX
from .context import eck_context
from .decompose import eck_curve, eck_point
from .operator import eck_operator
from .stage import ECK_SPATIAL_MAX, eck_chain, eck_stage
from .status import eck_error
from .svd import eck_spectrum_info


class eck_model(Structure):
    """Opaque."""


class eck_tensor(Structure):
    name: Bytes | None
    file: Bytes | None
    dtype: int
    ndim: int
    shape: Any
    bytes: int
    _fields_ = [
        ("name", c_char_p),
        ("file", c_char_p),
        ("dtype", c_int),
        ("ndim", c_int32),
        ("shape", c_int64 * ECK_DIMS_MAX),
        ("bytes", c_int64),
    ]


class eck_use(Structure):
    rows: int
    input: Any
    output: Any
    _fields_ = [
        ("rows", c_int64),
        ("input", c_int64 * ECK_SPATIAL_MAX),
        ("output", c_int64 * ECK_SPATIAL_MAX),
    ]


class eck_layer(Structure):
    name: Bytes | None
    skipped: Bytes | None
    dense: eck_stage
    weight: int
    bias: int
    stored_transposed: bool
    tied_to: Bytes | None
    factored: bool
    method: int
    uses: Any
    use_count: int
    macs: int
    macs_unknown: Bytes | None
    _fields_ = [
        ("name", c_char_p),
        ("skipped", c_char_p),
        ("dense", eck_stage),
        ("weight", c_int64),
        ("bias", c_int64),
        ("stored_transposed", c_bool),
        ("tied_to", c_char_p),
        ("factored", c_bool),
        ("method", c_int),
        ("uses", POINTER(eck_use)),
        ("use_count", c_int64),
        ("macs", c_int64),
        ("macs_unknown", c_char_p),
    ]


class eck_selection(Structure):
    version: int
    include: Any
    include_count: int
    exclude: Any
    exclude_count: int
    min_size: int
    _fields_ = [
        ("version", c_uint32),
        ("include", POINTER(c_char_p)),
        ("include_count", c_int64),
        ("exclude", POINTER(c_char_p)),
        ("exclude_count", c_int64),
        ("min_size", c_int64),
    ]


class eck_store_options(Structure):
    version: int
    cache: Bytes | None
    store: int
    split: int
    rank_multiple: int
    methods: int
    _fields_ = [
        ("version", c_uint32),
        ("cache", c_char_p),
        ("store", c_int),
        ("split", c_int),
        ("rank_multiple", c_int64),
        ("methods", c_uint32),
    ]


class eck_analysis(Structure):
    """Opaque."""


class eck_layer_analysis(Structure):
    layer: int
    spectrum: eck_spectrum_info
    curve: eck_curve
    break_even_rank: int
    seconds: float
    cached: bool
    _fields_ = [
        ("layer", c_int64),
        ("spectrum", eck_spectrum_info),
        ("curve", eck_curve),
        ("break_even_rank", c_int64),
        ("seconds", c_double),
        ("cached", c_bool),
    ]


class eck_timings(Structure):
    """Opaque."""


class eck_budget(Structure):
    version: int
    keep: float
    bytes: int
    bytes_part: float
    rank: int
    energy: float
    error: float
    allow_dense: bool
    timings: Any
    latency: float
    latency_part: float
    no_slower: bool
    macs: int
    macs_part: float
    _fields_ = [
        ("version", c_uint32),
        ("keep", c_double),
        ("bytes", c_int64),
        ("bytes_part", c_double),
        ("rank", c_int64),
        ("energy", c_double),
        ("error", c_double),
        ("allow_dense", c_bool),
        ("timings", POINTER(eck_timings)),
        ("latency", c_double),
        ("latency_part", c_double),
        ("no_slower", c_bool),
        ("macs", c_int64),
        ("macs_part", c_double),
    ]


class eck_choice(Structure):
    layer: Bytes | None
    point: eck_point
    parameters_before: int
    ms_before: float
    ms_after: float
    macs_before: int
    macs_after: int
    groups: int
    _fields_ = [
        ("layer", c_char_p),
        ("point", eck_point),
        ("parameters_before", c_int64),
        ("ms_before", c_double),
        ("ms_after", c_double),
        ("macs_before", c_int64),
        ("macs_after", c_int64),
        ("groups", c_int64),
    ]


class eck_plan(Structure):
    choices: Any
    count: int
    source: Bytes
    store: int
    split: int
    parameters_before: int
    parameters_after: int
    bytes_before: int
    bytes_after: int
    factored: int
    error: float
    worst: float
    mean: float
    gap: float
    ms_before: float
    ms_after: float
    macs_before: int
    macs_after: int
    _fields_ = [
        ("choices", POINTER(eck_choice)),
        ("count", c_int64),
        ("source", c_char * 65),
        ("store", c_int),
        ("split", c_int),
        ("parameters_before", c_int64),
        ("parameters_after", c_int64),
        ("bytes_before", c_int64),
        ("bytes_after", c_int64),
        ("factored", c_int64),
        ("error", c_double),
        ("worst", c_double),
        ("mean", c_double),
        ("gap", c_double),
        ("ms_before", c_double),
        ("ms_after", c_double),
        ("macs_before", c_int64),
        ("macs_after", c_int64),
    ]


class eck_frontier_row(Structure):
    keep: float
    factored: int
    parameters: int
    bytes: int
    error: float
    mean: float
    worst: float
    macs: int
    _fields_ = [
        ("keep", c_double),
        ("factored", c_int64),
        ("parameters", c_int64),
        ("bytes", c_int64),
        ("error", c_double),
        ("mean", c_double),
        ("worst", c_double),
        ("macs", c_int64),
    ]


class eck_write_options(Structure):
    version: int
    replace: bool
    dry_run: bool
    store: eck_store_options
    shard_bytes: int
    _fields_ = [
        ("version", c_uint32),
        ("replace", c_bool),
        ("dry_run", c_bool),
        ("store", eck_store_options),
        ("shard_bytes", c_int64),
    ]


class eck_outcome(Structure):
    factored: int
    copied: int
    bytes_before: int
    bytes_after: int
    error: float
    worst: float
    left_out: Any
    left_out_count: int
    peak_bytes: int
    seconds: float
    _fields_ = [
        ("factored", c_int64),
        ("copied", c_int64),
        ("bytes_before", c_int64),
        ("bytes_after", c_int64),
        ("error", c_double),
        ("worst", c_double),
        ("left_out", POINTER(c_char_p)),
        ("left_out_count", c_int64),
        ("peak_bytes", c_int64),
        ("seconds", c_double),
    ]


class eck_check(Structure):
    name: Bytes | None
    factored: bool
    kept: bool
    error: float
    promised: float
    reason: Bytes | None
    _fields_ = [
        ("name", c_char_p),
        ("factored", c_bool),
        ("kept", c_bool),
        ("error", c_double),
        ("promised", c_double),
        ("reason", c_char_p),
    ]


class eck_verdict(Structure):
    kept: bool
    factored: int
    identical: int
    failed: int
    checks: Any
    count: int
    _fields_ = [
        ("kept", c_bool),
        ("factored", c_int64),
        ("identical", c_int64),
        ("failed", c_int64),
        ("checks", POINTER(eck_check)),
        ("count", c_int64),
    ]


def ECK_SELECTION_INIT() -> eck_selection:
    return eck_selection(1, None, 0, None, 0, 4096)


def ECK_STORE_OPTIONS_INIT() -> eck_store_options:
    return eck_store_options(1, None, 0, 0, 1)


def ECK_BUDGET_INIT() -> eck_budget:
    return eck_budget(1, -1, -1, -1, -1, -1, -1, False, None, -1, -1, False, -1, -1)


def ECK_WRITE_OPTIONS_INIT() -> eck_write_options:
    return eck_write_options(1, False, False, (1, None, 0, 0, 1, 0), 5000000000)


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "eck_model_open": (c_int, [POINTER(POINTER(eck_model)), c_char_p, POINTER(eck_error)]),
    "eck_model_close": (None, [POINTER(eck_model)]),
    "eck_model_open_key": (c_int, [POINTER(POINTER(eck_model)), c_char_p, c_char_p, POINTER(eck_error)]),
    "eck_model_path": (c_char_p, [POINTER(eck_model)]),
    "eck_model_bytes_read": (c_int64, [POINTER(eck_model)]),
    "eck_model_tensor_count": (c_int64, [POINTER(eck_model)]),
    "eck_model_tensor": (POINTER(eck_tensor), [POINTER(eck_model), c_int64]),
    "eck_model_layer_count": (c_int64, [POINTER(eck_model)]),
    "eck_model_layer": (POINTER(eck_layer), [POINTER(eck_model), c_int64]),
    "eck_model_warning": (c_char_p, [POINTER(eck_model), c_int64]),
    "eck_model_format": (c_char_p, [POINTER(eck_model)]),
    "eck_model_is_factored": (c_bool, [POINTER(eck_model)]),
    "eck_model_tensor_operator": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_model), c_int64,
        POINTER(eck_error)]),
    "eck_model_layer_operator": (c_int, [POINTER(POINTER(eck_operator)), POINTER(eck_model), c_int64,
        POINTER(eck_error)]),
    "eck_model_layer_chain": (c_int, [POINTER(eck_chain), POINTER(eck_model), c_int64, POINTER(eck_error)]),
    "eck_model_set_input": (c_int, [POINTER(eck_model), c_char_p, c_int32, POINTER(c_int64), POINTER(eck_error)]),
    "eck_layer_macs": (c_int64, [POINTER(eck_layer), POINTER(eck_point)]),
    "eck_layer_best": (POINTER(eck_point), [POINTER(eck_layer), POINTER(eck_curve), c_int, c_int64]),
    "eck_model_set_groups": (c_int, [POINTER(eck_model), c_char_p, c_int64, POINTER(eck_error)]),
    "eck_model_select": (c_int, [POINTER(eck_model), POINTER(eck_selection), POINTER(eck_error)]),
    "eck_cache_default": (c_int, [POINTER(c_char_p), POINTER(eck_error)]),
    "eck_model_analyze": (c_int, [POINTER(POINTER(eck_analysis)), POINTER(eck_model), POINTER(eck_store_options),
        POINTER(eck_context), POINTER(eck_error)]),
    "eck_analysis_free": (None, [POINTER(eck_analysis)]),
    "eck_analysis_count": (c_int64, [POINTER(eck_analysis)]),
    "eck_analysis_layer": (POINTER(eck_layer_analysis), [POINTER(eck_analysis), c_int64]),
    "eck_timings_parse": (c_int, [POINTER(POINTER(eck_timings)), c_char_p, c_int64, c_char_p, POINTER(eck_error)]),
    "eck_timings_free": (None, [POINTER(eck_timings)]),
    "eck_timings_whole": (c_double, [POINTER(eck_timings)]),
    "eck_timings_predict": (c_double, [POINTER(eck_timings), POINTER(eck_layer), POINTER(eck_point)]),
    "eck_plan_optimize": (c_int, [POINTER(POINTER(eck_plan)), POINTER(eck_model), POINTER(eck_analysis),
        POINTER(eck_budget), POINTER(eck_store_options), POINTER(eck_error)]),
    "eck_plan_free": (None, [POINTER(eck_plan)]),
    "eck_plan_frontier": (c_int, [POINTER(eck_frontier_row), c_int64, POINTER(eck_model), POINTER(eck_analysis),
        POINTER(eck_store_options), POINTER(eck_error)]),
    "eck_plan_parse": (c_int, [POINTER(POINTER(eck_plan)), c_char_p, c_int64, c_char_p, POINTER(eck_error)]),
    "eck_outcome_clear": (None, [POINTER(eck_outcome)]),
    "eck_model_compress": (c_int, [POINTER(eck_outcome), POINTER(eck_model), POINTER(eck_plan), c_char_p,
        POINTER(eck_write_options), POINTER(eck_context), POINTER(eck_error)]),
    "eck_model_memory": (c_int64, [POINTER(eck_model), POINTER(eck_plan), POINTER(eck_context)]),
    "eck_verdict_clear": (None, [POINTER(eck_verdict)]),
    "eck_model_verify": (c_int, [POINTER(eck_verdict), POINTER(eck_model), POINTER(eck_model), POINTER(eck_context),
        POINTER(eck_error)]),
    "eck_model_restore": (c_int, [POINTER(eck_outcome), POINTER(eck_model), c_char_p, POINTER(eck_write_options),
        POINTER(eck_context), POINTER(eck_error)]),
}
