"""Whole models on disk: `plan`, `compress`, `verify`, `restore`, as the command of the same names does them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, TypeVar

from ._arrays import storage_type
from ._raw import library
from ._raw.decompose import ECK_METHODS_ALL, eck_method, eck_split
from ._raw.model import (
    ECK_BUDGET_INIT,
    ECK_SELECTION_INIT,
    ECK_STORE_OPTIONS_INIT,
    ECK_WRITE_OPTIONS_INIT,
    eck_analysis,
    eck_budget,
    eck_model,
    eck_outcome,
    eck_plan,
    eck_store_options,
    eck_verdict,
)
from ._run import Progress, Run, interruptible, text_of
from ._timings import Timings, timed
from .errors import Error, PromiseError, RangeError

Path = str | os.PathLike[str]
Number = TypeVar("Number", int, float)

METHODS = {
    method.name.removeprefix("ECK_METHOD_").lower(): int(method)
    for method in eck_method
    if method not in (eck_method.ECK_METHOD_DENSE, eck_method.ECK_METHOD_SVD)
}

SPLITS = {
    "balanced": eck_split.ECK_SPLIT_BALANCED,
    "left": eck_split.ECK_SPLIT_LEFT,
    "right": eck_split.ECK_SPLIT_RIGHT,
}


@dataclass(frozen=True)
class Choice:
    """What a plan makes of one layer."""

    layer: str
    method: str  #: "dense", "svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise"
    ranks: tuple[int, ...]  #: inner widths of the chain; () if dense
    error: float  #: relative, as it will be stored
    parameters: int
    macs: int | None  #: per output position; None if unknown, as in a plan that was read
    parameters_before: int
    macs_before: int | None = None  #: multiply-adds of one pass over all uses in a graph; None if unknown
    macs_after: int | None = None
    ms_before: float | None = None  #: milliseconds of one pass over all uses, as the timings predict; None if unknown
    ms_after: float | None = None


@dataclass(frozen=True)
class Plan:
    """Which layers of a model are factored, and how. `text` is the plan as the command writes it: a file to edit."""

    choices: tuple[Choice, ...]
    source: str  #: hash of the model it is for
    parameters_before: int  #: of the selected layers
    parameters_after: int
    bytes_before: int  #: of the whole model
    bytes_after: int
    factored: int  #: layers that are not dense
    error: float  #: root of the summed squares, relative to the norm of the selected layers
    worst: float
    mean: float
    gap: float  #: to the best plan there is, at most: (damage - lower bound) / lower bound
    text: str
    remarks: tuple[str, ...] = ()
    macs_before: int | None = None  #: multiply-adds of one pass over the selected layers of a graph; None if unknown
    macs_after: int | None = None
    ms_before: float | None = None  #: milliseconds of one pass of the model, as the timings predict; None without timings
    ms_after: float | None = None

    def save(self, path: Path) -> None:
        """Writes the plan's file, which `eckart compress --plan` reads too."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text)

    @classmethod
    def load(cls, path: Path) -> Plan:
        with open(path, encoding="utf-8") as file:
            return cls.parse(file.read(), os.fspath(path))

    @classmethod
    def parse(cls, text: str, file: str = "") -> Plan:
        """A plan from its text, edited or not. Raises FormatError, UnsupportedError."""
        run = Run()
        with _parsed(run, text, file) as raw:
            return _plan_of(run, raw, ())


@dataclass(frozen=True)
class Check:
    """A promise, or a tensor that is not what it was."""

    name: str
    factored: bool
    kept: bool
    error: float
    promised: float
    reason: str | None


@dataclass(frozen=True)
class Verdict:
    """What verifying found; true if every promise holds."""

    kept: bool
    factored: int
    identical: int  #: tensors equal byte for byte
    failed: int
    checks: tuple[Check, ...]  #: factored layers, then everything that failed

    def __bool__(self) -> bool:
        return self.kept


@dataclass(frozen=True)
class Outcome:
    """What compress or restore did."""

    path: str
    factored: int
    copied: int
    bytes_before: int
    bytes_after: int
    error: float  #: as Plan.error, measured from what was stored
    worst: float
    left_out: tuple[str, ...]  #: files of the source that were not carried over
    peak_bytes: int
    seconds: float
    plan: Plan | None
    verdict: Verdict | None  #: None where nothing was verified
    remarks: tuple[str, ...] = ()


