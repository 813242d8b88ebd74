"""What `eckart lora extract` takes out of the shapes of a LLaMA block, at an eighth of their size, stored as bfloat16: within
1 % of the best change of its rank, and certified to be. The optimum is found here from the float64 Gram of each change, the
error from the factors as PEFT would multiply them."""

import json
import os
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

RANK = 16
HIDDEN, KEY, INNER = 512, 128, 1792
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KEY, HIDDEN), "self_attn.v_proj": (KEY, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """base.safetensors and tuned.safetensors: a change of rank 16, which rounding to bfloat16 gives full rank."""
    folder, random = tmp_path_factory.mktemp("pair"), torch.Generator().manual_seed(3)
    base, tuned = {}, {}
    for module, (rows, cols) in SHAPES.items():
        weight = (torch.randn(rows, cols, generator=random) * 0.02).bfloat16()
        left, right = torch.randn(rows, RANK, generator=random), torch.randn(RANK, cols, generator=random)
        base[f"model.layers.0.{module}.weight"] = weight
        tuned[f"model.layers.0.{module}.weight"] = (weight.float() + left @ right * 2e-4).bfloat16()
    save_file(base, folder / "base.safetensors")
    save_file(tuned, folder / "tuned.safetensors")
    return folder


def extract(folder, out, *options):
    command = [os.environ["ECKART_COMMAND"], "lora", "extract", folder / "base.safetensors", folder / "tuned.safetensors",
               "-o", out, "--rank", str(RANK), "--json", "-q", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("engine", ["auto", "exact", "krylov"])
def test_a_block_is_certified_within_one_percent_of_the_best(pair, tmp_path, engine):
    document = extract(pair, tmp_path / "out", "--engine", engine)
    before, after = load_file(pair / "base.safetensors"), load_file(pair / "tuned.safetensors")
    factors = load_file(tmp_path / "out/adapter_model.safetensors")
    assert {module["name"] for module in document["modules"]} == {f"model.layers.0.{name}" for name in SHAPES}
    for module in document["modules"]:
        name = module["name"]
        change = after[f"{name}.weight"].double() - before[f"{name}.weight"].double()
        first, last = (factors[f"base_model.model.{name}.lora_{half}.weight"].double() for half in "AB")
        values = torch.linalg.svdvals(change)
        best = (values[RANK:].norm() / values.norm()).item()
        error = ((change - last @ first).norm() / change.norm()).item()
        low, high = module["optimum"]
        print(f"{name}: error {error:.6f} told {module['error']:.6f}, best {best:.6f} in [{low:.6f}, {high:.6f}]")
        assert module["engine"] == ("krylov" if engine == "krylov" else module["engine"])
        # an element of the product is a sum of RANK terms in float32; sums of a million squares in float64 add 1e-10
        rounding = (RANK + 3) * 2.0**-24 * (last.norm() * first.norm() / change.norm()).item()
        assert abs(module["error"] - error) <= rounding + 1e-10
        assert low - 1e-10 <= best <= high + 1e-10
        assert module["error"] <= 1.01 * low, "certified"
        assert error <= 1.01 * best


@pytest.mark.parametrize("engine", ["exact", "krylov"])
@pytest.mark.parametrize("split", ["balanced", "left", "right"])
def test_a_wide_layer_is_decomposed_turned(tmp_path, split, engine):
    """Rows of 8200 numbers: the transpose is held and decomposed, and nobody notices."""
    random = torch.Generator().manual_seed(4)
    base = torch.randn(96, 8200, generator=random)
    values = torch.logspace(0, -2, 96)
    left, right = torch.randn(96, 96, generator=random), torch.randn(96, 8200, generator=random)
    tuned = base + torch.linalg.qr(left)[0] * values @ torch.linalg.qr(right.T)[0].T
    save_file({"layer.weight": base}, tmp_path / "base.safetensors")
    save_file({"layer.weight": tuned}, tmp_path / "tuned.safetensors")
    (module,) = extract(tmp_path, tmp_path / "out", "--engine", engine, "--split", split)["modules"]
    factors = load_file(tmp_path / "out/adapter_model.safetensors")
    first, last = (factors[f"base_model.model.layer.lora_{half}.weight"].double() for half in "AB")
    change = tuned.double() - base.double()
    s = torch.linalg.svdvals(change)
    assert first.shape == (RANK, 8200) and last.shape == (96, RANK) and module["engine"] == engine
    error = (change - last @ first).norm() / change.norm()
    rounding = (RANK + 3) * 2.0**-24 * last.norm() * first.norm() / change.norm()
    assert abs(module["error"] - error) <= rounding + 1e-10
    assert error <= (1 + 1e-3) * s[RANK:].norm() / s.norm()
    shares = {"balanced": s[:RANK].sqrt(), "left": s[:RANK], "right": torch.ones(RANK, dtype=torch.float64)}
    # values of the two sides' columns: those of the change to the excess that is allowed, rounded to float32
    assert torch.allclose(last.norm(dim=0), shares[split], rtol=2e-3)
    assert torch.allclose(first.norm(dim=1), s[:RANK] / shares[split], rtol=2e-3)


def test_the_page_says_how_near_the_best_it_is(pair, tmp_path):
    command = [os.environ["ECKART_COMMAND"], "lora", "extract", pair / "base.safetensors", pair / "tuned.safetensors",
               "-o", tmp_path / "out", "--rank", str(RANK)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("optimum"))
    told = float(line.split("at most ")[1].split(" %")[0])
    assert 0 < told < 1
