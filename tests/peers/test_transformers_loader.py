"""Whole transformers models from factored directories: made here with numpy, or by the `eckart` command if there is
one, and compared with the same model whose weights are the products."""

import copy
import io
import json
import os
import subprocess
import sys

import eckart
import eckart.torch
import eckart.transformers
import numpy as np
import pytest
import torch
import transformers
from eckart_command import eckart_command
from factored_files import FactoredFile
from rounding import perturbation_bound

transformers.logging.set_verbosity_error()

VOCABULARY = 96


def gpt2():
    config = transformers.GPT2Config(
        n_layer=2, n_embd=24, n_head=4, vocab_size=VOCABULARY, n_positions=32, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2LMHeadModel(config)


def bert():
    config = transformers.BertConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, vocab_size=VOCABULARY
    )
    return transformers.BertForSequenceClassification(config)


def bert_masked():
    return transformers.BertForMaskedLM(bert().config)


def llama():
    config = transformers.LlamaConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        vocab_size=VOCABULARY,
    )
    return transformers.LlamaForCausalLM(config)


def t5():
    config = transformers.T5Config(
        d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, vocab_size=VOCABULARY, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def vit():
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, image_size=16, patch_size=4
    )
    return transformers.ViTForImageClassification(config)


def neox():
    """Its files say embed_out, the model lm_head."""
    config = transformers.GPTNeoXConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, vocab_size=VOCABULARY
    )
    return transformers.GPTNeoXForCausalLM(config)


def whisper():
    """Asks a convolution for its stride."""
    config = transformers.WhisperConfig(
        d_model=24, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=40, decoder_ffn_dim=40, vocab_size=VOCABULARY, num_mel_bins=16, max_source_positions=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
    )  # fmt: skip
    return transformers.WhisperForConditionalGeneration(config)


def resnet():
    """Convolutions and running means; has no words."""
    config = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[24, 32], depths=[1, 2])
    return transformers.ResNetForImageClassification(config)


def swin():
    """All names in the file differ from those in the model."""
    config = transformers.SwinConfig(
        embed_dim=16, depths=[1, 1], num_heads=[2, 2], image_size=16, patch_size=2, window_size=4
    )
    return transformers.SwinForImageClassification(config)


def falcon():
    """A Linear of its own that computes what torch's does."""
    config = transformers.FalconConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, vocab_size=VOCABULARY
    )
    return transformers.FalconForCausalLM(config)


MAKERS = [gpt2, bert, bert_masked, llama, t5, vit]


