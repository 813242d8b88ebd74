"""Matrices larger than what --memory allows: two reads of the file, factors as promised, memory as stated."""

import json
import subprocess

import numpy as np
import pytest

from commandline import COMMAND, environment
from measuring import run_measured


def made(path, rows, cols, seed=0):
    """A matrix with falling values, written in pieces."""
    rng = np.random.default_rng(seed)
    mix = (0.3 * rng.standard_normal((64, cols)) * 0.9 ** np.arange(64)[:, None]).astype(np.float32)
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, cols))
    for first in range(0, rows, 4096):
        part = array[first : first + 4096]
        part[:] = rng.standard_normal((len(part), 64), np.float32) @ mix
        part += 0.1 * rng.standard_normal(part.shape, np.float32)
    array.flush()


def svd(folder, *arguments):
    """The JSON document and the peak of resident memory."""
    done, peak = run_measured([COMMAND, "svd", *arguments, "--json"], cwd=folder, env=environment(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), peak


def residual(folder, name, factors):
    """Relative error of what was written, by NumPy, in pieces."""
    a = np.load(folder / name, mmap_mode="r")
    written = np.load(folder / factors)
    left = written["U"] if "U" in written else written["last"]
    right = written["S"][:, None] * written["Vt"] if "U" in written else written["first"].astype(np.float64)
    missed = total = 0.0
    for first in range(0, len(a), 4096):
        block = a[first : first + 4096].astype(np.float64)
        missed += ((block - left[first : first + 4096].astype(np.float64) @ right) ** 2).sum()
        total += (block**2).sum()
    return np.sqrt(missed / total)


@pytest.mark.parametrize("form", [[], ["--compact"]], ids=["expanded", "compact"])
@pytest.mark.parametrize("shape", [(20000, 128), (128, 20000)], ids=["tall", "wide"])
def test_two_reads_of_the_file(tmp_path, shape, form):
    made(tmp_path / "A.npy", *shape)
    found, _ = svd(tmp_path, "A.npy", "--rank", "20", "-o", "F.npz", "--memory", "4M", *form)
    assert found["passes"] == 2 and found["bytes_read"] == 2 * 20000 * 128 * 4
    assert found["certificate"]["kind"] == "exact"
    error = residual(tmp_path, "A.npy", "F.npz")
    # NumPy's own sums in float64: 20000 * 128 terms, rounded as their root
    assert found["certificate"]["low"] - 1e-12 <= error <= found["certificate"]["value"] + 1e-12


def test_without_a_limit_it_is_read_once_more_for_the_residual(tmp_path):
    made(tmp_path / "A.npy", 20000, 128)
    found, _ = svd(tmp_path, "A.npy", "--rank", "20", "-o", "F.npz")
    assert found["passes"] == 3 and found["certificate"]["kind"] == "residual"
    found, _ = svd(tmp_path, "A.npy", "--rank", "20", "--proof", "exact")
    assert found["passes"] == 2


def test_memory_that_will_not_do_is_refused_before_the_start(tmp_path):
    made(tmp_path / "A.npy", 20000, 128)
    done = subprocess.run([COMMAND, "svd", "A.npy", "--rank", "20", "-o", "F.npz", "--memory", "100K"], cwd=tmp_path,
                          env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1 and "streaming 'A.npy' needs " in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["A.npy"]


@pytest.mark.long
def test_an_eighth_of_a_million_rows(tmp_path):
    made(tmp_path / "A.npy", 125_000, 4096)
    size = (tmp_path / "A.npy").stat().st_size
    found, peak = svd(tmp_path, "A.npy", "--rank", "100", "-o", "F.npz", "--memory", "300M")
    assert found["bytes_read"] <= 2.1 * size
    assert peak <= 300e6 + 120e6  # what the libraries hold for themselves: docs/design.md
    error = residual(tmp_path, "A.npy", "F.npz")
    assert found["certificate"]["low"] - 1e-12 <= error <= found["certificate"]["value"] + 1e-12


@pytest.mark.long
def test_more_elements_than_32_bits_count(tmp_path):
    """2.2 x 10^9 elements, all but the first and the last ten rows holes in the file: what lies behind 2^31 counts."""
    rows, cols = 2_200_000, 1000
    array = np.lib.format.open_memmap(tmp_path / "A.npy", "w+", np.float16, (rows, cols))
    block = np.random.default_rng(0).standard_normal((20, cols)).astype(np.float16)
    array[:10], array[-10:] = block[:10], block[10:]
    array.flush()
    found, peak = svd(tmp_path, "A.npy", "--rank", "12", "-o", "F.npz", "--memory", "400M")
    values = np.linalg.svd(block.astype(np.float64), compute_uv=False)
    assert np.abs(np.array(found["singular_values"][:20]) - values).max() <= 2**-23 * values[0]
    left = np.load(tmp_path / "F.npz")["U"]
    assert left.shape == (rows, 12) and not left[10:-10].any()
    # the share of a row is the same on both sides of 2^31: orthonormal columns over the twenty rows alone
    kept = np.concatenate([left[:10], left[-10:]]).astype(np.float64)
    assert np.abs(kept.T @ kept - np.eye(12)).max() <= 8 * np.sqrt(12) * 2**-24
    assert np.abs(left[-10:]).max() > 0.05 and peak <= 400e6 + 120e6
    array[-1, -1] = np.nan
    array.flush()
    done = subprocess.run([COMMAND, "svd", "A.npy", "--rank", "12", "-o", "G.npz", "--memory", "400M"], cwd=tmp_path,
                          env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1 and f"element {rows * cols - 1} is not finite" in done.stderr
