"""`eckart.plan`, `compress`, `verify`, `restore` beside the command, from files to files."""

import dataclasses
import datetime
import json
import os
import signal
import subprocess
import sys

import eckart
import eckart.torch
import numpy as np
import pytest
from bindings_example_files import write_model
from eckart_command import eckart_command
from factored_files import ROOT
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


@pytest.fixture
def tensors(tmp_path, monkeypatch):
    """MODEL.safetensors in the current directory, and a cache there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECKART_CACHE", str(tmp_path / "cache"))
    return write_model("MODEL.safetensors")


@pytest.mark.parametrize("budget", [
    {"keep": 0.6}, {"size": 0.7}, {"size": 60000}, {"rank": 16}, {"energy": 0.95}, {"error": 0.3},
    {"keep": 0.7, "error": 0.5, "rank_multiple": 8},
])
def test_plans_are_those_of_the_command(tensors, tmp_path, budget):
    plan = eckart.plan("MODEL.safetensors", **budget)
    words = []
    for name, value in budget.items():
        words += [f"--{name.replace('_', '-')}", f"{100 * value:g}%" if isinstance(value, float) else value]
    eckart_command(tmp_path, "plan", "MODEL.safetensors", *words, "-o", "plan.json")
    assert json.loads(plan.text) == json.loads((tmp_path / "plan.json").read_text())
    assert [choice.layer for choice in plan.choices] == ["a.dense", "b.dense"]
    assert plan.parameters_after == sum(choice.parameters for choice in plan.choices)
    assert plan.factored == sum(choice.method != "dense" for choice in plan.choices) > 0


def test_selection(tensors):
    plan = eckart.plan("MODEL.safetensors", rank=8, include="a.*")
    assert [choice.layer for choice in plan.choices] == ["a.dense"]
    plan = eckart.plan("MODEL.safetensors", rank=8, exclude=["a.*"], cache=False)
    assert [choice.layer for choice in plan.choices] == ["b.dense"]
    with pytest.raises(eckart.RangeError, match="nothing"):
        eckart.plan("MODEL.safetensors", rank=8, include="nothing*")


def test_compress_verify_restore(tensors, tmp_path):
    outcome = eckart.compress("MODEL.safetensors", tmp_path / "OUT.safetensors", keep=0.6)
    assert outcome.factored == 2 and outcome.verdict and outcome.plan.factored == 2
    assert outcome.bytes_after < outcome.bytes_before == sum(value.nbytes for value in tensors.values())
    verdict = eckart.verify("MODEL.safetensors", "OUT.safetensors")
    assert verdict and verdict == outcome.verdict and [check.name for check in verdict.checks] == ["a.dense", "b.dense"]
    restored = eckart.restore("OUT.safetensors", "DENSE.safetensors")
    assert restored.factored == 2 and restored.verdict is None
    dense = load_file("DENSE.safetensors")
    assert np.array_equal(dense["a.dense.bias"], tensors["a.dense.bias"])
    for check in verdict.checks:
        before = tensors[f"{check.name}.weight"].astype(np.float64)
        error = np.linalg.norm(dense[f"{check.name}.weight"] - before) / np.linalg.norm(before)
        # Multiplied out, every number is rounded to float32 once more.
        assert abs(error - check.error) <= 2.0**-24, check
        assert error <= check.promised + 2.0**-24
    eckart_command(tmp_path, "verify", "MODEL.safetensors", "OUT.safetensors")


def test_a_plan_edited_as_text(tensors):
    plan = eckart.plan("MODEL.safetensors", rank=16)
    document = json.loads(plan.text)
    document["layers"][1].update(ranks=[5])
    plan.save("plan.json")
    assert eckart.Plan.load("plan.json").text == plan.text
    edited = eckart.Plan.parse(json.dumps(document))
    assert [choice.ranks for choice in edited.choices] == [(16,), (5,)]
    outcome = eckart.compress("MODEL.safetensors", "OUT.safetensors", edited)
    assert outcome.plan is edited
    assert eckart.Checkpoint.open("OUT.safetensors").manifest.modules["b.dense"].ranks == (5,)
    with pytest.raises(eckart.FormatError):
        eckart.Plan.parse(plan.text[:-20])
    write_model("OTHER.safetensors", seed=2)
    with pytest.raises(eckart.RangeError):
        eckart.compress("OTHER.safetensors", "OUT2.safetensors", plan)


def test_what_cannot_be_done_is_said(tensors):
    eckart.compress("MODEL.safetensors", "OUT.safetensors", rank=4)
    before = open("OUT.safetensors", "rb").read()
    with pytest.raises(eckart.ExistsError):
        eckart.compress("MODEL.safetensors", "OUT.safetensors", rank=8)
    assert open("OUT.safetensors", "rb").read() == before
    assert eckart.compress("MODEL.safetensors", "OUT.safetensors", rank=8, replace=True).verdict
    eckart.compress("MODEL.safetensors", "NOT.safetensors", rank=8, dry_run=True)
    assert not os.path.exists("NOT.safetensors")
    with pytest.raises(eckart.FileError) as raised:
        eckart.plan("NOT.safetensors", rank=4)
    assert raised.value.file == "NOT.safetensors" and isinstance(raised.value, OSError)
    with pytest.raises(eckart.RangeError, match="no budget"):
        eckart.plan("MODEL.safetensors")
    with pytest.raises(eckart.RangeError, match="a plan or a budget"):
        eckart.compress("MODEL.safetensors", "X.safetensors", eckart.plan("MODEL.safetensors", rank=4), keep=0.5)
    for wrong in ({"size": 1.5}, {"size": 0.0}, {"keep": 2.0}, {"error": -1.0}, {"rank": 4, "split": "middle"}):
        with pytest.raises(eckart.RangeError):
            eckart.plan("MODEL.safetensors", **wrong)
    with pytest.raises(eckart.NothingError):
        eckart.plan("MODEL.safetensors", error=1e-6)
    with pytest.raises(eckart.RangeError, match="below what storing"):
        eckart.plan("MODEL.safetensors", error=1e-9)
    with pytest.raises(eckart.CancelledError):
        eckart.plan("MODEL.safetensors", rank=4, cache=False, progress=lambda *told: False)


def test_a_broken_promise_is_no_exception(tensors):
    eckart.compress("MODEL.safetensors", "OUT.safetensors", rank=4)
    tensors["b.dense.weight"][3] += 1
    save_file(tensors, "CHANGED.safetensors")
    verdict = eckart.verify("CHANGED.safetensors", "OUT.safetensors")
    assert not verdict and not verdict.kept and verdict.failed == 1
    broken = [check for check in verdict.checks if not check.kept]
    assert [check.name for check in broken] == ["b.dense"] and broken[0].error > broken[0].promised


def test_every_field_of_an_outcome_is_filled(tensors):
    outcome = eckart.compress("MODEL.safetensors", "OUT.safetensors", rank=4, cache="here")
    assert os.path.isdir("here")
    assert {field.name for field in dataclasses.fields(outcome)} == set(vars(outcome))
    assert outcome.path == "OUT.safetensors" and outcome.copied == 1
    assert outcome.peak_bytes > 0 and outcome.left_out == ()


STUCK = """
import eckart, threading

