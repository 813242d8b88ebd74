"""Nothing that `eckart lora` does holds more for a model of many layers than for one of few: models and adapters stream."""

import json
import os
import re

import made
import numpy as np
import pytest
from measuring import run_measured
from safetensors.numpy import load_file, save_file

WIDTH, RANK, FEW, MANY = 512, 16, 2, 16
# Sixteen times [1024, 512] and [512, 1024] in F32 are 67 MB; of that, nothing may show. The index and the report take about
# a kilobyte a layer, allocators round up: 8 MB.
ALLOWED = 8_000_000


def adapter(folder, layers, seed):
    """PEFT's, for every linear layer of made.model()."""
    folder.mkdir()
    rng, tensors = np.random.default_rng(seed), {}
    for i in range(layers):
        for name, rows, cols in (("up", 2 * WIDTH, WIDTH), ("down", WIDTH, 2 * WIDTH)):
            key = f"base_model.model.layers.{i}.{name}"
            tensors[f"{key}.lora_A.weight"] = rng.standard_normal((RANK, cols), dtype=np.float32) * np.float32(0.02)
            tensors[f"{key}.lora_B.weight"] = rng.standard_normal((rows, RANK), dtype=np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["up", "down"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """For each number of layers a folder with base, a, b and tuned = base + a."""
    folders = {}
    for layers in (FEW, MANY):
        folder = folders[layers] = tmp_path_factory.mktemp(f"layers-{layers}")
        made.model(folder / "base", layers=layers, width=WIDTH)
        adapter(folder / "a", layers, 1)
        adapter(folder / "b", layers, 2)
        peak(folder, "merge", "base", "a", "-o", "tuned")
    return folders


def peak(folder, *arguments):
    done, held = run_measured([os.environ["ECKART_COMMAND"], "lora", *arguments, "--threads", "2", "-q"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return held


COMMANDS = {
    "merge": ["merge", "base", "a=0.5", "b=-1", "-o", "merged"],
    "extract": ["extract", "base", "tuned", "-o", "extracted", "--rank", "16"],
    "resize": ["resize", "a", "-o", "small", "--rank", "4"],
    "resize to a size": ["resize", "a", "-o", "smaller", "--size", "30%"],
    "combine": ["combine", "a", "b=0.5", "-o", "sum", "--rank", "8"],
    "compare": ["compare", "a", "b"],
    "convert": ["convert", "a", "-o", "k.safetensors", "--to", "kohya"],
    "init": ["init", "base", "-o", "begun", "--init", "pissa", "--rank", "8", "--residual", "rest"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_does_not_grow_with_the_model(sizes, command):
    few, many = (peak(sizes[layers], *COMMANDS[command]) for layers in (FEW, MANY))
    print(f"{command}: {few / 1e6:.1f} MB for {FEW} layers, {many / 1e6:.1f} MB for {MANY}")
    assert many - few <= ALLOWED


def test_a_limit_counts_the_held_difference(tmp_path):
    """The decomposition has what the difference, held in memory, leaves of the limit: a byte less is refused, before anything
    is written; with so much the peak stays below it, beside what the process and the BLAS (32 MB a thread) hold anyway."""
    size, rank = 1024, 500  # half of all terms: the decomposition holds many times the difference
    rng, base = np.random.default_rng(7), np.random.default_rng(8).standard_normal((size, size), dtype=np.float32)
    save_file({"layers.0.up.weight": base}, tmp_path / "base.safetensors")
    change = rng.standard_normal((size, size), dtype=np.float32) * np.float32(0.01)
    save_file({"layers.0.up.weight": base + change}, tmp_path / "tuned.safetensors")

    def extract(limit):
        arguments = ["lora", "extract", "base.safetensors", "tuned.safetensors", "-o", f"out-{limit}", "--rank", str(rank),
                     "--engine", "exact", "--memory", str(limit), "--threads", "2", "-q"]
        return run_measured([os.environ["ECKART_COMMAND"], *arguments], cwd=tmp_path)

    room, low = 4 * size * size, 24_000_000
    refused, idle = extract(low)
    assert refused.returncode == 1
    needed, left = (int(n) for n in re.search(r"factoring 'layers.0.up.weight' needs (\d+) bytes, (\d+) are", refused.stderr).groups())
    assert left == low - room
    refused, _ = extract(needed + room - 1)
    assert refused.returncode == 1 and not (tmp_path / f"out-{needed + room - 1}").exists()
    done, held = extract(needed + room)
    assert done.returncode == 0, done.stderr
    print(f"limit {(needed + room) / 1e6:.1f} MB, idle {idle / 1e6:.1f} MB, peak {held / 1e6:.1f} MB")
    assert held <= needed + room + idle + 2 * 32 * 2**20


def test_the_tuned_model_is_the_sum(sizes):
    """What the measured merges computed, on one layer."""
    folder = sizes[MANY]
    base, tuned = (load_file(folder / name / "model.safetensors")["layers.3.up.weight"] for name in ("base", "tuned"))
    factors = load_file(folder / "a" / "adapter_model.safetensors")
    first, last = (factors[f"base_model.model.layers.3.up.lora_{half}.weight"].astype(np.float64) for half in "AB")
    exact = base + last @ first
    # rounded once to float32: half a spacing, and the sums of 16 products in float64 between us
    assert (np.abs(tuned - exact) <= 0.5001 * np.spacing(np.abs(tuned))).all()
