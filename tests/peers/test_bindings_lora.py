"""`eckart.lora` beside NumPy in float64: what the adapters it writes stand for."""

import eckart
import eckart.lora
import numpy as np
import pytest
import torch
from bindings_example_files import write_adapter, write_model
from safetensors.numpy import load_file

# Factors stored in float32: each rounds by 2^-24, independently; their product by twice that at most, and the square
# roots of the values that are put into both by as much again.
STORED = 4 * 2.0**-24


def product(factors):
    first, last, scale = factors
    return scale * last.astype(np.float64) @ first.astype(np.float64)


def off(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def truncated(matrix, rank):
    U, S, Vt = np.linalg.svd(matrix)
    return U[:, :rank] * S[:rank] @ Vt[:rank]


@pytest.fixture
def changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_adapter("ADAPTER")


def test_info_and_load(changes):
    adapter = eckart.lora.info("ADAPTER")
    assert adapter.layout == "peft" and adapter.base_name is None and adapter.extra == ()
    assert [module.name for module in adapter.modules] == ["a.dense", "b.dense"]
    first = adapter.modules[0]
    assert (first.rank, first.alpha, first.scale, first.dora) == (8, 16, 2, False)
    assert (first.form, first.dtype) == ("lora", "F32")
    for name, factors in eckart.lora.load("ADAPTER").items():
        assert np.array_equal(product(factors), changes[name])
    as_torch = eckart.lora.load("ADAPTER", torch=True)["a.dense"]
    assert isinstance(as_torch.first, torch.Tensor) and as_torch.last.shape == (128, 8)


def test_resize_is_the_truncated_svd(changes):
    outcome = eckart.lora.resize("ADAPTER", "OUT", rank=3)
    for change, (name, factors) in zip(outcome.changes, eckart.lora.load("OUT").items(), strict=True):
        assert (change.name, change.rank_before, change.rank, change.kept) == (name, 8, 3, False)
        best = truncated(changes[name], 3)
        assert off(product(factors), best) <= STORED
        assert abs(change.error - off(best, changes[name])) <= STORED
        assert abs(change.norm / np.linalg.norm(changes[name]) - 1) <= STORED
        assert change.noise is None and change.rank50 is None
    assert outcome.bytes_after < outcome.bytes_before and outcome.path == "OUT" and outcome.layout == "peft"
    by_size = eckart.lora.resize("ADAPTER", None, size=0.5, dry_run=True)
    assert by_size.bytes_after <= 0.5 * by_size.bytes_before and by_size.path is None
    with pytest.raises(eckart.ExistsError):
        eckart.lora.resize("ADAPTER", "OUT", rank=2)
    eckart.lora.resize("ADAPTER", "OUT", rank=2, replace=True)


def test_combine(changes):
    other = write_adapter("OTHER", rank=4, seed=6)
    eckart.lora.combine({"ADAPTER": 0.7, "OTHER": -1.5}, "SUM")
    eckart.lora.combine(["ADAPTER", "OTHER"], "BEST", rank=5)
    for name in changes:
        assert off(product(eckart.lora.load("SUM")[name]), 0.7 * changes[name] - 1.5 * other[name]) <= STORED
        assert off(product(eckart.lora.load("BEST")[name]), truncated(changes[name] + other[name], 5)) <= STORED
    with pytest.raises(eckart.RangeError, match="at least one"):
        eckart.lora.combine([], "NONE")


def test_merge_and_extract(changes):
    base = write_model("MODEL.safetensors")
    eckart.lora.merge("MODEL.safetensors", {"ADAPTER": 0.5}, "MERGED.safetensors")
    merged = load_file("MERGED.safetensors")
    assert np.array_equal(merged["a.dense.bias"], base["a.dense.bias"])
    for name, change in changes.items():
        wanted = base[f"{name}.weight"].astype(np.float64) + 0.5 * change
        # Rounded once.
        assert np.abs(merged[f"{name}.weight"] - wanted).max() <= 2.0**-24 * np.abs(wanted).max()
    outcome = eckart.lora.extract("MODEL.safetensors", "MERGED.safetensors", "EXTRACTED", rank=8)
    rounding = 2.0**-24 * np.linalg.norm(merged["a.dense.weight"]) / np.linalg.norm(changes["a.dense"])
    for name, change in changes.items():
        assert off(product(eckart.lora.load("EXTRACTED")[name]), 0.5 * change) <= STORED + 4 * rounding
    assert all(change.energy_clean is not None and change.rank50 <= change.rank90 <= 8 for change in outcome.changes)
    # A change of rank 8 larger than the weights themselves is no fine-tune.
    eckart.lora.merge("MODEL.safetensors", {"ADAPTER": 1000}, "FAR.safetensors")
    with pytest.raises(eckart.RangeError, match="fine-tune"):
        eckart.lora.extract("MODEL.safetensors", "FAR.safetensors", "NOT")
    with pytest.raises(eckart.RangeError):
        eckart.lora.merge("MODEL.safetensors", {"ADAPTER": float("nan")}, "NAN.safetensors")


def test_compare(changes):
    other = write_adapter("OTHER", rank=4, seed=6)
    found = eckart.lora.compare("ADAPTER", "OTHER")
    assert found.common == 2 and [relation.rank_b for relation in found.relations] == [4, 4]
    for relation in found.relations:
        a, b = changes[relation.name], other[relation.name]
        inner = (a * b).sum()
        assert abs(relation.inner - inner) <= 1e-9 * np.linalg.norm(a) * np.linalg.norm(b)
        assert abs(relation.distance - np.linalg.norm(a - b) / max(np.linalg.norm(a), np.linalg.norm(b))) <= 1e-7
    assert eckart.lora.compare("ADAPTER", "ADAPTER").distance <= 1e-7


def test_convert(changes):
    write_model("MODEL.safetensors")
    assert eckart.lora.convert("ADAPTER", "KOHYA.safetensors", "kohya", component="unet").layout == "kohya"
    back = eckart.lora.convert("KOHYA.safetensors", "BACK", "peft", bases={"unet": "MODEL.safetensors"})
    assert [change.name for change in back.changes] == ["a.dense", "b.dense"]
    for name, factors in eckart.lora.load("BACK").items():
        assert np.array_equal(product(factors), changes[name])
    with pytest.raises(eckart.RangeError, match="to: found 'none'"):
        eckart.lora.convert("ADAPTER", "X", "none")


@pytest.mark.parametrize("start", ["gaussian", "pissa", "olora"])
def test_init(changes, start):
    base = write_model("MODEL.safetensors")
    residual = None if start == "gaussian" else "RESIDUAL.safetensors"
    eckart.lora.init("MODEL.safetensors", "START", start=start, rank=4, residual=residual, seed=3)
    left = base if residual is None else load_file(residual)
    for name, factors in eckart.lora.load("START").items():
        weight, change = base[f"{name}.weight"].astype(np.float64), product(factors)
        if start == "gaussian":
            assert not change.any()
        if start == "pissa":
            assert off(change, truncated(weight, 4)) <= STORED
        assert off(left[f"{name}.weight"] + change, weight) <= STORED
    if residual:
        with pytest.raises(eckart.RangeError, match="residual"):
            eckart.lora.init("MODEL.safetensors", "AGAIN", start=start)


def test_what_is_no_adapter(changes, tmp_path):
    with pytest.raises(eckart.FileError):
        eckart.lora.info("NOTHING")
    (tmp_path / "ADAPTER" / "adapter_config.json").write_text("{")
    with pytest.raises(eckart.FormatError) as raised:
        eckart.lora.load("ADAPTER")
    assert raised.value.file.endswith("adapter_config.json")
    with pytest.raises(eckart.RangeError, match="only with dry_run"):
        eckart.lora.resize("ADAPTER", None, rank=1)
