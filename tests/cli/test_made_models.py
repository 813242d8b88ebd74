"""Models that are small, odd or extreme, through the whole command."""

import json

import numpy
import pytest
import safetensors.numpy

from commandline import falling, matrix_of, run


def weight(ratio=0.8):
    """64 x 64 with known falling singular values."""
    return matrix_of(falling(64, ratio)).astype(numpy.float32)


def save(folder, tensors, name="m.safetensors"):
    safetensors.numpy.save_file(tensors, folder / name, metadata={"format": "pt"})


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("power", [-1060, -1000, -600, 0, 600, 990])
def test_the_scale_of_an_f64_weight_does_not_change_its_plan(tmp_path, power):
    """Squares of such values leave the range of F64; error curves are relative and must not notice."""
    save(tmp_path, {"a.weight": numpy.ldexp(weight().astype(numpy.float64), power)})
    save(tmp_path, {"a.weight": weight().astype(numpy.float64)}, "one.safetensors")
    plans = [document(run(tmp_path, "plan", name, "--keep", "0.5", "--json")) for name in ("m.safetensors", "one.safetensors")]
    scaled, one = (plan["layers"][0] for plan in plans)
    assert scaled["ranks"] == one["ranks"]
    # Below 2^-1022 entries keep 2^-1074 absolutely: a relative 2^(-1074 - power) / s_1, with s_1 about 2^20.
    rounding = 64 * 2.0 ** max(-52, -1074 - power)
    print(abs(scaled["error"] - one["error"]), "allowed", rounding)
    assert abs(scaled["error"] - one["error"]) <= rounding


def zeros(*shape):
    return numpy.zeros(shape, dtype=numpy.float32)


# What names say of a weight, in architectures people have: the reason why it is not factored, or None.
NAMED = {
    "gpt_neox.embed_in": ((1000, 64), "embeddings"),
    "embed_out": ((1000, 64), "language-model head"),
    "vocab_projector": ((1000, 64), "language-model head"),
    "encoder.embedding_hidden_mapping_in": ((256, 128), None),
    "electra.embeddings_project": ((256, 128), None),
    "down.0.resnets.0.time_emb_proj": ((320, 1280), None),
    "time_embedding.linear_1": ((1280, 320), None),
    "model.token_emb": ((1000, 64), "embeddings"),
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias": ((128, 64), "embeddings"),
    "decoder.block.1.layer.2.mlp.router.classifier": ((16, 768), "router"),
    "model.layers.0.mlp.gate": ((64, 2048), "router"),
    "model.layers.0.mlp.gate_proj": ((512, 256), None),
}


def test_names_of_real_architectures(tmp_path):
    # Different numbers: equal tables and heads would be tied.
    save(tmp_path, {f"{name}.weight": zeros(*shape) + i for i, (name, (shape, _)) in enumerate(NAMED.items())})
    layers = {layer["name"]: layer for layer in document(run(tmp_path, "inspect", "m.safetensors", "--json"))["layers"]}
    found = {name: layers[name]["skipped"] for name in NAMED}
    assert found == {name: reason for name, (_, reason) in NAMED.items()}
    assert layers["embed_out"]["kind"] == "linear"
    assert layers["electra.embeddings_project"]["kind"] == "linear"


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "T5ForConditionalGeneration", "BertForPreTraining"])
def test_a_table_whose_head_is_not_stored_is_tied(tmp_path, architecture):
    """The head is the table itself: factoring one use would leave the other without a weight."""
    save(tmp_path, {"bert.embeddings.word_embeddings.weight": zeros(500, 64), "a.weight": weight()}, "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    inspected = document(run(tmp_path, "inspect", ".", "--include", "*", "--json"))
    reasons = {layer["name"]: layer["skipped"] for layer in inspected["layers"]}
    assert reasons["bert.embeddings.word_embeddings"].startswith("tied to"), reasons


def test_a_bare_parameter_is_never_factored(tmp_path):
    """No module stands under its name, so nothing could load or restore the factors."""
    save(tmp_path, {"weight": weight(), "a": weight(), "a.weight": weight(), "b.0.proj": weight()})
    inspected = document(run(tmp_path, "inspect", "m.safetensors", "--include", "*", "--json"))
    assert sorted(layer["skipped"] is None for layer in inspected["layers"]) == [False, False, False, True]
    done = run(tmp_path, "compress", "m.safetensors", "-o", "out.safetensors", "--include", "*", "--keep", "0.5")
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "restore", "out.safetensors", "-o", "dense.safetensors").returncode == 0
    with open(tmp_path / "dense.safetensors", "rb") as file:
        assert sorted(safetensors.numpy.load(file.read())) == ["a", "a.weight", "b.0.proj", "weight"]
