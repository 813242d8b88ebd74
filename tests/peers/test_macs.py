"""Multiply-adds: of every layer, as counted from the shapes that onnx.shape_inference finds or ONNX Runtime makes; of chains,
as counted in the graph that was written; and plans that keep a limit on them."""

import json
import pathlib

import numpy as np
import onnx
import pytest
from counted import fixed, inferred, macs, made
from eckart_command import eckart_command
from graphs import Graph

MODELS = pathlib.Path(__file__).resolve().parents[2] / ".eckart" / "models" / "pp-ocr-v4"
REAL = {
    "ch_PP-OCRv4_det_infer.onnx": [1, 3, 320, 416],
    "ch_PP-OCRv4_rec_infer.onnx": [2, 3, 48, 320],
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": [1, 3, 48, 192],
}


def sizes(shape):
    return "x".join(map(str, shape))


def layers_of(folder, file, *more):
    document = json.loads(eckart_command(folder, "inspect", file, "--json", "--min-size", 1, *more))
    return {x["name"]: x for x in document["layers"]}, document["totals"]["macs"]


def numbers(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", REAL)
def test_real_models(tmp_path, name):
    """Their shapes are computed from shapes, in floating point here and there: only running them tells."""
    shape = REAL[name]
    wanted = macs(onnx.load(MODELS / name), {"x": shape}, made)
    layers, total = layers_of(tmp_path, MODELS / name, "--shape", f"x={sizes(shape)}")
    assert {n: x["macs"] for n, x in layers.items() if x["macs"] is not None} == wanted
    assert total == sum(wanted.values()) > 1e7


@pytest.mark.parametrize("name", REAL)
def test_open_sizes_are_told(tmp_path, name):
    layers, total = layers_of(tmp_path, MODELS / name)
    unknown = [x["macs_unknown"] for x in layers.values() if not x["skipped"]]
    assert total is None and set(unknown) == {"the shape of input 'x' is not fixed"}


# ---- made nets


def windows(graph):
    """Convolutions with every way to pad, pools, what lies between, and what makes things larger again."""
    r = graph.random
    graph.input("x", [2, 8, 37, 29])
    graph.weight("a", numbers(r, 16, 8, 3, 5))
    graph.node("Conv", ["x", "a"], "va", pads=[1, 0, 2, 3], strides=[2, 1], dilations=[2, 3])
    graph.node("Relu", ["va"], "vr")
    graph.node("MaxPool", ["vr"], "vp", kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1)
    graph.weight("b", numbers(r, 32, 4, 3, 4))
    graph.node("Conv", ["vp", "b"], "vb", auto_pad="SAME_UPPER", strides=[1, 2], group=4)
    for part in ("scale", "shift", "mean"):
        graph.weight(part, numbers(r, 32))
    graph.weight("variance", np.ones(32, np.float32))
    graph.node("BatchNormalization", ["vb", "scale", "shift", "mean", "variance"], "vn")
    graph.weight("up", numbers(r, 32, 12, 3, 2))
    graph.node("ConvTranspose", ["vn", "up"], "vu", strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 0], dilations=[1, 2])
    graph.weight("c", numbers(r, 6, 12, 1, 1))
    graph.node("Conv", ["vu", "c"], "vc", auto_pad="VALID", strides=[2, 2])
    graph.weight("none", np.array([], np.float32))
    graph.weight("scales", np.array([1, 1, 1.5, 2.3], np.float32))
    graph.node("Resize", ["vc", "none", "scales"], "vz", mode="nearest")
    graph.weight("gate", numbers(r, 6, 6, 1, 1))
    graph.node("GlobalAveragePool", ["vz"], "vg")
    graph.node("Conv", ["vg", "gate"], "vh")
    graph.node("Mul", ["vz", "vh"], "vm")
    graph.node("AveragePool", ["vm"], "vq", kernel_shape=[2, 2], auto_pad="SAME_LOWER", strides=[2, 2])
    graph.node("Concat", ["vq", "vq"], "vk", axis=1)
    graph.weight("d", numbers(r, 5, 12, 2, 2))
    graph.node("Conv", ["vk", "d"], "y")
    graph.output("y", 4)


