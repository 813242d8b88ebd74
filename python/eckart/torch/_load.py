"""Putting a factored file into a module: chains in place of dense layers, every tensor in its place, or an error that
names what does not fit and a module left as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

from ..checkpoint import Checkpoint, Tensor
from ..errors import MismatchError
from ..manifest import Module
from ._build import build_chain
from ._chain import Chain, Origin
from ._meta import parameters_on_meta

_SHOWN_MAX = 8
_MAPPED_MAX = 128 * 1024 * 1024


@dataclass(frozen=True)
class Slot:
    """One place a tensor is used in: a parameter or persistent buffer of a module."""

    key: str
    owner: nn.Module
    attribute: str
    value: torch.Tensor

    def fill(self, value: torch.Tensor) -> None:
        if self.attribute in self.owner._parameters:
            self.owner._parameters[self.attribute] = value  # type: ignore[assignment]
        else:
            self.owner._buffers[self.attribute] = value


@dataclass(frozen=True)
class CameFrom:
    """What save() needs to write a module under the names it was loaded from; kept at the module."""

    source: Mapping[str, Any]
    tensors: Mapping[str, str]
    """Key of the module -> name in the file."""
    modules: Mapping[str, str]


@dataclass
class Plan:
    """What loading will do; made and judged before anything is changed."""

    module: nn.Module
    checkpoint: Checkpoint
    chains: dict[int, Chain] = field(default_factory=dict)
    """By id() of the module they replace."""
    replaced: dict[int, nn.Module] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Key in the module -> name in the file."""
    module_names: dict[str, str] = field(default_factory=dict)
    """The same for factored modules."""
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Sentences about tensors of other shapes."""

    def slots(self) -> list[Slot]:
        """All places of the module as it will be."""
        return list(walk(self.module, self.chains))


def load(
    module: nn.Module,
    path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    strict: bool = True,
) -> nn.Module:
    """Replaces the factored layers of `module` by chains and loads everything from `path`.

    module  the dense model the file was made from, on any device, "meta" too; changed in place
    path    a directory with eckart.json, or one .safetensors file
    device  where the tensors go; None: where the module has them, from "meta" to the CPU
    dtype   floating point type of all tensors; None: as stored
    strict  True: nothing may be missing or left over. False: what is missing stays as it is, the rest is ignored

    A tensor missing from the file is fine if the module uses the same parameter under a name that is there (tied
    weights). A transformers model may have other names than its files, and say what may be left over: both are as
    stock. Parameters become new objects: make the optimiser afterwards. Returns `module`; if the whole module is
    one factored layer, the chain instead.

    Raises MismatchError naming the tensors; then the module is unchanged.
    """
    rename, ignore = _habits(module)
    checkpoint = Checkpoint.open(path)
    return install(module, checkpoint, device=device, dtype=dtype, strict=strict, rename=rename, ignore=ignore)


def _as_it_is(name: str) -> str:
    return name


def _nothing(key: str) -> bool:
    return False


def _habits(module: nn.Module) -> tuple[Callable[[str], str], Callable[[str], bool]]:
    """How a model names what its files have, and what of them it ignores."""
    if module not in _transformers_models(module):
        return _as_it_is, _nothing
    from .. import transformers as ours

    return ours.Names(module).rename, ours.ignored(module)


def install(
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    strict: bool = True,
    rename: Callable[[str], str] = _as_it_is,
    ignore: Callable[[str], bool] = _nothing,
    untie: Callable[[Sequence[str]], bool] = lambda keys: False,
) -> nn.Module:
    """load() for callers that know more about the module.

    rename  name of a tensor in the file -> key of the module
    ignore  keys that may be left over
    untie   asked with the keys of one parameter that the file stores with different numbers: True separates them
    """
    plan = make_plan(module, checkpoint, rename)
    if plan.missing and _tie_again(module):
        plan = make_plan(module, checkpoint, rename)
    plan.unexpected = [key for key in plan.unexpected if not ignore(key)]
    if plan.wrong or (strict and (plan.missing or plan.unexpected)):
        raise MismatchError(_complaint(plan))
    with ExitStack() as files:
        reader = _Reader(files, dtype)
        _check_ties(plan, reader, untie)
        fresh = _fresh_buffers(plan, strict)
        module = _swap(plan)
        _fill(plan, reader, device)
    for slot, value in fresh:
        slot.fill(value)
    if device is not None:
        module._apply(  # type: ignore[no-untyped-call]
            lambda value: value if value.is_meta else value.to(device)
        )
    module.eckart_came_from = CameFrom(  # type: ignore[assignment]
        dict(checkpoint.manifest.source), dict(plan.names), dict(plan.module_names)
    )
    return module


def _transformers_models(module: nn.Module) -> list[Any]:
    """The outermost transformers models in a module; looked for only if transformers has been imported."""
    transformers: Any = sys.modules.get("transformers")
    if transformers is None:
        return []
    found: list[Any] = []

    def look(child: nn.Module) -> None:
        if isinstance(child, transformers.PreTrainedModel):
            found.append(child)
        else:
            for grandchild in child.children():
                look(grandchild)

    look(module)
    return found


def _tie_again(module: nn.Module) -> bool:
    """Moving to "meta" makes two parameters of a tied one; transformers models know which belong together."""
    models = _transformers_models(module)
    for model in models:
        model.tie_weights()
    return bool(models)


def make_plan(module: nn.Module, checkpoint: Checkpoint, rename: Callable[[str], str]) -> Plan:
    """Builds the chains on the meta device and holds names and shapes against each other."""
    plan = Plan(module, checkpoint)
    owned: set[str] = set()
    for record in checkpoint.manifest.modules.values():
        _plan_chain(plan, record, rename)
        owned.update(record.tensors)
    for name in checkpoint.tensors:
        if name not in owned:
            _claim(plan, rename(name), name)
    found: dict[int, list[Slot]] = {}
    keys = set()
    for slot in plan.slots():
        keys.add(slot.key)
        found.setdefault(id(slot.value), []).append(slot)
    plan.unexpected = [key for key in plan.names if key not in keys]
    for slots in found.values():
        present = [slot for slot in slots if slot.key in plan.names]
        if not present:
            plan.missing.append(" = ".join(slot.key for slot in slots))
        for slot in present:
            tensor = checkpoint.tensors[plan.names[slot.key]]
            if tensor.shape != tuple(slot.value.shape):
                plan.wrong.append(
                    f"{slot.key!r} has shape {list(slot.value.shape)}, tensor {tensor.name!r} {list(tensor.shape)}"
                )
    return plan


def _plan_chain(plan: Plan, record: Module, rename: Callable[[str], str]) -> None:
    """One factored module: its chain, and which tensor goes into which stage."""
    key = module_name(record.name, rename)
    try:
        old = plan.module.get_submodule(key)
    except AttributeError:
        raise MismatchError(f"the model has no module {key!r}, which is factored in the file") from None
    tensors = tuple(plan.checkpoint.tensors[name] for name in record.tensors)
    if id(old) in plan.chains:
        if tensors != _origin(plan.chains[id(old)]).tensors:
            raise MismatchError(f"module {key!r} is used under several names that the file factors differently")
        return
    chain = build_chain(old, record, plan.checkpoint.groups[record.name], plan.checkpoint.tensors)
    chain.origin = Origin(record, tensors)
    chain.requires_grad_(getattr(old.weight, "requires_grad", True))
    plan.chains[id(old)], plan.replaced[id(old)] = chain, old
    plan.module_names[key] = record.name
    prefix = f"{key}." if key else ""
    for index, stage in enumerate(record.stages):
        _claim(plan, f"{prefix}{index}.weight", stage.weight)
    if record.bias is not None:
        _claim(plan, f"{prefix}{len(record.stages) - 1}.bias", record.bias)


def _origin(chain: Chain) -> Origin:
    assert chain.origin is not None
    return chain.origin


def module_name(name: str, rename: Callable[[str], str]) -> str:
    """A module's name, by the way its dense weight would be renamed."""
    weight = rename(f"{name}.weight" if name else "weight")
    return weight.removesuffix("weight").removesuffix(".")


