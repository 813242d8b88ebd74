"""A factored model on disk: its manifest, and where each tensor is. Opening reads headers only; no torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors

from .errors import FormatError
from .manifest import TEXT_MAX, Manifest

MANIFEST_FILE = "eckart.json"
WEIGHTS_FILE = "eckart.safetensors"
INDEX_FILE = "eckart.safetensors.index.json"
METADATA_KEY = "eckart"

_SHARD = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor is and what it looks like; `dtype` is the name the file uses ("F32")."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A directory or a single .safetensors file written by `eckart compress` or by this package.

    Always true: every tensor a module of the manifest names is in `tensors` and has the shape the manifest implies.
    """

    path: Path
    manifest: Manifest
    tensors: Mapping[str, Tensor]
    groups: Mapping[str, int]
    """Groups of the dense layer, by module."""

    @classmethod
    def open(cls, path: str | Path) -> Checkpoint:
        """Reads manifest and headers. Raises FormatError, UnsupportedError or ShapeError; OSError if unreadable."""
        path = Path(path)
        if path.is_dir():
            text, file = _read_text(path / MANIFEST_FILE), str(path / MANIFEST_FILE)
            tensors = _open_directory(path)
        else:
            tensors, metadata = _open_file(path)
            if METADATA_KEY not in metadata:
                raise FormatError(f"{str(path)!r} carries no manifest of ours: it is not a factored model")
            text, file = metadata[METADATA_KEY].encode(), str(path)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        manifest = Manifest.parse(text, file, shapes)
        groups = {name: module.check(shapes) for name, module in manifest.modules.items()}
        return cls(path, manifest, tensors, groups)


def _read_text(path: Path) -> bytes:
    """A small file whole."""
    if not path.exists():
        raise FormatError(f"{str(path.parent)!r} holds no {path.name!r}: it is not a factored model")
    with path.open("rb") as file:
        return file.read(TEXT_MAX + 1)


def _open_file(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata of one safetensors file."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r}")
    tensors: dict[str, Tensor] = {}
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            for name in file.keys():
                view = file.get_slice(name)
                tensors[name] = Tensor(name, path, str(view.get_dtype()), tuple(view.get_shape()))
            return tensors, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise FormatError(f"cannot read {str(path)!r}: {error}") from None


def _open_directory(path: Path) -> dict[str, Tensor]:
    """Tensors of the one file, or of all shards, of a directory."""
    single, index = path / WEIGHTS_FILE, path / INDEX_FILE
    if single.exists() and index.exists():
        raise FormatError(f"{str(path)!r} holds both {WEIGHTS_FILE!r} and {INDEX_FILE!r}: one of them is not its own")
    if not index.exists():
        if not single.exists():
            raise FormatError(f"{str(path)!r} holds neither {WEIGHTS_FILE!r} nor {INDEX_FILE!r}")
        return _open_file(single)[0]
    tensors: dict[str, Tensor] = {}
    weight_map = _weight_map(index)
    for shard in sorted(set(weight_map.values())):
        found = _open_file(path / shard)[0]
        for name in found:
            if weight_map.get(name) != shard:
                raise FormatError(f"tensor {name!r} is in {shard!r}, the index has it in {weight_map.get(name)!r}")
        tensors.update(found)
    for name, shard in weight_map.items():
        if name not in tensors:
            raise FormatError(f"tensor {name!r} is not in {shard!r}, where the index has it")
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> shard; a shard is a plain file name, so none can leave the directory."""
    try:
        root: Any = json.loads(_read_text(index))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{str(index)!r} is not JSON: {error}") from None
    weight_map = root.get("weight_map") if isinstance(root, dict) else None
    if not isinstance(weight_map, dict):
        raise FormatError(f"{str(index)!r} has no weight_map")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise FormatError(f"{str(index)!r} has tensor {name!r} in {shard!r}, which is not a plain file name")
    return weight_map
