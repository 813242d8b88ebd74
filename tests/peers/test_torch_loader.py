"""`eckart.torch.load` against torch itself: chains from files made with numpy against dense layers, and every way a
file and a module can fail to fit."""

import copy
import json
import os
import subprocess
import sys

import eckart
import eckart.torch
import factored_files
import numpy as np
import pytest
import torch
from eckart.torch import Chain, DepthwiseSeparableConv, LowRankConv1d, LowRankConv2d, LowRankConv3d, LowRankLinear
from eckart_command import eckart_command
from factored_files import FactoredFile
from rounding import U32, assert_rounded, assert_within, perturbation_bound, rounding_bound
from safetensors.torch import load_file, save_file
from torch import nn

random = np.random.default_rng(20)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


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
    code = (
        "import sys, eckart; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'eckart.torch')))"
    )
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
    exact = np.einsum(
        "oc,cbx,bay,ai->oiyx",
        *(part.astype(float) for part in (w[3][:, :, 0, 0], w[2][:, :, 0], w[1][:, :, :, 0], w[0][:, :, 0, 0])),
    )
    return [(weight, "conv", 1) for weight in w], exact


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": (1, 2)},
        {"stride": (1, 3), "padding": (2, 0), "dilation": (2, 1)},
        {"padding": (1, 2), "padding_mode": "reflect"},
        {"padding": (2, 1), "padding_mode": "circular", "bias": False},
        {"padding": (1, 2), "padding_mode": "replicate", "stride": 2},
        {"padding": "same", "dilation": 2},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_four_stage_convolution(tmp_path, options):
    module = nn.Conv2d(6, 7, (3, 5), **options)
    stages, exact = four_stages()
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="tt"))
    assert type(chain) is Chain and len(chain) == 4 and chain.ranks == (4, 5, 3)
    assert [name for name, _ in chain.named_parameters()][:4] == [f"{i}.weight" for i in range(4)]
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 13, 14)))
    error = (chain.reconstruct_weight().double() - torch.from_numpy(exact)).abs()
    inner = torch.from_numpy(
        np.einsum(
            "oc,cbx,bay,ai->oiyx",
            *(
                abs(part).astype(float)
                for part in (
                    stages[3][0][:, :, 0, 0],
                    stages[2][0][:, :, 0],
                    stages[1][0][:, :, :, 0],
                    stages[0][0][:, :, 0, 0],
                )
            ),
        )
    )
    # 15 independent roundings an entry; the sum of absolute values is 6 times the root of the sum of squares and more
    assert_within(error, np.sqrt(4 + 5 + 3 + 3) * U32 * inner, "weight:")


