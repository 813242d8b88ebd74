"""Adapters between PEFT and the `eckart lora` command: what PEFT writes is read, merged, resized and extracted to the
same numbers; what eckart writes PEFT loads, and computes the same with it.

Bounds: eckart merges in float64 and rounds once, PEFT in float32. A weight of PEFT's may be off by the r products of
its dot (unit roundoff u = 2^-24 each) and one addition: (r + 2) u (|W| + |s| sum |B||A|), well below 1e-5 for the
sizes here; 1e-5 relative to the largest number is what is promised and what is asked."""

import json
import os
import subprocess
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import pytest
import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel, BertConfig, BertModel, GPT2Config, GPT2Model

PROMISE = 1e-5


MODELS = Path(__file__).resolve().parents[2] / ".eckart" / "models"


def run_eckart(*arguments, status=0):
    """The finished process; any other exit status fails with what it said."""
    command = [os.environ["ECKART_COMMAND"], *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == status, f"{' '.join(command)}: {result.returncode}\n{result.stderr}"
    return result


def lora(*arguments):
    return run_eckart("lora", *arguments)


def bert():
    config = BertConfig(
        vocab_size=90, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40,
    )
    torch.manual_seed(1)
    return BertModel(config).eval()


def gpt2():
    config = GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=40)
    torch.manual_seed(2)
    return GPT2Model(config).eval()


