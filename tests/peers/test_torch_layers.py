"""The layers of `eckart.torch` against the weights they came from, what torch does with them, and writing them."""

import copy
import os

import eckart
import eckart.torch
import numpy as np
import pytest
import torch
from eckart.torch import (
    Chain,
    DepthwiseSeparableConv,
    LowRankConv1d,
    LowRankConv2d,
    LowRankConv3d,
    LowRankEmbedding,
    LowRankLinear,
)
from rounding import U32, assert_rounded, assert_within, perturbation_bound, rounding_bound
from torch import nn

# ---- the layers


def singular_values(weight):
    return np.linalg.svd(weight.detach().double().numpy(), compute_uv=False)


@pytest.mark.parametrize("form", ["compact", "expanded"])
@pytest.mark.parametrize("shape", [(9, 13), (13, 9), (12, 12), (1, 7)])
def test_low_rank_linear_is_the_best_of_its_rank(form, shape):
    torch.manual_seed(3)
    weight = torch.randn(shape)
    values = singular_values(weight)
    for rank in {1, (min(shape) + 1) // 2, min(shape)}:
        layer = LowRankLinear.from_weight(weight, rank=rank, form=form)
        tail = np.sqrt((values[rank:] ** 2).sum())
        measured = (layer.reconstruct_weight().double() - weight.double()).norm().item()
        # independent roundings, one a factor and 2 rank in the product: below sqrt(rank + 3) u ||W||
        allowed = np.hypot(tail, np.sqrt(rank + 3) * U32 * np.linalg.norm(values)) * (1 + 1e-6)
        print(f"rank {rank}: error {measured:.3e}, allowed {allowed:.3e}")
        assert measured <= allowed
        assert layer.compression_ratio == weight.numel() / (rank * (sum(shape) + (form == "expanded")))
    if form == "expanded":
        exact = torch.from_numpy(values[: layer.rank])
        of_lapack = min(shape) * 2.0**-52 * values[0]  # two float64 decompositions, Weyl
        assert ((layer.S.double() - exact).abs() <= U32 * exact + of_lapack).all()
        product = layer.U @ torch.diag(layer.S) @ layer.V.T
        assert_rounded(product, layer.reconstruct_weight().detach(), 2 * (layer.rank + 3))


def test_rules_for_the_rank():
    left, right = (torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64))[0] for _ in range(2))
    values = 0.7 ** torch.arange(40, dtype=torch.float64)
    weight = left @ torch.diag(values) @ right
    squares = values.square()
    for target in (0.3, 0.1, 0.01, 1e-4):
        rank = LowRankLinear.from_weight(weight, error=target).rank
        tails = [(squares[k:].sum() / squares.sum()).sqrt().item() for k in (rank - 1, rank)]
        assert tails[1] <= target < tails[0]
        rank = LowRankLinear.from_weight(weight, energy=1 - target).rank
        kept = [(squares[:k].sum() / squares.sum()).item() for k in (rank - 1, rank)]
        assert kept[0] < 1 - target <= kept[1]
    for wrong in (
        {},
        {"rank": 3, "error": 0.1},
        {"rank": 0},
        {"rank": 41},
        {"energy": 0.0},
        {"energy": 1.5},
        {"error": 1.0},
    ):
        with pytest.raises(eckart.RangeError):
            LowRankLinear.from_weight(weight, **wrong)
    with pytest.raises(eckart.RangeError, match="NaN"):
        LowRankLinear.from_weight(torch.full((3, 3), float("nan")), rank=1)
    with pytest.raises(eckart.ShapeError):
        LowRankLinear.from_weight(torch.zeros(3), rank=1)
    assert LowRankLinear.from_weight(torch.zeros(4, 5), error=0.1).rank == 1


def test_textbook_ratio():
    with torch.device("meta"):
        assert LowRankLinear(4096, 4096, 64).compression_ratio == 32


