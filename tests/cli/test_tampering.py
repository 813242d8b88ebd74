"""What verify must catch: outputs changed after they were written, in their tensors or in what is said of them."""

import json

import numpy
import pytest
import safetensors
import safetensors.numpy

from commandline import run, weights

QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a model and what compress made of it; its tensors and its manifest."""
    folder = tmp_path_factory.mktemp("written")
    safetensors.numpy.save_file(weights(), folder / "in.safetensors")
    done = run(folder, "compress", "in.safetensors", "-o", "out.safetensors", "--keep", "0.5", "-q")
    assert done.returncode == 0, done.stderr
    with safetensors.safe_open(folder / "out.safetensors", "numpy") as file:
        return folder, {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["eckart"])


def changed(written, change):
    """Writes the output again with a change made to its tensors and the manifest's modules."""
    folder, tensors, manifest = written
    tensors = {name: value.copy() for name, value in tensors.items()}
    manifest = json.loads(json.dumps(manifest))
    change(tensors, manifest["modules"])
    safetensors.numpy.save_file(tensors, folder / "changed.safetensors", metadata={"eckart": json.dumps(manifest)})
    return folder


def dense_again(tensors, modules):
    tensors[f"{QUERY}.weight"] = weights()[f"{QUERY}.weight"]


def bias_again(tensors, modules):
    tensors[f"{QUERY}.bias"] = weights()[f"{QUERY}.bias"]


def bias_moved(tensors, modules):
    tensors[f"{QUERY}.1.bias"][3] += 1


def bias_gone(tensors, modules):
    del tensors[f"{QUERY}.1.bias"]
    modules[QUERY]["bias"] = None


def interval_wide(tensors, modules):
    tensors[f"{QUERY}.0.weight"] *= 0
    modules[QUERY]["certificate"]["high"] = 1e9


def promise_small(tensors, modules):
    modules[QUERY]["error"] = 1e-9


def another_type(tensors, modules):
    modules[QUERY]["dtype"] = "BF16"


def another_kind(tensors, modules):
    modules[QUERY]["kind"] = "conv1d_gpt2"


def not_a_number(tensors, modules):
    tensors[f"{QUERY}.0.weight"][0, 5] = numpy.nan


def norm_moved(tensors, modules):
    tensors["encoder.layer.1.LayerNorm.weight"][7] = 1.0000001


def norm_gone(tensors, modules):
    del tensors["encoder.layer.1.LayerNorm.weight"]


def module_left_out(tensors, modules):
    del modules[QUERY]


def terms_reordered(tensors, modules):
    tensors[f"{QUERY}.0.weight"] = tensors[f"{QUERY}.0.weight"][::-1].copy()


BROKEN = {
    dense_again: "its factors are there too",
    bias_again: "its factors are there too",
    bias_moved: "its bias differs",
    bias_gone: "its bias differs",
    interval_wide: "promised",
    promise_small: "promised 1e-09",
    another_type: "type BF16, the source's is F32",
    another_kind: "kind conv1d_gpt2, the source's is linear",
    not_a_number: "its factors hold NaN or infinity",
    norm_moved: "differs from the source",
    norm_gone: "missing in the output",
    module_left_out: "not in the source, and no factor of it",
    terms_reordered: "promised",
}


@pytest.mark.parametrize("change", BROKEN, ids=lambda change: change.__name__)
def test_a_changed_output_does_not_verify(written, change):
    folder = changed(written, change)
    done = run(folder, "verify", "in.safetensors", "changed.safetensors", "--json")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert not document["ok"]
    assert any(BROKEN[change] in (failed.get("reason") or "") for failed in document["failed"]), document["failed"]


def test_an_unchanged_output_verifies(written):
    folder = changed(written, lambda tensors, modules: None)
    assert run(folder, "verify", "in.safetensors", "changed.safetensors").returncode == 0


def test_every_foreign_tensor_is_named(written):
    def add(tensors, modules):
        tensors["one"] = tensors["two"] = numpy.ones(3, dtype=numpy.float32)

    folder = changed(written, add)
    done = run(folder, "verify", "in.safetensors", "changed.safetensors")
    assert done.returncode == 3
    _, tensors, manifest = written
    assert "one " in done.stdout and "two " in done.stdout
    # As many checks as factored layers and copied tensors, and the two.
    chains = sum(len(m["stages"]) + (m["bias"] is not None) for m in manifest["modules"].values())
    checks = len(manifest["modules"]) + len(tensors) - chains + 2
    assert f"NO: 2 of {checks} do not hold" in done.stdout


def test_a_layer_without_a_promise_is_counted(written):
    def silent(tensors, modules):
        modules[QUERY] |= {"error": None, "certificate": None}

    done = run(changed(written, silent), "verify", "in.safetensors", "changed.safetensors")
    assert done.returncode == 0
    assert "no promise        1 layers" in done.stdout


def shared(tensors, modules):
    modules["another"] = modules[QUERY]


def ranks(tensors, modules):
    modules[QUERY]["ranks"][0] += 1


def groups(tensors, modules):
    modules[QUERY]["stages"][0]["groups"] = 2


def no_groups(tensors, modules):
    modules[QUERY]["stages"][0]["groups"] = "one"


def lookup(tensors, modules):
    modules[QUERY]["kind"] = "embedding"


def reversed_stages(tensors, modules):
    modules["encoder.layer.0.output.dense"]["stages"].reverse()


def infinite(tensors, modules):
    tensors[f"{QUERY}.0.weight"][0, 5] = numpy.inf


UNUSABLE = {
    shared: ("verify", "another place names one of its tensors too"),
    ranks: ("verify", "its ranks are not the inner widths of its stages"),
    groups: ("verify", "only a convolution has groups"),
    no_groups: ("verify", "groups: an integer of 1 or more is needed"),
    lookup: ("verify", "cannot stand there"),
    reversed_stages: ("verify", "channels"),
    infinite: ("restore", "element 5 of the weight of stage 0 is not finite"),
}


@pytest.mark.parametrize("change", UNUSABLE, ids=lambda change: change.__name__)
def test_what_cannot_be_read_is_refused_by_name(written, change):
    folder = changed(written, change)
    command, message = UNUSABLE[change]
    verify = ["verify", "in.safetensors", "changed.safetensors", "--json"]
    restore = ["restore", "changed.safetensors", "-o", "restored.safetensors", "--json"]
    done = run(folder, *(verify if command == "verify" else restore))
    assert done.returncode == 1 and done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert message in error["message"] and "'changed.safetensors'" in error["message"]
    assert error["file"] == "changed.safetensors" and error["tensor"]
