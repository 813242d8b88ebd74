"""The model that examples of the bindings and tests of them work on."""

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