@pytest.mark.parametrize(
    "make, variance",
    [
        (lambda: LowRankLinear(300, 200, 50), 1 / 900),
        (lambda: LowRankLinear(300, 200, 50, form="expanded"), 1 / 900),
        (lambda: LowRankConv2d(30, 40, 3, 24), 1 / 810),
        (lambda: LowRankConv2d(30, 40, 3, 24, groups=2), 1 / 405),
        (lambda: LowRankConv1d(30, 40, 5, 24), 1 / 450),
        (lambda: LowRankConv3d(10, 20, 3, 12), 1 / 810),
        (lambda: DepthwiseSeparableConv(30, 40, 3, terms=4), 1 / 810),
        (lambda: DepthwiseSeparableConv(30, 40, 3, terms=4, groups=5), 1 / 162),
        (lambda: LowRankEmbedding(400, 60, 30), 1.0),
    ],
    ids=range(9),
)
def test_products_start_with_the_variance_of_torch(make, variance):
    """The variance of nn's own initialisation, 1/(3 fan) or 1 for a table; the mean of 40 draws may stray by 4 of its
    standard errors, which is to be small enough to tell a wrong factor (2, 3, the groups) from chance."""
    torch.manual_seed(4)
    found = np.array([make().reconstruct_weight().square().mean().item() for _ in range(40)]) / variance
    allowed = 4 * found.std(ddof=1) / np.sqrt(40)
    print(f"variance {found.mean():.4f} of torch's, 1 +- {allowed:.4f} allowed")
    assert abs(found.mean() - 1) <= allowed < 0.1
    assert make().bias is None or make().bias.abs().max() <= np.sqrt(3 * variance)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"groups": 2, "padding": "same"},
        {"dilation": 2, "padding": 3, "padding_mode": "reflect", "bias": False},
    ],
    ids=str,
)
def test_convolutions_from_a_layer(options):
    torch.manual_seed(5)
    conv = nn.Conv2d(6, 8, 3, **options)
    x = torch.randn(2, 6, 9, 9)
    exact = copy.deepcopy(conv).double()
    for layer in (
        LowRankConv2d.from_conv2d(conv, rank=8),
        DepthwiseSeparableConv.from_conv2d(conv, 9),
        LowRankConv2d.from_conv2d(conv, error=0.0),
    ):
        with torch.no_grad():
            # the factors' own rounding, one per factor, is no more than that of two further products
            assert_within((layer(x).double() - exact(x.double())).abs(), 2 * rounding_bound(layer, x))
        assert_rounded(layer.weight, conv.weight.detach(), 9 + 3)
    matrix = conv.weight.reshape(conv.groups, 8 // conv.groups, -1)
    values = np.concatenate([singular_values(block) for block in matrix])
    half = LowRankConv2d.from_conv2d(conv, rank=4)
    tails = np.concatenate([singular_values(block)[4 // conv.groups :] for block in matrix])
    measured = (half.reconstruct_weight() - conv.weight).double().norm().item()
    assert abs(measured - np.linalg.norm(tails)) <= np.sqrt(4 + 3) * U32 * np.linalg.norm(values)


def test_depthwise_terms_are_the_best_of_each_channel():
    torch.manual_seed(6)
    conv = nn.Conv2d(5, 7, 3)
    for terms_ in (1, 3, 9):
        layer = DepthwiseSeparableConv.from_conv2d(conv, terms_)
        tails = [singular_values(conv.weight[:, i].reshape(7, 9))[terms_:] for i in range(5)]
        wanted = np.linalg.norm(np.concatenate(tails))
        measured = (layer.reconstruct_weight() - conv.weight).double().norm().item()
        assert abs(measured - wanted) <= np.sqrt(terms_ + 3) * U32 * conv.weight.norm().item()
    assert DepthwiseSeparableConv(5, 7, 3, terms=2)[0].groups == 5
    with pytest.raises(eckart.RangeError):
        DepthwiseSeparableConv(5, 7, 3, terms=10)


def test_embedding_from_a_layer():
    torch.manual_seed(7)
    table = nn.Embedding(20, 6, padding_idx=0)
    layer = LowRankEmbedding.from_embedding(table, rank=6)
    assert_rounded(layer(torch.arange(20)), table.weight.detach(), 6 + 3)
    assert layer.padding_idx == 0 and layer.compression_ratio == 120 / (6 * 26)
    half = LowRankEmbedding.from_embedding(table, rank=3)
    wanted = np.linalg.norm(singular_values(table.weight)[3:])
    measured = (half.reconstruct_weight() - table.weight).double().norm().item()
    assert abs(measured - wanted) <= np.sqrt(3 + 3) * U32 * table.weight.norm().item()


def layers_to_train():
    conv = {"padding": 1}
    return {
        "compact": (LowRankLinear(12, 8, 3), torch.randn(40, 12)),
        "expanded": (LowRankLinear(12, 8, 3, form="expanded"), torch.randn(40, 12)),
        "conv": (LowRankConv2d(4, 6, 3, 3, **conv), torch.randn(4, 4, 6, 6)),
        "depthwise": (DepthwiseSeparableConv(4, 6, 3, 2, **conv), torch.randn(4, 4, 6, 6)),
        "embedding": (LowRankEmbedding(20, 8, 3), torch.arange(20)),
    }


@pytest.mark.parametrize("name", ["compact", "expanded", "conv", "depthwise", "embedding"])
def test_one_training_step_lowers_the_loss(name):
    torch.manual_seed(8)
    layer, x = layers_to_train()[name]
    target = torch.randn_like(layer(x))
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.05)
    before = nn.functional.mse_loss(layer(x), target)
    before.backward()
    assert all(value.grad.abs().max() > 0 for value in layer.parameters())
    optimiser.step()
    after = nn.functional.mse_loss(layer(x), target)
    print(f"{name}: loss {before.item():.4f} -> {after.item():.4f}")
    assert after < before


# ---- the weight of a chain


def test_weight_answers_at_once_and_is_multiplied_out_when_used(monkeypatch):
    layer = LowRankLinear(13, 9, 4, dtype=torch.bfloat16)
    counted = []
    original = Chain.reconstruct_weight
    monkeypatch.setattr(Chain, "reconstruct_weight", lambda self: counted.append(1) or original(self))
    weight = layer.weight
    assert isinstance(weight, torch.Tensor) and weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
    assert weight.shape == (9, 13) and weight.ndim == 2 and weight.size(1) == 13 and weight.requires_grad
    assert weight.is_floating_point() and weight.numel() == 117 and not weight.is_meta and not counted
    product = (layer.last.float() @ layer.first.float()).bfloat16()
    assert torch.equal(weight, product) and len(counted) == 1
    assert type(weight + 0) is torch.Tensor and type(weight.detach()) is torch.Tensor
    assert weight[2, 3] == product[2, 3] and "tensor" in repr(weight)
    assert np.array_equal(weight.detach().float().numpy(), product.detach().float().numpy())


def test_gradients_flow_through_the_weight():
    layer = LowRankLinear(13, 9, 4, bias=False)
    x, target = torch.randn(5, 13), torch.randn(5, 9)
    nn.functional.linear(x, layer.weight).backward(target)
    through_weight = [value.grad.clone() for value in layer.parameters()]
    layer.zero_grad()
    layer(x).backward(target)
    # d first = last^T (target^T x), d last = (target^T x) first^T, summed in another order
    inner = target.abs().T @ x.abs()
    norms = [(layer.last.abs().T @ inner).norm().item(), (inner @ layer.first.abs().T).norm().item()]
    for one, other, norm in zip(through_weight, (value.grad for value in layer.parameters()), norms):
        assert_rounded(one, other, 2 * (5 + 13), norm)
    with torch.no_grad():
        assert not layer.weight.requires_grad


def test_parents_that_read_the_weight():
    """nn.MultiheadAttention and nn.TransformerEncoderLayer never call their layers, they take the weights."""
    torch.manual_seed(9)
    for parent, names in (
        (nn.MultiheadAttention(16, 2, batch_first=True), ["out_proj"]),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), ["linear1", "linear2"]),
    ):
        for training in (True, False):
            dense = copy.deepcopy(parent).train(training)
            for module in dense.modules():
                if isinstance(module, (nn.Dropout, nn.MultiheadAttention)):
                    setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0.0)
            ours = copy.deepcopy(dense)
            for name in names:
                setattr(ours, name, LowRankLinear.from_linear(getattr(ours, name), rank=16).train(training))
            x = torch.randn(2, 5, 16)

            def run(model, x=x):
                return model(x, x, x)[0] if isinstance(model, nn.MultiheadAttention) else model(x)

            error, allowed = (run(ours) - run(dense)).abs().max().item(), perturbation_bound(dense, run)
            print(f"{type(parent).__name__}: error {error:.2e}, allowed {allowed:.2e}")
            assert error <= allowed


