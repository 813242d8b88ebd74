"""`eckart.torch` against torch itself: chains from files made with numpy against dense layers, the layers against the
weights they came from, and every way a file and a module can fail to fit.

Rounding bound used throughout: a sum of n products in float32 is off by at most n u sum |a b|, u = 2^-24, so a chain of
stages with n_i terms is off by at most (sum n_i + one per bias) u times the chain of absolute values at |x|.
"""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import factored_files
import numpy as np
import pytest
import torch
from factored_files import FactoredFile, svd_pair
from torch import nn

import eckart
import eckart.torch
from eckart.torch import (
    Chain,
    DepthwiseSeparableConv,
    LowRankConv1d,
    LowRankConv2d,
    LowRankConv3d,
    LowRankEmbedding,
    LowRankLinear,
    Scale,
)

U32 = 2.0**-24
random = np.random.default_rng(20)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def terms(stage):
    """Products added up in one output of a stage."""
    if isinstance(stage, (Scale, nn.Embedding)):
        return 1
    if isinstance(stage, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return stage.weight.shape[0] // stage.groups * stage.weight[0, 0].numel()
    return stage.weight[0].numel()


def rounding_bound(chain, x):
    """See the top of the file."""
    absolute = copy.deepcopy(chain).double()
    with torch.no_grad():
        for value in absolute.parameters():
            value.abs_()
        y = absolute(x.abs().double() if x.is_floating_point() else x)
    return sum(terms(stage) + 1 for stage in chain) * U32 * y


def assert_within(measured, allowed, what=""):
    """Elementwise; prints the worst pair."""
    ratio = (measured / allowed.clamp_min(1e-300)).max().item()
    print(f"{what} worst {measured.max().item():.2e}, {ratio:.3f} of the bound")
    assert ratio <= 1


def assert_same_function(chain, dense64, x):
    """The chain in float32 computes what the dense layer in float64 does, to rounding."""
    with torch.no_grad():
        exact = dense64(x.double() if x.is_floating_point() else x)
        assert_within((chain(x).double() - exact).abs(), rounding_bound(chain, x))


def double_with(module, weight):
    """A float64 copy of a dense layer with another weight."""
    dense = copy.deepcopy(module).double()
    dense.weight.data = torch.as_tensor(np.ascontiguousarray(weight), dtype=torch.float64)
    return dense


def in_model(module):
    return nn.Sequential(nn.Identity(), copy.deepcopy(module))


def loaded(tmp_path, module, file, meta=True):
    """The chain of module "1" after loading `file` into a model that has `module` there."""
    path = file.write(tmp_path / "out")
    model = in_model(module)
    model = model.to("meta") if meta else model
    return eckart.torch.load(model, path)[1]


def bias_of(module):
    return None if module.bias is None else normal(*module.bias.shape)


def chain_file(module, kind, stages, **more):
    bias = bias_of(module) if getattr(module, "bias", None) is not None else None
    if bias is not None:
        module.bias.data = torch.from_numpy(bias)
    return FactoredFile().chain("1", kind, module.weight.shape, stages, bias, **more)


# ---- importing


def test_importing_eckart_imports_no_torch():
    code = "import sys, eckart; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'eckart.torch')))"
    environment = {**os.environ, "PYTHONPATH": str(factored_files.PACKAGE)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# ---- every kind of chain, from a file


@pytest.mark.parametrize("form", ["directory", "file", "shards"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(tmp_path, form, bias):
    module = nn.Linear(13, 9, bias=bias)
    first, last = normal(4, 13), normal(9, 4)
    file = chain_file(module, "linear", [(first, "linear", 1), (last, "linear", 1)])
    path = file.write(tmp_path / ("out.safetensors" if form == "file" else "out"), shards=2 if form == "shards" else 1)
    chain = eckart.torch.load(in_model(module).to("meta"), path)[1]
    assert type(chain) is LowRankLinear and chain.rank == 4 and chain.form == "compact"
    assert np.array_equal(chain.first.detach(), first) and np.array_equal(chain.last.detach(), last)
    assert_same_function(chain, double_with(module, last.astype(float) @ first), torch.from_numpy(normal(5, 13)))


def test_linear_with_a_scale_between_is_the_expanded_form(tmp_path):
    module = nn.Linear(13, 9)
    right, values, left = normal(4, 13), normal(4), normal(9, 4)
    file = chain_file(module, "linear", [(right, "linear", 1), (values, "scale", 1), (left, "linear", 1)])
    chain = loaded(tmp_path, module, file)
    assert type(chain) is LowRankLinear and chain.form == "expanded" and chain.V.shape == (13, 4)
    exact = (left.astype(float) * values) @ right
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 5, 13)))


def test_gpt2_conv1d(tmp_path):
    from transformers.pytorch_utils import Conv1D

    module = Conv1D(9, 13)
    first, last = normal(4, 13), normal(9, 4)
    file = chain_file(module, "conv1d_gpt2", [(first, "linear", 1), (last, "linear", 1)])
    chain = loaded(tmp_path, module, file)
    exact = (last.astype(float) @ first).T
    assert chain.weight.shape == (13, 9) and (chain.nx, chain.nf) == (13, 9)
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(5, 13)))


