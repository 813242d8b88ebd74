"""python -m eckart.measure: what layers of an ONNX model cost in ONNX Runtime on this machine, dense and factored.

    python -m eckart.measure MODEL.onnx --shape x=1x3x224x224 -o timings.json
    eckart compress MODEL.onnx -o SMALL.onnx --latency 0.7 --no-slower --timings timings.json
    python -m eckart.measure --whole MODEL.onnx SMALL.onnx --shape x=1x3x224x224 --timings timings.json

The first run builds a tiny graph of every layer, as it is and factored at several ranks, and times them side by side; run
it where the model will run: the file it writes names processor, threads and version. The last one times two whole models
side by side, and says by how much the prediction missed. Needs the packages onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import errors
from ._raw import library
from ._raw.decompose import eck_curve, eck_method, eck_point
from ._raw.model import ECK_SELECTION_INIT, eck_model
from ._raw.stage import eck_chain, eck_stage, eck_stage_kind
from ._run import Run, text_of
from ._timings import timed

try:
    from . import _tiny
except ImportError as missing:
    raise SystemExit(f"measure: {missing}: pip install onnx onnxruntime") from None

METHODS = {method.name.removeprefix("ECK_METHOD_").lower(): int(method) for method in eck_method}
CONVOLUTIONS = {
    eck_stage_kind.ECK_STAGE_CONV: "conv",
    eck_stage_kind.ECK_STAGE_CONV_TRANSPOSE: "conv_transpose",
}
RUNNABLE = {eck_stage_kind.ECK_STAGE_LINEAR: "linear", **CONVOLUTIONS}
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Point:
    """A way to store a layer, and the chain it makes."""

    method: str
    ranks: tuple[int, ...]
    chain: tuple[_tiny.Stage, ...]


@dataclass(frozen=True)
class Layer:
    """A weight of the graph that can be factored."""

    name: str
    kind: str
    shape: tuple[int, ...]
    uses: tuple[_tiny.Use, ...]
    points: tuple[Point, ...]  #: dense first


def stage_of(raw: eck_stage) -> _tiny.Stage:
    axes = raw.spatial if raw.kind in CONVOLUTIONS else 0
    # ONNX always says strides and dilations.
    return _tiny.Stage(
        getattr(raw, "in"), raw.out, raw.groups, tuple(raw.kernel[:axes]), tuple(raw.stride[:axes]), tuple(raw.dilation[:axes]),
        raw.kind == eck_stage_kind.ECK_STAGE_CONV_TRANSPOSE,
    )


def point_of(run: Run, dense: eck_stage, raw: eck_point) -> Point:
    chain = eck_chain()
    run.check(library().eck_chain_outline, ctypes.byref(chain), ctypes.byref(dense), ctypes.byref(raw))
    try:
        stages = tuple(stage_of(chain.stages[i]) for i in range(chain.count))
    finally:
        library().eck_chain_clear(ctypes.byref(chain))
    method = text_of(library().eck_method_name(raw.method))
    return Point(method, tuple(raw.ranks[: raw.rank_count]), stages)


def points_of(run: Run, dense: eck_stage, methods: int, multiple: int) -> tuple[Point, ...]:
    curve, lib = eck_curve(), library()
    run.check(lib.eck_trial_points, ctypes.byref(curve), ctypes.byref(dense), methods, multiple)
    try:
        tried = [point_of(run, dense, curve.points[i]) for i in range(curve.count)]
    finally:
        lib.eck_curve_clear(ctypes.byref(curve))
    return (Point("dense", (), (stage_of(dense),)), *tried)


def shape_of(dense: eck_stage) -> tuple[int, ...]:
    sizes = (ctypes.c_int64 * 8)()
    return tuple(sizes[: library().eck_stage_shape(ctypes.byref(dense), sizes)])


def uses_of(layer: Any) -> tuple[_tiny.Use, ...]:
    axes = layer.dense.spatial if layer.dense.kind in CONVOLUTIONS else 0
    return tuple(
        _tiny.Use(use.rows, tuple(use.input[:axes]), tuple(use.output[:axes])) for use in layer.uses[: layer.use_count]
    )


@contextmanager
def opened(run: Run, path: str, shapes: Shapes) -> Iterator[Any]:
    """A model with the sizes of its inputs."""
    lib, model = library(), ctypes.POINTER(eck_model)()
    run.check(lib.eck_model_open, ctypes.byref(model), os.fsencode(path))
    try:
        for name, sizes in shapes.items():
            numbers = (ctypes.c_int64 * len(sizes))(*sizes)
            run.check(lib.eck_model_set_input, model, name.encode(), len(sizes), numbers)
        yield model
    finally:
        lib.eck_model_close(model)


def select(run: Run, model: Any, options: argparse.Namespace) -> None:
    selection = ECK_SELECTION_INIT()
    for name in ("include", "exclude"):
        globs = getattr(options, name)
        setattr(selection, name, (ctypes.c_char_p * len(globs))(*(glob.encode() for glob in globs)))
        setattr(selection, f"{name}_count", len(globs))
    selection.min_size = options.min_size
    run.check(library().eck_model_select, model, ctypes.byref(selection))


def layers_of(run: Run, path: str, options: argparse.Namespace) -> list[Layer]:
    """Layers to measure, in the model's order."""
    lib, found = library(), []
    methods = sum(1 << METHODS[method] for method in options.methods)
    with opened(run, path, options.shapes) as model:
        select(run, model, options)
        for i in range(lib.eck_model_layer_count(model)):
            layer = lib.eck_model_layer(model, i).contents
            if layer.skipped is not None or layer.dense.kind not in RUNNABLE:
                continue
            name = text_of(layer.name)
            if layer.use_count == 0:
                why = text_of(layer.macs_unknown) or "no graph says where it stands"
                raise errors.RangeError(f"the sizes of '{name}' in '{path}' are not known: {why}")
            points = points_of(run, layer.dense, methods, options.rank_multiple)
            kind = RUNNABLE[layer.dense.kind]
            found.append(Layer(name, kind, shape_of(layer.dense), uses_of(layer), points))
    if not found:
        raise errors.NothingError(f"nothing to measure in '{path}': no linear layer or convolution is selected")
    return found


