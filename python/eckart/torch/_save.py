"""Writing a module with chains in our layout: weights first, the manifest last, every file by one rename."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

from ..checkpoint import INDEX_FILE, MANIFEST_FILE, METADATA_KEY, WEIGHTS_FILE
from ..errors import ExistsError, RangeError, UnsupportedError
from ..manifest import Manifest, Module, Stage
from ._build import DTYPE_NAMES
from ._chain import CONVS, Chain, Scale
from ._load import CameFrom, Slot, walk

SHARD_BYTES = 5_000_000_000
STOCK_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def save(
    module: nn.Module,
    path: str | Path,
    *,
    source: Mapping[str, Any] | None = None,
    max_shard_bytes: int = SHARD_BYTES,
    state_dict: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Writes `module`, some of whose layers are chains, so that load() and the `eckart` command can read it.

    path        a name ending in .safetensors: one file; else a directory, made if missing
    source      what the manifest says the model was made from; None: what the file it was loaded from said
    state_dict  values to write in place of the module's own, by the same names

    What the manifest promised of a layer is kept if its numbers are still those it was loaded with, else it says
    null. A module that was loaded is written under the names of that file, as far as they differ from its own.
    Parameters used under several names are written once, or as often as that file had them.
    """
    path = Path(path)
    chains = {name: child for name, child in module.named_modules() if isinstance(child, Chain)}
    if not chains:
        raise RangeError("the module holds no factored layer: nothing to write in our layout")
    came_from = _came_from(module)
    names, tensors = _tensors(module, came_from, state_dict)
    records = [_record(came_from.modules.get(key, key), key, chain, names, tensors) for key, chain in chains.items()]
    manifest = Manifest({record.name: record for record in records}, came_from.source if source is None else source)
    if path.suffix == ".safetensors":
        _write(tensors, path, {"format": "pt", METADATA_KEY: manifest.dumps()})
        return
    for stock in STOCK_WEIGHTS:
        if (path / stock).exists():
            raise ExistsError(f"{str(path)!r} holds {stock!r}: a stock loader would take that instead")
    path.mkdir(parents=True, exist_ok=True)
    _write_shards(tensors, path, max_shard_bytes)
    _write_text(path / MANIFEST_FILE, json.dumps(manifest.to_json(), indent=1, allow_nan=False) + "\n")


def _tensors(
    module: nn.Module, came_from: CameFrom, state_dict: Mapping[str, torch.Tensor] | None
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """(key -> name it is written under, tensors by that name): the names of the file the module came from; what was in
    none is written once, under the first of its keys."""
    slots: dict[int, list[Slot]] = {}
    for slot in walk(module):
        slots.setdefault(id(slot.value), []).append(slot)
    names: dict[str, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    owners: dict[str, int] = {}
    storages: set[int] = set()
    for same in slots.values():
        known = [slot for slot in same if slot.key in came_from.tensors] or same[:1]
        for slot in known:
            name = came_from.tensors.get(slot.key, slot.key)
            names[slot.key] = name
            if owners.setdefault(name, id(slot.value)) != id(slot.value):
                raise RangeError(f"{slot.key!r} and another tensor would both be written as {name!r}")
            if name not in tensors:
                tensors[name] = _to_write(slot, state_dict, storages)
        names.update({slot.key: names[known[0].key] for slot in same if slot.key not in names})
    return names, tensors


def _to_write(slot: Slot, state_dict: Mapping[str, torch.Tensor] | None, storages: set[int]) -> torch.Tensor:
    """On the CPU, in memory that no other tensor of the file uses."""
    value = slot.value if state_dict is None else state_dict[slot.key]
    if value.is_meta:
        raise RangeError(f"{slot.key!r} is on the meta device: it has no numbers to write")
    value = value.detach().cpu().contiguous()
    storage = value.untyped_storage().data_ptr()
    if value.numel() and storage in storages:
        return value.clone()
    storages.add(storage)
    return value


def _came_from(module: nn.Module) -> CameFrom:
    known = getattr(module, "eckart_came_from", None)
    return known if isinstance(known, CameFrom) else CameFrom({}, {}, {})


def _stage_kind(stage: nn.Module) -> str:
    if isinstance(stage, nn.Linear):
        return "linear"
    if isinstance(stage, nn.Embedding):
        return "lookup"
    if isinstance(stage, Scale):
        return "scale"
    return "conv" if isinstance(stage, CONVS) else "conv_transpose"


def _record(name: str, key: str, chain: Chain, names: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> Module:
    """What the manifest says of the chain that is `key` in the module and `name` in the file."""
    prefix = f"{key}." if key else ""
    stages = tuple(
        Stage(names[f"{prefix}{index}.weight"], _stage_kind(stage), getattr(stage, "groups", 1))
        for index, stage in enumerate(chain)
    )
    bias = names[f"{prefix}{len(chain) - 1}.bias"] if chain.bias is not None else None
    first = tensors[stages[0].weight]
    if first.dtype not in DTYPE_NAMES:
        raise UnsupportedError(
            f"{stages[0].weight!r} is {first.dtype}: {', '.join(DTYPE_NAMES.values())} can be written"
        )
    origin = chain.origin
    dtype = DTYPE_NAMES[first.dtype] if origin is None else origin.record.dtype
    record = Module(name, chain.method, chain.kind, tuple(chain.shape), dtype, chain.ranks, stages, bias)
    if origin is None:
        return record
    said = origin.record
    record = replace(record, tied_to=said.tied_to, extra=said.extra)
    if not _unchanged(chain, record, tensors):
        return record
    return replace(record, error=said.error, floor=said.floor, certificate=said.certificate)


def _unchanged(chain: Chain, record: Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the numbers are still those of the file the chain was read from."""
    assert chain.origin is not None
    for name, tensor in zip(record.tensors, chain.origin.tensors):
        try:
            with safetensors.safe_open(str(tensor.file), framework="pt") as file:
                stored = file.get_tensor(tensor.name)
        except (OSError, safetensors.SafetensorError):
            return False
        if stored.dtype != tensors[name].dtype or not torch.equal(stored, tensors[name]):
            return False
    return True


def _write_shards(tensors: Mapping[str, torch.Tensor], path: Path, max_bytes: int) -> None:
    """One file, or shards and their index; weights of ours that the directory held before go away."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = total = 0
    for name, value in tensors.items():
        bytes_ = value.numel() * value.element_size()
        if shards[-1] and size + bytes_ > max_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size, total = size + bytes_, total + bytes_
    count = len(shards)
    files = [WEIGHTS_FILE] if count == 1 else [f"eckart-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    (path / MANIFEST_FILE).unlink(missing_ok=True)  # no entry point while the weights are of two kinds
    for shard, file in zip(shards, files):
        _write(shard, path / file, {"format": "pt"})
    for old in (*path.glob("eckart-?????-of-?????.safetensors"), path / WEIGHTS_FILE, path / INDEX_FILE):
        if old.name not in files:
            old.unlink(missing_ok=True)
    if count > 1:
        weight_map = {name: file for shard, file in zip(shards, files) for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_text(path / INDEX_FILE, json.dumps(index, indent=1) + "\n")


def _write(tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """A file that appears whole: another process may have the old one mapped."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(dict(tensors), str(temporary), metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