@pytest.mark.parametrize("kind_of_stages", ["svd", "scaled"])
def test_embedding(tmp_path, kind_of_stages):
    module = nn.Embedding(17, 8, padding_idx=2)
    table, values, last = normal(17, 3), normal(3), normal(8, 3)
    stages = [(table, "lookup", 1), (last, "linear", 1)]
    if kind_of_stages == "scaled":
        stages.insert(1, (values, "scale", 1))
    chain = loaded(tmp_path, module, chain_file(module, "embedding", stages))
    exact = (table.astype(float) * (values if kind_of_stages == "scaled" else 1)) @ last.T
    assert_same_function(chain, double_with(module, exact), torch.arange(17).reshape(1, 17))
    assert chain.padding_idx == chain[0].padding_idx == 2 and (chain.num_embeddings, chain.embedding_dim) == (17, 8)
    chain(torch.tensor([2, 5])).sum().backward()
    assert chain[0].weight.grad[2].abs().max() == 0 and chain[0].weight.grad[5].abs().max() > 0


def four_stages(inputs=6, outputs=7, ranks=(4, 5, 3), kernel=(3, 5)):
    """A tensor-train convolution, 1x1, Kx1, 1xK, 1x1, and its dense kernel by the definition, in float64."""
    a, b, c = ranks
    w = [normal(a, inputs, 1, 1), normal(b, a, kernel[0], 1), normal(c, b, 1, kernel[1]), normal(outputs, c, 1, 1)]
    exact = np.einsum("oc,cbx,bay,ai->oiyx", *(
        part.astype(float) for part in (w[3][:, :, 0, 0], w[2][:, :, 0], w[1][:, :, :, 0], w[0][:, :, 0, 0])
    ))
    return [(weight, "conv", 1) for weight in w], exact


@pytest.mark.parametrize("options", [
    {},
    {"stride": 2, "padding": (1, 2)},
    {"stride": (1, 3), "padding": (2, 0), "dilation": (2, 1)},
    {"padding": (1, 2), "padding_mode": "reflect"},
    {"padding": (2, 1), "padding_mode": "circular", "bias": False},
    {"padding": (1, 2), "padding_mode": "replicate", "stride": 2},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
], ids=str)
def test_four_stage_convolution(tmp_path, options):
    module = nn.Conv2d(6, 7, (3, 5), **options)
    stages, exact = four_stages()
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="tt"))
    assert type(chain) is Chain and len(chain) == 4 and chain.ranks == (4, 5, 3)
    assert [name for name, _ in chain.named_parameters()][:4] == [f"{i}.weight" for i in range(4)]
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 13, 14)))
    error = (chain.reconstruct_weight().double() - torch.from_numpy(exact)).abs()
    inner = torch.from_numpy(np.einsum("oc,cbx,bay,ai->oiyx", *(
        abs(part).astype(float) for part in (stages[3][0][:, :, 0, 0], stages[2][0][:, :, 0],
                                             stages[1][0][:, :, :, 0], stages[0][0][:, :, 0, 0]))))
    assert_within(error, (4 + 5 + 3 + 3) * U32 * inner, "weight:")


def test_cp_convolution_has_grouped_inner_stages(tmp_path):
    module = nn.Conv2d(6, 7, 3, stride=2, padding=1)
    w = [normal(5, 6, 1, 1), normal(5, 1, 3, 1), normal(5, 1, 1, 3), normal(7, 5, 1, 1)]
    exact = np.einsum("or,rx,ry,ri->oiyx", *(
        part.astype(float) for part in (w[3][:, :, 0, 0], w[2][:, 0, 0], w[1][:, 0, :, 0], w[0][:, :, 0, 0])
    ))
    stages = [(weight, "conv", groups) for weight, groups in zip(w, (1, 5, 5, 1))]
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="cp"))
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 9, 9)))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_channel_svd(tmp_path, dimensions):
    conv, low_rank = [(nn.Conv1d, LowRankConv1d), (nn.Conv2d, LowRankConv2d), (nn.Conv3d, LowRankConv3d)][dimensions - 1]
    module = conv(4, 6, 3, stride=2, padding=1)
    kernel = (3,) * dimensions
    first, last = normal(5, 4, *kernel), normal(6, 5, *(1,) * dimensions)
    file = chain_file(module, "conv", [(first, "conv", 1), (last, "conv", 1)])
    chain = loaded(tmp_path, module, file)
    assert type(chain) is low_rank and chain.rank == 5
    exact = (last.reshape(6, 5).astype(float) @ first.reshape(5, -1)).reshape(6, 4, *kernel)
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 4, *(7,) * dimensions)))


def test_grouped_convolution_stays_grouped(tmp_path):
    module = nn.Conv2d(6, 8, 3, groups=2, padding=1)
    first, last = normal(4, 3, 3, 3), normal(8, 2, 1, 1)  # two groups: 3 -> 2 -> 4 channels each
    exact = np.concatenate([
        (last[4 * g : 4 * g + 4].reshape(4, 2).astype(float) @ first[2 * g : 2 * g + 2].reshape(2, -1)).reshape(4, 3, 3, 3)
        for g in range(2)
    ])
    chain = loaded(tmp_path, module, chain_file(module, "conv", [(first, "conv", 2), (last, "conv", 2)]))
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 5, 5)))
    assert (chain.weight.double() - torch.from_numpy(exact)).abs().max() < 1e-5