def moves(graph):
    """Shapes that are computed from shapes, and matrices on both sides of products."""
    r = graph.random
    graph.input("x", [3, 10, 24])
    graph.weight("w", numbers(r, 24, 30))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("Shape", ["h"], "s")
    graph.weight("first", np.array([0, 1], np.int64))
    graph.node("Gather", ["s", "first"], "lead", axis=0)
    graph.weight("heads", np.array([5, -1], np.int64))
    graph.node("Concat", ["lead", "heads"], "want", axis=0)
    graph.node("Reshape", ["h", "want"], "split")
    graph.node("Transpose", ["split"], "turned", perm=[0, 2, 1, 3])
    graph.weight("left", numbers(r, 7, 10))
    graph.node("MatMul", ["left", "turned"], "mixed")
    graph.weight("begin", np.array([1, -2], np.int64))
    graph.weight("end", np.array([2**62, -9], np.int64))
    graph.weight("axes", np.array([2, 1], np.int64))
    graph.weight("steps", np.array([2, -1], np.int64))
    graph.node("Slice", ["mixed", "begin", "end", "axes", "steps"], "cut")
    graph.node("Flatten", ["cut"], "flat", axis=-2)
    graph.weight("g", numbers(r, 11, 18))
    graph.node("Gemm", ["flat", "g"], "out", transB=1)
    graph.node("ReduceMean", ["out"], "mean", axes=[1], keepdims=0)
    graph.weight("one", np.array([1], np.int64))
    graph.node("Unsqueeze", ["mean", "one"], "column")
    graph.weight("last", numbers(r, 1, 13))
    graph.node("MatMul", ["column", "last"], "y")
    graph.output("y", 2)


def lines(graph):
    """One and three dimensions, recurrent layers, an embedding."""
    r = graph.random
    graph.input("x", [2, 4, 50])
    graph.weight("one", numbers(r, 8, 4, 7))
    graph.node("Conv", ["x", "one"], "v", strides=[3], pads=[2, 4], dilations=[2])
    graph.weight("axes", np.array([2, 3], np.int64))
    graph.node("Unsqueeze", ["v", "axes"], "deep")
    graph.weight("sizes", np.array([2, 8, 3, 4, -1], np.int64))
    graph.weight("times", np.array([1, 1, 3, 4, 2], np.int64))
    graph.node("Tile", ["deep", "times"], "wide")
    graph.weight("three", numbers(r, 6, 8, 2, 3, 3))
    graph.node("Conv", ["wide", "three"], "solid", pads=[1, 1, 1, 0, 1, 1], strides=[1, 2, 1])
    graph.node("Reshape", ["solid", graph.weight("rows", np.array([0, 6, -1], np.int64))], "rest")
    graph.node("Transpose", ["rest"], "steps", perm=[1, 0, 2])
    graph.output("steps", 3)


@pytest.mark.parametrize("build", [windows, moves, lines])
@pytest.mark.parametrize("shuffled", [False, True])
def test_made_nets(tmp_path, build, shuffled):
    """Any order of nodes: runtimes take a sorted one, we take what there is."""
    graph = Graph(opset=13)
    build(graph)
    wanted, model = macs(graph.model(), by=made), fixed(graph.model(), {})
    ran, known = made(model), inferred(model)
    # the last window of a pool in ceil_mode that would begin in the padding: the runtime leaves it out, the inference does not
    assert len(known) > 4 and {name for name, shape in known.items() if ran.get(name, shape) != shape} <= {"vp"}
    if shuffled:
        graph.random.shuffle(graph.nodes)
    graph.save(tmp_path / "in.onnx")
    layers, _ = layers_of(tmp_path, "in.onnx")
    assert {n: x["macs"] for n, x in layers.items() if x["macs"] is not None} == wanted


def test_what_torch_exports(tmp_path):
    """A padding of torch's becomes eight nodes that compute it; reshapes and chunks come as computed shapes too."""
    import warnings

    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(4, 12, 3), torch.nn.Linear(54, 7)

        def forward(self, x):
            a, b = self.first(torch.nn.functional.pad(x, (1, 2, 3, 4))).chunk(2, 1)
            y = torch.nn.functional.interpolate(a * b, scale_factor=1.5).flatten(2)
            return self.last(y.permute(0, 2, 1).reshape(x.shape[0], -1, 54))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net(), (torch.zeros(1, 4, 14, 17),), str(tmp_path / "in.onnx"), dynamo=False, opset_version=17,
                          input_names=["x"], dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}})
    shape = [2, 4, 14, 17]
    wanted = macs(onnx.load(tmp_path / "in.onnx"), {"x": shape}, made)
    layers, total = layers_of(tmp_path, "in.onnx", "--shape", f"x={sizes(shape)}")
    assert sorted(x["macs"] for x in layers.values()) == sorted(wanted.values()) and total == sum(wanted.values())


