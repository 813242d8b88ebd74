"""Checkpoints as torch.save writes them, in both forms: the same tensors, bit for bit; and nothing that is in them runs."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from eckart_command import eckart_command
from file_access import Model
from safetensors.torch import load_file


def weights(seed=3):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(96, 64, generator=generator)
    return {
        "up.weight": base,
        "up.bias": torch.randn(96, generator=generator),
        "half.weight": torch.randn(70, 64, generator=generator).half(),
        "brain.weight": torch.randn(70, 64, generator=generator).bfloat16(),
        "turned.weight": torch.randn(64, 96, generator=generator).t(),
        "kernel.weight": torch.randn(3, 3, 24, 48, generator=generator).permute(3, 2, 0, 1),
        "part": torch.randn(20, 20, generator=generator)[3:9, 2:13],
        "parameter": torch.nn.Parameter(torch.randn(5, generator=generator)),
        "count": torch.arange(7),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(2.385, dtype=torch.float64),
        "nothing": torch.zeros(0, 3),
    }


def same(path, tensors):
    with Model(path) as model:
        index = model.index()
        assert set(index) == set(tensors)
        for name, tensor in tensors.items():
            dtype, shape, count = index[name]
            assert tuple(shape) == tuple(tensor.shape) and count == tensor.numel() * tensor.element_size(), name
            if tensor.numel() > 0:
                wanted = tensor.detach().double().numpy()
                assert np.array_equal(model.read(name), wanted), name


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"epoch": 3, "state_dict": d, "lr": 0.1, "names": ["a", None]},
                                  lambda d: {"optimizer": {"state": {0: {"m": torch.ones(2)}}}, "model": d}])
def test_tensors(tmp_path, new, wrap):
    tensors = weights()
    torch.save(wrap(tensors), tmp_path / "m.pt", _use_new_zipfile_serialization=new)
    same(tmp_path / "m.pt", tensors)


def test_state_dict_of_a_module(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(8, 4))
    torch.save(module.state_dict(), tmp_path / "m.pth")
    same(tmp_path / "m.pth", module.state_dict())


def test_key(tmp_path):
    torch.save({"ema": {"model": {"a": torch.ones(3)}}, "model": {"a": torch.zeros(2)}}, tmp_path / "m.pt")
    eckart_command(tmp_path, "inspect", "m.pt", "--key", "ema.model")
    assert "tensors           1, 8 B" in eckart_command(tmp_path, "inspect", "m.pt")
    assert "tensors           1, 12 B" in eckart_command(tmp_path, "inspect", "m.pt", "--key", "ema.model")
    eckart_command(tmp_path, "inspect", "m.pt", "--key", "ema.other", exit_code=2)


def test_tied(tmp_path):
    shared = torch.randn(96, 64)
    torch.save({"in.weight": shared, "out.weight": shared, "other.weight": torch.randn(96, 64)}, tmp_path / "m.pt")
    layers = {x["name"]: x["skipped"] for x in json.loads(eckart_command(tmp_path, "inspect", "m.pt", "--json"))["layers"]}
    assert layers == {"in": "tied to 'out': both uses or none", "out": "tied to 'in': both uses or none", "other": None}


def test_compress(tmp_path):
    tensors = weights()
    torch.save({"state_dict": tensors}, tmp_path / "m.pt")
    eckart_command(tmp_path, "compress", "m.pt", "-o", "out.safetensors", "--rank", 8, "--no-cache")
    report = json.loads(eckart_command(tmp_path, "verify", "m.pt", "out.safetensors", "--json"))
    assert report["ok"] and {x["name"] for x in report["layers"]} == {"up", "half", "brain", "turned", "kernel"}
    made = load_file(tmp_path / "out.safetensors")
    for name in ("part", "count", "flag", "scalar", "nothing"):
        assert torch.equal(made[name], tensors[name])
    eckart_command(tmp_path, "restore", "out.safetensors", "-o", "dense.safetensors")
    dense = load_file(tmp_path / "dense.safetensors")
    assert {n: (t.shape, t.dtype) for n, t in dense.items()} == {n: (t.shape, t.dtype) for n, t in tensors.items()}
    eckart_command(tmp_path, "compress", "m.pt", "-o", "out.pt", "--rank", 8, exit_code=1)
    assert not (tmp_path / "out.pt").exists()


def test_one_tensor(tmp_path):
    torch.save(weights(), tmp_path / "m.pt")
    found = json.loads(eckart_command(tmp_path, "svd", "m.pt::turned.weight", "--rank", 3, "--json"))
    values = torch.linalg.svdvals(weights()["turned.weight"].double())
    assert np.allclose(found["singular_values"][:3], values[:3], rtol=1e-6)


class Caller:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.what = (call, arguments)

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("archive", [False, True])
def test_nothing_is_run(tmp_path, protocol, archive):
    mark = tmp_path / "ran"
    content = {"w": torch.ones(2, 3), "x": Caller(os.system, f"touch {mark}"), "y": Caller(eval, f"open({str(mark)!r}, 'w')")}
    if archive:
        torch.save(content, tmp_path / "m.pt", pickle_protocol=max(protocol, 2))
    else:
        (tmp_path / "m.pt").write_bytes(pickle.dumps(Caller(os.system, f"touch {mark}"), protocol))
    eckart_command(tmp_path, "inspect", "m.pt", exit_code=1)
    assert not mark.exists()
