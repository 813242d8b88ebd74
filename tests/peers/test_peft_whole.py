"""Whole models through an adapter: what `lora extract --full-modules` writes, PEFT loads beside the base and computes
what the tuned model computes; what `lora merge` writes, transformers loads and computes the same.

The bound is that of test_peft.py: 1e-5 of the largest output, for float32 weights. The changes have exactly the rank
that is extracted, so that nothing but rounding is lost."""

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import safetensors.torch
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, ResNetConfig,
    ResNetForImageClassification,
)

from test_peft import close, lora

RANK = 3
TOKENS = torch.arange(24).reshape(2, 12) * 3


def gpt2():
    """Its head is its embedding."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=40))


def llama(**more):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, **more,
    ))


def resnet():
    """Convolutions, and norms whose means and variances do not train."""
    return ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    )


def tune(model):
    """An exact change of that rank for every matrix and kernel, some other for every vector."""
    torch.manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.02 * torch.rand_like(parameter))
                continue
            rows, rest = parameter.shape[0], parameter[0].numel()
            change = torch.randn(rows, RANK) @ torch.randn(RANK, rest) * 0.01
            parameter.add_(change.reshape(parameter.shape))
    return model


def run(model, folder=None):
    inputs = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)}
    if not hasattr(model.config, "hidden_sizes"):
        inputs = {"input_ids": TOKENS}
    with torch.no_grad():
        return model.eval()(**inputs).logits


def written(make, folder, grow=0):
    """Base and tuned model on disk; the tuned one with `grow` more tokens."""
    torch.manual_seed(3)
    model = make()
    model.save_pretrained(folder / "base")
    if grow:
        model.resize_token_embeddings(model.config.vocab_size + grow)
    tune(model).save_pretrained(folder / "tuned")
    return model


@pytest.mark.parametrize("make", [gpt2, llama, lambda: llama(tie_word_embeddings=True), resnet],
                         ids=["gpt2, tied", "llama", "llama, tied", "resnet"])
def test_the_tuned_model_comes_back(make, tmp_path):
    tuned = written(make, tmp_path)
    lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "a", "--rank", RANK, "--full-modules")
    loaded = PeftModel.from_pretrained(type(tuned).from_pretrained(tmp_path / "base"), tmp_path / "a")
    close(run(loaded), run(tuned), "in PEFT")
    lora("merge", tmp_path / "base", tmp_path / "a", "-o", tmp_path / "m")
    close(run(type(tuned).from_pretrained(tmp_path / "m")), run(tuned), "merged")
    stored = (safetensors.torch.load_file(tmp_path / which / "model.safetensors") for which in ("base", "m"))
    assert set(next(stored)) == set(next(stored))  # a tied head is still stored once


def test_a_grown_vocabulary(tmp_path):
    """Listed, or with --full-modules carried; the merged model loads, with the vocabulary of the tuned one."""
    tuned = written(llama, tmp_path, grow=4)
    told = json.loads(lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "part", "--rank", RANK,
                           "--json").stdout)
    assert {"left out 'model.embed_tokens.weight': of another shape", "left out 'lm_head.weight': of another shape"} \
        <= set(told["remarks"])
    lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "a", "--rank", RANK, "--full-modules")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    base.resize_token_embeddings(94)
    close(run(PeftModel.from_pretrained(base, tmp_path / "a")), run(tuned), "in PEFT, after resizing")
    told = json.loads(lora("merge", tmp_path / "base", tmp_path / "a", "-o", tmp_path / "m", "--json").stdout)
    assert any("94 rows now, 90 before" in remark for remark in told["remarks"])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert merged.config.vocab_size == 94
    close(run(merged), run(tuned), "merged")
    before, after = (json.loads((tmp_path / which / "config.json").read_text()) for which in ("base", "m"))
    assert {key: value for key, value in before.items() if key != "vocab_size"} \
        == {key: value for key, value in after.items() if key != "vocab_size"}


def test_an_embedding_by_any_name(tmp_path):
    """PEFT says that a module is an embedding; what its name says to us does not matter."""
    from peft import LoraConfig, get_peft_model

    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lookup = torch.nn.Embedding(50, 16)
            self.out = torch.nn.Linear(16, 5)

    torch.manual_seed(1)
    net = Table()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = get_peft_model(net, LoraConfig(r=3, lora_alpha=5, target_modules=["lookup", "out"]))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "a")
    lora("merge", tmp_path / "net.safetensors", tmp_path / "a", "-o", tmp_path / "m.safetensors")
    merged = model.merge_and_unload().state_dict()
    for name, tensor in safetensors.torch.load_file(tmp_path / "m.safetensors").items():
        close(tensor, merged[name], name)


def test_old_diffusers_names_reach_their_layers(tmp_path):
    """attn1.processor.to_q_lora is attn1.to_q, to_out_lora the first of to_out."""
    torch.manual_seed(2)
    base = {f"block.attn1.{name}.weight": torch.randn(12, 10) for name in ("to_q", "to_out.0")}
    safetensors.torch.save_file(base, tmp_path / "unet.safetensors")
    tensors = {}
    for name in ("to_q", "to_out"):
        tensors[f"unet.block.attn1.processor.{name}_lora.down.weight"] = torch.randn(2, 10)
        tensors[f"unet.block.attn1.processor.{name}_lora.up.weight"] = torch.randn(12, 2)
    safetensors.torch.save_file(tensors, tmp_path / "old.safetensors")
    lora("convert", tmp_path / "old.safetensors", "-o", tmp_path / "peft", "--to", "peft")
    for adapter in ("old.safetensors", "peft"):
        out = tmp_path / f"{adapter}.m.safetensors"
        lora("merge", tmp_path / "unet.safetensors", tmp_path / adapter, "-o", out)
        merged = safetensors.torch.load_file(out)
        for old, new in (("to_q", "to_q"), ("to_out", "to_out.0")):
            half = f"unet.block.attn1.processor.{old}_lora"
            change = tensors[f"{half}.up.weight"].double() @ tensors[f"{half}.down.weight"].double()
            close(merged[f"block.attn1.{new}.weight"], base[f"block.attn1.{new}.weight"] + change, f"{adapter} {new}")