@pytest.mark.parametrize("options", [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (3, 1), "dilation": (1, 2), "padding": (0, 1)},
], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution(tmp_path, options, groups):
    module = nn.ConvTranspose2d(6, 8, 3, groups=groups, **options)
    g, r = groups, 4
    before, middle, after = normal(r, 6 // g, 1, 1), normal(r, 4 // g, 3, 3), normal(8, 4 // g, 1, 1)
    exact = np.concatenate([
        np.einsum("ri,rsyx,os->ioyx", *(part.astype(float) for part in (
            before.reshape(g, r // g, 6 // g)[i], middle.reshape(g, r // g, 4 // g, 3, 3)[i],
            after.reshape(g, 8 // g, 4 // g)[i]))) for i in range(g)
    ])
    stages = [(before, "conv", g), (middle, "conv_transpose", g), (after, "conv", g)]
    file = chain_file(module, "conv_transpose", stages, method="tucker2", ranks=[4, 4])
    chain = loaded(tmp_path, module, file)
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 5, 5)))
    assert chain.weight.shape == module.weight.shape
    assert (chain.weight.double() - torch.from_numpy(exact)).abs().max() < 1e-4


def two_in_a_row():
    """Two kernels along the same dimensions, 3x3 and 3x3, reach 5x5."""
    first, last = normal(4, 3, 3, 3), normal(5, 4, 3, 3)
    exact = np.zeros((5, 3, 5, 5))
    for y in range(3):
        for x in range(3):
            exact[:, :, y : y + 3, x : x + 3] += np.einsum(
                "oc,ciyx->oiyx", last[:, :, y, x].astype(float), first.astype(float)
            )
    return [(first, "conv", 1), (last, "conv", 1)], exact


@pytest.mark.parametrize("options", [{"padding": 2}, {"padding": (1, 0), "padding_mode": "reflect"}], ids=str)
def test_two_kernels_along_one_dimension(tmp_path, options):
    module = nn.Conv2d(3, 5, 5, **options)
    stages, exact = two_in_a_row()
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="tt"))
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 3, 9, 9)))


@pytest.mark.parametrize("options", [{"stride": 2}, {"dilation": (1, 2)}], ids=str)
def test_what_two_kernels_cannot_share_is_refused(tmp_path, options):
    module = nn.Conv2d(3, 5, 5, **options)
    stages, _ = two_in_a_row()
    with pytest.raises(eckart.UnsupportedError, match=f"module '1' has {next(iter(options))}"):
        loaded(tmp_path, module, chain_file(module, "conv", stages, method="tt"))


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_uneven_same_padding(tmp_path, mode):
    module = nn.Conv2d(3, 5, (2, 4), padding="same", padding_mode=mode)
    w = normal(4, 3, 2, 1), normal(5, 4, 1, 4)
    exact = np.einsum("ocx,ciy->oiyx", w[1][:, :, 0].astype(float), w[0][:, :, :, 0].astype(float))
    file = chain_file(module, "conv", [(weight, "conv", 1) for weight in w], method="spatial")
    assert_same_function(loaded(tmp_path, module, file), double_with(module, exact), torch.from_numpy(normal(2, 3, 6, 6)))


@pytest.mark.parametrize("groups", [1, 3])
def test_depthwise_separable_from_a_file(tmp_path, groups):
    module = nn.Conv2d(6, 9, 3, stride=2, padding=1, groups=groups)
    made = DepthwiseSeparableConv.from_conv2d(module, 4)
    stages = [(stage.weight.detach().numpy(), "conv", stage.groups) for stage in made]
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="depthwise"))
    assert type(chain) is DepthwiseSeparableConv and chain.terms == 4 and chain.groups == groups
    x = torch.from_numpy(normal(2, 6, 7, 7))
    assert torch.equal(chain(x) - chain.bias[:, None, None], made(x) - made.bias[:, None, None]) or torch.allclose(
        chain(x) - chain.bias[:, None, None], made(x) - made.bias[:, None, None], atol=1e-5
    )


def test_stages_that_share_a_tensor_share_the_parameter(tmp_path):
    model = nn.ModuleDict({name: nn.Linear(13, 9, bias=False) for name in ("q", "k")})
    first, last = normal(4, 13), normal(9, 4)
    file = FactoredFile()
    for name in ("q", "k"):
        file.chain(name, "linear", (9, 13), [(first, "linear", 1), (last, "linear", 1)])
    file.modules["k"]["stages"][0]["weight"] = "q.0.weight"
    del file.tensors["k.0.weight"]
    eckart.torch.load(model, file.write(tmp_path / "out"))
    assert model["k"].first is model["q"].first and model["k"].last is not model["q"].last
    eckart.torch.save(model, tmp_path / "again")
    again = eckart.Checkpoint.open(tmp_path / "again")
    assert "k.0.weight" not in again.tensors
    assert again.manifest.modules["k"].stages[0].weight == "q.0.weight"


# ---- the rest of the model


