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
