"""Models that are small, odd or extreme, through the whole command."""

import json

import numpy
import pytest
import safetensors.numpy

from commandline import environment, falling, matrix_of, run


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


def compress(folder, source, out, *more):
    done = run(folder, "compress", source, "-o", out, "--keep", "0.5", "-q", *more)
    assert done.returncode == 0, done.stderr
    return done


def test_the_output_does_not_tell_how_its_input_was_spelled(folder):
    written = []
    for i, source in enumerate(["model", "model/", "./model/.", str(folder / "model")]):
        compress(folder, source, f"out{i}")
        written.append((folder / f"out{i}" / "eckart.json").read_bytes())
    assert len(set(written)) == 1
    assert json.loads(written[0])["source"]["name"] == "model"
    done = run(folder / "model", "compress", ".", "-o", "../here", "--keep", "0.5", "-q")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "here" / "eckart.json").read_text())["source"]["name"] is None
    assert run(folder, "verify", "model", "here").returncode == 0


def test_a_home_that_cannot_be_written_to_is_no_reason_not_to_work(folder):
    (folder / "file").write_text("")
    for home in ("/proc/none", str(folder / "file")):
        env = environment(folder, ECKART_CACHE="", HOME=home)
        done = run(folder, "plan", "model", "--keep", "0.5", env=env)
        assert done.returncode == 0, done.stderr
        assert "nothing is kept for the next run: cannot make the cache directory" in done.stderr
    # A folder the user named is another matter.
    done = run(folder, "plan", "model", "--keep", "0.5", "--cache", "file")
    assert done.returncode == 1
    assert "'file': Not a directory" in done.stderr


def test_a_budget_that_the_dense_model_meets_is_called_so(folder):
    for budget in (["--keep", "1"], ["--size", "200%"]):
        done = run(folder, "plan", "model", *budget)
        assert done.returncode == 1
        assert "nothing to do for 'model'" in done.stderr


def test_a_floor_of_f32_does_not_advise_f32(folder):
    done = run(folder, "plan", "model", "--error", "0")
    assert done.returncode == 1 and done.stderr.endswith("allow more\n")
    done = run(folder, "plan", "model", "--error", "0", "--dtype", "f16")
    assert done.stderr.endswith("allow more, or store as F32\n")


def test_a_compressed_model_is_refused_before_any_work(folder):
    compress(folder, "model", "out")
    done = run(folder, "compress", "out", "-o", "again", "--keep", "0.5")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "eckart compress: cannot compress 'out': it is compressed already (restore it first)\n"


def edited(folder, edit):
    """A plan of the model, changed by hand."""
    if not (folder / "plan.json").exists():
        assert run(folder, "plan", "model", "--keep", "0.5", "-q", "-o", "plan.json").returncode == 0
    plan = json.loads((folder / "plan.json").read_text())
    edit(plan["layers"])
    (folder / "edited.json").write_text(json.dumps(plan))
    return run(folder, "compress", "model", "-o", "out", "-f", "--plan", "edited.json")


def test_an_edited_plan(folder):
    def dense(layers):
        for layer in layers:
            layer |= {"method": "dense", "ranks": []}

    done = edited(folder, dense)
    assert done.returncode == 1 and "'edited.json' factors no layer" in done.stderr

    def larger(layers):
        layers[0] |= {"method": "svd", "ranks": [60]}

    done = edited(folder, larger)
    assert done.returncode == 0
    assert "gets larger: rank 60, and two factors are smaller up to 31" in done.stderr
    assert "of the parameters" not in done.stdout  # totals of the plan before it was edited

    def two(layers):
        layers[0] |= {"method": "svd", "ranks": [3, 4]}

    done = edited(folder, two)
    assert done.returncode == 1 and "2 ranks: svd has one" in done.stderr


@pytest.mark.parametrize("command", ["plan", "analyze"])
def test_a_memory_limit_that_cannot_be_kept_is_refused(folder, command):
    done = run(folder, command, "model", "--memory", "1M", "--json")
    assert done.returncode == 1 and done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["status"] == "budget" and "one layer at a time needs" in error["message"]
    assert run(folder, command, "model", "--memory", error["message"].split()[-1]).returncode == 0


def test_any_limit_above_the_least_is_enough(folder):
    """More than one layer's memory and less than two's: one at a time, not a refusal."""
    least = 1_000_000
    for _ in range(2):  # spectra and factors each say what they need
        done = run(folder, "compress", "model", "-o", "out", "-f", "--keep", "0.5", "--memory", str(least), "-q")
        least = int(done.stderr.split()[-1]) if done.returncode != 0 else least
    assert least > 1_000_000
    for more in (0, 1, 1000, 50_000, 100_000, 200_000, 400_000):
        done = run(folder, "compress", "model", "-o", "out", "-f", "-q", "--keep", "0.5", "--threads", "2",
                   "--memory", str(least + more))
        assert done.returncode == 0, done.stderr