def shake(model, seed=5, std=0.3):
    """Random numbers for every LoRA parameter, so that nothing is zero by initialisation."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name and "magnitude" not in name and parameter.ndim > 0:
            torch.nn.init.normal_(parameter, std=std)
        if "magnitude" in name:
            parameter.data *= 1 + 0.2 * torch.rand_like(parameter)
    return model


TOKENS = torch.arange(24).reshape(2, 12) * 3


def output(model):
    with torch.no_grad():
        return model.eval()(TOKENS).last_hidden_state


def close(a, b, what):
    scale = max(b.abs().max().item(), 1e-30)
    off = (a.double() - b.double()).abs().max().item() / scale
    print(f"{what}: {off:.2g}, allowed {PROMISE:g}")
    assert off <= PROMISE, what


ADAPTERS = {
    "lora": (bert, dict(r=6, lora_alpha=12, target_modules=["query", "value"])),
    "rslora": (bert, dict(r=6, lora_alpha=12, use_rslora=True, target_modules=["query", "dense"])),
    "patterns": (
        bert,
        dict(
            r=6, lora_alpha=8, target_modules=["query", "value", "dense"],
            rank_pattern={"layer.0.attention.self.query": 3, r"^encoder.layer.[0-9]+.output.dense": 2},
            alpha_pattern={r"encoder\.layer\.\d\.intermediate.dense": 20, "(value|key)": 5},
        ),
    ),
    "embedding": (bert, dict(r=4, lora_alpha=6, target_modules=["word_embeddings", "query"])),
    "whole modules": (bert, dict(r=4, target_modules=["query"], modules_to_save=["pooler.dense"])),
    "bias of its own": (bert, dict(r=4, lora_alpha=6, target_modules=["query"], lora_bias=True)),
    "base bias": (bert, dict(r=4, target_modules=["query"], bias="lora_only")),
    "gpt2": (gpt2, dict(r=5, lora_alpha=7, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)),
    "gpt2, flag wrong": (gpt2, dict(r=5, target_modules=["c_attn"], fan_in_fan_out=False)),
    "dora": (bert, dict(r=4, lora_alpha=6, use_dora=True, target_modules=["query", "dense"])),
    "dora gpt2": (gpt2, dict(r=4, use_dora=True, target_modules=["c_attn"], fan_in_fan_out=True)),
}


@pytest.fixture(params=ADAPTERS, ids=list(ADAPTERS))
def written(request, tmp_path):
    """A base on disk, an adapter PEFT wrote for it, and the PEFT model."""
    make, options = ADAPTERS[request.param]
    make().save_pretrained(tmp_path / "base")
    model = shake(get_peft_model(make(), LoraConfig(**options)))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_" not in name:  # whole modules and biases that are trained
            parameter.data += 0.1 * torch.rand_like(parameter)
    model.save_pretrained(tmp_path / "adapter", safe_serialization=True)
    return request.param, make, model, tmp_path


def test_merge_equals_peft(written):
    name, make, model, folder = written
    lora("merge", folder / "base", folder / "adapter", "-o", folder / "merged")
    wanted = output(model)
    close(output(AutoModel.from_pretrained(folder / "merged")), wanted, f"{name}: outputs")
    state = model.merge_and_unload().state_dict()
    ours = safetensors.torch.load_file(folder / "merged" / "model.safetensors")
    for key, tensor in ours.items():
        close(tensor, state[key], f"{name}: {key}")


def test_resize_is_the_truncated_svd_and_loads(written):
    name, make, model, folder = written
    if name.startswith("dora"):
        assert "DoRA" in run_eckart("lora", "resize", str(folder / "adapter"), "-o", str(folder / "r"), "--rank", "2",
                                    status=1).stderr
        return
    document = json.loads(lora("resize", folder / "adapter", "-o", folder / "small", "--rank", "3", "--json").stdout)
    small = PeftModel.from_pretrained(make(), folder / "small").eval()
    base = dict(make().named_modules())
    for layer in document["modules"]:
        before = delta(model.base_model.model, layer["name"])
        after = delta(small.base_model.model, layer["name"])
        left, values, right = torch.linalg.svd(before)
        k = layer["rank"]
        best = left[:, :k] * values[:k] @ right[:k]
        # float32 factors: rounding of both, 2 u sqrt(k) relative to the product, and the norm's own
        bound = 1e-6 * before.norm().item()
        off = (after - best).norm().item()
        print(f"{name} {layer['name']}: {off:.2g}, allowed {bound:.2g}")
        assert off <= bound
        error = ((before - after).norm() / before.norm()).item()
        assert abs(error - layer["error"]) <= 1e-6
        assert layer["kept"] == (layer["rank_before"] <= 3)
    lora("merge", folder / "base", folder / "small", "-o", folder / "merged small")
    close(output(AutoModel.from_pretrained(folder / "merged small")), output(small), f"{name}: outputs")


def delta(model, name):
    """s B A of a module in float64, as PEFT scales it; of an embedding [d, V]."""
    module = dict(model.named_modules())[name]
    if hasattr(module, "lora_embedding_A") and len(module.lora_embedding_A):
        first, last = module.lora_embedding_A["default"], module.lora_embedding_B["default"]
    else:
        first, last = module.lora_A["default"].weight, module.lora_B["default"].weight
    first, last = first.detach().double(), last.detach().double()
    return module.scaling["default"] * last.flatten(1) @ first.flatten(1)


def test_combine(tmp_path):
    """w1 A + w2 B, side by side and cut, against the sum of PEFT's products."""
    models = []
    for seed in (1, 2):
        model = shake(get_peft_model(bert(), LoraConfig(r=4, lora_alpha=6, target_modules=["query", "dense"])), seed)
        model.save_pretrained(tmp_path / f"a{seed}")
        models.append(model)
    pair = (f"{tmp_path}/a1=0.7", f"{tmp_path}/a2=-0.4")
    lora("combine", *pair, "-o", tmp_path / "sum")
    lora("combine", *pair, "-o", tmp_path / "cut", "--rank", "5")
    whole = PeftModel.from_pretrained(bert(), tmp_path / "sum")
    cut = PeftModel.from_pretrained(bert(), tmp_path / "cut")
    for module in models[0].targeted_module_names:
        wanted = 0.7 * delta(models[0].base_model.model, module) - 0.4 * delta(models[1].base_model.model, module)
        assert (delta(whole.base_model.model, module) - wanted).norm() <= 1e-6 * wanted.norm()
        left, values, right = torch.linalg.svd(wanted)
        best = left[:, :5] * values[:5] @ right[:5]
        assert (delta(cut.base_model.model, module) - best).norm() <= 1e-6 * wanted.norm()


