"""Transposed convolutions, factored by every method and run by ONNX Runtime.

Weights are made of the very chain a method looks for, so that it is the same map and outputs differ by rounding alone: 1e-5
relative in float32, as for convolutions (test_onnx.py).
"""

import json
from math import prod

import numpy as np
import onnx
import pytest
from counted import macs
from eckart_command import eckart_command
from graphs import NEWEST, Graph, difference, run
from test_onnx import same_but_weights

TOLERANCE = 1e-5
IN, OUT, R = 24, 20, 3

CASES = {
    "plain": ([3, 4], {}),
    "doubled": ([4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "padded": ([3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "uneven": ([3, 5], {"strides": [3, 2], "pads": [1, 0, 0, 3], "output_padding": [2, 1], "dilations": [2, 3]}),
    "gaps": ([2, 3], {"strides": [3, 1], "dilations": [1, 2], "output_padding": [2, 0]}),
    "groups": ([3, 3], {"group": 2, "strides": [2, 1], "pads": [1, 1, 0, 1]}),
    "same-upper": ([3, 4], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same-lower": ([4, 3], {"auto_pad": "SAME_LOWER", "strides": [1, 2]}),
    "valid": ([3, 3], {"auto_pad": "VALID", "strides": [2, 2]}),
    "sized": ([3, 3], {"output_shape": [12, 14], "strides": [2, 2]}),
    "one-wide": ([3, 1], {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "one-tap": ([1, 1], {"strides": [2, 3], "output_padding": [1, 2]}),
    "line": ([7], {"pads": [2, 4], "strides": [3], "dilations": [2], "output_padding": [1], "group": 4}),
    "solid": ([3, 2, 3], {"pads": [1, 0, 1, 0, 1, 1], "strides": [1, 2, 3], "output_padding": [0, 1, 2]}),
}
METHODS = ("svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise")


def applies(method, name):
    kernel, attributes = CASES[name]
    wide = sum(k > 1 for k in kernel)
    if attributes.get("output_shape") and method in ("spatial", "cp", "tt"):
        return False  # no stage of several can be told a size
    return method == "svd" or wide > (method in ("spatial", "tt"))


def made_of(random, method, kernel, into, out):
    """One group's weight [into, out, kernel..] of exactly the ranks that come with it, in the order of the chain."""
    n = lambda *shape: random.standard_normal(shape)
    wide = [k for k in kernel if k > 1]
    flat = prod(kernel)
    if method == "svd":
        return n(into, R) @ n(R, out * flat), [R]
    if method == "tucker1":
        return np.einsum("irk,ro->iok", n(into, R, flat), n(R, out)), [R]
    if method == "tucker2":
        return np.einsum("ia,abk,bo->iok", n(into, R), n(R, R + 1, flat), n(R + 1, out)), [R, R + 1]
    if method == "depthwise":  # two terms for each output
        return np.einsum("iot,otk->iok", n(into, out, 2), n(out, 2, flat)), [2 * out]
    if method == "spatial":  # the first wide dimension with the outputs, the rest with the inputs
        return np.einsum("oar,rib->ioab", n(out, wide[0], R), n(R, into, prod(wide[1:]))), [R]
    if method == "cp":  # orthonormal channels: alternating least squares are done at once
        q = lambda size: np.linalg.qr(n(size, R))[0]
        value = np.einsum("ir,or->ior", q(into), q(out))
        for k in wide:
            value = np.einsum("...r,kr->...kr", value, n(k, R))
        return value.sum(-1), [R] * (len(wide) + 1)
    ranks = [R, R + 1, R + 2, R][: len(wide) + 1]  # tt: outputs, then dimensions, then inputs
    value = n(out, ranks[0])
    for i, k in enumerate(wide):
        value = np.einsum("...a,akb->...kb", value, n(ranks[i], k, ranks[i + 1]))
    return np.einsum("o...c,ci->io...", value, n(ranks[-1], into)), ranks[::-1]


def weight_of(random, method, name):
    kernel, attributes = CASES[name]
    groups = attributes.get("group", 1)
    parts = [made_of(random, method, kernel, IN // groups, OUT // groups) for _ in range(groups)]
    value = np.concatenate([part.reshape(IN // groups, OUT // groups, *kernel) for part, _ in parts])
    return (value / np.sqrt(np.mean(value**2))).astype(np.float32), [rank * groups for rank in parts[0][1]]


def graph_of(method, name, opset=17):
    kernel, attributes = CASES[name]
    graph = Graph(opset=opset, ir=10 if opset > 20 else 8)
    graph.input("x", [2, IN, 6, 7, 5][: 2 + len(kernel)])
    value, ranks = weight_of(graph.random, method, name)
    graph.weight("up.weight", value)
    graph.weight("up.bias", graph.random.standard_normal(OUT).astype(np.float32))
    graph.node("ConvTranspose", ["x", "up.weight", "up.bias"], "y", **attributes)
    graph.output("y", 2 + len(kernel))
    return graph, ranks


def chosen(folder, method, ranks):
    """Compresses by a plan of these very ranks."""
    options = ("--method", method, "--keep", 0.99, "--min-size", 1, "--no-cache", "-q")
    eckart_command(folder, "plan", "in.onnx", "-o", "plan.json", *options)
    plan = json.loads((folder / "plan.json").read_text())
    (layer,) = [x for x in plan["layers"] if x["method"] != "dense"]
    assert layer["method"] == method
    layer["ranks"] = ranks
    (folder / "plan.json").write_text(json.dumps(plan))
    eckart_command(folder, "compress", "in.onnx", "-o", "out.onnx", "--plan", "plan.json", "--no-cache", "-q")
    return onnx.load(folder / "out.onnx")


@pytest.mark.parametrize("method,name", [(m, n) for n in CASES for m in METHODS if applies(m, n)])
def test_exact_ranks(tmp_path, method, name):
    graph, ranks = graph_of(method, name, NEWEST if name == "doubled" else 17)
    graph.save(tmp_path / "in.onnx")
    model = chosen(tmp_path, method, ranks)
    onnx.checker.check_model(model, full_check=True)
    before = run(tmp_path / "in.onnx", graph.feeds)
    assert difference(before, run(tmp_path / "out.onnx", graph.feeds)) < TOLERANCE
    verdict = json.loads(eckart_command(tmp_path, "verify", "in.onnx", "out.onnx", "--json"))
    assert verdict["ok"] and verdict["layers"][0]["error"] < TOLERANCE
    eckart_command(tmp_path, "restore", "out.onnx", "-o", "dense.onnx")
    same_but_weights(tmp_path / "in.onnx", tmp_path / "dense.onnx")
    assert difference(before, run(tmp_path / "dense.onnx", graph.feeds)) < TOLERANCE


# ---- what it costs, what is left alone


@pytest.mark.parametrize("name", CASES)
def test_bench(tmp_path, name):
    """Every layer and every chain of it runs where the graph has it, whatever its padding."""
    graph, _ = graph_of("svd", name)
    graph.save(tmp_path / "in.onnx")
    options = ("--method", "auto", "--min-size", 1, "--rounds", 3, "--json")
    (layer,) = json.loads(eckart_command(tmp_path, "bench", "in.onnx", *options))["layers"]
    assert layer["name"] == "up" and layer["kind"] == "conv_transpose"
    wide = sum(k > 1 for k in CASES[name][0])
    wanted = {m for m in METHODS if m == "svd" or wide > (m in ("spatial", "tt"))}  # timed even where a size of its own forbids it
    assert {point["method"] for point in layer["points"]} == {"dense"} | wanted
    assert all(point["milliseconds"] > 0 for point in layer["points"])


@pytest.mark.parametrize("method", METHODS)
def test_bench_of_a_pair(tmp_path, method):
    """The chain of a factored graph is timed at its ranks, in the order data flows, where the original has the layer."""
    graph, ranks = graph_of(method, "padded")
    graph.save(tmp_path / "in.onnx")
    chosen(tmp_path, method, ranks)
    (layer,) = json.loads(eckart_command(tmp_path, "bench", "in.onnx", "out.onnx", "--min-size", 1, "--rounds", 3, "--json"))["layers"]
    dense, factored = layer["points"]
    assert layer["uses"] == [{"rows": 2, "input": [6, 7], "output": [12, 14]}]
    assert (dense["method"], factored["method"], factored["ranks"]) == ("dense", method, ranks)
    assert factored["milliseconds"] > 0


@pytest.mark.parametrize("name", ["uneven", "groups", "one-wide", "solid"])
@pytest.mark.parametrize("method", METHODS)
def test_costs(tmp_path, method, name):
    """What a plan says a chain multiplies is what the graph with the chain in it multiplies: inputs meet every tap."""
    graph, _ = graph_of("svd", name)
    graph.save(tmp_path / "in.onnx")
    options = ["--method", method, "--keep", 0.6, "--min-size", 1, "--no-cache"]
    plan = json.loads(eckart_command(tmp_path, "plan", "in.onnx", *options, "--json"))
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", *options)
    before, after = macs(graph.model()), macs(onnx.load(tmp_path / "out.onnx"))
    assert len(after) >= 2
    assert plan["totals"]["macs_before"] == before["up.weight"]
    assert plan["totals"]["macs_after"] == plan["layers"][0]["macs_after"] == sum(after.values())
    inspected = json.loads(eckart_command(tmp_path, "inspect", "out.onnx", "--json"))
    assert inspected["totals"]["macs"] == sum(after.values())


@pytest.mark.parametrize("method", ["auto", "spatial", "cp", "tt"])
def test_a_size_of_its_own(tmp_path, method):
    """Methods that would share the dimensions out are passed over; a plan that asks for one is refused."""
    graph, _ = graph_of("svd", "sized")
    graph.save(tmp_path / "in.onnx")
    options = ["--method", method, "--keep", 0.6, "--min-size", 1, "--no-cache", "-q"]
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", *options)
    kinds = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert kinds.count("ConvTranspose") == 1
    assert difference(run(tmp_path / "in.onnx", graph.feeds), run(tmp_path / "out.onnx", graph.feeds)) < TOLERANCE
    eckart_command(tmp_path, "plan", "in.onnx", "-o", "plan.json", *options)
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["layers"][0].update(method="spatial", ranks=[3])
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "no.onnx", "--plan", "plan.json", "--no-cache", exit_code=1)
    assert not (tmp_path / "no.onnx").exists()


@pytest.mark.parametrize("kind,tolerance", [(np.float64, None), (np.float16, 0.02)])
def test_types(tmp_path, kind, tolerance):
    """As of products (test_onnx.py): float16 has 11 bits. The runtime has no transposed convolution in float64: there the
    error is that of the weight, which was rounded to float32 when it was made."""
    graph, ranks = graph_of("tucker2", "padded")
    graph.initializers = [onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t).astype(kind), t.name) for t in graph.initializers]
    graph.inputs, graph.outputs = [], []
    graph.input("x", [2, IN, 6, 7], kind)
    graph.output("y", 4, kind)
    graph.save(tmp_path / "in.onnx")
    model = chosen(tmp_path, "tucker2", ranks)
    onnx.checker.check_model(model, full_check=True)
    assert {t.data_type for t in model.graph.initializer} == {graph.initializers[0].data_type}
    verdict = json.loads(eckart_command(tmp_path, "verify", "in.onnx", "out.onnx", "--json"))
    assert verdict["ok"] and verdict["layers"][0]["error"] < (tolerance or 2**-24)
    if tolerance:
        before, after = run(tmp_path / "in.onnx", graph.feeds), run(tmp_path / "out.onnx", graph.feeds)
        assert difference(before, after) < tolerance and after[0].dtype == kind


# ---- a whole net


def decoder():
    """The upward half of a U-Net: what comes from below is made larger and meets what was kept of the way down."""
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(11)
            self.down = nn.Conv2d(8, 48, 3, stride=2, padding=1)
            self.deep = nn.Conv2d(48, 64, 3, stride=2, padding=1)
            self.up = nn.ConvTranspose2d(64, 48, 3, stride=2, padding=1, output_padding=1)
            self.mix = nn.Conv2d(96, 48, 3, padding=1)
            self.grouped = nn.ConvTranspose2d(48, 32, 4, stride=2, padding=1, groups=2, bias=False)
            self.last = nn.ConvTranspose2d(32, 8, (5, 3), dilation=(2, 1), padding=(4, 1))

        def forward(self, x):
            kept = self.down(x).relu()
            y = self.up(self.deep(kept).relu()).relu()
            y = self.mix(torch.cat((y, kept), 1)).relu()
            return self.last(self.grouped(y).relu())

    return Decoder().eval()


@pytest.mark.parametrize("method", ["svd", "auto"])
def test_decoder(tmp_path, method):
    import warnings

    import torch

    net, x = decoder(), torch.randn(2, 8, 24, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), str(tmp_path / "in.onnx"), dynamo=False, opset_version=17, input_names=["x"])
    larger = ["up", "grouped", "last"]
    options = ["--method", method, "--macs", 0.4, "--min-size", 1, "--no-cache", *(text for name in larger for text in ("--include", name))]
    plan = json.loads(eckart_command(tmp_path, "plan", "in.onnx", *options, "--json"))
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", *options, "-q")
    verdict = json.loads(eckart_command(tmp_path, "verify", "in.onnx", "out.onnx", "--json"))
    assert verdict["ok"]
    assert len(verdict["layers"]) >= 2 and {layer["name"] for layer in verdict["layers"]} <= set(larger)
    counted = [macs(onnx.load(tmp_path / f"{name}.onnx")) for name in ("in", "out")]
    before, after = (sum(n for name, n in one.items() if name.split(".")[0] in larger) for one in counted)
    assert plan["totals"]["macs_before"] == before and plan["totals"]["macs_after"] == after <= 0.4 * before
    eckart_command(tmp_path, "restore", "out.onnx", "-o", "dense.onnx", "-q")
    feeds = {"x": x.numpy()}
    assert difference([net(x).detach().numpy()], run(tmp_path / "in.onnx", feeds)) < TOLERANCE
    # six layers in float32 with sums of at most 96 * 9 products each: 1e-7 sqrt(864) a layer, and rounding the product
    assert difference(run(tmp_path / "dense.onnx", feeds), run(tmp_path / "out.onnx", feeds)) < 2e-5
