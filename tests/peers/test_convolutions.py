"""Convolutions compressed by every method, run by torch: the chain's output is that of the convolution with the kernel
the stages multiply to, and its error is the one that was promised."""

import json

import pytest
import torch

from eckart_command import eckart_command
from safetensors.torch import save_file

import eckart
import eckart.torch

METHODS = ("svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise", "auto")


class Net(torch.nn.Module):
    """2-d with stride, padding and dilation, 1-d, and a linear layer that always takes svd."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.plain = torch.nn.Conv2d(16, 24, 3, stride=(2, 1), padding=1, bias=True)
        self.wide = torch.nn.Conv2d(24, 20, (5, 3), padding=(4, 0), dilation=(2, 1), bias=False)
        self.line = torch.nn.Conv1d(20, 30, 5, stride=2, padding=2)
        self.head = torch.nn.Linear(30, 40)

    def forward(self, x):
        x = self.wide(self.plain(x))
        x = self.line(x.flatten(2))
        return self.head(x.mean(2))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("convolutions") / "net.safetensors"
    save_file(Net().state_dict(), path)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_chains_compute_what_their_kernels_say(model, tmp_path, method):
    out = tmp_path / "out.safetensors"
    options = ("--method", method, "--keep", "0.6", "--no-cache", "--min-size", "100")
    eckart_command(tmp_path, "compress", model, "-o", out, *options, "-q")
    verdict = json.loads(eckart_command(tmp_path, "verify", model, out, "--json"))
    assert verdict["ok"] and verdict["layers"]
    net, dense = Net(), Net()
    eckart.torch.load(net, out)
    found = set()
    for name, chain in net.named_modules():
        if not isinstance(chain, eckart.torch.Chain):
            continue
        found.add(chain.method)
        with torch.no_grad():
            kernel = chain.reconstruct_weight()
            dense.get_submodule(name).weight.copy_(kernel)
        original = Net().get_submodule(name).weight
        error = float(torch.linalg.norm((kernel - original).double()) / torch.linalg.norm(original.double()))
        said = next(layer for layer in verdict["layers"] if layer["name"] == name)
        # The kernel is multiplied out in float32 here: at most a few hundred roundings of 6e-8.
        assert abs(error - said["error"]) <= 1e-5
    if method != "auto":
        assert found <= {method, "svd"} and (method == "svd" or method in found)
    x = torch.randn(2, 16, 20, 18)
    with torch.no_grad():
        ours, theirs = net(x), dense(x)
    # Three layers in float32, sums of at most 24 * 15 products each: 1e-7 sqrt(360) a layer, thrice, and room.
    assert float((ours - theirs).norm() / theirs.norm()) <= 2e-5


def test_auto_is_no_worse_than_any(model, tmp_path):
    errors = {}
    for method in METHODS:
        plan = tmp_path / f"{method}.json"
        options = ("--method", method, "--keep", "0.5", "--no-cache", "--min-size", "100")
        eckart_command(tmp_path, "plan", model, "-o", plan, *options, "-q")
        errors[method] = json.loads(plan.read_text())["totals"]
    # Plans are within their printed gap of the best there is, on squares.
    least = min(total["error"] for total in errors.values())
    assert errors["auto"]["error"] <= least * (1 + errors["auto"]["gap"]) + 1e-12


def test_analyze_compares_at_half(model, tmp_path):
    document = json.loads(eckart_command(
        tmp_path, "analyze", model, "--method", "auto", "--no-cache", "--min-size", "100", "--json"
    ))
    rows = {layer["name"]: layer.get("methods_at_half", []) for layer in document["layers"]}
    assert {row["method"] for row in rows["plain"]} == set(METHODS) - {"auto"}
    assert {row["method"] for row in rows["line"]} == {"svd", "tucker1", "tucker2", "cp", "depthwise"}
    assert rows["head"] == []
    for name, shape in (("plain", 24 * 16 * 9), ("wide", 20 * 24 * 15), ("line", 30 * 20 * 5)):
        for row in rows[name]:
            assert row["parameters"] <= shape // 2 and 0 < row["error"] < 1


def test_restored_models_load_as_they_were(model, tmp_path):
    out, dense = tmp_path / "out.safetensors", tmp_path / "dense.safetensors"
    eckart_command(tmp_path, "compress", model, "-o", out, "--method", "tucker2", "--keep", "0.6", "--no-cache", "-q")
    eckart_command(tmp_path, "restore", out, "-o", dense, "-q")
    from safetensors.torch import load_file

    Net().load_state_dict(load_file(dense))


# ---- groups, which a file of weights does not tell


class Grouped(torch.nn.Module):
    """Kernels of several groups, many of them in one layer, between plain ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.first = torch.nn.Conv2d(12, 32, 3, stride=2, padding=1)
        self.cells = torch.nn.Conv2d(32, 64, 3, padding=2, dilation=2, groups=16)
        self.wide = torch.nn.Conv2d(64, 48, (3, 5), padding=1, groups=4, bias=False)
        self.line = torch.nn.Conv1d(48, 24, 5, groups=2)

    def forward(self, x):
        return self.line(self.wide(self.cells(self.first(x))).flatten(2))