def test_cp_convolution_has_grouped_inner_stages(tmp_path):
    module = nn.Conv2d(6, 7, 3, stride=2, padding=1)
    w = [normal(5, 6, 1, 1), normal(5, 1, 3, 1), normal(5, 1, 1, 3), normal(7, 5, 1, 1)]
    exact = np.einsum(
        "or,rx,ry,ri->oiyx",
        *(part.astype(float) for part in (w[3][:, :, 0, 0], w[2][:, 0, 0], w[1][:, 0, :, 0], w[0][:, :, 0, 0])),
    )
    stages = [(weight, "conv", groups) for weight, groups in zip(w, (1, 5, 5, 1))]
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="cp"))
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 9, 9)))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_channel_svd(tmp_path, dimensions):
    conv, low_rank = [(nn.Conv1d, LowRankConv1d), (nn.Conv2d, LowRankConv2d), (nn.Conv3d, LowRankConv3d)][
        dimensions - 1
    ]
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
    exact = np.concatenate(
        [
            (last[4 * g : 4 * g + 4].reshape(4, 2).astype(float) @ first[2 * g : 2 * g + 2].reshape(2, -1)).reshape(
                4, 3, 3, 3
            )
            for g in range(2)
        ]
    )
    chain = loaded(tmp_path, module, chain_file(module, "conv", [(first, "conv", 2), (last, "conv", 2)]))
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 5, 5)))
    assert_rounded(chain.weight, exact, 2 + 3)


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": (3, 1), "dilation": (1, 2), "padding": (0, 1)}],
    ids=str,
)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution(tmp_path, options, groups):
    module = nn.ConvTranspose2d(6, 8, 3, groups=groups, **options)
    g, r = groups, 4
    before, middle, after = (normal(r, 6 // g, 1, 1), normal(r, 4 // g, 3, 3), normal(8, 4 // g, 1, 1))
    exact = np.concatenate(
        [
            np.einsum(
                "ri,rsyx,os->ioyx",
                *(
                    part.astype(float)
                    for part in (
                        before.reshape(g, r // g, 6 // g)[i],
                        middle.reshape(g, r // g, 4 // g, 3, 3)[i],
                        after.reshape(g, 8 // g, 4 // g)[i],
                    )
                ),
            )
            for i in range(g)
        ]
    )
    stages = [(before, "conv", g), (middle, "conv_transpose", g), (after, "conv", g)]
    file = chain_file(module, "conv_transpose", stages, method="tucker2", ranks=[4, 4])
    chain = loaded(tmp_path, module, file)
    assert_same_function(chain, double_with(module, exact), torch.from_numpy(normal(2, 6, 5, 5)))
    assert chain.weight.shape == module.weight.shape
    assert_rounded(chain.weight, exact, 4 + 4 + 3)


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
    assert_same_function(
        loaded(tmp_path, module, file), double_with(module, exact), torch.from_numpy(normal(2, 3, 6, 6))
    )


@pytest.mark.parametrize("groups", [1, 3])
def test_depthwise_separable_from_a_file(tmp_path, groups):
    module = nn.Conv2d(6, 9, 3, stride=2, padding=1, groups=groups)
    made = DepthwiseSeparableConv.from_conv2d(module, 4)
    stages = [(stage.weight.detach().numpy(), "conv", stage.groups) for stage in made]
    chain = loaded(tmp_path, module, chain_file(module, "conv", stages, method="depthwise"))
    assert type(chain) is DepthwiseSeparableConv and chain.terms == 4 and chain.groups == groups
    made[1].bias.data = module.bias.data
    x = torch.from_numpy(normal(2, 6, 7, 7))
    assert torch.equal(chain(x), made(x))


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
    allowed = perturbation_bound(reference, lambda model: model(ids))
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


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda: nn.Conv1d(13, 9, 1), "module '0' is a Conv1d, the file has a Linear there"),
        (lambda: nn.Linear(13, 8), r"module '0' has a weight of shape \[8, 13\]"),
        (lambda: nn.Linear(13, 9, bias=False), "module '0' has no bias, the file has one there"),
        (lambda: nn.Bilinear(3, 3, 9), "module '0' is a Bilinear"),
        (
            lambda: type("Odd", (nn.Linear,), {"forward": lambda self, x: x})(13, 9),
            "module '0' is a Odd, which does more",
        ),
    ],
    ids=range(5),
)
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
    exact = table.astype(np.float64) @ last.T.astype(np.float64)
    assert_rounded(chain(torch.arange(17)), exact, 2 * 3)  # in float32, not in the type of the factors
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


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "is not JSON"),
        ("[" * 200_000, "nested too deep|is not JSON"),
        ('{"format":"eckart-factored","format":"eckart-factored"}', "lists 'format' twice"),
        ('{"format":"eckart-factored","version":1,"modules":{"0":{},"0":{}}}', "lists '0' twice"),
        ('{"format":"eckart-factored","version":1,"modules":{},"x":NaN}', "NaN"),
        ("[]", "is list, not an object"),
        ("\ufeff{}", "is not JSON"),
    ],
    ids=range(7),
)
def test_broken_text(tmp_path, text, message):
    with pytest.raises(eckart.FormatError, match=message):
        eckart.torch.load(small_model(), small_file().write(tmp_path / "out", text))


@pytest.mark.parametrize("kind", ["linear", "scaled", "embedding", "conv"])
def test_stages_without_a_kind_have_the_one_their_shape_suggests(tmp_path, kind):
    module = {"embedding": nn.Embedding(17, 8), "conv": nn.Conv2d(6, 7, (3, 5))}.get(kind, nn.Linear(13, 9))
    stages = {
        "linear": [(normal(4, 13), "linear", 1), (normal(9, 4), "linear", 1)],
        "scaled": [(normal(4, 13), "linear", 1), (normal(4), "scale", 1), (normal(9, 4), "linear", 1)],
        "embedding": [(normal(17, 3), "lookup", 1), (normal(8, 3), "linear", 1)],
        "conv": four_stages()[0],
    }[kind]
    file = chain_file(module, "linear" if kind == "scaled" else kind, stages)
    for stage in file.modules["1"]["stages"]:
        del stage["kind"]
    checkpoint = eckart.Checkpoint.open(file.write(tmp_path / "out"))
    assert [stage.kind for stage in checkpoint.manifest.modules["1"].stages] == [stage[1] for stage in stages]


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


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda path, index: index["weight_map"].update({"2.bias": "../out.safetensors"}), "not a plain file name"),
        (lambda path, index: index["weight_map"].update({"2.bias": ".hidden.safetensors"}), "not a plain file name"),
        (
            lambda path, index: index["weight_map"].update({"2.bios": "eckart-00001-of-00002.safetensors"}),
            "'2.bios' is not in",
        ),
        (lambda path, index: index["weight_map"].pop("2.bias"), "'2.bias' is in .* the index has it in None"),
        (lambda path, index: index.pop("weight_map"), "no weight_map"),
        (lambda path, index: (path / "eckart-00002-of-00002.safetensors").unlink(), "no such file|eckart-00002"),
        (lambda path, index: (path / "eckart.safetensors").write_bytes(b""), "holds both"),
    ],
    ids=range(7),
)
def test_broken_shards(tmp_path, change, message):
    path = small_file().write(tmp_path / "out", shards=2)
    index_file = path / "eckart.safetensors.index.json"
    index = json.loads(index_file.read_text())
    change(path, index)
    index_file.write_text(json.dumps(index))
    with pytest.raises((eckart.FormatError, FileNotFoundError), match=message):
        eckart.torch.load(small_model(), path)