def stored(model):
    """Tensors as a checkpoint has them: one of several names for one parameter."""
    seen, tensors = set(), {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            tensors[name] = value.detach().numpy().copy()
    return tensors


def kind_of(module):
    if type(module) is torch.nn.Linear:
        return "linear"
    if type(module).__name__ == "Conv1D":
        return "conv1d_gpt2"
    if type(module) is torch.nn.Conv2d:
        return "conv"
    return None


def factored(make, directory):
    """A factored directory of a random model (every dense layer but the tied ones), and the dense model whose weights
    are the products."""
    torch.manual_seed(11)
    model = make().eval()
    file = FactoredFile(stored(model))
    for name, module in model.named_modules():
        kind = kind_of(module)
        if kind is None or f"{name}.weight" not in file.tensors or "shared" in name:
            continue
        if any(
            module.weight is other
            for key, other in model.named_parameters(remove_duplicate=False)
            if key != f"{name}.weight"
        ):
            continue
        product = file.svd(name, kind, max(1, min(module.weight.shape[:2]) // 2))
        module.weight.data = torch.from_numpy(product.copy())
    file.write(directory)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(directory)
    return model, file


def inputs(model, seed=5):
    generator = torch.Generator().manual_seed(seed)
    if "ImageClassification" in type(model).__name__:
        return {"pixel_values": torch.randn(3, 3, 16, 16, generator=generator)}
    ids = torch.randint(3, VOCABULARY, (3, 9), generator=generator)
    both = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.model_type == "whisper":
        return {"input_features": torch.randn(3, 16, 40, generator=generator), "decoder_input_ids": ids}
    if model.config.is_encoder_decoder:
        both["decoder_input_ids"] = ids.flip(1)
    return both


def allowed_difference(reference):
    return perturbation_bound(reference, lambda model: model(**inputs(model)).logits)


def difference(one, other):
    with torch.no_grad():
        return (one(**inputs(one)).logits - other(**inputs(other)).logits).abs().max().item()


@pytest.mark.parametrize("make", MAKERS)
def test_output_is_that_of_the_products(make, tmp_path):
    reference, file = factored(make, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    assert isinstance(model, type(reference)) and not model.training
    measured, allowed = difference(model, reference), allowed_difference(reference)
    print(f"{make.__name__}: difference {measured:.2e}, allowed {allowed:.2e}")
    assert measured <= allowed
    chains = [name for name, module in model.named_modules() if isinstance(module, eckart.torch.Chain)]
    assert sorted(chains) == sorted(file.modules) and len(chains) >= 8
    assert sum(value.numel() for value in model.parameters()) < sum(value.numel() for value in reference.parameters())


@pytest.mark.parametrize("way", ["made", "moved"])
@pytest.mark.parametrize("make", MAKERS)
def test_torch_load_fills_a_model_on_the_meta_device(make, way, tmp_path):
    factored(make, tmp_path / "out")
    with torch.device("meta" if way == "made" else "cpu"):
        model = make()
    model.to("meta")
    assert eckart.torch.load(model, tmp_path / "out") is model
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))
    assert difference(model.eval(), eckart.transformers.from_pretrained(tmp_path / "out")) == 0


@pytest.mark.parametrize("make", MAKERS)
def test_saved_again_it_is_our_layout_and_the_same_model(make, tmp_path):
    factored(make, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "again")
    written = {path.name for path in (tmp_path / "again").iterdir()}
    wanted = {"config.json", "eckart.json", "eckart.safetensors"}
    assert written - {"generation_config.json"} == wanted
    before = eckart.Checkpoint.open(tmp_path / "out")
    after = eckart.Checkpoint.open(tmp_path / "again")
    assert before.manifest == after.manifest
    assert sorted(before.tensors) == sorted(after.tensors)
    assert difference(eckart.transformers.from_pretrained(tmp_path / "again"), model) == 0


def test_saved_in_shards(tmp_path):
    factored(llama, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "again", max_shard_size="20KB")
    shards = sorted(path.name for path in (tmp_path / "again").glob("*.safetensors"))
    assert len(shards) > 2 and shards[0] == f"eckart-00001-of-{len(shards):05}.safetensors"
    assert difference(eckart.transformers.from_pretrained(tmp_path / "again"), model) == 0
    model.save_pretrained(tmp_path / "again")  # fewer files: the old shards must not stay beside the new file
    assert [path.name for path in (tmp_path / "again").glob("*.safetensors*")] == ["eckart.safetensors"]
    assert difference(eckart.transformers.from_pretrained(tmp_path / "again"), model) == 0


STOCK = """
import sys
import transformers
try:
    import eckart
except ImportError:
    pass
else:
    sys.exit("eckart can be imported here: the test proves nothing")
for pair in sys.argv[1:]:
    directory, architecture = pair.split("::")
    for name in (architecture, "AutoModel"):
        try:
            getattr(transformers, name).from_pretrained(directory)
        except Exception as error:
            print(f"{directory} {name}: refused: {type(error).__name__}: {error}")
        else:
            print(f"{directory} {name}: loaded")
"""


def stock_loader(directory, *pairs):
    """What transformers without our package says of each `directory::architecture`, two lines each."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", STOCK, *pairs]
    result = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    print(result.stdout)
    lines = [line for line in result.stdout.splitlines() if ": refused: " in line or line.endswith(": loaded")]
    assert len(lines) == 2 * len(pairs)
    return lines


def test_stock_transformers_raises(tmp_path):
    pairs = []
    for make in (gpt2, bert, llama):
        name = make.__name__
        reference, _ = factored(make, tmp_path / f"{name}-out")
        eckart.transformers.from_pretrained(tmp_path / f"{name}-out").save_pretrained(tmp_path / f"{name}-again")
        pairs += [f"{name}-{form}::{type(reference).__name__}" for form in ("out", "again")]
    reference.save_pretrained(tmp_path / "dense")  # the same question about a dense directory has the other answer
    *ours, dense, dense_auto = stock_loader(tmp_path, *pairs, f"dense::{type(reference).__name__}")
    assert all(": refused: " in line and "no file named" in line for line in ours)
    assert dense.endswith(": loaded") and dense_auto.endswith(": loaded")


def test_does_not_save_beside_stock_weights(tmp_path):
    reference, _ = factored(bert, tmp_path / "out")
    reference.save_pretrained(tmp_path / "dense")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    with pytest.raises(eckart.ExistsError, match="model.safetensors"):
        model.save_pretrained(tmp_path / "dense")


@pytest.mark.parametrize("make", [gpt2, llama, t5])
def test_generates_as_the_products_do(make, tmp_path):
    reference, _ = factored(make, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    batch = {key: value for key, value in inputs(model).items() if "decoder" not in key}
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        ours, theirs = model.generate(**batch, **options), reference.generate(**batch, **options)
    assert torch.equal(ours, theirs)


def test_generation_config_comes_along(tmp_path):
    factored(gpt2, tmp_path / "out")
    transformers.GenerationConfig(max_new_tokens=7, eos_token_id=2).save_pretrained(tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    assert model.generation_config.max_new_tokens == 7
    model.save_pretrained(tmp_path / "again")
    assert eckart.transformers.from_pretrained(tmp_path / "again").generation_config.max_new_tokens == 7


@pytest.mark.parametrize("make", [gpt2, bert, llama])
def test_one_training_step_lowers_the_loss(make, tmp_path):
    factored(make, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")  # eval mode: no dropout
    batch = inputs(model)
    labels = batch["input_ids"] if make is not bert else torch.tensor([0, 1, 1])
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-2)
    before = model(**batch, labels=labels).loss
    before.backward()
    factors = [value for name, value in model.named_parameters() if ".0.weight" in name or ".1.weight" in name]
    assert factors and all(value.grad is not None for value in model.parameters() if value.requires_grad)
    optimiser.step()
    after = model(**batch, labels=labels).loss
    print(f"{make.__name__}: loss {before.item():.4f} -> {after.item():.4f}")
    assert after < before


def test_a_trained_layer_no_longer_promises_its_error(tmp_path):
    factored(bert, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    name = "bert.encoder.layer.1.output.dense"
    with torch.no_grad():
        model.get_submodule(name)[0].weight[0, 0] += 1
    model.save_pretrained(tmp_path / "again")
    modules = json.loads((tmp_path / "again" / "eckart.json").read_text())["modules"]
    assert modules[name]["error"] is None and modules[name]["certificate"] is None
    assert all(module["error"] == 0.25 for key, module in modules.items() if key != name)


def test_trains_and_saves_under_the_trainer(tmp_path):
    factored(bert, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    ids = torch.randint(3, VOCABULARY, (8, 9))
    rows = [{"input_ids": row, "labels": torch.tensor(i % 2)} for i, row in enumerate(ids)]
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        num_train_epochs=1,
        per_device_train_batch_size=4,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    trainer.save_model(str(tmp_path / "trained"))
    assert (tmp_path / "trained" / "eckart.safetensors").exists()
    assert not (tmp_path / "trained" / "model.safetensors").exists()
    assert difference(eckart.transformers.from_pretrained(tmp_path / "trained"), model.eval()) == 0


@pytest.mark.parametrize("make", [gpt2, t5])
def test_moves_copies_and_pickles(make, tmp_path):
    factored(make, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    half = copy.deepcopy(model).to(torch.bfloat16)
    assert {value.dtype for value in half.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        assert half(**inputs(half)).logits.dtype == torch.bfloat16
    assert difference(copy.deepcopy(model), model) == 0
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert isinstance(again, eckart.transformers.FactoredModel) and difference(again, model) == 0
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "eckart.json").exists()


def test_dtype_is_kept_as_stored_or_as_asked(tmp_path):
    factored(llama, tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out", dtype="bfloat16")
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    mixed = eckart.transformers.from_pretrained(tmp_path / "out")
    for module in mixed.modules():
        if isinstance(module, eckart.torch.Chain):
            module.to(torch.bfloat16)
    mixed.save_pretrained(tmp_path / "mixed")
    again = eckart.transformers.from_pretrained(tmp_path / "mixed")
    assert again.model.layers[0].mlp.up_proj.first.dtype == torch.bfloat16
    assert again.model.norm.weight.dtype == torch.float32
    assert again(**inputs(again)).logits.dtype == torch.float32
    # 16-bit factors widened for the product: the same as widening them beforehand
    wide = eckart.transformers.from_pretrained(tmp_path / "mixed", dtype=torch.float32)
    assert difference(again, wide) == 0


def test_names_without_and_with_the_base_prefix(tmp_path):
    """The gpt2 of the hub has names without `transformer.`; a base model may get a file that has them."""
    torch.manual_seed(2)
    reference = gpt2().eval()
    short = {name.removeprefix("transformer."): value for name, value in stored(reference).items()}
    short["h.0.attn.bias"] = np.ones((1, 1, 32, 32), np.uint8)  # a mask that old files carry
    file = FactoredFile(short)
    layer = reference.transformer.h[1].mlp.c_fc
    layer.weight.data = torch.from_numpy(file.svd("h.1.mlp.c_fc", "conv1d_gpt2", 7).copy())
    file.write(tmp_path / "out")
    reference.config.architectures = ["GPT2LMHeadModel"]
    reference.config.save_pretrained(tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    assert difference(model, reference) <= allowed_difference(reference)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2Model"]}))
    model.save_pretrained(tmp_path / "again")  # under the names of the file it came from
    assert set(eckart.Checkpoint.open(tmp_path / "again").tensors) == set(file.tensors) - {"h.0.attn.bias"}
    del model.eckart_came_from
    model.save_pretrained(tmp_path / "long")
    assert "transformer.h.1.mlp.c_fc.0.weight" in eckart.Checkpoint.open(tmp_path / "long").tensors
    (tmp_path / "long" / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2Model"]}))
    base = eckart.transformers.from_pretrained(tmp_path / "out")
    from_long = eckart.transformers.from_pretrained(tmp_path / "long")
    with torch.no_grad():
        ids = inputs(model)["input_ids"]
        assert torch.equal(base(ids).last_hidden_state, model.transformer(ids).last_hidden_state)
        assert torch.equal(from_long(ids).last_hidden_state, model.transformer(ids).last_hidden_state)


def test_old_norm_names(tmp_path):
    reference, file = factored(bert, tmp_path / "out")
    for name in [name for name in file.tensors if "LayerNorm" in name]:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        file.tensors[old] = file.tensors.pop(name)
    file.tensors["bert.embeddings.position_ids"] = np.arange(512)[None]
    file.write(tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    assert difference(model, reference) <= allowed_difference(reference)


def test_tied_output_by_the_file_whatever_the_config_says(tmp_path):
    _, file = factored(llama, tmp_path / "out")
    head = file.tensors.pop("lm_head.0.weight"), file.tensors.pop("lm_head.1.weight")
    del file.modules["lm_head"]
    file.write(tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")  # config says untied, lm_head is absent
    assert model.lm_head.weight is model.model.embed_tokens.weight and model.config.tie_word_embeddings
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    file.tensors["lm_head.weight"] = head[1] @ head[0]
    file.write(tmp_path / "out")
    model = eckart.transformers.from_pretrained(tmp_path / "out")  # config says tied, the file has another lm_head
    assert not model.config.tie_word_embeddings
    assert np.array_equal(model.lm_head.weight.detach().numpy(), file.tensors["lm_head.weight"])
    table = file.tensors["model.embed_tokens.weight"]
    assert np.array_equal(model.model.embed_tokens.weight.detach().numpy(), table)


def test_missing_and_left_over_are_named(tmp_path):
    _, file = factored(llama, tmp_path / "out")
    del file.tensors["model.norm.weight"]
    file.tensors["model.extra.weight"] = np.ones(3, np.float32)
    file.write(tmp_path / "out")
    with pytest.raises(eckart.MismatchError) as caught:
        eckart.transformers.from_pretrained(tmp_path / "out")
    assert "missing: 'model.norm.weight'" in str(caught.value)
    assert "left over: 'model.extra.weight'" in str(caught.value)


def test_refuses_what_it_cannot_load(tmp_path):
    reference, _ = factored(bert, tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "architectures": ["NoSuchModel"]}))
    with pytest.raises(eckart.UnsupportedError, match="NoSuchModel"):
        eckart.transformers.from_pretrained(tmp_path / "out")
    path.write_text(json.dumps({**config, "architectures": ["logging"]}))
    with pytest.raises(eckart.UnsupportedError, match="logging"):
        eckart.transformers.from_pretrained(tmp_path / "out")
    path.write_text(json.dumps({**config, "quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(eckart.UnsupportedError, match="quantization_config"):
        eckart.transformers.from_pretrained(tmp_path / "out")
    reference.save_pretrained(tmp_path / "dense")
    with pytest.raises(eckart.FormatError, match="eckart.json"):
        eckart.transformers.from_pretrained(tmp_path / "dense")
    with pytest.raises(eckart.FormatError, match="'gpt2' is no directory"):
        eckart.transformers.from_pretrained("gpt2")


def test_code_in_the_directory_is_never_run_unasked(tmp_path):
    factored(bert, tmp_path / "out")
    (tmp_path / "out" / "modeling_own.py").write_text(
        "import pathlib, transformers\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).write_text('yes')\n"
        "class OwnBert(transformers.BertForSequenceClassification):\n    pass\n"
    )
    path = tmp_path / "out" / "config.json"
    own = {"architectures": ["OwnBert"], "auto_map": {"AutoModelForSequenceClassification": "modeling_own.OwnBert"}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    with pytest.raises(eckart.UnsupportedError, match="trust_remote_code"):
        eckart.transformers.from_pretrained(tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    model = eckart.transformers.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert (tmp_path / "ran").exists() and type(model).__name__ == "OwnBert"


# ---- what the command writes


@pytest.mark.parametrize("make", [*MAKERS, neox, whisper, resnet, swin, falcon])
def test_what_the_command_compresses_loads(make, tmp_path):
    torch.manual_seed(4)
    dense = make().eval()
    dense.save_pretrained(tmp_path / "in")
    eckart_command(tmp_path, "compress", "in", "-o", "out", "--rank", 6, "--min-size", 256)
    eckart_command(tmp_path, "restore", "out", "-o", "restored")
    model = eckart.transformers.from_pretrained(tmp_path / "out")
    assert sum(isinstance(module, eckart.torch.Chain) for module in model.modules()) > 0
    restored = type(dense).from_pretrained(tmp_path / "restored").eval()
    measured, allowed = difference(model, restored), allowed_difference(restored)
    print(f"{make.__name__}: difference {measured:.2e}, allowed {allowed:.2e}")
    assert measured <= allowed
    model.save_pretrained(tmp_path / "again")
    eckart_command(tmp_path, "verify", "in", "again")
    with torch.device("meta"):
        bare = make().eval()
    assert difference(eckart.torch.load(bare, tmp_path / "again"), model) == 0
