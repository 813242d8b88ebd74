"""`python -m eckart.measure`: its document is what plans read, its tiny graphs compute the layers they time, its predictions
are those of plans. How long anything takes is judged by nobody here."""

import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
import referencing
from eckart_command import eckart_command
from onnx import TensorProto, helper, numpy_helper

from eckart import _tiny, measure

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPE = ["--shape", "x=1x8x20x24"]
QUICK = [*SHAPE, "--rounds", "3", "--min-size", "100", "-q"]


def weight(random, shape):
    """Close to rank 6, so that factoring loses little."""
    rows, cols = shape[0], int(np.prod(shape[1:]))
    low = random.standard_normal((rows, 6)) @ random.standard_normal((6, cols))
    return (low + 0.01 * random.standard_normal((rows, cols))).reshape(shape).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two convolutions, one with a stride, and a product; the sizes of the input are open."""
    random = np.random.default_rng(8)
    weights = {"first.weight": (24, 8, 3, 3), "second.weight": (32, 24, 3, 3), "head.weight": (32, 40)}
    nodes = [
        helper.make_node("Conv", ["x", "first.weight"], ["a"], pads=[1, 1, 1, 1], strides=[2, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second.weight"], ["c"], pads=[2, 0, 2, 0], dilations=[2, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "head.weight"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 40])],
        [numpy_helper.from_array(weight(random, shape), name) for name, shape in weights.items()],
    )
    path = tmp_path_factory.mktemp("measure") / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def run(folder, *arguments, status=0):
    """As people run it."""
    command = [sys.executable, "-m", "eckart.measure", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def timings(model):
    run(model.parent, model, *QUICK, "--method", "auto", "-o", "times.json")
    return model.parent / "times.json"


def test_the_document_is_what_its_schema_says(timings):
    schema = json.loads((ROOT / "docs/formats/json/timings.schema.json").read_text())
    document = json.loads(timings.read_text())
    jsonschema.Draft202012Validator(schema, registry=referencing.Registry()).validate(document)
    assert document["runtime"] == "onnxruntime" and document["inputs"] == {"x": [1, 8, 20, 24]}
    assert document["whole"]["milliseconds"] > 0 and document["threads"] >= 1
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert list(layers) == ["first", "second", "head"]
    assert layers["first"]["uses"] == [{"rows": 1, "input": [20, 24], "output": [10, 24]}]
    assert layers["second"]["uses"] == [{"rows": 1, "input": [10, 24], "output": [10, 22]}]
    assert layers["head"]["shape"] == [40, 32] and layers["head"]["uses"] == [{"rows": 1, "input": [], "output": []}]
    methods = {point["method"] for point in layers["second"]["points"]}
    assert methods == {"dense", "svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise"}
    assert {point["method"] for point in layers["head"]["points"]} == {"dense", "svd"}


def interpolated(layer, rank):
    """What svd at a rank takes: its multiply-adds rise evenly with the rank."""
    known = sorted((point["ranks"][0], point["milliseconds"]) for point in layer["points"] if point["method"] == "svd")
    ranks, times = zip(*known, strict=True)
    if rank > ranks[-1]:
        slope = (times[-1] - times[-2]) / (ranks[-1] - ranks[-2])
        return max(times[-1], times[-1] + slope * (rank - ranks[-1]))
    return float(np.interp(rank, ranks, times))


def dense_time(layer):
    return next(point["milliseconds"] for point in layer["points"] if point["method"] == "dense")


def made(timings, folder):
    """The document with made-up times: the first layer is slower however it is stored, the others gain."""
    document = json.loads(timings.read_text())
    for layer in document["layers"]:
        dense = {"first": 1.0, "second": 4.0, "head": 0.5}[layer["name"]]
        for point in layer["points"]:
            part = sum(point["ranks"]) / 60
            point["milliseconds"] = dense if point["method"] == "dense" else dense * ((1.1 if layer["name"] == "first" else 0.3) + part)
    document["whole"] = {"milliseconds": 7.0, "low": 7.0, "high": 7.0}
    (folder / "made.json").write_text(json.dumps(document))
    return {layer["name"]: layer for layer in document["layers"]}


@pytest.mark.parametrize("budget", [["--keep", "0.6"], ["--error", "0.3"], ["--latency", "0.8"], ["--latency", "5ms", "--keep", "0.9"]])
def test_no_layer_gets_slower(model, timings, tmp_path, budget):
    """The file itself is the judge: times between its points lie on a line."""
    layers = made(timings, tmp_path)
    eckart_command(
        tmp_path, "plan", model, *SHAPE, *budget, "--no-slower", "--timings", "made.json", "--min-size", "100", "--no-cache", "-o", "plan.json",
    )
    plan = json.loads((tmp_path / "plan.json").read_text())
    after, factored = 7.0, 0
    for choice in plan["layers"]:
        layer = layers[choice["name"]]
        time = interpolated(layer, choice["ranks"][0]) if choice["ranks"] else dense_time(layer)
        assert time <= dense_time(layer)
        assert abs(choice["ms_after"] - time) <= 1e-12 * time
        after += time - dense_time(layer)
        factored += bool(choice["ranks"])
    assert factored > 0
    assert abs(plan["totals"]["ms_after"] - after) <= 1e-12 * after
    if budget[0] == "--latency":
        assert after <= (0.8 * 7.0 if budget[1] == "0.8" else 5.0)


def test_whole_models_and_the_miss(model, timings, tmp_path):
    """What is predicted of a finished model is what its plan said; the miss is that of the part that is left."""
    made(timings, tmp_path)
    eckart_command(
        tmp_path, "compress", model, *SHAPE, "-o", "small.onnx", "--latency", "0.8", "--timings", "made.json", "--min-size", "100", "--no-cache",
    )
    before, after = measure.predicted(str(model), str(tmp_path / "small.onnx"), str(tmp_path / "made.json"))
    assert before == 7.0 and after <= 0.8 * 7.0
    done = run(tmp_path, "--whole", model, "small.onnx", *SHAPE, "--timings", "made.json", "--rounds", "3")
    found = json.loads(done.stdout)
    assert "a miss of" in done.stderr
    wanted = found["before"]["milliseconds"] * after / before
    assert found["predicted"] == pytest.approx(wanted, rel=1e-12)
    assert found["miss_percent"] == pytest.approx(100 * (wanted / found["after"]["milliseconds"] - 1), rel=1e-9, abs=1e-9)
    assert found["gain"] == pytest.approx(found["before"]["milliseconds"] / found["after"]["milliseconds"], rel=1e-12)


def test_tiny_graphs_have_the_sizes_of_their_layers(model):
    """Chains of every method take what the layer takes and make what it makes, wherever padding stands."""
    options = measure.arguments([str(model), *QUICK, "--method", "auto"])
    layers = measure.layers_of(measure.Run(), str(model), options)
    assert [layer.name for layer in layers] == ["first", "second", "head"]
    for layer in layers:
        (use,) = layer.uses
        for point in layer.points:
            session = onnxruntime.InferenceSession(_tiny.graph_of(point.chain, use), providers=["CPUExecutionProvider"])
            feeds = {"x0": np.zeros([use.rows, point.chain[0].inputs, *use.input], np.float32)}
            (y,) = session.run(None, feeds)
            assert y.shape == (use.rows, layer.shape[0], *use.output)


UPWARD = {
    "up": ([24, 16, 4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "added": ([16, 12, 3, 5], {"strides": [2, 3], "pads": [0, 1, 1, 2], "output_padding": [1, 2]}),
    "grouped": ([12, 8, 3, 1], {"strides": [1, 2], "dilations": [2, 1], "group": 2}),
}


def test_every_session_writes_a_profile_of_its_own(monkeypatch):
    """The name ONNX Runtime makes of a prefix holds the time of day alone: sessions of one moment would write one file."""
    prefixes = []

    class Prefixes(_tiny.Racer):
        def __init__(self, stages, use, profile):
            prefixes.append(profile)
            self.passes = 1

        def run(self, count):
            return 0.0

        def time(self, rounds):
            return _tiny.Time(1.0, 1.0, 1.0)

    monkeypatch.setattr(_tiny, "Racer", Prefixes)
    stage = _tiny.Stage(2, 2)
    assert len(_tiny.race([[stage], [stage], [stage, stage]], None, 3)) == 3
    assert len(set(prefixes)) == 3


def test_transposed_convolutions(tmp_path):
    """Their tiny graphs have the sizes of the layers too, and a plan by their times is kept to."""
    random = np.random.default_rng(9)
    nodes, weights, value = [], [], "x"
    for name, (shape, attributes) in UPWARD.items():
        weights.append(numpy_helper.from_array(weight(random, shape), f"{name}.weight"))
        nodes.append(helper.make_node("ConvTranspose", [value, f"{name}.weight"], [f"y_{name}"], **attributes))
        value = f"y_{name}"
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 24, 5, 6])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)], weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "net.onnx")
    quick = ["--rounds", "3", "--min-size", "100", "-q", "--method", "auto"]
    layers = measure.layers_of(measure.Run(), str(tmp_path / "net.onnx"), measure.arguments([str(tmp_path / "net.onnx"), *quick]))
    assert [(layer.name, layer.kind) for layer in layers] == [(name, "conv_transpose") for name in UPWARD]
    for layer in layers:
        (use,) = layer.uses
        assert len({point.method for point in layer.points}) >= 6
        for point in layer.points:
            session = onnxruntime.InferenceSession(_tiny.graph_of(point.chain, use), providers=["CPUExecutionProvider"])
            (y,) = session.run(None, {"x0": np.zeros([use.rows, point.chain[0].inputs, *use.input], np.float32)})
            assert y.shape == (use.rows, point.chain[-1].outputs, *use.output)
    run(tmp_path, "net.onnx", *quick, "-o", "times.json")
    document = json.loads((tmp_path / "times.json").read_text())
    schema = json.loads((ROOT / "docs/formats/json/timings.schema.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=referencing.Registry()).validate(document)
    for layer in document["layers"]:
        for point in layer["points"]:
            point["milliseconds"] = 3.0 if point["method"] == "dense" else 1.0 if layer["name"] == "up" else 4.0
    (tmp_path / "made.json").write_text(json.dumps(document))
    options = ["--no-slower", "--timings", "made.json", "--error", "0.9", "--method", "auto", "--min-size", "100", "--no-cache"]
    plan = json.loads(eckart_command(tmp_path, "plan", "net.onnx", *options, "--json"))
    assert {layer["name"] for layer in plan["layers"] if layer["method"] != "dense"} == {"up"}


def test_what_is_wrong_is_said(model, tmp_path):
    assert "not known" in run(tmp_path, model, "--rounds", "3", "--min-size", "100", status=1).stderr
    assert "allowed: an input's name" in run(tmp_path, model, "--shape", "x=1x", status=2).stderr
    assert "two models go with --whole" in run(tmp_path, "--whole", model, status=2).stderr
    assert "--timings goes with --whole" in run(tmp_path, model, "--timings", "t.json", status=2).stderr
    assert "nothing to measure" in run(tmp_path, model, *SHAPE, "-q", "--min-size", "1000000", status=1).stderr
    assert "allowed: a whole number, at least 3" in run(tmp_path, model, "--rounds", "2", status=2).stderr