def _name(path: Path) -> bytes:
    return os.fsencode(os.fspath(path))


@contextmanager
def _opened(run: Run, path: Path, key: str | None = None, shapes: Mapping[str, Sequence[int]] | None = None,
            groups: Mapping[str, int] | None = None) -> Iterator[Any]:
    model = ctypes.POINTER(eck_model)()
    wanted = None if key is None else key.encode()
    run.check(library().eck_model_open_key, ctypes.byref(model), _name(path), wanted)
    try:
        for name, shape in (shapes or {}).items():
            sizes = (ctypes.c_int64 * len(shape))(*shape)
            run.check(library().eck_model_set_input, model, name.encode(), len(shape), sizes)
        for glob, count in (groups or {}).items():
            run.check(library().eck_model_set_groups, model, glob.encode(), count)
        yield model
    finally:
        library().eck_model_close(model)


def _remarks(model: Any) -> tuple[str, ...]:
    found: list[str] = []
    while (text := library().eck_model_warning(model, len(found))) is not None:
        found.append(text_of(text))
    return tuple(found)


def _globs(patterns: Sequence[str] | str) -> Any:
    names = [patterns] if isinstance(patterns, str) else list(patterns)
    return (ctypes.c_char_p * len(names))(*(name.encode() for name in names))


def _select(run: Run, model: Any, include: Sequence[str] | str, exclude: Sequence[str] | str, min_size: int) -> None:
    selection = ECK_SELECTION_INIT()
    wanted, unwanted = _globs(include), _globs(exclude)
    selection.include, selection.include_count = wanted, len(wanted)
    selection.exclude, selection.exclude_count = unwanted, len(unwanted)
    selection.min_size = min_size
    run.check(library().eck_model_select, model, ctypes.byref(selection))