def measured(layer: Layer, rounds: int, known: dict[Any, list[_tiny.Time]]) -> list[_tiny.Time]:
    """Times of all points, uses added up; what looks alike is timed once."""
    chains = tuple(point.chain for point in layer.points)
    total: list[_tiny.Time] = []
    for use in layer.uses:
        key = (chains, use)
        if key not in known:
            known[key] = _tiny.race(chains, use, rounds)
        total = [a + b for a, b in zip(total, known[key], strict=True)] if total else known[key]
    return total


def milliseconds(time: _tiny.Time) -> dict[str, float]:
    return {"milliseconds": 1e3 * time.median, "low": 1e3 * time.low, "high": 1e3 * time.high}


def layer_document(layer: Layer, times: Sequence[_tiny.Time]) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "shape": layer.shape,
        "uses": [{"rows": use.rows, "input": use.input, "output": use.output} for use in layer.uses],
        "points": [
            {"method": point.method, "ranks": point.ranks, **milliseconds(time)}
            for point, time in zip(layer.points, times, strict=True)
        ],
    }


def processor() -> str:
    """The processor as the system calls it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def row_of(layer: Layer, times: Sequence[_tiny.Time]) -> str:
    """Milliseconds of a layer, and of what is faster the largest."""
    dense = times[0]
    faster = [
        f"{point.method} {','.join(map(str, point.ranks))}: {1e3 * time.median:.3g}"
        for point, time in zip(layer.points[1:], times[1:], strict=True)
        if time.high < dense.low
    ]
    slower = sum(time.low > dense.high for time in times[1:])
    last = f"faster up to {faster[-1]} ms" if faster else "never faster"
    return f"{layer.name:40} {1e3 * dense.median:9.3g} ms  {last}" + (f"; {slower} smaller ones are slower" if slower else "")


def measure(path: str, options: argparse.Namespace) -> dict[str, Any]:
    """The timings document of a model."""
    run = Run()
    layers = layers_of(run, path, options)
    runtime, version = _tiny.versions()
    known: dict[Any, list[_tiny.Time]] = {}
    documents = []
    for layer in layers:
        times = measured(layer, options.rounds, known)
        documents.append(layer_document(layer, times))
        if not options.quiet:
            print(row_of(layer, times), file=sys.stderr)
    (whole,) = _tiny.whole_times([path], options.shapes, max(options.rounds, 7))
    return {
        "format": "eckart-timings",
        "version": 1,
        "model": path,
        "runtime": runtime,
        "runtime_version": version,
        "cpu": processor(),
        "threads": options.threads,
        "rounds": options.rounds,
        "inputs": options.shapes,
        "whole": milliseconds(whole),
        "layers": documents,
    }


def factored_point(run: Run, model: Any, index: int) -> eck_point:
    """Method and inner widths of a factored layer."""
    chain, point, lib = eck_chain(), eck_point(), library()
    run.check(lib.eck_model_layer_chain, ctypes.byref(chain), model, index)
    try:
        point.method = lib.eck_model_layer(model, index).contents.method
        point.rank_count = chain.count - 1
        for i in range(chain.count - 1):
            point.ranks[i] = chain.stages[i].out
    finally:
        lib.eck_chain_clear(ctypes.byref(chain))
    return point


def predicted(before: str, after: str, path: str) -> tuple[float, float]:
    """Milliseconds of the whole, before and after, as the timings have it: as plans count them."""
    run, lib = Run(), library()
    with opened(run, before, {}) as dense, opened(run, after, {}) as small, timed(run, path) as timings:
        factored = {
            text_of(layer.name): factored_point(run, small, i)
            for i in range(lib.eck_model_layer_count(small))
            if (layer := lib.eck_model_layer(small, i).contents).factored
        }
        total, saved = 0.0, 0.0
        for i in range(lib.eck_model_layer_count(dense)):
            layer = lib.eck_model_layer(dense, i).contents
            old = lib.eck_timings_predict(timings, ctypes.byref(layer), None)
            point = factored.get(text_of(layer.name))
            new = old if point is None else lib.eck_timings_predict(timings, ctypes.byref(layer), ctypes.byref(point))
            if point is not None and min(old, new) < 0:
                raise errors.RangeError(f"'{path}' says nothing of layer '{text_of(layer.name)}' as it is factored")
            total += max(old, 0.0)
            saved += old - new
        whole = lib.eck_timings_whole(timings)
    if whole <= 0:
        return total, total - saved
    return whole, whole - saved * min(1.0, whole / total)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Two whole models side by side, and how far off the prediction was."""
    before, after = options.models
    old, new = _tiny.whole_times([before, after], options.shapes, max(options.rounds, 15))
    found: dict[str, Any] = {
        "before": milliseconds(old), "after": milliseconds(new), "gain": old.median / new.median,
        "predicted": None, "miss_percent": None,
    }
    if options.timings:
        was, will = predicted(before, after, options.timings)
        # The machine may be faster or slower than on that day: what is predicted is the part that is left.
        wanted = 1e3 * old.median * will / was
        found |= {"predicted": wanted, "miss_percent": 100 * (wanted / (1e3 * new.median) - 1)}
    return found