METHODS = ["svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise"]
KERNELS = {
    "padded": ([2, 32, 19, 17], [64, 32, 3, 5], {"pads": [1, 0, 2, 3], "strides": [2, 3], "dilations": [2, 1]}),
    "same": ([1, 32, 20, 22], [64, 32, 3, 3], {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    "row": ([1, 32, 9, 22], [64, 32, 1, 7], {"strides": [2, 2]}),
    "grouped": ([1, 32, 15, 14], [64, 8, 3, 3], {"group": 4, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "one": ([1, 32, 60], [64, 32, 7], {"strides": [3]}),
    "three": ([1, 32, 7, 8, 9], [64, 32, 3, 2, 3], {"pads": [1, 0, 1, 0, 1, 1], "strides": [2, 1, 2]}),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("method", METHODS)
def test_chains(tmp_path, method, kernel):
    """What a plan says a chain multiplies is what the graph with the chain in it multiplies."""
    shape, weight, attributes = KERNELS[kernel]
    graph = Graph()
    graph.input("x", shape)
    graph.weight("w", numbers(graph.random, *weight))
    graph.node("Conv", ["x", "w"], "y", **attributes)
    graph.output("y", len(shape))
    graph.save(tmp_path / "in.onnx")
    options = ["--method", method, "--keep", 0.6, "--no-cache"]
    plan = json.loads(eckart_command(tmp_path, "plan", "in.onnx", *options, "--json"))
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", *options)
    before, after = macs(graph.model()), macs(onnx.load(tmp_path / "out.onnx"))
    assert len(after) >= 2
    assert plan["totals"]["macs_before"] == plan["layers"][0]["macs_before"] == before["w"]
    assert plan["totals"]["macs_after"] == plan["layers"][0]["macs_after"] == sum(after.values())
    assert layers_of(tmp_path, "out.onnx")[1] == sum(after.values())


# ---- budgets

NET = {"a": ([64, 16, 3, 3], 1), "b": ([64, 64, 3, 3], 2), "c": ([96, 64, 3, 3], 1), "d": ([96, 96, 3, 3], 2)}


def save_net(path):
    graph = Graph()
    name = graph.input("x", [1, 16, 32, 32])
    for layer, (shape, stride) in NET.items():
        graph.weight(layer, numbers(graph.random, *shape))
        name = graph.node("Conv", [name, layer], f"y{layer}", pads=[1, 1, 1, 1], strides=[stride, stride])
    graph.output(name, 4)
    return graph.save(path)


@pytest.mark.parametrize("method", ["svd", "auto"])
@pytest.mark.parametrize("limit", [0.5, "70%", "13M"])
def test_limit_is_kept(tmp_path, limit, method):
    source = save_net(tmp_path / "in.onnx")
    before = sum(macs(onnx.load(source)).values())
    plan = json.loads(eckart_command(tmp_path, "plan", "in.onnx", "--macs", limit, "--method", method, "--no-cache", "--json"))
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", "--macs", limit, "--method", method, "--no-cache")
    most = {0.5: 0.5 * before, "70%": 0.7 * before, "13M": 13e6}[limit]
    after = sum(macs(onnx.load(tmp_path / "out.onnx")).values())
    assert after == plan["totals"]["macs_after"] <= most
    # the next rank of the smallest layer costs less than a fiftieth
    assert after > most - before / 50


def test_three_limits(tmp_path):
    """Parameters, bytes and multiply-adds at once: all are kept, and none of them alone asks for as much."""
    save_net(tmp_path / "in.onnx")
    options = {"--keep": 0.55, "--size": "57%", "--macs": 0.5}

    def totals(*names):
        chosen = [text for n in names for text in (n, options[n])]
        return json.loads(eckart_command(tmp_path, "plan", "in.onnx", *chosen, "--method", "auto", "--no-cache", "--json"))["totals"]

    alone, together = [totals(name) for name in options], totals(*options)
    assert together["parameters_after"] <= 0.55 * together["parameters_before"]
    assert together["bytes_after"] <= 0.57 * together["bytes_before"]
    assert together["macs_after"] <= 0.5 * together["macs_before"]
    # a limit more never helps; gaps of 1e-3 of the squares
    assert together["error"] >= max(t["error"] for t in alone) * (1 - 1e-3)
    # four layers, of which each is a step: a multiplier cannot choose between; 0.06 measured
    assert together["gap"] < 0.2


def test_analyze_compares_at_equal_cost(tmp_path):
    save_net(tmp_path / "in.onnx")
    document = json.loads(eckart_command(tmp_path, "analyze", "in.onnx", "--method", "auto", "--no-cache", "--json"))
    for layer in document["layers"]:
        for key, cost in (("methods_at_half", "parameters"), ("methods_at_half_macs", "macs")):
            assert {m["method"] for m in layer[key]} == set(METHODS)
            assert all(0 < m[cost] <= 0.5 * layer[cost] for m in layer[key])
            assert all(m["ranks"] and 0 < m["error"] < 1 for m in layer[key])


def test_weights_alone_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv.weight": numbers(np.random.default_rng(1), 64, 64, 3, 3)}, tmp_path / "m.safetensors")
    for more in (["--macs", "0.5"], ["--keep", "0.5", "--shape", "x=1x64x8x8"]):
        eckart_command(tmp_path, "plan", "m.safetensors", "--no-cache", *more, exit_code=1)


@pytest.mark.parametrize("shape", ["x=1x16x32x33", "x=1x16x32", "z=1x16x32x32", "x", "x=", "x=1x", "=1x2", "x=0x16x32x32"])
def test_shapes_that_do_not_fit(tmp_path, shape):
    save_net(tmp_path / "in.onnx")
    eckart_command(tmp_path, "inspect", "in.onnx", "--shape", shape, exit_code=2)