def test_the_chain_lives_with_torch_tools():
    torch.manual_seed(10)
    model = nn.Sequential(LowRankLinear(12, 10, 3), nn.ReLU(), LowRankLinear(10, 4, 2, form="expanded")).eval()
    x = torch.randn(3, 12)
    wanted = model(x)
    assert torch.equal(copy.deepcopy(model)(x), wanted)
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(x), wanted)
    assert torch.equal(torch.jit.trace(model, x)(x), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).dtype == torch.bfloat16
    other = nn.Sequential(LowRankLinear(12, 10, 3), nn.ReLU(), LowRankLinear(10, 4, 2, form="expanded")).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), wanted)


def test_chains_refuse_stages_that_do_not_fit():
    linear = nn.Linear(3, 4, bias=False)
    with pytest.raises(eckart.RangeError, match="bias"):
        Chain([nn.Linear(3, 4), nn.Linear(4, 5)])
    with pytest.raises(eckart.ShapeError):
        Chain([linear], shape=(3, 4))
    with pytest.raises(eckart.RangeError, match="kind"):
        Chain([linear], kind="lstm")
    with pytest.raises(eckart.RangeError):
        Chain([])


# ---- writing


@pytest.mark.parametrize("form", ["out", "out.safetensors"])
def test_saved_layers_load_again(tmp_path, form):
    torch.manual_seed(12)
    dense = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 4 * 4, 10))
    model = copy.deepcopy(dense)
    model[0] = LowRankConv2d.from_conv2d(dense[0], rank=4)
    model[1] = DepthwiseSeparableConv.from_conv2d(dense[1], 3)
    model[3] = LowRankLinear.from_linear(dense[3], energy=0.8, form="expanded")
    eckart.torch.save(model, tmp_path / form, source={"name": "made here", "files": {}})
    again = eckart.torch.load(copy.deepcopy(dense).to("meta"), tmp_path / form)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(again(x), model(x))
    assert [type(module) for module in again] == [type(module) for module in model]
    checkpoint = eckart.Checkpoint.open(tmp_path / form)
    assert checkpoint.manifest.source["name"] == "made here"
    assert {record.method for record in checkpoint.manifest.modules.values()} == {"svd", "depthwise"}
    assert all(record.error is None for record in checkpoint.manifest.modules.values())
    eckart.torch.save(again, tmp_path / form)  # over the file it came from
    assert eckart.Checkpoint.open(tmp_path / form).manifest == checkpoint.manifest


def test_saving_what_cannot_be_saved(tmp_path):
    with pytest.raises(eckart.RangeError, match="no factored layer"):
        eckart.torch.save(nn.Linear(3, 4), tmp_path / "out")
    with pytest.raises(eckart.RangeError, match="'0.0.weight' is on the meta device"):
        eckart.torch.save(nn.Sequential(LowRankLinear(5, 4, 2)).to("meta"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = nn.Sequential(LowRankLinear(5, 4, 2))
    eckart.torch.save(model, tmp_path / "out.safetensors")
    before = (tmp_path / "out.safetensors").read_bytes()

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError):
        eckart.torch.save(model, tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