def _claim(plan: Plan, key: str, name: str) -> None:
    if key in plan.names and plan.names[key] != name:
        raise MismatchError(f"tensors {plan.names[key]!r} and {name!r} are both for {key!r}")
    plan.names[key] = name


def walk(module: nn.Module, chains: Mapping[int, Chain] | None = None, prefix: str = "") -> Iterator[Slot]:
    """Every parameter and persistent buffer under every name it has, chains taken for what they replace."""
    if chains is not None:
        module = chains.get(id(module), module)
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if value is not None and name not in module._non_persistent_buffers_set:
            yield Slot(prefix + name, module, name, value)
    for name, child in module._modules.items():
        if child is not None:
            yield from walk(child, chains, f"{prefix}{name}.")


def _complaint(plan: Plan) -> str:
    parts = list(plan.wrong[:_SHOWN_MAX])
    for what, keys in (("missing", plan.missing), ("left over", plan.unexpected)):
        if keys:
            shown = ", ".join(repr(key) for key in sorted(keys)[:_SHOWN_MAX])
            more = f" and {len(keys) - _SHOWN_MAX} more" if len(keys) > _SHOWN_MAX else ""
            parts.append(f"{what}: {shown}{more}")
    return f"{str(plan.checkpoint.path)!r} does not fit the model: {'; '.join(parts)}"