GROUPS = {"cells": 16, "wide": 4, "line": 2}
WORDS = [text for name, count in GROUPS.items() for text in ("--groups", f"{name}={count}")]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    path = tmp_path_factory.mktemp("groups") / "net.safetensors"
    save_file(Grouped().state_dict(), path)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_groups_that_are_told(grouped, tmp_path, method):
    """The chain has the groups of the layer, loads in its place and computes the layer with the kernel it multiplies to."""
    out, options = tmp_path / "out.safetensors", ("--method", method, "--keep", "0.7", "--no-cache", "--min-size", "100")
    include = [text for name in GROUPS for text in ("--include", name)]
    eckart_command(tmp_path, "compress", grouped, "-o", out, *options, *include, *WORDS, "-q")
    # what is verified lies in the two files: the manifest tells the groups of every stage
    verdict = json.loads(eckart_command(tmp_path, "verify", grouped, out, "--json"))
    assert verdict["ok"] and verdict["layers"]
    net, dense = Grouped(), Grouped()
    eckart.torch.load(net, out)
    for layer in verdict["layers"]:
        chain = net.get_submodule(layer["name"])
        assert chain.method == (method if method != "auto" else chain.method) or chain.method == "svd"
        assert all(stage.groups % GROUPS[layer["name"]] == 0 for stage in chain)
        with torch.no_grad():
            kernel = chain.reconstruct_weight()
            original = dense.get_submodule(layer["name"]).weight
            error = torch.linalg.norm((kernel - original).double()) / torch.linalg.norm(original.double())
            original.copy_(kernel)
        assert abs(error.item() - layer["error"]) <= 1e-5  # as above
    x = torch.randn(2, 12, 22, 20)
    with torch.no_grad():
        ours, theirs = net(x), dense(x)
    assert float((ours - theirs).norm() / theirs.norm()) <= 2e-5
    restored = tmp_path / "dense.safetensors"
    eckart_command(tmp_path, "restore", out, "-o", restored, "-q")
    from safetensors.torch import load_file

    Grouped().load_state_dict(load_file(restored))


def test_groups_in_python_and_plans(grouped, tmp_path):
    out, options = tmp_path / "out.safetensors", {"keep": 0.6, "method": "tucker2", "min_size": 100, "include": "*", "cache": False}
    plan = eckart.plan(grouped, groups=GROUPS, **options)
    eckart_command(tmp_path, "plan", grouped, "--keep", "0.6", "--method", "tucker2", "--min-size", "100", "--include", "*", "--no-cache",
                   *WORDS, "-o", "plan.json")
    assert json.loads(plan.text) == json.loads((tmp_path / "plan.json").read_text())
    assert {x["name"]: x.get("groups") for x in json.loads(plan.text)["layers"]} == {"first": None, **GROUPS}
    with pytest.raises(eckart.RangeError, match="the plan was made for (16|4|2) groups of layer '(cells|wide|line)', here it has 1:"):
        eckart.compress(grouped, out, plan, cache=False)
    assert eckart.compress(grouped, out, eckart.Plan.parse(plan.text), groups=GROUPS, cache=False).verdict.kept
    eckart.torch.load(Grouped(), out)
    plain = eckart.plan(grouped, **options)
    with pytest.raises(eckart.RangeError, match="the plan was made for 1 groups of layer '(cells|wide|line)', here it has (16|4|2):"):
        eckart.compress(grouped, tmp_path / "no.safetensors", plain, groups=GROUPS, cache=False)
    assert not (tmp_path / "no.safetensors").exists()


def test_ranks_of_all_groups_together(grouped, tmp_path):
    """Sixteen groups [4, 18] of rank 2 are rank 32, more than a matrix [64, 18] has."""
    outcome = eckart.compress(grouped, tmp_path / "out.safetensors", rank=32, groups=GROUPS, include="cells", min_size=1, cache=False)
    assert [(choice.layer, choice.ranks) for choice in outcome.plan.choices] == [("cells", (32,))] and outcome.verdict.kept


@pytest.mark.parametrize("groups, message", [
    ("cells=7", "7 groups do not divide the 64 outputs of 'cells'"), ("cells=0", "0 groups"), ("none*=2", "matches no convolution"),
    ("cells", "found 'cells', allowed: names of layers and a number"), ("=4", "found '=4'"), ("cells=2x2", "found 'cells=2x2'"),
])
def test_groups_refused(grouped, tmp_path, groups, message):
    import os
    import subprocess

    command = [os.environ["ECKART_COMMAND"], "plan", str(grouped), "--keep", "0.6", "--groups", groups]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and message in done.stderr