def sizes(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, numbers = text.rpartition("=")
    parts = numbers.split("x")
    if not name or not equals or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"found '{text}', allowed: an input's name and its sizes, as in x=1x3x224x224")
    return name, tuple(int(part) for part in parts)


def at_least(least: int) -> Any:
    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"found '{text}', allowed: a whole number, at least {least}")
        return int(text)

    return whole_number


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eckart.measure", description=(__doc__ or "").split("\n\n")[0],
        epilog="The file goes to eckart plan and compress --timings.",
    )
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help="an .onnx file; with --whole two of them, before and after")
    add("--whole", action="store_true", help="time two whole models side by side instead of layers")
    add("--shape", metavar="NAME=SIZES", type=sizes, action="append", default=[], help="of an input whose sizes are open")
    add("-o", "--output", metavar="FILE", help="write the document there instead of to standard output")
    add("--timings", metavar="FILE", help="with --whole: say by how much these times missed")
    add("--method", choices=["svd", "auto", *sorted(set(METHODS) - {"dense", "svd"})], default="svd",
        help="decomposition of convolutions to try; default svd; auto: all of them")
    add("--rank-multiple", metavar="N", type=at_least(1), default=8, help="try ranks that are multiples of N; default 8")
    add("--rounds", metavar="N", type=at_least(3), default=15, help="samples of every layer and rank; default 15")
    add("--threads", metavar="N", type=at_least(1), default=len(os.sched_getaffinity(0)), help="default: all processors")
    add("--include", metavar="GLOB", action="append", default=[], help="measure exactly the layers whose names match")
    add("--exclude", metavar="GLOB", action="append", default=[], help="leave out layers whose names match")
    add("--min-size", metavar="N", type=at_least(0), default=4096, help="leave out weights of fewer numbers; default 4096")
    add("-q", "--quiet", action="store_true", help="say nothing of every layer as it is measured")
    options = parser.parse_args(given)
    options.shapes = dict(options.shape)
    options.methods = [m for m in METHODS if m != "dense"] if options.method == "auto" else [options.method, "svd"]
    options.methods = sorted(set(options.methods))
    if len(options.models) != (2 if options.whole else 1):
        parser.error("two models go with --whole, one without")
    if options.timings and not options.whole:
        parser.error("--timings goes with --whole")
    return options


def main(given: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = arguments(given)
    _tiny.use_threads(options.threads)
    try:
        document = compare(options) if options.whole else measure(options.models[0], options)
    except (errors.Error, OSError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    text = json.dumps(document, indent=1) + "\n"
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text, end="")
    if options.whole and not options.quiet:
        both = [f"{when} {document[when]['milliseconds']:.4g} ms" for when in ("before", "after")]
        line = f"{', '.join(both)}, gain {document['gain']:.2f}"
        if document["predicted"] is not None:
            line += f"; predicted {document['predicted']:.4g} ms, a miss of {document['miss_percent']:+.1f} %"
        print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