# ---- what the command writes, and what it reads


def test_what_the_command_compresses_loads(tmp_path):
    torch.manual_seed(13)
    dense = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.Flatten(), nn.Linear(16 * 16, 64), nn.Linear(64, 10))
    save_file(dense.state_dict(), tmp_path / "in.safetensors", {"format": "pt"})
    eckart_command(tmp_path, "compress", "in.safetensors", "-o", "out.safetensors", "--rank", 5, "--min-size", 512)
    eckart_command(tmp_path, "restore", "out.safetensors", "-o", "restored.safetensors")
    model = eckart.torch.load(copy.deepcopy(dense).to("meta"), tmp_path / "out.safetensors")
    assert [isinstance(module, Chain) for module in model] == [True, False, True, True]
    restored = load_file(tmp_path / "restored.safetensors")
    for index in (0, 2, 3):
        assert model[index].rank == 5
        assert_rounded(model[index].reconstruct_weight(), restored[f"{index}.weight"], 5 + 3)
    eckart.torch.save(model, tmp_path / "again.safetensors")
    eckart_command(tmp_path, "verify", "in.safetensors", "again.safetensors")


def test_the_command_reads_what_python_made(tmp_path):
    torch.manual_seed(14)
    dense = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(64, 48), nn.Linear(48, 10))
    model = nn.Sequential(
        LowRankConv2d.from_conv2d(dense[0], rank=6),
        dense[1],
        LowRankLinear.from_linear(dense[2], rank=7),
        LowRankLinear.from_linear(dense[3], rank=3, form="expanded"),
    )
    eckart.torch.save(model, tmp_path / "made.safetensors")
    save_file(dense.state_dict(), tmp_path / "dense.safetensors", {"format": "pt"})
    assert "svd" in eckart_command(tmp_path, "inspect", "made.safetensors")
    verdict = json.loads(eckart_command(tmp_path, "verify", "--json", "dense.safetensors", "made.safetensors"))
    for layer in verdict["layers"]:  # nothing is promised, the error is computed all the same
        weight = dense[int(layer["name"])].weight.detach()
        error = (model[int(layer["name"])].reconstruct_weight() - weight).double().norm() / weight.double().norm()
        assert layer["promised"] is None and abs(layer["error"] - error.item()) <= np.sqrt(8 + 3) * U32
    eckart_command(tmp_path, "restore", "made.safetensors", "-o", "restored.safetensors")
    restored = load_file(tmp_path / "restored.safetensors")
    assert sorted(restored) == sorted(dense.state_dict())
    for index in (0, 2, 3):
        assert_rounded(model[index].reconstruct_weight(), restored[f"{index}.weight"], 8 + 3)
        assert torch.equal(model[index].bias, restored[f"{index}.bias"])


def test_the_command_and_python_agree_on_four_stages(tmp_path):
    module = nn.Conv2d(6, 7, (3, 5))
    stages, exact = four_stages()
    file = chain_file(module, "conv", stages)
    file.write(tmp_path / "four.safetensors")
    eckart_command(tmp_path, "restore", "four.safetensors", "-o", "restored.safetensors")
    restored = load_file(tmp_path / "restored.safetensors")["1.weight"]
    assert_rounded(restored, exact, 1)
    chain = eckart.torch.load(in_model(module), tmp_path / "four.safetensors")[1]
    assert_rounded(chain.weight, restored, 4 + 5 + 3 + 3)