def stuck(what, done, total):
    if what == "compressing":
        print("working", flush=True)
        threading.Event().wait()

eckart.compress("MODEL.safetensors", "OUT.safetensors", keep=0.5, cache=False, threads=1, progress=stuck)
"""


def test_ctrl_c_leaves_no_half_output(tensors, tmp_path):
    """In the middle of compressing, where it would stay for ever."""
    program = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    assert program.stdout.readline() == "working\n"
    assert list(tmp_path.glob(".OUT.safetensors.eckart-*"))
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=600)
    assert program.returncode == -signal.SIGINT and "KeyboardInterrupt" in errors
    assert not (tmp_path / "OUT.safetensors").exists()


# ---- graphs, methods, checkpoints


def save_graph(path):
    """Two convolutions, of an input whose height and width are open."""
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(2)
    weights = [numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
               for name, shape in (("a", (64, 32, 3, 3)), ("b", (64, 64, 3, 3)))]
    nodes = [helper.make_node("Conv", ["x", "a"], ["h"], strides=[2, 2]), helper.make_node("Conv", ["h", "b"], ["y"])]
    values = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 32, None, None]),
              helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * 4)]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_methods_of_graphs(tmp_path):
    save_graph(tmp_path / "m.onnx")
    shapes, before = {"x": (1, 32, 33, 33)}, 16 * 16 * 64 * 32 * 9 + 14 * 14 * 64 * 64 * 9
    plan = eckart.plan(tmp_path / "m.onnx", macs=0.5, method="auto", shapes=shapes, cache=False)
    assert plan.macs_before == sum(c.macs_before for c in plan.choices) == before
    assert plan.macs_after == sum(c.macs_after for c in plan.choices) <= 0.5 * before
    outcome = eckart.compress(tmp_path / "m.onnx", tmp_path / "out.onnx", macs=before // 2, method="tucker2", shapes=shapes,
                              cache=False)
    assert {c.method for c in outcome.plan.choices} <= {"tucker2", "dense"} and outcome.verdict.kept
    assert eckart.plan(tmp_path / "m.onnx", keep=0.5, cache=False).macs_before is None


@pytest.mark.parametrize("options, message", [
    ({"macs": 0.5}, "the shape of input 'x' is not fixed"), ({"macs": 1.5}, "macs: found 1.5"),
    ({"keep": 0.5, "method": "magic"}, "method: found 'magic'"), ({"keep": 0.5, "shapes": {"z": (1,)}}, "has no input 'z'"),
])
def test_graphs_refused(tmp_path, options, message):
    save_graph(tmp_path / "m.onnx")
    with pytest.raises(eckart.Error, match=message):
        eckart.plan(tmp_path / "m.onnx", cache=False, **options)


# ---- times


def made_timings(folder):
    """A document as a measurement writes it, of times that rise with the rank: layer a is never faster, b up to rank 48."""
    def layer(name, shape, sizes, slower):
        dense = 2.0
        points = [{"method": "svd", "ranks": [rank], "milliseconds": slower * dense * rank / 48} for rank in (8, 16, 32, 60)]
        points.append({"method": "dense", "ranks": [], "milliseconds": dense})
        return {"name": name, "kind": "conv", "shape": shape, "points": points,
                "uses": [{"rows": 1, "input": sizes[0], "output": sizes[1]}]}

    document = {
        "format": "eckart-timings", "version": 1, "model": "m.onnx", "runtime": "onnxruntime", "runtime_version": "1", "cpu": "some",
        "threads": 1, "rounds": 3, "inputs": {"x": [1, 32, 33, 33]}, "whole": {"milliseconds": 5.0, "low": 5.0, "high": 5.0},
        "layers": [layer("a", [64, 32, 3, 3], ([33, 33], [16, 16]), 9.0), layer("b", [64, 64, 3, 3], ([16, 16], [14, 14]), 1.0)],
    }
    (folder / "times.json").write_text(json.dumps(document))
    return document


@pytest.mark.parametrize("budget, words", [
    ({"latency": 0.8}, ["--latency", "80%"]),
    ({"latency": 4.25}, ["--latency", "4.25"]),
    ({"latency": datetime.timedelta(microseconds=4250), "no_slower": True}, ["--latency", "4250us", "--no-slower"]),
    ({"keep": 0.7, "no_slower": True}, ["--keep", "0.7", "--no-slower"]),
    ({"keep": 0.7, "rank_multiple": 8}, ["--keep", "0.7", "--rank-multiple", "8"]),
])
def test_limits_on_time_are_those_of_the_command(tmp_path, budget, words):
    save_graph(tmp_path / "m.onnx")
    document = made_timings(tmp_path)
    plan = eckart.plan(tmp_path / "m.onnx", **budget, timings=document, cache=False)
    assert plan == eckart.plan(tmp_path / "m.onnx", **budget, timings=tmp_path / "times.json", cache=False)
    eckart_command(tmp_path, "plan", "m.onnx", *words, "--timings", "times.json", "--no-cache", "-o", "plan.json")
    assert json.loads(plan.text) == json.loads((tmp_path / "plan.json").read_text())
    choices = {choice.layer: choice for choice in plan.choices}
    assert choices["b"].ms_before == 2.0 and plan.ms_before == 5.0
    rank = choices["b"].ranks[0]
    assert choices["b"].ms_after == pytest.approx(max(2.0 * rank / 48, 2.0 * 8 / 48), rel=1e-12)
    assert plan.ms_after == pytest.approx(5.0 + sum(c.ms_after - c.ms_before for c in plan.choices), rel=1e-12)
    if "latency" in budget:
        assert plan.ms_after <= (4.0 if budget["latency"] == 0.8 else 4.25)
    if "no_slower" in budget:
        assert choices["a"].method == "dense" and choices["b"].ms_after < 2.0
    if "rank_multiple" in budget:
        assert all(rank % 8 == 0 for choice in plan.choices for rank in choice.ranks)
    outcome = eckart.compress(tmp_path / "m.onnx", tmp_path / "out.onnx", **budget, timings=document, cache=False)
    assert outcome.plan == plan and outcome.verdict.kept


@pytest.mark.parametrize("options, message", [
    ({"latency": 0.5}, "latency is judged by times of the target machine: give timings"),
    ({"keep": 0.5, "no_slower": True}, "no_slower is judged by times"),
    ({"latency": 0, "timings": {}}, "latency: found 0, allowed: a part"),
    ({"latency": -3.0, "timings": {}}, "latency: found -3.0"), ({"latency": float("inf"), "timings": {}}, "latency: found inf"),
    ({"latency": float("nan"), "timings": {}}, "latency: found nan"),
    ({"latency": datetime.timedelta(0), "timings": {}}, "latency: found 0:00:00"),
    ({"timings": {"format": "eckart-timings"}}, "no budget: give keep, size, macs, latency"),
    ({"keep": 0.5, "timings": {"format": "others"}}, "timings"),
])
def test_limits_on_time_refused(tmp_path, options, message):
    save_graph(tmp_path / "m.onnx")
    with pytest.raises(eckart.Error, match=message):
        eckart.plan(tmp_path / "m.onnx", cache=False, **options)


def test_a_plan_goes_without_times(tmp_path):
    save_graph(tmp_path / "m.onnx")
    document = made_timings(tmp_path)
    plan = eckart.plan(tmp_path / "m.onnx", keep=0.5, cache=False)
    assert plan.ms_before is None and plan.ms_after is None and {c.ms_after for c in plan.choices} == {None}
    for more in ({"timings": document}, {"no_slower": True}, {"latency": 0.5}):
        with pytest.raises(eckart.RangeError, match="a plan is a choice already made"):
            eckart.compress(tmp_path / "m.onnx", tmp_path / "out.onnx", plan, cache=False, **more)
    with pytest.raises(FileNotFoundError):
        eckart.plan(tmp_path / "m.onnx", keep=0.5, timings=tmp_path / "none.json", cache=False)


def test_methods_of_weights_alone(tmp_path):
    """Kernels in three dimensions, by names of a file without a graph."""
    save_file({"c.weight": np.random.default_rng(5).standard_normal((48, 32, 3, 3, 3)).astype(np.float32)}, tmp_path / "m.safetensors")
    for method, stages in (("svd", 2), ("spatial", 2), ("tucker2", 3), ("tt", 5), ("cp", 5), ("depthwise", 2)):
        outcome = eckart.compress(tmp_path / "m.safetensors", tmp_path / method, keep=0.6, method=method, cache=False)
        (choice,) = outcome.plan.choices
        assert choice.method == method and outcome.verdict.kept
        with safe_open(tmp_path / method, "np") as file:
            assert len([name for name in file.keys() if name.startswith("c.")]) == stages


def test_key_of_a_checkpoint(tmp_path):
    import torch

    random = torch.Generator().manual_seed(3)
    weights = {"l.weight": torch.randn(96, 96, generator=random)}
    torch.save({"ema": weights, "model": {"l.weight": torch.zeros(96, 96)}}, tmp_path / "m.pt")
    outcome = eckart.compress(tmp_path / "m.pt", tmp_path / "out.safetensors", rank=5, key="ema", cache=False, verify=False)
    assert outcome.factored == 1
    assert eckart.verify(tmp_path / "m.pt", tmp_path / "out.safetensors", key="ema").kept
    with pytest.raises(eckart.Error):
        eckart.verify(tmp_path / "m.pt", tmp_path / "out.safetensors", key="nobody")
