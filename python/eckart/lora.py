"""LoRA adapters on disk, as `eckart lora` handles them: `info`, `load`, `resize`, `extract`, `merge`, `combine`,
`compare`, `convert`, `init`.

Adapters are PEFT directories, kohya / LyCORIS files or diffusers files; a change dW is never formed but where a merged
weight is written. Everything that writes takes `replace`, `dry_run`, `threads`, `memory`, `progress` as
`eckart.compress` does, and gives an `Outcome`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

from ._arrays import storage_type, take
from ._raw import library
from ._raw.adapter import (
    ECK_ADAPTER_BUDGET_INIT,
    ECK_ADAPTER_WRITE_INIT,
    ECK_CONVERT_OPTIONS_INIT,
    ECK_EXTRACT_OPTIONS_INIT,
    ECK_INIT_OPTIONS_INIT,
    eck_adapter,
    eck_adapter_base,
    eck_adapter_budget,
    eck_adapter_comparison,
    eck_adapter_layout,
    eck_adapter_outcome,
    eck_adapter_start,
    eck_adapter_sum,
    eck_adapter_write,
    eck_factors,
    eck_weighted_adapter,
)
from ._run import Progress, Run, interruptible, text_of
from .compression import SPLITS, Path, _name, _opened, _select
from .errors import RangeError
from .linalg import ENGINES

LAYOUTS = {
    "peft": eck_adapter_layout.ECK_ADAPTER_PEFT,
    "kohya": eck_adapter_layout.ECK_ADAPTER_KOHYA,
    "diffusers": eck_adapter_layout.ECK_ADAPTER_DIFFUSERS,
}
STARTS = {
    "gaussian": eck_adapter_start.ECK_START_GAUSSIAN,
    "pissa": eck_adapter_start.ECK_START_PISSA,
    "olora": eck_adapter_start.ECK_START_OLORA,
}
#: Adapters with weights: one path, paths, or a mapping of paths to weights.
Weighted = Path | Sequence[Path] | Mapping[Any, float]


@dataclass(frozen=True)
class Module:
    """One adapted module, dW = scale * last first."""

    name: str
    form: str  #: "lora", "tucker", "loha", "lokr"
    rank: int
    alpha: float
    scale: float
    dtype: str
    dora: bool
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Adapter:
    """What an adapter holds."""

    path: str
    layout: str
    base_name: str | None
    modules: tuple[Module, ...]
    extra: tuple[str, ...]  #: tensors that are no part of a low-rank change
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Factors:
    """dW = scale * last @ first. Unpacks to first, last, scale."""

    first: Any  #: [width, in * kernel]
    last: Any  #: [out, width]
    scale: float

    def __iter__(self) -> Iterator[Any]:
        return iter((self.first, self.last, self.scale))


@dataclass(frozen=True)
class Change:
    """What happened to one module; None where a figure does not apply."""

    name: str
    rank_before: int | None
    rank: int | None
    kept: bool  #: byte for byte as it was
    norm: float | None
    error: float | None  #: || dW - as stored || / || dW ||
    energy: float | None
    energy_clean: float | None  #: extract: of the change less its rounding noise
    noise: float | None
    rank50: int | None
    rank80: int | None
    rank90: int | None
    optimum_low: float | None  #: extract: the least error any change of that rank has lies between these
    optimum_high: float | None
    engine: str | None  #: extract: the lane that answered


@dataclass(frozen=True)
class Outcome:
    """What was done to an adapter or model."""

    path: str | None
    layout: str
    changes: tuple[Change, ...]
    kept: int  #: modules left as they were
    bytes_before: int
    bytes_after: int
    norm: float | None
    error: float | None  #: root of the summed squared errors, relative to norm
    worst: float | None
    energy: float | None
    energy_clean: float | None
    remarks: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Relation:
    """Two adapters in one module."""

    name: str
    rank_a: int  #: 0: not in that adapter
    rank_b: int
    norm_a: float
    norm_b: float
    inner: float
    cosine: float
    distance: float  #: || dW_a - dW_b || / max(norm_a, norm_b)
    overlap_left: float  #: mean squared cosine of the principal angles of the column spaces
    overlap_right: float
    angle_left: float  #: largest principal angle, radians
    angle_right: float


@dataclass(frozen=True)
class Comparison:
    """Two adapters, module by module and as a whole."""

    relations: tuple[Relation, ...]
    common: int
    norm_a: float
    norm_b: float
    cosine: float
    distance: float


def _same(kind: Any, raw: Any, **more: Any) -> Any:
    """A dataclass from the fields a struct has too; text decoded, what does not apply (negative, no number) None."""
    known = {}
    for field in fields(kind):
        if field.name not in more and hasattr(raw, field.name):
            value = getattr(raw, field.name)
            nothing = isinstance(value, (int, float)) and "None" in str(field.type) and (value < 0 or math.isnan(value))
            known[field.name] = text_of(value) if isinstance(value, bytes) else None if nothing else value
    return kind(**known, **more)


def _choice(name: str, found: str, allowed: Mapping[str, int]) -> int:
    if found not in allowed:
        raise RangeError(f"{name}: found {found!r}, allowed: {', '.join(allowed)}")
    return int(allowed[found])


@contextmanager
def _adapter(run: Run, path: Path) -> Iterator[Any]:
    adapter = ctypes.POINTER(eck_adapter)()
    run.check(library().eck_adapter_open, ctypes.byref(adapter), _name(path))
    try:
        yield adapter
    finally:
        library().eck_adapter_close(adapter)


def _terms(run: Run, stack: ExitStack, adapters: Weighted) -> eck_adapter_sum:
    """The weighted sum of adapters that are open while the stack is."""
    if isinstance(adapters, Mapping):
        pairs = [(path, float(weight)) for path, weight in adapters.items()]
    else:
        several = [adapters] if not isinstance(adapters, Sequence) or isinstance(adapters, (str, bytes)) else adapters
        pairs = [(path, 1.0) for path in several]
    if not pairs:
        raise RangeError("adapters: found none, allowed: at least one")
    terms = (eck_weighted_adapter * len(pairs))()
    for term, (path, weight) in zip(terms, pairs, strict=True):
        term.adapter, term.weight = stack.enter_context(_adapter(run, path)), weight
    return eck_adapter_sum(terms, len(pairs))


def _write(out: Path | None, dtype: Any, split: str, replace: bool, dry_run: bool) -> eck_adapter_write:
    if out is None and not dry_run:
        raise RangeError("out: found None, allowed only with dry_run")
    options = ECK_ADAPTER_WRITE_INIT()
    options.path = None if out is None else _name(out)
    options.replace, options.dry_run = replace, dry_run
    options.store, options.split = storage_type(dtype), _choice("split", split, SPLITS)
    return options


def _budget(rank: int | None, energy: float | None, error: float | None, size: float | None) -> eck_adapter_budget:
    budget = ECK_ADAPTER_BUDGET_INIT()
    for name, value in (("rank", rank), ("energy", energy), ("error", error)):
        if value is not None:
            setattr(budget, name, value)
    if isinstance(size, float):
        budget.bytes_part = size
    elif size is not None:
        budget.bytes = size
    return budget


def _list(text: Callable[[Any, int], bytes | None], adapter: Any) -> tuple[str, ...]:
    found: list[str] = []
    while (one := text(adapter, len(found))) is not None:
        found.append(text_of(one))
    return tuple(found)


def _change(raw: Any) -> Change:
    name = text_of(library().eck_engine_name(raw.engine)) if raw.optimum_high >= 0 else None
    return _same(Change, raw, engine=name)  # type: ignore[no-any-return]


def _finish(run: Run, out: Path | None, function: Any, *arguments: Any, context: bool = True) -> Outcome:
    """Calls what fills an outcome; the outcome as a dataclass."""
    lib, raw = library(), eck_adapter_outcome()
    try:
        (run.call if context else run.check)(function, ctypes.byref(raw), *arguments)
        return _same(  # type: ignore[no-any-return]
            Outcome, raw,
            path=None if out is None else text_of(_name(out)),
            layout=text_of(lib.eck_adapter_layout_name(raw.layout)),
            changes=tuple(_change(raw.changes[index]) for index in range(raw.count)),
            remarks=tuple(text_of(raw.remarks[index]) for index in range(raw.remark_count)),
        )
    finally:
        lib.eck_adapter_outcome_clear(ctypes.byref(raw))


def info(adapter: Path) -> Adapter:
    """What an adapter holds, from its index and configuration alone.

    >>> eckart.lora.info("ADAPTER").modules[0].rank
    8
    """
    lib, run = library(), Run()
    with _adapter(run, adapter) as opened:
        raw = [lib.eck_adapter_get_module(opened, i).contents for i in range(lib.eck_adapter_module_count(opened))]
        base = lib.eck_adapter_base_name(opened)
        modules = tuple(
            _same(
                Module, one,
                form=text_of(lib.eck_adapter_form_name(one.form)),
                dtype=text_of(lib.eck_dtype_name(one.dtype)),
            )
            for one in raw
        )
        return Adapter(
            path=text_of(lib.eck_adapter_path(opened)),
            layout=text_of(lib.eck_adapter_layout_name(lib.eck_adapter_get_layout(opened))),
            base_name=None if base is None else text_of(base),
            modules=modules,
            extra=_list(lib.eck_adapter_extra, opened),
            remarks=_list(lib.eck_adapter_warning, opened),
        )


def load(adapter: Path, *, torch: bool = False) -> dict[str, Factors]:
    """The factors of every module, as stored (LoHa, LoKr and Tucker ones in float64), as NumPy arrays or torch tensors.

    >>> first, last, scale = eckart.lora.load("ADAPTER")["a.dense"]
    >>> first.shape, last.shape
    ((8, 96), (128, 8))
    """
    lib, run = library(), Run()
    found = {}
    if torch:
        import torch as _  # noqa: F401
    with _adapter(run, adapter) as opened:
        for index in range(lib.eck_adapter_module_count(opened)):
            raw = eck_factors()
            run.check(lib.eck_adapter_load, ctypes.byref(raw), opened, index)
            try:
                factors = Factors(take(raw, "first", torch), take(raw, "last", torch), raw.scale)
            finally:
                lib.eck_factors_clear(ctypes.byref(raw))
            found[text_of(lib.eck_adapter_get_module(opened, index).contents.name)] = factors
    return found


def resize(
    adapter: Path,
    out: Path | None,
    *,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    size: float | None = None,
    dtype: Any = None,
    split: str = "balanced",
    replace: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Smaller ranks, exactly: the truncated SVD of every change, from its factors alone. One of rank, energy, error (of
    every module), size (bytes of the output, or as a part of the bytes before if a float); rank beside size is a cap.

    >>> outcome = eckart.lora.resize("ADAPTER", "SMALLER", rank=4)
    >>> [change.rank for change in outcome.changes]
    [4, 4]
    """
    run, options = Run(threads, memory, progress), _write(out, dtype, split, replace, dry_run)
    budget = _budget(rank, energy, error, size)

    def job() -> Outcome:
        with _adapter(run, adapter) as opened:
            return _finish(run, out, library().eck_adapter_resize, opened, ctypes.byref(budget), ctypes.byref(options))

    return interruptible(run, job)


