"""Rules of the adapter formats that PEFT's own files do not show: what a missing alpha means, magnitudes as LyCORIS stores
them, layouts written by every command that makes an adapter and loaded by PEFT, and what is refused because it is no plain
low-rank change. Expectations are written out in float64 here."""

import json

import pytest
import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel

from test_peft import BAD, PEFT, bert, close, delta, lora, output, pair, refused, run_eckart, shake

DOWN, UP = "lora_unet_q.lora_down.weight", "lora_unet_q.lora_up.weight"


def single(folder, **more):
    """A base with one layer q and a kohya file of rank 2 for it; (weight, down, up)."""
    torch.manual_seed(8)
    weight, down, up = torch.randn(5, 6), torch.randn(2, 6), torch.randn(5, 2)
    safetensors.torch.save_file({"q.weight": weight}, folder / "base.safetensors")
    safetensors.torch.save_file({DOWN: down, UP: up, **more}, folder / "k.safetensors")
    return weight.double(), down.double(), up.double()


def merged(folder):
    lora("merge", folder / "base.safetensors", folder / "k.safetensors", "-o", folder / "m.safetensors", "--force")
    return safetensors.torch.load_file(folder / "m.safetensors")["q.weight"]


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1), (0.0, 1), (4.0, 2), (1.0, 0.5)])
def test_alpha_missing_or_zero_is_the_rank(tmp_path, alpha, scale):
    more = {} if alpha is None else {"lora_unet_q.alpha": torch.tensor(alpha)}
    weight, down, up = single(tmp_path, **more)
    # rounded once to float32: half an ulp, 6e-8 relative
    assert torch.equal(merged(tmp_path), (weight + scale * up @ down).float())


@pytest.mark.parametrize("side", ["output", "input"])
def test_magnitudes_of_lycoris(tmp_path, side):
    """m V / (||V|| + eps), V = W + s up down: norms over rows, or over columns where m is stored as [1, in]."""
    torch.manual_seed(9)
    shape, over = ((5, 1), 1) if side == "output" else ((1, 6), 0)
    magnitude = torch.rand(shape) + 0.5
    weight, down, up = single(tmp_path, **{"lora_unet_q.dora_scale": magnitude, "lora_unet_q.alpha": torch.tensor(1.0)})
    changed = weight + 0.5 * up @ down
    wanted = magnitude.double() * changed / (changed.norm(dim=over, keepdim=True) + torch.finfo(torch.float32).eps)
    close(merged(tmp_path), wanted, side)
    refusal = run_eckart("lora", "resize", str(tmp_path / "k.safetensors"), "--rank", "1", "-o", str(tmp_path / "r"), status=1)
    assert "is DoRA" in refusal.stderr


def test_magnitudes_of_an_embedding_are_refused(tmp_path):
    bert().save_pretrained(tmp_path / "base")
    model = shake(get_peft_model(bert(), LoraConfig(r=4, use_dora=True, target_modules=["word_embeddings"])))
    model.save_pretrained(tmp_path / "a")
    refusal = run_eckart("lora", "merge", str(tmp_path / "base"), str(tmp_path / "a"), "-o", str(tmp_path / "m"), status=1)
    assert "DoRA of an embedding" in refusal.stderr and "word_embeddings" in refusal.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_of_a_changed_base_is_warned_of(tmp_path, start):
    folder = tmp_path / "a"
    folder.mkdir()
    safetensors.torch.save_file(pair(), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(PEFT | {"init_lora_weights": start}))
    assert f"begun with '{start}'" in lora("info", folder).stderr


MORE = {
    "layers repeated": (PEFT | {"layer_replication": [[0, 2], [1, 3]]}, "layer_replication"),
    "megatron": (PEFT | {"megatron_config": {"a": 1}}, "megatron_config"),
    "activated": (PEFT | {"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
}


@pytest.mark.parametrize("case", MORE)
def test_variants_are_no_plain_lora(tmp_path, case):
    assert case not in BAD
    config, words = MORE[case]
    refused(tmp_path, pair(), words, config)


@pytest.mark.parametrize(("part", "words"), [
    ("diff_b", "difference of biases"), ("on_input", "IA3"), ("lokr_t1", "core on its small factor"), ("w_norm", "norm difference"),
    ("something", "lora_unet_q.something"),
])
def test_other_parts_of_lycoris_are_named(tmp_path, part, words):
    refused(tmp_path, {DOWN: torch.ones(2, 6), UP: torch.ones(5, 2), f"lora_unet_q.{part}": torch.ones(5)}, words)


def test_peft_loads_what_every_command_writes(tmp_path):
    """resize, combine, convert, extract and init, each loaded by PEFT onto the base; outputs equal those of our merge."""
    bert().save_pretrained(tmp_path / "base")
    for name, seed in (("a", 21), ("b", 22)):
        options = LoraConfig(r=4, lora_alpha=6, target_modules=["query", "dense"])
        shake(get_peft_model(bert(), options), seed).save_pretrained(tmp_path / name)
    lora("resize", tmp_path / "a", "-o", tmp_path / "resized", "--energy", "0.9")
    lora("combine", f"{tmp_path / 'a'}=0.5", f"{tmp_path / 'b'}=-0.25", "-o", tmp_path / "combined", "--rank", "6")
    lora("combine", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "side by side")
    lora("convert", tmp_path / "a", "-o", tmp_path / "k.safetensors", "--to", "kohya", "--component", "text_encoder")
    lora("convert", tmp_path / "k.safetensors", "-o", tmp_path / "converted", "--base", tmp_path / "base")
    lora("merge", tmp_path / "base", f"{tmp_path / 'a'}=0.02", "-o", tmp_path / "tuned")
    lora("extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "extracted", "--rank", "4")
    lora("init", tmp_path / "base", "-o", tmp_path / "begun", "--rank", "3", "--min-size", "1")
    for name in ("resized", "combined", "side by side", "converted", "extracted", "begun"):
        loaded = PeftModel.from_pretrained(bert(), tmp_path / name).eval()
        lora("merge", tmp_path / "base", tmp_path / name, "-o", tmp_path / f"merged {name}")
        close(output(AutoModel.from_pretrained(tmp_path / f"merged {name}")), output(loaded), name)
    together = PeftModel.from_pretrained(bert(), tmp_path / "side by side").base_model.model
    one, other = (PeftModel.from_pretrained(bert(), tmp_path / name).base_model.model for name in "ab")
    module = "encoder.layer.0.attention.self.query"
    wanted = delta(one, module) + delta(other, module)
    assert (delta(together, module) - wanted).norm() <= 1e-6 * wanted.norm()
