"""Models made for the tests of this folder: transformer-like layers with decaying spectra, any type and size."""

import json
import pathlib
import struct

import numpy as np


def matrix(rows, cols, seed, decay=0.97):
    """rows x cols F32 whose spectrum falls by `decay` a step."""
    rng = np.random.default_rng(seed)
    k = min(rows, cols, 96)
    left = rng.standard_normal((rows, k)) * decay ** np.arange(k)
    return (left @ rng.standard_normal((k, cols)) / np.sqrt(k)).astype(np.float32)


def model(folder, layers=4, width=160, seed=0, change=None):
    """Writes a directory of `layers` blocks of three weights; `change(tensors)` may spoil them first."""
    from safetensors.numpy import save_file

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    tensors = {"embed_tokens.weight": matrix(400, width, seed)}
    for i in range(layers):
        tensors[f"layers.{i}.up.weight"] = matrix(2 * width, width, seed + 10 * i + 1)
        tensors[f"layers.{i}.up.bias"] = np.arange(2 * width, dtype=np.float32)
        tensors[f"layers.{i}.down.weight"] = matrix(width, 2 * width, seed + 10 * i + 2)
        tensors[f"layers.{i}.norm.weight"] = np.ones(width, dtype=np.float32)
    if change:
        change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "made"}\n')
    return folder


def digest(folder):
    """Every file of an output by name and content."""
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def zeros_file(path, tensors):
    """A sparse safetensors file of (name, dtype, shape): its size without its bytes."""
    sizes = {"BF16": 2, "F32": 4}
    header, offset = {}, 0
    for name, dtype, shape in tensors:
        count = sizes[dtype] * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return 8 + len(text)