def model_with_everything():
    """A tied pair, a buffer that is stored, one that is not, and a module used twice."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(11, 6)
            self.body = nn.Linear(6, 6)
            self.again = self.body
            self.norm = nn.BatchNorm1d(6)
            self.head = nn.Linear(6, 11, bias=False)
            self.head.weight = self.table.weight
            self.register_buffer("steps", torch.arange(5.0), persistent=False)

        def forward(self, ids):
            return self.head(self.norm(self.again(self.body(self.table(ids))))) + self.steps[0]

    return Model()


def everything_file(model):
    tensors = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    del tensors["head.weight"], tensors["again.weight"], tensors["again.bias"]
    file = FactoredFile(tensors)
    model.body.weight.data = torch.from_numpy(file.svd("body", "linear", 2))
    return file


@pytest.mark.parametrize("where", ["cpu", "meta", "parameters_on_meta"])
def test_tied_shared_and_buffers(tmp_path, where):
    reference = model_with_everything().eval()
    path = everything_file(reference).write(tmp_path / "out")
    if where == "parameters_on_meta":
        with eckart.torch.parameters_on_meta():
            model = model_with_everything().eval()
        assert all(value.is_meta for value in model.parameters()) and not model.steps.is_meta
    else:
        with torch.device(where):
            model = model_with_everything().eval()
        if where == "meta":
            with pytest.raises(eckart.MismatchError, match="'steps'"):
                eckart.torch.load(model, path)
            assert type(model.body) is nn.Linear
            model.steps = torch.arange(5.0)
    eckart.torch.load(model, path)
    assert model.again is model.body and isinstance(model.body, LowRankLinear)
    assert model.head.weight is model.table.weight
    ids = torch.arange(11)
    with torch.no_grad():
        difference = (model(ids) - reference(ids)).abs().max().item()
        allowed = 64 * U32 * reference(ids).abs().max().item() * 10
    print(f"difference {difference:.2e}, allowed {allowed:.2e}")
    assert difference <= allowed


def test_tied_weights_stored_twice(tmp_path):
    model = model_with_everything()
    file = everything_file(model)
    file.tensors["head.weight"] = file.tensors["table.weight"].copy()
    eckart.torch.load(model_with_everything(), file.write(tmp_path / "same"))
    file.tensors["head.weight"][3, 3] += 1
    with pytest.raises(eckart.MismatchError, match="'table.weight' and 'head.weight' are one parameter"):
        eckart.torch.load(model_with_everything(), file.write(tmp_path / "different"))


def small_model():
    return nn.Sequential(nn.Linear(13, 9), nn.ReLU(), nn.Linear(9, 5))


def small_file():
    torch.manual_seed(1)
    file = FactoredFile({name: value.numpy().copy() for name, value in small_model().state_dict().items()})
    file.svd("0", "linear", 4)
    return file


def test_missing_left_over_and_other_shapes_are_named_and_change_nothing(tmp_path):
    file = small_file()
    file.tensors["3.weight"] = normal(2)
    del file.tensors["2.bias"]
    path = file.write(tmp_path / "out")
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(eckart.MismatchError) as caught:
        eckart.torch.load(model, path)
    assert "missing: '2.bias'" in str(caught.value) and "left over: '3.weight'" in str(caught.value)
    assert type(model[0]) is nn.Linear
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    eckart.torch.load(model, path, strict=False)
    assert type(model[0]) is LowRankLinear and torch.equal(model[2].bias, before["2.bias"])
    file.tensors["2.weight"] = normal(5, 8)
    with pytest.raises(eckart.MismatchError, match=r"'2.weight' has shape \[5, 9\], tensor '2.weight' \[5, 8\]"):
        eckart.torch.load(small_model(), file.write(tmp_path / "other"), strict=False)


def test_the_dense_weight_beside_its_factors_is_left_over(tmp_path):
    file = small_file()
    file.tensors["0.weight"] = normal(9, 13)
    with pytest.raises(eckart.MismatchError, match="left over: '0.weight'"):
        eckart.torch.load(small_model(), file.write(tmp_path / "out"))


@pytest.mark.parametrize("change, message", [
    (lambda: nn.Conv1d(13, 9, 1), "module '0' is a Conv1d, the file has a Linear there"),
    (lambda: nn.Linear(13, 8), r"module '0' has a weight of shape \[8, 13\]"),
    (lambda: nn.Linear(13, 9, bias=False), "module '0' has no bias, the file has one there"),
    (lambda: nn.Bilinear(3, 3, 9), "module '0' is a Bilinear"),
    (lambda: type("Odd", (nn.Linear,), {"forward": lambda self, x: x})(13, 9), "module '0' is a Odd, which does more"),
], ids=range(5))
def test_a_module_that_is_not_the_dense_layer(tmp_path, change, message):
    path = small_file().write(tmp_path / "out")
    model = small_model()
    model[0] = change()
    with pytest.raises(eckart.Error, match=message):
        eckart.torch.load(model, path)


def test_a_module_that_is_not_there(tmp_path):
    path = small_file().write(tmp_path / "out")
    with pytest.raises(eckart.MismatchError, match="no module '0'"):
        eckart.torch.load(nn.ModuleDict({"2": nn.Linear(9, 5)}), path)


def test_groups_of_the_module_and_of_the_file(tmp_path):
    module = nn.Conv2d(8, 6, 3)
    file = chain_file(nn.Conv2d(4, 6, 3), "conv", [(normal(4, 4, 3, 3), "conv", 1), (normal(6, 4, 1, 1), "conv", 1)])
    module.weight.data = module.weight.data[:, :4]  # as of 8 channels in 2 groups
    module.groups = 2
    with pytest.raises(eckart.MismatchError, match="module '1' has 2 groups and 8 channels, .* imply 1 groups"):
        loaded(tmp_path, module, file)


def test_an_embedding_that_is_not_linear(tmp_path):
    module = nn.Embedding(17, 8, max_norm=1.0)
    file = chain_file(module, "embedding", [(normal(17, 3), "lookup", 1), (normal(8, 3), "linear", 1)])
    with pytest.raises(eckart.UnsupportedError, match="module '1' has max_norm"):
        loaded(tmp_path, module, file)


def test_dtype_device_mode_and_freezing(tmp_path):
    path = small_file().write(tmp_path / "out")
    model = small_model().eval().requires_grad_(False)
    model[2].double()
    eckart.torch.load(model, path)
    assert {value.dtype for value in model.parameters()} == {torch.float32}  # as stored
    assert not model[0].training and not any(value.requires_grad for value in model.parameters())
    model = eckart.torch.load(small_model(), path, dtype=torch.bfloat16, device="cpu")
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert all(value.requires_grad for value in model.parameters())


def test_the_file_may_change_afterwards(tmp_path):
    path = small_file().write(tmp_path / "out.safetensors")
    model = eckart.torch.load(small_model(), path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with open(path, "r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_whole_module_that_is_one_layer(tmp_path):
    first, last = normal(4, 13), normal(9, 4)
    file = FactoredFile().chain("x", "linear", (9, 13), [(first, "linear", 1), (last, "linear", 1)], normal(9))
    text = json.dumps(file.manifest()).replace('"x"', '""').replace('"x.', '"')
    file.tensors = {name.removeprefix("x."): value for name, value in file.tensors.items()}
    chain = eckart.torch.load(nn.Linear(13, 9), file.write(tmp_path / "out", text))
    assert type(chain) is LowRankLinear and np.array_equal(chain.first.detach(), first)
    eckart.torch.save(chain, tmp_path / "again")
    again = eckart.torch.load(nn.Linear(13, 9), tmp_path / "again")
    assert torch.equal(again.last, chain.last)


@pytest.mark.parametrize("factors, rest", [("bfloat16", "float32"), ("float32", "bfloat16"), ("float16", "float64")])
def test_factors_of_another_type(factors, rest):
    """Computed in the wider type, given back in the type of the input."""
    chain = LowRankLinear(13, 9, 4, dtype=getattr(torch, factors))
    x = torch.randn(5, 13, dtype=getattr(torch, rest))
    wide = torch.promote_types(getattr(torch, factors), getattr(torch, rest))
    y = chain(x)
    assert y.dtype == x.dtype
    inner = nn.functional.linear(x.to(wide), chain.first.to(wide)).to(x.dtype)
    assert torch.equal(y, nn.functional.linear(inner.to(wide), chain.last.to(wide), chain.bias.to(wide)).to(x.dtype))
    y.sum().backward()
    assert chain.first.grad.dtype == chain.first.dtype


def test_an_embedding_stored_narrower_gives_the_type_of_its_table(tmp_path):
    module = nn.Embedding(17, 8)
    table, last = normal(17, 3).astype(np.float16), normal(8, 3).astype(np.float16)
    chain = loaded(tmp_path, module, chain_file(module, "embedding", [(table, "lookup", 1), (last, "linear", 1)]))
    assert chain.first.dtype == torch.float16 and chain(torch.tensor([1])).dtype == torch.float32
    assert chain.double()(torch.tensor([1])).dtype == torch.float64


# ---- files that are not what they say


def edit(path, value):
    """A change of one place in the manifest, as a function on it."""

    def change(manifest):
        *way, key = path
        for step in way:
            manifest = manifest[step]
        if value is KeyError:
            del manifest[key]
        else:
            manifest[key] = value

    return change


M, STAGES = ("modules", "0"), ("modules", "0", "stages")
BROKEN = [
    (edit(("format",), "safetensors"), "not a manifest of ours"),
    (edit(("version",), 2), "version 2: this package reads 1"),
    (edit(("version",), "1"), "version '1': not an integer"),
    (edit(("version",), True), "version True"),
    (edit(("modules",), []), "modules of .* is list, not an object"),
    (edit((*M, "method"), "magic"), "method of module '0' is 'magic'"),
    (edit((*M, "kind"), "lstm"), "kind of module '0' is 'lstm'"),
    (edit((*M, "kind"), KeyError), "kind of module '0' is None"),
    (edit((*M, "dtype"), "Q4"), "dtype of module '0' is 'Q4'"),
    (edit((*M, "shape"), [9, 13, 1]), r"shape of module '0' is \[9, 13, 1\]: a linear has 2"),
    (edit((*M, "shape"), [9, -13]), "shape of module '0'"),
    (edit((*M, "shape"), [9, 2**63]), "shape of module '0'"),
    (edit((*M, "shape"), [9, 13.0]), "shape of module '0'"),
    (edit((*M, "shape"), [9, 14]), r"tensor '0.0.weight' has shape \[4, 13\]: it takes 13 channels, .* takes 14"),
    (edit((*M, "shape"), [8, 13]), r"tensor '0.1.weight' has shape \[9, 4\]: it gives 9 channels, .* gives 8"),
    (edit((*M, "ranks"), [3]), r"tensor '0.0.weight' .* rank 3 is listed"),
    (edit((*M, "ranks"), [4, 4]), "module '0' lists 2 ranks, its stages have 1"),
    (edit((*M, "ranks"), [0]), "ranks of module '0'"),
    (edit((*M, "stages"), []), "stages of module '0' is not a list of 1 to 8"),
    (edit((*M, "stages"), [{"weight": "0.0.weight", "kind": "linear"}] * 9), "stages of module '0'"),
    (edit((*STAGES, 0, "kind"), "fft"), "kind of stage 0 of module '0' is 'fft'"),
    (edit((*STAGES, 0, "kind"), "lookup"), "stage '0.0.weight' is a lookup in module '0' of kind linear"),
    (edit((*STAGES, 0, "kind"), "scale"), "tensor '0.0.weight' has shape .* a scale stage has 1 dimensions"),
    (edit((*STAGES, 0, "groups"), 0), "groups of stage 0 of module '0' is 0"),
    (edit((*STAGES, 0, "groups"), 2), "groups of stage 0 of module '0' is 2: a linear stage has one"),
    (edit((*STAGES, 0, "weight"), "0.9.weight"), "names tensor '0.9.weight', which is not in the file"),
    (edit((*STAGES, 0, "weight"), "2.weight"), r"tensor '0.1.weight' .* the stage before it gives 5"),
    (edit((*STAGES, 0, "weight"), ""), "weight of stage 0 of module '0' is ''"),
    (edit((*STAGES, 0, "weight"), "a\nb"), "not a name"),
    (edit((*M, "bias"), "0.1.bios"), "names tensor '0.1.bios', which is not in the file"),
    (edit((*M, "bias"), "2.bias"), r"tensor '2.bias' has shape \[5\], the bias of module '0' has \[9\]"),
    (edit((*M, "error"), -0.5), "error of module '0' is -0.5"),
    (edit((*M, "error"), "small"), "error of module '0' is 'small'"),
    (edit((*M, "certificate"), 3), "certificate of module '0'"),
    (edit((*M, "tied_to"), "nobody"), "module '0' is tied to 'nobody'"),
]


@pytest.mark.parametrize("form", ["out", "out.safetensors"])
@pytest.mark.parametrize("change, message", BROKEN, ids=range(len(BROKEN)))
def test_broken_manifest(tmp_path, change, message, form):
    file = small_file()
    manifest = file.manifest()
    change(manifest)
    model = small_model()
    with pytest.raises(eckart.Error, match=message):
        eckart.torch.load(model, file.write(tmp_path / form, manifest))
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("text, message", [
    ("{", "is not JSON"),
    ("[" * 200_000, "nested too deep|is not JSON"),
    ('{"format":"eckart-factored","format":"eckart-factored"}', "lists 'format' twice"),
    ('{"format":"eckart-factored","version":1,"modules":{"0":{},"0":{}}}', "lists '0' twice"),
    ('{"format":"eckart-factored","version":1,"modules":{},"x":NaN}', "NaN"),
    ("[]", "is list, not an object"),
    ("\ufeff{}", "is not JSON"),
], ids=range(7))
def test_broken_text(tmp_path, text, message):
    with pytest.raises(eckart.FormatError, match=message):
        eckart.torch.load(small_model(), small_file().write(tmp_path / "out", text))


def test_broken_convolutions(tmp_path):
    module = nn.Conv2d(6, 7, (3, 5))
    stages, _ = four_stages()
    file = chain_file(module, "conv", stages, method="tt")
    file.modules["1"]["shape"] = [7, 6, 3, 3]
    with pytest.raises(eckart.ShapeError, match="reach 5 points in dimension 1, module '1' .* reaches 3"):
        loaded(tmp_path, module, file)
    mixing = [(normal(4, 3, 3, 3), "conv", 2), (normal(8, 4, 1, 1), "conv", 1)]
    with pytest.raises(eckart.ShapeError, match="stage '1.1.weight' has 1 groups, .* has 2: groups would mix"):
        loaded(tmp_path, nn.Conv2d(6, 8, 3, groups=2), chain_file(nn.Conv2d(6, 8, 3, groups=2), "conv", mixing))
    wide = [(normal(4, 6, 3, 3), "conv", 1), (normal(4, 8, 1, 1), "conv_transpose", 1)]
    module = nn.ConvTranspose2d(6, 8, 3)
    with pytest.raises(eckart.UnsupportedError, match="only 1x1 can stand there"):
        loaded(tmp_path, module, chain_file(module, "conv_transpose", wide))


def test_files_that_are_not_there_or_not_ours(tmp_path):
    model = small_model()
    with pytest.raises(FileNotFoundError):
        eckart.torch.load(model, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(eckart.FormatError, match="eckart.json"):
        eckart.torch.load(model, tmp_path / "empty")
    path = small_file().write(tmp_path / "out")
    (path / "eckart.safetensors").rename(tmp_path / "plain.safetensors")
    with pytest.raises(eckart.FormatError, match="neither"):
        eckart.torch.load(model, path)
    with pytest.raises(eckart.FormatError, match="carries no manifest"):
        eckart.torch.load(model, tmp_path / "plain.safetensors")
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "plain.safetensors").read_bytes()[:-1])
    with pytest.raises(eckart.FormatError, match="short.safetensors"):
        eckart.torch.load(model, tmp_path / "short.safetensors")


@pytest.mark.parametrize("change, message", [
    (lambda path, index: index["weight_map"].update({"2.bias": "../out.safetensors"}), "not a plain file name"),
    (lambda path, index: index["weight_map"].update({"2.bias": ".hidden.safetensors"}), "not a plain file name"),
    (lambda path, index: index["weight_map"].update({"2.bios": "eckart-00001-of-00002.safetensors"}), "'2.bios' is not in"),
    (lambda path, index: index["weight_map"].pop("2.bias"), "'2.bias' is in .* the index has it in None"),
    (lambda path, index: index.pop("weight_map"), "no weight_map"),
    (lambda path, index: (path / "eckart-00002-of-00002.safetensors").unlink(), "no such file|eckart-00002"),
    (lambda path, index: (path / "eckart.safetensors").write_bytes(b""), "holds both"),
], ids=range(7))
def test_broken_shards(tmp_path, change, message):
    path = small_file().write(tmp_path / "out", shards=2)
    index_file = path / "eckart.safetensors.index.json"
    index = json.loads(index_file.read_text())
    change(path, index)
    index_file.write_text(json.dumps(index))
    with pytest.raises((eckart.FormatError, FileNotFoundError), match=message):
        eckart.torch.load(small_model(), path)


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
        # both factors rounded, (rank + 3) u |U| S |V^T| entry by entry; sqrt(rank) bounds || |U| S |V^T| || / ||W||
        allowed = np.hypot(tail, (rank + 3) * U32 * np.sqrt(rank) * np.linalg.norm(values)) * (1 + 1e-6)
        print(f"rank {rank}: error {measured:.3e}, allowed {allowed:.3e}")
        assert measured <= allowed
        assert layer.compression_ratio == weight.numel() / (rank * (sum(shape) + (form == "expanded")))
    if form == "expanded":
        exact = torch.from_numpy(values[: layer.rank])
        assert ((layer.S.double() - exact).abs() <= U32 * exact + 1e-12).all()
        product = layer.U @ torch.diag(layer.S) @ layer.V.T
        assert torch.allclose(product, layer.reconstruct_weight(), atol=1e-5)


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
    for wrong in ({}, {"rank": 3, "error": 0.1}, {"rank": 0}, {"rank": 41}, {"energy": 0.0}, {"energy": 1.5}, {"error": 1.0}):
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


@pytest.mark.parametrize("make, variance", [
    (lambda: LowRankLinear(300, 200, 50), 1 / 900),
    (lambda: LowRankLinear(300, 200, 50, form="expanded"), 1 / 900),
    (lambda: LowRankConv2d(30, 40, 3, 24), 1 / 810),
    (lambda: LowRankConv2d(30, 40, 3, 24, groups=2), 1 / 405),
    (lambda: LowRankConv1d(30, 40, 5, 24), 1 / 450),
    (lambda: LowRankConv3d(10, 20, 3, 12), 1 / 810),
    (lambda: DepthwiseSeparableConv(30, 40, 3, terms=4), 1 / 810),
    (lambda: DepthwiseSeparableConv(30, 40, 3, terms=4, groups=5), 1 / 162),
    (lambda: LowRankEmbedding(400, 60, 30), 1.0),
], ids=range(9))
def test_products_start_with_the_variance_of_torch(make, variance):
    """The variance of nn's own initialisation, by the definition and by torch's own layer. A sample variance of a
    product strays mostly by its factors: each has at least 90 independent entries behind any entry's row or column,
    and the mean over 40 draws of a relative deviation below 1 strays by less than 5 / sqrt(40 * 90) = 0.083."""
    torch.manual_seed(4)
    measured = np.mean([make().reconstruct_weight().var(unbiased=False).item() for _ in range(40)])
    print(f"variance {measured / variance:.4f} of torch's, 1 +- 0.083 allowed")
    assert abs(measured / variance - 1) <= 0.083
    assert make().bias is None or make().bias.abs().max() <= np.sqrt(3 * variance)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"groups": 2, "padding": "same"},
                                     {"dilation": 2, "padding": 3, "padding_mode": "reflect", "bias": False}], ids=str)
def test_convolutions_from_a_layer(options):
    torch.manual_seed(5)
    conv = nn.Conv2d(6, 8, 3, **options)
    x = torch.randn(2, 6, 9, 9)
    exact = copy.deepcopy(conv).double()
    for layer in (LowRankConv2d.from_conv2d(conv, rank=8), DepthwiseSeparableConv.from_conv2d(conv, 9),
                  LowRankConv2d.from_conv2d(conv, error=0.0)):
        with torch.no_grad():
            # the factors' own rounding, one per factor, is no more than that of two further products
            assert_within((layer(x).double() - exact(x.double())).abs(), 2 * rounding_bound(layer, x))
        assert torch.allclose(layer.weight, conv.weight, atol=1e-5)
    matrix = conv.weight.reshape(conv.groups, 8 // conv.groups, -1)
    values = np.concatenate([singular_values(block) for block in matrix])
    half = LowRankConv2d.from_conv2d(conv, rank=4)
    tails = np.concatenate([singular_values(block)[4 // conv.groups :] for block in matrix])
    measured = (half.reconstruct_weight() - conv.weight).norm().item()
    assert abs(measured - np.linalg.norm(tails)) <= 20 * U32 * np.linalg.norm(values)


def test_depthwise_terms_are_the_best_of_each_channel():
    torch.manual_seed(6)
    conv = nn.Conv2d(5, 7, 3)
    for terms_ in (1, 3, 9):
        layer = DepthwiseSeparableConv.from_conv2d(conv, terms_)
        tails = [singular_values(conv.weight[:, i].reshape(7, 9))[terms_:] for i in range(5)]
        wanted = np.linalg.norm(np.concatenate(tails))
        measured = (layer.reconstruct_weight() - conv.weight).norm().item()
        assert abs(measured - wanted) <= 20 * U32 * conv.weight.norm().item()
    assert DepthwiseSeparableConv(5, 7, 3, terms=2)[0].groups == 5
    with pytest.raises(eckart.RangeError):
        DepthwiseSeparableConv(5, 7, 3, terms=10)


def test_embedding_from_a_layer():
    torch.manual_seed(7)
    table = nn.Embedding(20, 6, padding_idx=0)
    layer = LowRankEmbedding.from_embedding(table, rank=6)
    assert torch.allclose(layer(torch.arange(20)), table(torch.arange(20)), atol=1e-5)
    assert layer.padding_idx == 0 and layer.compression_ratio == 120 / (6 * 26)
    half = LowRankEmbedding.from_embedding(table, rank=3)
    wanted = np.linalg.norm(singular_values(table.weight)[3:])
    assert abs((half.reconstruct_weight() - table.weight).norm().item() - wanted) <= 20 * U32 * table.weight.norm().item()


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
    nn.functional.mse_loss(nn.functional.linear(x, layer.weight), target).backward()
    through_weight = [value.grad.clone() for value in layer.parameters()]
    layer.zero_grad()
    nn.functional.mse_loss(layer(x), target).backward()
    for one, other in zip(through_weight, (value.grad for value in layer.parameters())):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert not layer.weight.requires_grad


def test_parents_that_read_the_weight():
    """nn.MultiheadAttention and nn.TransformerEncoderLayer never call their layers, they take the weights."""
    torch.manual_seed(9)
    for parent, names in ((nn.MultiheadAttention(16, 2, batch_first=True), ["out_proj"]),
                          (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), ["linear1", "linear2"])):
        for training in (True, False):
            dense = copy.deepcopy(parent).train(training)
            for module in dense.modules():
                if isinstance(module, (nn.Dropout, nn.MultiheadAttention)):
                    setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0.0)
            ours = copy.deepcopy(dense)
            for name in names:
                setattr(ours, name, LowRankLinear.from_linear(getattr(ours, name), rank=16).train(training))
            x = torch.randn(2, 5, 16)
            args = (x, x, x) if isinstance(parent, nn.MultiheadAttention) else (x,)
            one, other = ours(*args), dense(*args)
            if isinstance(one, tuple):
                one, other = one[0], other[0]
            assert torch.allclose(one, other, atol=1e-5)


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
        eckart.torch.save(small_model(), tmp_path / "out")
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


# ---- what the command writes


def command():
    """The `eckart` command: $ECKART_COMMAND, or the one in build/; None before it is built."""
    path = os.environ.get("ECKART_COMMAND") or str(factored_files.ROOT / "build" / "eckart")
    return path if Path(path).exists() else None


if command() is not None:

    def test_what_the_command_compresses_loads(tmp_path):
        from safetensors.torch import load_file, save_file

        torch.manual_seed(13)
        dense = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.Flatten(), nn.Linear(16 * 16, 64), nn.Linear(64, 10))
        save_file(dense.state_dict(), tmp_path / "in.safetensors", {"format": "pt"})
        options = ["--rank", "5", "--min-size", "512"]
        for step in (["compress", "in.safetensors", "-o", "out.safetensors", *options],
                     ["restore", "out.safetensors", "-o", "restored.safetensors"]):
            result = subprocess.run([command(), *step], cwd=tmp_path, capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
        model = eckart.torch.load(copy.deepcopy(dense).to("meta"), tmp_path / "out.safetensors")
        assert [isinstance(module, Chain) for module in model] == [True, False, True, True]
        restored = load_file(tmp_path / "restored.safetensors")
        for index in (0, 2, 3):
            first, last = model[index].first, model[index].last
            bound = (last.abs().reshape(last.shape[0], -1) @ first.abs().reshape(first.shape[0], -1)).double()
            error = (model[index].reconstruct_weight() - restored[f"{index}.weight"]).abs().double()
            assert_within(error.reshape(bound.shape), (5 + 2) * U32 * bound, f"layer {index}:")
        eckart.torch.save(model, tmp_path / "again.safetensors")
        result = subprocess.run(
            [command(), "verify", "in.safetensors", "again.safetensors"], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