def test_merging_with_minus_one_takes_out_again(tmp_path):
    bert().save_pretrained(tmp_path / "base")
    shake(get_peft_model(bert(), LoraConfig(r=4, target_modules=["query"]))).save_pretrained(tmp_path / "a")
    lora("merge", tmp_path / "base", tmp_path / "a", "-o", tmp_path / "in")
    lora("merge", tmp_path / "in", f"{tmp_path}/a=-1", "-o", tmp_path / "out")
    before = safetensors.torch.load_file(tmp_path / "base" / "model.safetensors")
    after = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    for key in before:
        # two roundings to float32 of numbers up to the merged weight
        assert (before[key] - after[key]).abs().max() <= 2**-22 * 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_merge_in_16_bits(tmp_path, dtype):
    """One rounding of the exact sum: within half a unit of the last place of what float64 gives."""
    base = bert().to(dtype)
    base.save_pretrained(tmp_path / "base")
    model = shake(get_peft_model(bert().to(dtype), LoraConfig(r=4, lora_alpha=6, target_modules=["query"])))
    model.save_pretrained(tmp_path / "a")
    lora("merge", tmp_path / "base", tmp_path / "a", "-o", tmp_path / "m")
    ours = safetensors.torch.load_file(tmp_path / "m" / "model.safetensors")
    for module in model.targeted_module_names:
        exact = base.state_dict()[f"{module}.weight"].double() + delta(model.base_model.model, module)
        found = ours[f"{module}.weight"]
        assert found.dtype == dtype
        assert torch.equal(found, exact.to(dtype))


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Conv2d(6, 12, 3, padding=1)
        self.two = torch.nn.Conv2d(12, 10, 1)
        self.head = torch.nn.Linear(10, 7)

    def forward(self, x):
        return self.head(self.two(torch.relu(self.one(x))).mean((2, 3)))


def test_convolutions(tmp_path):
    torch.manual_seed(3)
    net = Convolutions()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = get_peft_model(net, LoraConfig(r=4, lora_alpha=6, target_modules=["one", "two", "head"]))
    shake(model).save_pretrained(tmp_path / "a")
    lora("merge", tmp_path / "net.safetensors", tmp_path / "a", "-o", tmp_path / "m.safetensors")
    x = torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        wanted = model.eval()(x)
    merged = Convolutions()
    merged.load_state_dict(safetensors.torch.load_file(tmp_path / "m.safetensors"))
    close(merged(x), wanted, "outputs")
    lora("resize", tmp_path / "a", "-o", tmp_path / "small", "--rank", "2")
    again = PeftModel.from_pretrained(Convolutions(), tmp_path / "small").base_model.model
    for module in ("one", "two", "head"):
        before = delta(model.base_model.model, module)
        left, values, right = torch.linalg.svd(before)
        best = left[:, :2] * values[:2] @ right[:2]
        assert (delta(again, module) - best).norm() <= 1e-6 * before.norm()


def tuned_pair(tmp_path, rank, dtype, size):
    """A base, and one with an exact change of that rank in every linear layer, stored as dtype."""
    base = bert().to(dtype)
    base.save_pretrained(tmp_path / "base")
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if parameter.ndim == 2 and "embeddings" not in name:
                out, into = parameter.shape
                change = torch.randn(out, rank) @ torch.randn(rank, into) * size
                parameter.copy_((parameter.float() + change).to(dtype))
            if "LayerNorm" in name:
                parameter.add_(0.05)
    base.save_pretrained(tmp_path / "tuned")
    return base


def test_extract_full_modules_gives_the_tuned_model(tmp_path):
    tuned = tuned_pair(tmp_path, 4, torch.float32, 0.002)
    result = lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "a", "--rank", "4",
                  "--full-modules", "--json")
    document = json.loads(result.stdout)
    assert "from base" in result.stderr
    assert document["totals"]["energy"] > 1 - 1e-9
    loaded = PeftModel.from_pretrained(bert(), tmp_path / "a").eval()
    close(output(loaded), output(tuned), "outputs")
    record = json.loads((tmp_path / "a" / "eckart.json").read_text())
    assert all(len(h) == 64 for side in ("base", "tuned") for h in record[side]["sha256"].values())
    lora("merge", tmp_path / "base", tmp_path / "a", "-o", tmp_path / "m")
    close(output(AutoModel.from_pretrained(tmp_path / "m")), output(tuned), "merged")