@dataclass(frozen=True)
class _Limits:
    """What people ask for; the fields of a budget."""

    keep: float | None
    size: float | None
    rank: int | None
    energy: float | None
    error: float | None
    macs: float | None
    latency: float | timedelta | None

    def given(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def budget(self) -> eck_budget:
        if not self.given():
            raise RangeError("no budget: give keep, size, macs, latency, rank, energy or error")
        budget = ECK_BUDGET_INIT()
        for name in ("keep", "rank", "energy", "error"):
            if getattr(self, name) is not None:
                setattr(budget, name, getattr(self, name))
        _set_count(budget, "bytes", "size", self.size, "bytes as a whole number, or a part of them above 0, to 1.0")
        _set_count(budget, "macs", "macs", self.macs, "a whole number, or a part of those before above 0, to 1.0")
        _set_latency(budget, self.latency)
        return budget


def _set_count(budget: eck_budget, name: str, said: str, value: float | None, allowed: str) -> None:
    """A whole number, or a part of what is there before."""
    if isinstance(value, float):
        if not 0 < value <= 1:
            raise RangeError(f"{said}: found {value}, allowed: {allowed}")
        setattr(budget, f"{name}_part", value)
    elif value is not None:
        setattr(budget, name, value)


def _set_latency(budget: eck_budget, value: float | timedelta | None) -> None:
    if isinstance(value, timedelta):
        budget.latency = value / timedelta(milliseconds=1)
    elif value is not None and value >= 1:
        budget.latency = value
    elif value is not None:
        budget.latency_part = value
    if value is not None and not 0 < max(budget.latency, budget.latency_part) < float("inf"):
        raise RangeError(
            f"latency: found {value}, allowed: a part of the time before, below 1, milliseconds from 1, or a timedelta above 0"
        )


def _check_timed(limits: _Limits, no_slower: bool, timings: Any) -> None:
    if timings is None and (no_slower or limits.latency is not None):
        name = "no_slower" if no_slower else "latency"
        raise RangeError(f"{name} is judged by times of the target machine: give timings (python -m eckart.measure makes them)")


def _methods(method: str) -> int:
    """Bits of what a word names; 0 for svd, the default."""
    if method in ("svd", "auto"):
        return 0 if method == "svd" else ECK_METHODS_ALL
    number = METHODS.get(method)
    if number is None:
        raise RangeError(f"method: found {method!r}, allowed: svd, auto, {', '.join(METHODS)}")
    return 1 << number


def _store(run: Run, cache: Path | bool, dtype: Any, split: str, rank_multiple: int, method: str) -> eck_store_options:
    if split not in SPLITS:
        raise RangeError(f"split: found {split!r}, allowed: {', '.join(SPLITS)}")
    store = ECK_STORE_OPTIONS_INIT()
    store.store, store.split, store.rank_multiple = storage_type(dtype), SPLITS[split], rank_multiple
    store.methods = _methods(method)
    if cache is True:
        text = ctypes.c_char_p()
        with suppress(Error):  # nobody's home is no reason not to work
            run.check(library().eck_cache_default, ctypes.byref(text))
        store.cache = text.value
        library().eck_text_free(text)
    elif cache is not False:
        store.cache = _name(cache)
    return store


def _plan_of(run: Run, raw: Any, remarks: tuple[str, ...]) -> Plan:
    lib, text = library(), ctypes.c_char_p()
    run.check(lib.eck_report_plan, ctypes.byref(text), raw)
    written = text_of(text.value)
    lib.eck_text_free(text)
    plan = raw.contents
    choices = tuple(_choice_of(plan.choices[index]) for index in range(plan.count))
    return Plan(
        choices=choices, source=text_of(plan.source), text=written, remarks=remarks,
        parameters_before=plan.parameters_before, parameters_after=plan.parameters_after,
        bytes_before=plan.bytes_before, bytes_after=plan.bytes_after, factored=plan.factored,
        error=plan.error, worst=plan.worst, mean=plan.mean, gap=plan.gap,
        macs_before=_known(plan.macs_before), macs_after=_known(plan.macs_after),
        ms_before=_known(plan.ms_before), ms_after=_known(plan.ms_after),
    )


def _known(number: Number) -> Number | None:
    return None if number < 0 else number


def _choice_of(raw: Any) -> Choice:
    point = raw.point
    return Choice(
        layer=text_of(raw.layer), method=text_of(library().eck_method_name(point.method)),
        ranks=tuple(point.ranks[: point.rank_count]), error=point.error, parameters=point.parameters,
        macs=_known(point.macs), parameters_before=raw.parameters_before,
        macs_before=_known(raw.macs_before), macs_after=_known(raw.macs_after),
        ms_before=_known(raw.ms_before), ms_after=_known(raw.ms_after),
    )


@contextmanager
def _parsed(run: Run, text: str, file: str) -> Iterator[Any]:
    plan, written = ctypes.POINTER(eck_plan)(), text.encode("utf-8", "surrogateescape")
    run.check(library().eck_plan_parse, ctypes.byref(plan), written, len(written), os.fsencode(file))
    try:
        yield plan
    finally:
        library().eck_plan_free(plan)


@contextmanager
def _optimized(run: Run, model: Any, budget: eck_budget, store: eck_store_options) -> Iterator[Any]:
    lib = library()
    analysis, plan = ctypes.POINTER(eck_analysis)(), ctypes.POINTER(eck_plan)()
    run.call(lib.eck_model_analyze, ctypes.byref(analysis), model, ctypes.byref(store))
    try:
        run.check(lib.eck_plan_optimize, ctypes.byref(plan), model, analysis, ctypes.byref(budget), ctypes.byref(store))
    finally:
        lib.eck_analysis_free(analysis)
    try:
        yield plan
    finally:
        lib.eck_plan_free(plan)


def _verdict_of(raw: eck_verdict) -> Verdict:
    checks = tuple(
        Check(
            name=text_of(check.name), factored=check.factored, kept=check.kept, error=check.error,
            promised=check.promised, reason=None if check.reason is None else text_of(check.reason),
        )
        for check in raw.checks[: raw.count]
    )
    return Verdict(kept=raw.kept, factored=raw.factored, identical=raw.identical, failed=raw.failed, checks=checks)


def _verify(run: Run, before: Any, path: Path) -> Verdict:
    raw = eck_verdict()
    with _opened(run, path) as after:
        try:
            run.call(library().eck_model_verify, ctypes.byref(raw), before, after)
            return _verdict_of(raw)
        finally:
            library().eck_verdict_clear(ctypes.byref(raw))


def _outcome_of(raw: eck_outcome, path: Path, **more: Any) -> Outcome:
    left_out = tuple(text_of(raw.left_out[index]) for index in range(raw.left_out_count))
    same = {field.name: getattr(raw, field.name) for field in fields(Outcome) if hasattr(raw, field.name)}
    return Outcome(**{**same, "path": os.fspath(path), "left_out": left_out, **more})


def plan(
    model: Path,
    *,
    keep: float | None = None,
    size: float | None = None,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    macs: float | None = None,
    latency: float | timedelta | None = None,
    no_slower: bool = False,
    timings: Timings | None = None,
    include: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    min_size: int = 4096,
    dtype: Any = None,
    split: str = "balanced",
    rank_multiple: int = 1,
    method: str = "svd",
    shapes: Mapping[str, Sequence[int]] | None = None,
    groups: Mapping[str, int] | None = None,
    key: str | None = None,
    allow_dense: bool = False,
    cache: Path | bool = True,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Chooses a rank for every layer: the least total error within every limit given.

    model          a directory, a .safetensors or .onnx file, a checkpoint of PyTorch
    keep           parameters left / before, of the selected layers
    size           bytes of the whole output; a float to 1.0: as a part of the bytes before
    rank           the same rank for every layer, where that pays
    energy, error  of every layer: at least, at most
    include        globs of layers to factor exactly; exclude: to leave out; min_size: numbers a weight must have
    dtype          type of the factors; default: each layer's own
    macs           multiply-adds of one pass over the selected layers of a graph; a float to 1.0: as a part of those before
    latency        time of one pass, predicted from timings: below 1 a part of that before, from 1 milliseconds, or a timedelta
    no_slower      leave layers dense whose factors are not faster, by timings
    timings        times of layers on the target machine, by `python -m eckart.measure` or `eckart bench`: the file, or the
                   document as read by json; layers that were not timed stay dense
    rank_multiple  ranks are multiples of it, where one pays: what the target's kernels like
    method         of convolutions: "svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise", or "auto", the best of all
    shapes         of inputs of a graph whose sizes are open: {"x": (1, 3, 224, 224)}
    groups         of convolutions of a file without a graph, which does not tell them: {"features.*": 32}
    key            of a PyTorch checkpoint, the dictionary to read; default: found
    cache          where spectra are kept for the next run: True the user's cache, False nowhere, or a directory

    Raises NothingError if nothing pays, RangeError if the limits contradict each other.

    >>> plan = eckart.plan("MODEL.safetensors", keep=0.6)
    >>> plan.parameters_after <= 0.6 * plan.parameters_before
    True
    """
    run = Run(threads, memory, progress)
    limits, store = _Limits(keep, size, rank, energy, error, macs, latency), _store(run, cache, dtype, split, rank_multiple, method)
    budget = limits.budget()
    budget.allow_dense, budget.no_slower = allow_dense, no_slower
    _check_timed(limits, no_slower, timings)

    def job() -> Plan:
        with timed(run, timings) as times, _opened(run, model, key, shapes, groups) as opened:
            budget.timings = times
            _select(run, opened, include, exclude, min_size)
            with _optimized(run, opened, budget, store) as raw:
                return _plan_of(run, raw, _remarks(opened))

    return interruptible(run, job)


def compress(
    model: Path,
    out: Path,
    plan: Plan | None = None,
    *,
    keep: float | None = None,
    size: float | None = None,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    macs: float | None = None,
    latency: float | timedelta | None = None,
    no_slower: bool = False,
    timings: Timings | None = None,
    include: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    min_size: int = 4096,
    dtype: Any = None,
    split: str = "balanced",
    rank_multiple: int = 1,
    method: str = "svd",
    shapes: Mapping[str, Sequence[int]] | None = None,
    groups: Mapping[str, int] | None = None,
    key: str | None = None,
    allow_dense: bool = False,
    cache: Path | bool = True,
    replace: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Writes a smaller model, by a plan or a budget (as for `plan`), and verifies it; `out` appears whole or not.

    replace  replace `out`, if it is a file or a directory made by eckart; else ExistsError
    dry_run  do everything but write
    verify   check every promised error and every copied byte from the files; PromiseError if one does not hold

    >>> outcome = eckart.compress("MODEL.safetensors", "OUT.safetensors", keep=0.6)
    >>> outcome.bytes_after < outcome.bytes_before, outcome.verdict.kept
    (True, True)
    """
    run = Run(threads, memory, progress)
    limits = _Limits(keep, size, rank, energy, error, macs, latency)
    if plan is not None and (limits.given() or no_slower or timings is not None):
        raise RangeError("a plan is a choice already made: give a plan or a budget")
    own = include or exclude or dtype is not None or split != "balanced" or rank_multiple != 1 or method != "svd"
    if plan is not None and own:
        raise RangeError(
            "a plan says which layers, types and ranks: it goes with none of include, exclude, dtype, split, "
            "rank_multiple, method"
        )
    store = _store(run, cache, dtype, split, rank_multiple, method)
    budget = ECK_BUDGET_INIT() if plan is not None else limits.budget()
    budget.allow_dense, budget.no_slower = allow_dense, no_slower
    _check_timed(limits, no_slower, timings)
    options = ECK_WRITE_OPTIONS_INIT()
    options.replace, options.dry_run, options.store = replace, dry_run, store

    def write(opened: Any, raw_plan: Any) -> Outcome:
        lib, raw = library(), eck_outcome()
        try:
            run.call(lib.eck_model_compress, ctypes.byref(raw), opened, raw_plan, _name(out), ctypes.byref(options))
            verdict = _verify(run, opened, out) if verify and not dry_run else None
            remarks = _remarks(opened)
            used = plan if plan is not None else _plan_of(run, raw_plan, remarks)
            return _outcome_of(raw, out, plan=used, verdict=verdict, remarks=remarks)
        finally:
            lib.eck_outcome_clear(ctypes.byref(raw))

    def job() -> Outcome:
        with timed(run, timings) as times, _opened(run, model, key, shapes, groups) as opened:
            budget.timings = times
            _select(run, opened, include, exclude, min_size)
            chosen = _parsed(run, plan.text, "") if plan is not None else _optimized(run, opened, budget, store)
            with chosen as raw_plan:
                return write(opened, raw_plan)

    return _kept(interruptible(run, job))


def _kept(outcome: Outcome) -> Outcome:
    if outcome.verdict is not None and not outcome.verdict.kept:
        broken = next(check for check in outcome.verdict.checks if not check.kept)
        raise PromiseError(f"what was written to '{outcome.path}' does not hold: '{broken.name}': {broken.reason}")
    return outcome


def verify(
    model: Path,
    out: Path,
    *,
    key: str | None = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Recomputes every promised error of `out` in float64 from the two files, and compares every other tensor byte for
    byte. A broken promise is no exception: the verdict is false. key: of a PyTorch checkpoint, the dictionary it was made of.

    >>> verdict = eckart.verify("MODEL.safetensors", "OUT.safetensors")
    >>> verdict.kept, verdict.failed
    (True, 0)
    """
    run = Run(threads, memory, progress)

    def job() -> Verdict:
        with _opened(run, model, key) as before:
            return _verify(run, before, out)

    return interruptible(run, job)


def restore(
    model: Path,
    out: Path,
    *,
    dtype: Any = None,
    replace: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Multiplies the factors out under their stock names: loads everywhere. dtype: default each layer's original.

    >>> outcome = eckart.restore("OUT.safetensors", "DENSE.safetensors")
    >>> outcome.bytes_after > outcome.bytes_before
    True
    """
    run = Run(threads, memory, progress)
    options = ECK_WRITE_OPTIONS_INIT()
    options.replace, options.store.store = replace, storage_type(dtype)

    def job() -> Outcome:
        lib, raw = library(), eck_outcome()
        with _opened(run, model) as opened:
            try:
                run.call(lib.eck_model_restore, ctypes.byref(raw), opened, _name(out), ctypes.byref(options))
                return _outcome_of(raw, out, plan=None, verdict=None, remarks=_remarks(opened))
            finally:
                lib.eck_outcome_clear(ctypes.byref(raw))

    return interruptible(run, job)