class _Reader:
    """Tensors of the files. A file is opened anew after every _MAPPED_MAX bytes: what has been read stays mapped, and
    counts as resident, until it is closed."""

    def __init__(self, files: ExitStack, dtype: torch.dtype | None) -> None:
        self._files, self._dtype = files, dtype
        self._path: Path | None = None
        self._open: Any = None
        self._bytes = 0

    def stored(self, tensor: Tensor) -> torch.Tensor:
        """As in the file."""
        if tensor.file != self._path or self._bytes > _MAPPED_MAX:
            self._files.close()
            self._open = self._files.enter_context(safetensors.safe_open(str(tensor.file), framework="pt"))
            self._path, self._bytes = tensor.file, 0
        value: torch.Tensor = self._open.get_tensor(tensor.name)
        self._bytes += value.nbytes
        return value

    def read(self, tensor: Tensor, device: torch.device) -> torch.Tensor:
        """A copy of its own: the file may change or go away afterwards."""
        value = self.stored(tensor)
        dtype = self._dtype if self._dtype is not None and value.is_floating_point() else value.dtype
        return value.to(device=device, dtype=dtype, copy=True)


def _groups(plan: Plan) -> Iterator[list[Slot]]:
    """Slots that hold one and the same tensor; stages that name one tensor of the file belong together too."""
    groups: dict[Any, list[Slot]] = {}
    stages = {id(stage) for chain in plan.chains.values() for stage in chain}
    for slot in plan.slots():
        name = plan.names.get(slot.key) if id(slot.owner) in stages else None
        groups.setdefault(id(slot.value) if name is None else name, []).append(slot)
    yield from groups.values()


def _check_ties(plan: Plan, reader: _Reader, untie: Callable[[Sequence[str]], bool]) -> None:
    """Names of one parameter that the file has several times must have the same numbers."""
    for slots in _groups(plan):
        present = [slot for slot in slots if slot.key in plan.names]
        tensors = [plan.checkpoint.tensors[plan.names[slot.key]] for slot in present]
        if len({tensor.name for tensor in tensors}) < 2:
            continue
        first = reader.stored(tensors[0])
        if all(_same(first, reader.stored(tensor)) for tensor in tensors[1:]):
            continue
        keys = [slot.key for slot in present]
        if not untie(keys):
            raise MismatchError(f"{' and '.join(map(repr, keys))} are one parameter, the file has different numbers")
        for slot in slots:  # a parameter of its own for each, filled like any other
            slot.fill(_like(slot, slot.value.detach()))


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _like(slot: Slot, value: torch.Tensor) -> torch.Tensor:
    """A parameter or buffer, as the slot has."""
    if slot.attribute in slot.owner._parameters:
        return nn.Parameter(value, slot.value.requires_grad and value.is_floating_point())
    return value


def _fill(plan: Plan, reader: _Reader, device: torch.device | str | None) -> None:
    """Reads every tensor and puts it in all its places, file by file."""
    homes = {id(stage): old for key, old in plan.replaced.items() for stage in plan.chains[key]}
    tasks: list[tuple[Tensor, list[Slot]]] = []
    for slots in _groups(plan):
        name = next((plan.names[slot.key] for slot in slots if slot.key in plan.names), None)
        if name is not None:
            tasks.append((plan.checkpoint.tensors[name], slots))
    for tensor, slots in sorted(tasks, key=lambda task: task[0].file):
        target = torch.device(device) if device is not None else _home(homes.get(id(slots[0].owner)), slots[0])
        value = _like(slots[0], reader.read(tensor, target))
        for slot in slots:
            slot.fill(value)


def _home(replaced: Any, slot: Slot) -> torch.device:
    """Where the tensor, or the layer it is part of, has been; the CPU for what has been nowhere."""
    device: torch.device = slot.value.device if replaced is None else replaced.weight.device
    return torch.device("cpu") if device.type == "meta" else device


def _swap(plan: Plan) -> nn.Module:
    """Chains in the place of every use of the module they replace."""
    for parent in list(plan.module.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and id(child) in plan.chains:
                parent._modules[name] = plan.chains[id(child)]
    return plan.chains.get(id(plan.module), plan.module)


def _fresh_buffers(plan: Plan, strict: bool) -> list[tuple[Slot, torch.Tensor]]:
    """Values for buffers that no file holds and that are on the meta device: they can be had where the module knows
    how to make itself again, as transformers models do."""
    empty = {id(slot.value): slot for slot in _non_persistent(plan.module) if slot.value.is_meta}
    fresh: list[tuple[Slot, torch.Tensor]] = []
    for model in _transformers_models(plan.module) if empty else []:
        with parameters_on_meta():
            twin = type(model)(model.config)
        values = {slot.key: slot.value for slot in _non_persistent(twin)}
        for slot in _non_persistent(model):
            if slot.value.is_meta and slot.key in values:
                fresh.append((slot, values[slot.key]))
                empty.pop(id(slot.value), None)
    if empty and strict:
        lost = [slot.key for slot in empty.values()]
        raise MismatchError(
            f"buffers {', '.join(map(repr, lost[:_SHOWN_MAX]))} are on the meta device and in no file: "
            "build the module under eckart.torch.parameters_on_meta()"
        )
    return fresh


def _non_persistent(module: nn.Module) -> Iterator[Slot]:
    """Buffers that are no part of the state."""
    for path, owner in module.named_modules():
        for name in sorted(owner._non_persistent_buffers_set):
            value = owner._buffers.get(name)
            if value is not None:
                yield Slot(f"{path}.{name}" if path else name, owner, name, value)
