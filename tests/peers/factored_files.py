"""Factored files made with numpy and safetensors alone: an independent reading of docs/formats/manifest.md that the
loaders are held against."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python"


def svd_pair(matrix, rank):
    """first [rank,n], last [m,rank] of the best approximation of matrix [m,n], in float32."""
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    return (root[:, None] * right[:rank]).astype(np.float32), (left[:, :rank] * root).astype(np.float32)


def record(name, kind, shape, stages, bias=None, method="svd", ranks=None, **more):
    """The manifest's entry of a module; stages are (weight, kind, groups) with weights as numpy arrays."""
    widths = [weight.shape[1 if kind_ == "lookup" else 0] for weight, kind_, _ in stages if kind_ != "scale"]
    return {
        "method": method,
        "kind": kind,
        "shape": list(shape),
        "dtype": "F32",
        "ranks": widths[:-1] if ranks is None else ranks,
        "stages": [
            {"weight": f"{name}.{i}.weight", "groups": groups, "kind": kind_}
            for i, (_, kind_, groups) in enumerate(stages)
        ],
        "bias": None if bias is None else f"{name}.{len(stages) - 1}.bias",
        "error": 0.25,
        "floor": 1e-7,
        "certificate": {"kind": "residual"},
        "tied_to": None,
        **more,
    }


class FactoredFile:
    """Tensors and manifest in the making."""

    def __init__(self, tensors=()):
        self.tensors = dict(tensors)
        self.modules = {}

    def chain(self, name, kind, shape, stages, bias=None, **more):
        """Adds a module of any stages; the dense tensors of that name go."""
        self.tensors.pop(f"{name}.weight", None)
        self.tensors.pop(f"{name}.bias", None)
        for i, (weight, _, _) in enumerate(stages):
            self.tensors[f"{name}.{i}.weight"] = np.ascontiguousarray(weight)
        if bias is not None:
            self.tensors[f"{name}.{len(stages) - 1}.bias"] = bias
        self.modules[name] = record(name, kind, shape, stages, bias, **more)
        return self

    def svd(self, name, kind, rank):
        """Factors a tensor that is there by SVD in the layout of its kind; returns the product, dense layout."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
        transposed = kind in ("embedding", "conv1d_gpt2")
        matrix = weight.T if transposed else weight.reshape(weight.shape[0], -1)
        first, last = svd_pair(matrix, rank)
        product = (last.astype(np.float64) @ first.astype(np.float64)).astype(np.float32)
        if kind == "embedding":
            stages = [(first.T, "lookup", 1), (last, "linear", 1)]
        elif kind == "conv":
            ones = (1,) * (weight.ndim - 2)
            stages = [(first.reshape(rank, *weight.shape[1:]), "conv", 1), (last.reshape(-1, rank, *ones), "conv", 1)]
        else:
            stages = [(first, "linear", 1), (last, "linear", 1)]
        self.chain(name, kind, weight.shape, stages, bias)
        return product.T if transposed else product.reshape(weight.shape)

    def manifest(self):
        return {
            "format": "eckart-factored",
            "version": 1,
            "source": {"name": "made", "files": {"model.safetensors": hashlib.sha256(b"made").hexdigest()}},
            "modules": self.modules,
        }

    def write(self, path, manifest=None, shards=1):
        """A directory, or one file if the name ends in .safetensors."""
        path = Path(path)
        text = manifest if isinstance(manifest, str) else json.dumps(manifest or self.manifest())
        if path.suffix == ".safetensors":
            save_file(self.tensors, path, {"format": "pt", "eckart": text})
            return path
        path.mkdir(parents=True, exist_ok=True)
        (path / "eckart.json").write_text(text)
        if shards == 1:
            save_file(self.tensors, path / "eckart.safetensors", {"format": "pt"})
            return path
        names, weight_map = sorted(self.tensors), {}
        for i in range(shards):
            file = f"eckart-{i + 1:05}-of-{shards:05}.safetensors"
            part = {name: self.tensors[name] for name in names[i::shards]}
            save_file(part, path / file, {"format": "pt"})
            weight_map.update(dict.fromkeys(part, file))
        total = sum(value.nbytes for value in self.tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (path / "eckart.safetensors.index.json").write_text(json.dumps(index))
        return path