def test_extract_counts_rounding_noise(tmp_path):
    """bf16 leaves noise in an exact rank-4 change: the energy as stored sees it, the clean one does not."""
    tuned_pair(tmp_path, 4, torch.bfloat16, 2e-5)
    document = json.loads(lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "a", "--rank", "4",
                               "--dtype", "f32", "--json").stdout)
    totals = document["totals"]
    print(totals)
    assert any("LayerNorm" in remark for remark in document["remarks"])
    # what mergekit and others print for an exact change: the noise's share is gone from it
    assert totals["energy"] < 0.9
    # the noise's own square is known to about sqrt(2 / count) of it, count = 24,576 weights; ten times that allowed
    noise = sum(layer["noise"] ** 2 for layer in document["modules"])
    whole = sum(layer["norm"] ** 2 for layer in document["modules"]) - noise
    assert totals["energy_clean"] > 1 - 10 * noise / whole * (2 / 24576) ** 0.5
    before = safetensors.torch.load_file(tmp_path / "base" / "model.safetensors")
    after = safetensors.torch.load_file(tmp_path / "tuned" / "model.safetensors")
    for layer in document["modules"]:
        change = after[f"{layer['name']}.weight"].double() - before[f"{layer['name']}.weight"].double()
        values = torch.linalg.svdvals(change)
        energy = (values[:4].square().sum() / values.square().sum()).item()
        # float32 factors cost less than 1e-6 of the energy
        assert abs(energy - layer["energy"]) < 1e-6


def test_unrelated_models_are_refused(tmp_path):
    bert().save_pretrained(tmp_path / "base")
    torch.manual_seed(77)
    BertModel(bert().config).save_pretrained(tmp_path / "other")
    result = run_eckart("lora", "extract", str(tmp_path / "base"), str(tmp_path / "other"), "-o", str(tmp_path / "a"),
                        status=1)
    assert "not a fine-tune" in result.stderr
    assert not (tmp_path / "a").exists()
    lora("extract", tmp_path / "base", tmp_path / "other", "-o", tmp_path / "a", "--unrelated")


@pytest.mark.parametrize("start", ["gaussian", "pissa", "olora"])
def test_init_leaves_the_model_as_it_is(tmp_path, start):
    bert().save_pretrained(tmp_path / "base")
    more = [] if start == "gaussian" else ["--residual", tmp_path / "residual"]
    lora("init", tmp_path / "base", "-o", tmp_path / "a", "--init", start, "--rank", "4", "--alpha", "6",
         "--min-size", "1", *more)
    base = tmp_path / ("base" if start == "gaussian" else "residual")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(base), tmp_path / "a")
    close(output(model), output(bert()), f"{start}: outputs")
    names = model.targeted_module_names
    assert names
    weights = bert().state_dict()
    for name in names:
        weight = weights[f"{name}.weight"].double()
        found = delta(model.base_model.model, name)
        if start == "pissa":
            left, values, right = torch.linalg.svd(weight)
            assert (found - left[:, :4] * values[:4] @ right[:4]).norm() <= 1e-6 * weight.norm()
        if start == "olora":
            q, r = torch.linalg.qr(weight)
            assert (found - 1.5 * q[:, :4] @ r[:4]).norm() <= 1e-6 * weight.norm() * 1.5
        if start == "gaussian":
            assert found.abs().max() == 0


def test_kohya_and_its_peft_conversion_are_the_same_change(tmp_path):
    model = shake(get_peft_model(bert(), LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["query", "dense"])))
    model.save_pretrained(tmp_path / "a")
    bert().save_pretrained(tmp_path / "base")
    lora("convert", tmp_path / "a", "-o", tmp_path / "k.safetensors", "--to", "kohya", "--component", "text_encoder")
    lora("convert", tmp_path / "k.safetensors", "-o", tmp_path / "p", "--to", "peft", "--base", tmp_path / "base")
    kohya = safetensors.torch.load_file(tmp_path / "k.safetensors")
    again = PeftModel.from_pretrained(bert(), tmp_path / "p")
    for module in model.targeted_module_names:
        name = "lora_te_" + module.replace(".", "_")
        up, down, alpha = (kohya[f"{name}.{part}"].double() for part in ("lora_up.weight", "lora_down.weight", "alpha"))
        wanted = delta(model.base_model.model, module)
        assert (up @ down * alpha / down.shape[0] - wanted).norm() <= 1e-7 * wanted.norm()
        assert (delta(again.base_model.model, module) - wanted).norm() <= 1e-7 * wanted.norm()
    compared = json.loads(lora("compare", tmp_path / "k.safetensors", tmp_path / "p", "--json").stdout)
    assert compared["totals"]["common"] == len(model.targeted_module_names)
    assert compared["totals"]["cosine"] > 1 - 1e-12


