"""Tiny ONNX graphs of one layer, dense or factored, and their times in ONNX Runtime, side by side."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 13, 8
SAMPLE = 0.002  # seconds a sample lasts at least, in whole passes
PASSES_MOST = 2000


@dataclass(frozen=True)
class Stage:
    """One node: a product with a matrix, or a convolution, transposed or not."""

    inputs: int
    outputs: int
    groups: int = 1
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    transposed: bool = False


@dataclass(frozen=True)
class Use:
    """Where a layer stands: images or rows, and spatial sizes."""

    rows: int
    input: tuple[int, ...] = ()
    output: tuple[int, ...] = ()


@dataclass(frozen=True)
class Time:
    """Seconds: median and quartiles."""

    median: float
    low: float
    high: float

    def __add__(self, other: Time) -> Time:
        return Time(self.median + other.median, self.low + other.low, self.high + other.high)


def padding(stages: Sequence[Stage], use: Use, axis: int) -> tuple[int, tuple[int, int]]:
    """The stage that pads along an axis, the first wider than one tap, and how much at either end."""
    where = next((i for i, stage in enumerate(stages) if stage.kernel[axis] > 1), 0)
    reach, stride = 1, 1
    for stage in stages:
        reach = max(reach, stage.dilation[axis] * (stage.kernel[axis] - 1) + 1)
        stride *= stage.stride[axis]
    total = max(0, (use.output[axis] - 1) * stride + reach - use.input[axis])
    return where, (total // 2, total - total // 2)


def pads_of(stages: Sequence[Stage], use: Use, index: int) -> list[int]:
    begin, end = [], []
    for axis in range(len(use.input)):
        where, both = padding(stages, use, axis)
        begin.append(both[0] if where == index else 0)
        end.append(both[1] if where == index else 0)
    return begin + end


def cropping(stages: Sequence[Stage], use: Use, axis: int) -> tuple[int, tuple[int, int], int]:
    """The stage of a transposed chain that moves along an axis, what it cuts off at either end, and what it adds at the last."""
    moving = [i for i, stage in enumerate(stages) if stage.transposed]
    where = next((i for i in moving if stages[i].kernel[axis] > 1), moving[-1])
    stage = stages[where]
    size = (use.input[axis] - 1) * stage.stride[axis] + stage.dilation[axis] * (stage.kernel[axis] - 1) + 1
    over = max(0, size - use.output[axis])
    return where, (over // 2, over - over // 2), max(0, use.output[axis] - size)


def transposed_places(stages: Sequence[Stage], use: Use, index: int) -> dict[str, list[int]]:
    """Paddings of one stage of a transposed chain; a stage of one tap has none."""
    begin, end, added = [], [], []
    for axis in range(len(use.input)):
        where, both, more = cropping(stages, use, axis)
        begin.append(both[0] if where == index else 0)
        end.append(both[1] if where == index else 0)
        added.append(more if where == index else 0)
    return {"pads": begin + end, "output_padding": added}


def convolution_of(stages: Sequence[Stage], use: Use, index: int) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Operator, shape of the weight and attributes of a stage with a kernel."""
    stage = stages[index]
    attributes: dict[str, Any] = {
        "group": stage.groups, "kernel_shape": stage.kernel, "strides": stage.stride, "dilations": stage.dilation,
    }
    if stage.transposed:
        shape = (stage.inputs, stage.outputs // stage.groups, *stage.kernel)
        return "ConvTranspose", shape, {**attributes, **transposed_places(stages, use, index)}
    shape = (stage.outputs, stage.inputs // stage.groups, *stage.kernel)
    if any(other.transposed for other in stages):
        return "Conv", shape, attributes
    return "Conv", shape, {**attributes, "pads": pads_of(stages, use, index)}


def product_of(stage: Stage) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Operator, shape of the weight and attributes of a stage that is a matrix."""
    return "MatMul", (stage.inputs, stage.outputs), {}


def graph_of(stages: Sequence[Stage], use: Use) -> bytes:
    """A model of these stages with made-up weights: no kernel looks at what it multiplies."""
    random = np.random.default_rng(2)
    nodes, weights = [], []
    for i, stage in enumerate(stages):
        name = f"w{i}"
        kind, shape, attributes = convolution_of(stages, use, i) if stage.kernel else product_of(stage)
        weights.append(numpy_helper.from_array((random.random(shape) - 0.5).astype(np.float32), name))
        nodes.append(helper.make_node(kind, [f"x{i}", name], [f"x{i + 1}"], **attributes))
    given = helper.make_tensor_value_info("x0", TensorProto.FLOAT, [use.rows, stages[0].inputs, *use.input])
    made = helper.make_tensor_value_info(f"x{len(stages)}", TensorProto.FLOAT, [use.rows, stages[-1].outputs, *use.output])
    graph = helper.make_graph(nodes, "layer", [given], [made], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(model.SerializeToString())


def use_threads(threads: int) -> None:
    """One pool of threads for all sessions: threads of an idle one, which spin for work, would take the processor from the
    session that is timed next. Before the first session; a process can say it once."""
    onnxruntime.set_global_thread_pool_sizes(threads, 1)


def session_of(model: bytes | str, profile: str | None = None) -> Any:
    """A session on the processor."""
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def summary(samples: Sequence[float]) -> Time:
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Time(middle, low, high)


class Racer:
    """A session with its input, timed by its own profile: the nodes' time alone, without the changes to and from the blocked
    layout at both ends, since neighbours in a network agree on it."""

    def __init__(self, stages: Sequence[Stage], use: Use, profile: str) -> None:
        """`profile` begins the name of the file, and is this racer's alone: what ONNX Runtime adds to it is only the time of
        day, which two sessions may share."""
        self.session = session_of(graph_of(stages, use), profile)
        shape = [use.rows, stages[0].inputs, *use.input]
        self.feeds = {"x0": np.random.default_rng(3).random(shape, dtype=np.float32) - 0.5}
        self.passes = 1
        self.skipped = self.prepare()

    def run(self, count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            self.session.run(None, self.feeds)
        return time.perf_counter() - begin

    def prepare(self) -> int:
        """Warms up, and finds how many passes make a sample; returns how many passes were run."""
        self.run(1)
        seconds = self.run(1)
        self.passes = min(PASSES_MOST, max(1, round(SAMPLE / max(seconds, 1e-6))))
        return 2

    def time(self, rounds: int) -> Time:
        """Reads the profile: microseconds of every node of every pass after those that do not count."""
        with open(self.session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
        nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
        nodes.sort(key=lambda event: event["ts"])
        passes = self.skipped + rounds * self.passes
        each = len(nodes) // passes
        if each * passes != len(nodes):
            raise RuntimeError(f"the profile of ONNX Runtime holds {len(nodes)} nodes of {passes} passes")
        names = [event["args"]["op_name"] for event in nodes[:each]]
        first, last = names[0] == "ReorderInput", each - (names[-1] == "ReorderOutput")
        sums = [sum(e["dur"] for e in nodes[i * each + first : i * each + last]) for i in range(self.skipped, passes)]
        samples = [1e-6 * statistics.fmean(sums[i * self.passes : (i + 1) * self.passes]) for i in range(rounds)]
        # What is too short for the clock of a profile still takes some time.
        return summary([max(sample, 1e-7) for sample in samples])


def there_and_back(count: int, rounds: int) -> Iterator[int]:
    """Indices of all, round after round, every second round in reverse."""
    for number in range(rounds):
        yield from range(count) if number % 2 == 0 else reversed(range(count))


def race(chains: Sequence[Sequence[Stage]], use: Use, rounds: int) -> list[Time]:
    """Times of chains that could stand for each other, sampled in rounds so that what disturbs one disturbs all."""
    with tempfile.TemporaryDirectory(prefix="eckart-measure-") as folder:
        racers = [Racer(chain, use, os.path.join(folder, f"chain-{i}")) for i, chain in enumerate(chains)]
        for index in there_and_back(len(racers), rounds):
            racers[index].run(racers[index].passes)
        return [racer.time(rounds) for racer in racers]


def feeds_of(session: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Made-up inputs of a whole model; sizes that are open must be given."""
    random = np.random.default_rng(4)
    feeds: dict[str, Any] = {}
    real = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
    whole: dict[str, Any] = {"tensor(int32)": np.int32, "tensor(bool)": np.bool_}
    for given in session.get_inputs():
        sizes = shapes.get(given.name, tuple(given.shape))
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise SystemExit(f"measure: how large is input '{given.name}' {list(given.shape)}? say --shape {given.name}=SIZES")
        if given.type in real:
            feeds[given.name] = (random.random(sizes) - 0.5).astype(real[given.type])
        else:
            feeds[given.name] = np.ones(sizes, whole.get(given.type, np.int64))
    return feeds


def whole_times(paths: Sequence[str], shapes: dict[str, tuple[int, ...]], rounds: int) -> list[Time]:
    """Seconds of a pass of whole models, side by side, from call to return."""
    sessions = [session_of(path) for path in paths]
    feeds = [feeds_of(session, shapes) for session in sessions]
    samples: list[list[float]] = [[] for _ in paths]
    for session, given in zip(sessions, feeds, strict=True):
        session.run(None, given)
    for index in there_and_back(len(paths), rounds):
        begin = time.perf_counter()
        sessions[index].run(None, feeds[index])
        samples[index].append(time.perf_counter() - begin)
    return [summary(numbers) for numbers in samples]


def versions() -> tuple[str, str]:
    return "onnxruntime", str(onnxruntime.__version__)


__all__ = ["Stage", "Time", "Use", "race", "use_threads", "versions", "whole_times"]