def combine(
    adapters: Weighted,
    out: Path | None,
    *,
    rank: int | None = None,
    dtype: Any = None,
    split: str = "balanced",
    replace: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """One adapter whose change is the weighted sum: {path: weight}, or paths with weight 1. rank: the best of that
    rank; None: all factors side by side, exactly.

    >>> eckart.lora.combine({"ADAPTER": 0.7, "SMALLER": -0.3}, "COMBINED").changes[0].rank
    12
    """
    run, options = Run(threads, memory, progress), _write(out, dtype, split, replace, dry_run)

    def job() -> Outcome:
        with ExitStack() as stack:
            total = _terms(run, stack, adapters)
            return _finish(
                run, out, library().eck_adapter_combine, ctypes.byref(total), rank or 0, ctypes.byref(options))

    return interruptible(run, job)


def merge(
    base: Path,
    adapters: Weighted,
    out: Path | None,
    *,
    replace: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Writes base + sum of weight * dW: each changed weight computed in float64 and rounded once, everything else byte
    for byte.

    >>> eckart.lora.merge("MODEL.safetensors", "ADAPTER", "MERGED.safetensors").remarks
    ()
    """
    run, options = Run(threads, memory, progress), _write(out, None, "balanced", replace, dry_run)

    def job() -> Outcome:
        with ExitStack() as stack:
            opened = stack.enter_context(_opened(run, base))
            total = _terms(run, stack, adapters)
            return _finish(
                run, out, library().eck_adapter_merge, opened, ctypes.byref(total), ctypes.byref(options))

    return interruptible(run, job)


def extract(
    base: Path,
    tuned: Path,
    out: Path | None,
    *,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    size: float | None = None,
    to: str = "peft",
    component: str | None = None,
    full_modules: bool = False,
    unrelated: bool = False,
    include: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    min_size: int = 1,
    dtype: Any = None,
    split: str = "balanced",
    engine: str = "auto",
    excess: float = 1e-3,
    replace: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """The change from base to tuned as an adapter, the best of its rank (default 32), layer by layer.

    full_modules  carry what is no low-rank change in modules_to_save (PEFT); unrelated: even if it is no fine-tune
    engine        as of eckart.svd, for a given rank; excess: largest error over the optimum - 1 it may stop at

    >>> outcome = eckart.lora.extract("MODEL.safetensors", "MERGED.safetensors", "EXTRACTED", rank=8)
    >>> outcome.error < 1e-5
    True
    """
    run, options = Run(threads, memory, progress), ECK_EXTRACT_OPTIONS_INIT()
    if any(value is not None for value in (rank, energy, error, size)):
        options.budget = _budget(rank, energy, error, size)
    options.layout = _choice("to", to, LAYOUTS)
    options.component = None if component is None else component.encode()
    options.full_modules, options.unrelated = full_modules, unrelated
    options.engine, options.excess = _choice("engine", engine, ENGINES), excess
    options.write = _write(out, dtype, split, replace, dry_run)

    def job() -> Outcome:
        with _opened(run, base) as before, _opened(run, tuned) as after:
            _select(run, before, include, exclude, min_size)
            return _finish(run, out, library().eck_adapter_extract, before, after, ctypes.byref(options))

    return interruptible(run, job)


def compare(
    a: Path,
    b: Path,
    *,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """How alike two adapters are: norms, cosine, distance and angles of subspaces, module by module and as a whole.

    >>> round(eckart.lora.compare("ADAPTER", "ADAPTER").cosine, 6)
    1.0
    """
    run, lib = Run(threads, memory, progress), library()

    def job() -> Comparison:
        raw = eck_adapter_comparison()
        with _adapter(run, a) as first, _adapter(run, b) as second:
            try:
                run.call(lib.eck_adapter_compare, ctypes.byref(raw), first, second)
                relations = tuple(_same(Relation, raw.relations[index]) for index in range(raw.count))
                return _same(Comparison, raw, relations=relations)  # type: ignore[no-any-return]
            finally:
                lib.eck_adapter_comparison_clear(ctypes.byref(raw))

    return interruptible(run, job)


def convert(
    adapter: Path,
    out: Path | None,
    to: str,
    *,
    bases: Path | Mapping[str, Path] = {},  # noqa: B006  # only read
    component: str | None = None,
    dtype: Any = None,
    replace: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """The same changes in another layout: "peft", "kohya" or "diffusers".

    bases      a model, or {component: model}, whose names say where dots belong in kohya's names
    component  what PEFT's names are put under ("unet"); to PEFT: which to take where there are several

    >>> eckart.lora.convert("ADAPTER", "KOHYA.safetensors", "kohya").layout
    'kohya'
    """
    run, options = Run(), ECK_CONVERT_OPTIONS_INIT()
    options.layout = _choice("to", to, LAYOUTS)
    options.component = None if component is None else component.encode()
    options.write = _write(out, dtype, "balanced", replace, dry_run)
    given: list[tuple[str | None, Path]] = list(bases.items()) if isinstance(bases, Mapping) else [(None, bases)]

    def job() -> Outcome:
        with ExitStack() as stack:
            opened = stack.enter_context(_adapter(run, adapter))
            models = (eck_adapter_base * len(given))()
            for base, (name, path) in zip(models, given, strict=True):
                base.component = None if name is None else name.encode()
                base.model = stack.enter_context(_opened(run, path))
            options.bases, options.base_count = models, len(given)
            return _finish(run, out, library().eck_adapter_convert, opened, ctypes.byref(options), context=False)

    return interruptible(run, job)


def init(
    base: Path,
    out: Path | None,
    *,
    start: str = "gaussian",
    rank: int = 8,
    alpha: float | None = None,
    seed: int = 0,
    residual: Path | None = None,
    include: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    min_size: int = 4096,
    dtype: Any = None,
    replace: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """An adapter (PEFT) to begin training with. start: "gaussian" changes nothing at first; "pissa" and "olora" take
    their part out of the base, which is written to `residual`.

    >>> [change.rank for change in eckart.lora.init("MODEL.safetensors", "START", rank=4).changes]
    [4, 4]
    """
    run, options = Run(threads, memory, progress), ECK_INIT_OPTIONS_INIT()
    options.start = _choice("start", start, STARTS)
    if options.start != eck_adapter_start.ECK_START_GAUSSIAN and residual is None and not dry_run:
        raise RangeError(f"start {start!r} takes a part out of the base: give residual")
    options.rank, options.alpha, options.seed = rank, alpha or 0.0, seed
    options.residual = None if residual is None else _name(residual)
    options.write = _write(out, dtype, "balanced", replace, dry_run)

    def job() -> Outcome:
        with _opened(run, base) as opened:
            _select(run, opened, include, exclude, min_size)
            return _finish(run, out, library().eck_adapter_init, opened, ctypes.byref(options))

    return interruptible(run, job)