def test_the_real_model(tmp_path):
    """all-MiniLM-L6-v2: an adapter of PEFT's merged by both; scripts/fetch-model puts the model in place."""
    path = MODELS / "all-MiniLM-L6-v2"
    options = LoraConfig(r=16, lora_alpha=24, target_modules=["query", "value", "dense"])
    model = shake(get_peft_model(AutoModel.from_pretrained(path), options), std=0.02)
    model.save_pretrained(tmp_path / "a")
    lora("merge", path, tmp_path / "a", "-o", tmp_path / "m")
    close(output(AutoModel.from_pretrained(tmp_path / "m")), output(model), "outputs")
    lora("resize", tmp_path / "a", "-o", tmp_path / "r", "--rank", "8")
    lora("merge", path, tmp_path / "r", "-o", tmp_path / "mr")
    small = PeftModel.from_pretrained(AutoModel.from_pretrained(path), tmp_path / "r")
    close(output(AutoModel.from_pretrained(tmp_path / "mr")), output(small), "resized")


# ---- LyCORIS forms, by the formulas of their documentation ------------------------------------------------------------


def test_lycoris_forms_are_exact(tmp_path):
    """LoCon with a core, LoHa and LoKr, resized at full rank, multiply out to what their formulas say."""
    torch.manual_seed(9)
    rand = torch.randn
    tensors, wanted = {}, {}
    # LoCon: core [r,r,3,3]
    up, down, mid = rand(8, 3, 1, 1), rand(3, 6, 1, 1), rand(3, 3, 3, 3)
    tensors |= {"lora_unet_a.lora_up.weight": up, "lora_unet_a.lora_down.weight": down,
                "lora_unet_a.lora_mid.weight": mid, "lora_unet_a.alpha": torch.tensor(2.0)}
    wanted["lora_unet_a"] = torch.einsum("mnhw,om,ni->oihw", mid, up[:, :, 0, 0], down[:, :, 0, 0]) * 2 / 3
    # LoHa
    a1, b1, a2, b2 = rand(10, 2), rand(2, 12), rand(10, 2), rand(2, 12)
    tensors |= {"lora_unet_b.hada_w1_a": a1, "lora_unet_b.hada_w1_b": b1, "lora_unet_b.hada_w2_a": a2,
                "lora_unet_b.hada_w2_b": b2, "lora_unet_b.alpha": torch.tensor(1.0)}
    wanted["lora_unet_b"] = (a1 @ b1) * (a2 @ b2) / 2
    # LoKr, one side whole, one in factors; alpha 0 means the rank
    w1, a, b = rand(3, 4), rand(5, 2), rand(2, 3)
    tensors |= {"lora_unet_c.lokr_w1": w1, "lora_unet_c.lokr_w2_a": a, "lora_unet_c.lokr_w2_b": b,
                "lora_unet_c.alpha": torch.tensor(0.0)}
    wanted["lora_unet_c"] = torch.kron(w1, a @ b)
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "l.safetensors")
    # an error of 1e-6 asks for every term there is
    lora("resize", tmp_path / "l.safetensors", "-o", tmp_path / "out.safetensors", "--error", "1e-6")
    out = safetensors.torch.load_file(tmp_path / "out.safetensors")
    info = json.loads(lora("info", tmp_path / "l.safetensors", "--json").stdout)
    forms = {module["name"]: module["form"] for module in info["modules"]}
    assert forms == {"lora_unet_a": "tucker", "lora_unet_b": "loha", "lora_unet_c": "lokr"}
    for name, dense in wanted.items():
        if f"{name}.lora_up.weight" not in out or f"{name}.lora_mid.weight" in out:
            for key in (key for key in tensors if key.startswith(name)):
                assert torch.equal(out[key], tensors[key])  # small enough already: kept
            continue
        last, first = out[f"{name}.lora_up.weight"].double(), out[f"{name}.lora_down.weight"].double()
        product = (last.flatten(1) @ first.flatten(1)).reshape(dense.shape)
        off = (product - dense).norm() / dense.norm()
        assert off <= 1e-6, name
    lora("convert", tmp_path / "l.safetensors", "-o", tmp_path / "d.safetensors", "--to", "diffusers", "--base",
         base_with(tmp_path, wanted))
    out = safetensors.torch.load_file(tmp_path / "d.safetensors")
    for name, dense in wanted.items():
        key = name.replace("lora_unet_", "unet.")
        last, first = out[f"{key}.lora_B.weight"].double(), out[f"{key}.lora_A.weight"].double()
        product = (last.flatten(1) @ first.flatten(1)).reshape(dense.shape)
        assert (product - dense).norm() / dense.norm() <= 1e-6, name


