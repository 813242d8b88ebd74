"""The model and the adapter that examples of the bindings and tests of them work on."""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file


def write_model(path, seed=1):
    """Two linear layers, one nearly of rank 20, and a bias."""
    random = np.random.default_rng(seed)
    low = random.standard_normal((128, 20)) @ random.standard_normal((20, 96))
    tensors = {
        "a.dense.weight": low + 0.1 * random.standard_normal((128, 96)),
        "a.dense.bias": random.standard_normal(128),
        "b.dense.weight": random.standard_normal((96, 128)),
    }
    tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
    save_file(tensors, path)
    return tensors


def write_adapter(path, rank=8, alpha=16, seed=5):
    """A PEFT directory for both layers; dW by module name, in float64."""
    random = np.random.default_rng(seed)
    directory = pathlib.Path(path)
    directory.mkdir()
    tensors, changes = {}, {}
    for name, (rows, columns) in {"a.dense": (128, 96), "b.dense": (96, 128)}.items():
        first = random.standard_normal((rank, columns)).astype(np.float32)
        last = (0.02 * random.standard_normal((rows, rank))).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_A.weight"] = first
        tensors[f"base_model.model.{name}.lora_B.weight"] = last
        changes[name] = alpha / rank * last.astype(np.float64) @ first.astype(np.float64)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["dense"], "bias": "none"}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return changes
