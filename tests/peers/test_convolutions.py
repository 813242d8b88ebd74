"""Convolutions compressed by every method, run by torch: the chain's output is that of the convolution with the kernel
the stages multiply to, and its error is the one that was promised."""

import json

import pytest
import torch

from eckart_command import eckart_command
from safetensors.torch import save_file

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