def base_with(folder, wanted):
    tensors = {name.replace("lora_unet_", "") + ".weight": dense.contiguous() for name, dense in wanted.items()}
    safetensors.torch.save_file(tensors, folder / "unet.safetensors")
    return folder / "unet.safetensors"


# ---- what must be refused ----------------------------------------------------------------------------------------------


def refused(folder, tensors, words, config=None, command=("info",)):
    """The command says no, in words that name what is wrong."""
    target = folder / "bad"
    target.mkdir(exist_ok=True)
    path = target / "adapter_model.safetensors" if config is not None else folder / "bad.safetensors"
    safetensors.torch.save_file(tensors, path)
    if config is not None:
        (target / "adapter_config.json").write_text(json.dumps(config))
    subject = target if config is not None else path
    result = run_eckart("lora", command[0], str(subject), *map(str, command[1:]), status=1)
    print(result.stderr)
    assert words in result.stderr
    assert result.stdout == ""


PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]}
A, B = "base_model.model.q.lora_A.weight", "base_model.model.q.lora_B.weight"


def pair(first=(2, 6), last=(5, 2)):
    torch.manual_seed(4)
    return {A: torch.randn(first), B: torch.randn(last)}


BAD = {
    "half missing": ({A: torch.ones(2, 6)}, PEFT, "no last"),
    "shapes": (pair(last=(5, 3)), PEFT, "do not fit"),
    "rank 0": (pair((0, 6), (5, 0)), PEFT, "rank or size 0"),
    "type": ({A: torch.ones(2, 6, dtype=torch.int32), B: torch.ones(5, 2)}, PEFT, "I32"),
    "method": (pair(), PEFT | {"peft_type": "IA3"}, "IA3"),
    "no type": (pair(), {"r": 2}, "peft_type"),
    "variant": (pair(), PEFT | {"use_qalora": True}, "use_qalora"),
    "unknown variant": (pair(), PEFT | {"wonder_config": {"a": 1}}, "wonder_config"),
    "expert parameters": (pair(), PEFT | {"target_parameters": ["x"]}, "target_parameters"),
    "pattern": (pair(), PEFT | {"alpha_pattern": {"q(?=x)": 3}}, "not understood"),
    "backtracking": (pair(), PEFT | {"rank_pattern": {"(a+)++$": 3}}, "not understood"),
    "alpha": (pair(), PEFT | {"lora_alpha": "much"}, "no number"),
    "dora without magnitudes": (pair(), PEFT | {"use_dora": True}, "lora_magnitude_vector"),
    "grouped convolution": (pair((4, 6, 3, 3), (8, 2, 1, 1)), PEFT, "in 2 groups"),
    "inside a MultiheadAttention": (
        {key.replace("q.", "attn.base_layer.out_proj."): value for key, value in pair().items()}, PEFT,
        "lies inside an adapted module",
    ),
    "trained tokens": (
        pair() | {"base_model.model.e.token_adapter.trainable_tokens_delta": torch.ones(2, 6)}, PEFT, "trainable tokens",
    ),
    "two halves of different kinds": (
        {A: torch.ones(2, 6), B.replace(".lora_B.weight", ".lora_embedding_B"): torch.ones(5, 2)}, PEFT, "different kinds",
    ),
    "foreign part": (pair() | {"base_model.model.q.lora_E": torch.ones(2)}, PEFT, "AdaLoRA"),
    "unknown part": (pair() | {"base_model.model.q.lora_C.weight": torch.ones(2)}, PEFT, "lora_C"),
    "prefix": ({"q.lora_A.weight": torch.ones(2, 6), "q.lora_B.weight": torch.ones(5, 2)}, PEFT, "q.lora_A.weight"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_peft_directories(tmp_path, case):
    tensors, config, words = BAD[case]
    refused(tmp_path, tensors, words, config)


def test_bad_files(tmp_path):
    down, up = "lora_unet_q.lora_down.weight", "lora_unet_q.lora_up.weight"
    refused(tmp_path, {down: torch.ones(2, 6)}, "no last")
    refused(tmp_path, {down: torch.ones(2, 6), up: torch.ones(5, 2), "lora_unet_q.diff": torch.ones(5, 6)}, "difference")
    refused(tmp_path, {down: torch.ones(2, 6), up: torch.ones(5, 2), "lora_unet_q.alpha": torch.tensor(float("nan"))},
            "no number")
    refused(tmp_path, {"lora_unet_q.lokr_w1": torch.ones(2, 3)}, "do not go together")
    refused(tmp_path, {down: torch.ones(2, 6), up: torch.ones(5, 2), "lora_unet_q.hada_w1_a": torch.ones(2, 2)},
            "more than one method")
    refused(tmp_path, {down: torch.ones(2, 6), up: torch.ones(5, 2), "lora_unet_q.alpha": torch.ones(2)},
            "not one number")
    refused(tmp_path, {down: torch.ones(2, 6).to(torch.float8_e4m3fn), up: torch.ones(5, 2)}, "F8_E4M3")
    refused(tmp_path, {"weight": torch.ones(3, 3)}, "no adapter")
    refused(tmp_path, pair(), "adapter_config.json")


def test_bad_numbers(tmp_path):
    tensors = pair()
    tensors[A][1, 3] = float("nan")
    refused(tmp_path, tensors, "NaN or infinity", PEFT, ("resize", "--rank", "1", "-o", tmp_path / "o"))
    assert not (tmp_path / "o").exists()
    # a scale of 2e5 leaves f16 once it is in the factors
    tensors = {name: (tensor.nan_to_num() * 100).half() for name, tensor in pair().items()}
    refused(tmp_path, tensors, "leaves the range of F16", PEFT | {"lora_alpha": 4e8},
            ("resize", "--rank", "1", "-o", tmp_path / "o"))
    assert not (tmp_path / "o").exists()


def test_an_adapter_of_another_base(tmp_path):
    bert().save_pretrained(tmp_path / "base")
    tensors = {A.replace("q.lora", "encoder.layer.0.attention.self.query.lora"): torch.ones(2, 6),
               B.replace("q.lora", "encoder.layer.0.attention.self.query.lora"): torch.ones(5, 2)}
    for name, words in (("query", "5 x 6, the layer 32 x 32"), ("nowhere", "no layer")):
        folder = tmp_path / name
        folder.mkdir()
        renamed = {key.replace("query", name): tensor for key, tensor in tensors.items()}
        safetensors.torch.save_file(renamed, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(PEFT))
        result = run_eckart("lora", "merge", str(tmp_path / "base"), str(folder), "-o", str(tmp_path / "m"), status=1)
        assert words in result.stderr


def test_size_gives_every_module_its_rank(tmp_path):
    torch.manual_seed(6)
    tensors = {}
    for i, scale in enumerate((1.0, 0.01)):
        name = f"base_model.model.m{i}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(8, 64) * scale
        tensors[f"{name}.lora_B.weight"] = torch.randn(64, 8) * scale
    folder = tmp_path / "a"
    folder.mkdir()
    safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(PEFT | {"r": 8}))
    document = json.loads(lora("resize", folder, "-o", tmp_path / "s", "--size", "60%", "--json").stdout)
    ranks = {module["name"]: module["rank"] for module in document["modules"]}
    assert ranks["m0"] == 8 and ranks["m1"] == 1  # the small change gives way
    assert document["totals"]["bytes_after"] <= 0.6 * document["totals"]["bytes_before"]
    stored = safetensors.torch.load_file(tmp_path / "s" / "adapter_model.safetensors")
    assert sum(t.numel() * t.element_size() for t in stored.values()) == document["totals"]["bytes_after"]
    exact = numpy.array_equal(stored["base_model.model.m0.lora_A.weight"], tensors["base_model.model.m0.lora_A.weight"])
    assert exact
