"""The manifest of a factored model: which modules are chains of stages, and which tensors hold the stages.

`Manifest.parse` takes untrusted text and refuses everything docs/formats/manifest.md does not allow; `Module.check`
holds a record against the shapes the tensors really have. No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import FormatError, ShapeError, UnsupportedError

FORMAT = "eckart-factored"
VERSION = 1
PRODUCER_VERSION = "0.1.0"
METHODS = ("svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise")
KINDS = ("linear", "conv", "conv_transpose", "embedding", "conv1d_gpt2")
STAGE_KINDS = ("linear", "conv", "conv_transpose", "lookup", "scale")
DTYPES = ("F64", "F32", "F16", "BF16")
STAGES_MAX = 8
TEXT_MAX = 64 * 1024 * 1024

# Which stages may make up a chain of a kind; the first stage of an embedding is a lookup and no other stage is.
_STAGES_OF_KIND = {
    "linear": ("linear", "scale"),
    "conv1d_gpt2": ("linear", "scale"),
    "embedding": ("lookup", "linear", "scale"),
    "conv": ("conv", "scale"),
    "conv_transpose": ("conv", "conv_transpose", "scale"),
}


@dataclass(frozen=True)
class Stage:
    """One ordinary layer of a chain."""

    weight: str
    kind: str
    groups: int = 1


@dataclass(frozen=True)
class Flow:
    """What a layer does to the shape of its input: channels in and out, and its kernel."""

    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()


@dataclass(frozen=True)
class Module:
    """One factored module. `error`, `floor` and `certificate` are None when nothing is promised (factors that were
    trained or made in Python)."""

    name: str
    method: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    ranks: tuple[int, ...]
    stages: tuple[Stage, ...]
    bias: str | None = None
    error: float | None = None
    floor: float | None = None
    certificate: Mapping[str, Any] | None = None
    tied_to: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of all tensors of the module, in the order of the chain, the bias last."""
        names = tuple(stage.weight for stage in self.stages)
        return names if self.bias is None else (*names, self.bias)

    @property
    def dense(self) -> Flow:
        """The dense layer that the chain replaces, as far as its shape tells: of a grouped convolution the channels
        of one group on the side where the shape has only those."""
        if self.kind == "linear":
            return Flow(self.shape[1], self.shape[0])
        if self.kind in ("embedding", "conv1d_gpt2", "conv_transpose"):
            return Flow(self.shape[0], self.shape[1], self.shape[2:])
        return Flow(self.shape[1], self.shape[0], self.shape[2:])

    def check(self, shapes: Mapping[str, Sequence[int]]) -> int:
        """Holds the record against the shapes of the tensors in the file. Returns the groups of the dense layer.

        Raises FormatError or ShapeError naming the tensor.
        """
        for name in self.tensors:
            if name not in shapes:
                raise FormatError(f"module {self.name!r} names tensor {name!r}, which is not in the file")
        flows = [stage_flow(stage, shapes[stage.weight], len(self.shape) - 2) for stage in self.stages]
        for before, after, stage in zip(flows, flows[1:], self.stages[1:]):
            if after.inputs != before.outputs:
                raise ShapeError(
                    f"tensor {stage.weight!r} has shape {list(shapes[stage.weight])}: it takes {after.inputs} "
                    f"channels, the stage before it gives {before.outputs}"
                )
        groups = self._check_ends(flows, shapes)
        self._check_groups(groups)
        self._check_kernel(flows)
        self._check_ranks(flows, shapes)
        if self.bias is not None and tuple(shapes[self.bias]) != (flows[-1].outputs,):
            raise ShapeError(
                f"tensor {self.bias!r} has shape {list(shapes[self.bias])}, "
                f"the bias of module {self.name!r} has [{flows[-1].outputs}]"
            )
        return groups

    def _check_ends(self, flows: Sequence[Flow], shapes: Mapping[str, Sequence[int]]) -> int:
        """Input and output of the chain are those of the dense layer; returns the groups they imply."""
        dense = self.dense
        first, last = self.stages[0], self.stages[-1]
        inputs, outputs = dense.inputs, dense.outputs
        groups = 1
        if self.kind == "conv" and flows[0].inputs % inputs == 0:
            groups = flows[0].inputs // inputs
            inputs *= groups
        if self.kind == "conv_transpose" and flows[-1].outputs % outputs == 0:
            groups = flows[-1].outputs // outputs
            outputs *= groups
        if flows[0].inputs != inputs:
            raise ShapeError(
                f"tensor {first.weight!r} has shape {list(shapes[first.weight])}: it takes {flows[0].inputs} channels, "
                f"module {self.name!r} of shape {list(self.shape)} takes {inputs}"
            )
        if flows[-1].outputs != outputs:
            raise ShapeError(
                f"tensor {last.weight!r} has shape {list(shapes[last.weight])}: it gives {flows[-1].outputs} channels, "
                f"module {self.name!r} of shape {list(self.shape)} gives {outputs}"
            )
        return groups

    def _check_groups(self, groups: int) -> None:
        """A grouped layer stays grouped in every stage: otherwise its channels would mix."""
        for stage in self.stages:
            if stage.kind != "scale" and stage.groups % groups != 0:
                raise ShapeError(
                    f"stage {stage.weight!r} has {stage.groups} groups, module {self.name!r} of shape "
                    f"{list(self.shape)} has {groups}: groups would mix"
                )

    def _check_kernel(self, flows: Sequence[Flow]) -> None:
        """Kernels of k_1, ..., k_s points after each other reach sum(k_i - 1) + 1 points in every dimension."""
        for flow, stage in zip(flows, self.stages):
            if self.kind == "conv_transpose" and stage.kind == "conv" and max(flow.kernel) > 1:
                raise UnsupportedError(
                    f"stage {stage.weight!r} is a conv with kernel {list(flow.kernel)} in module {self.name!r} of kind "
                    f"conv_transpose: only 1x1 can stand there"
                )
        for axis, size in enumerate(self.dense.kernel):
            reach = 1 + sum(flow.kernel[axis] - 1 for flow in flows)
            if reach != size:
                raise ShapeError(
                    f"the kernels of {', '.join(repr(stage.weight) for stage in self.stages)} together reach {reach} "
                    f"points in dimension {axis}, module {self.name!r} of shape {list(self.shape)} reaches {size}"
                )

    def _check_ranks(self, flows: Sequence[Flow], shapes: Mapping[str, Sequence[int]]) -> None:
        """`ranks` lists the inner widths; a scale stage makes no width of its own."""
        widths = [(flow, stage) for flow, stage in zip(flows, self.stages) if stage.kind != "scale"][:-1]
        if len(widths) != len(self.ranks):
            raise ShapeError(
                f"module {self.name!r} lists {len(self.ranks)} ranks, its stages have {len(widths)} inner widths"
            )
        for rank, (flow, stage) in zip(self.ranks, widths):
            if flow.outputs != rank:
                raise ShapeError(
                    f"tensor {stage.weight!r} has shape {list(shapes[stage.weight])}: "
                    f"it gives {flow.outputs} channels, rank {rank} is listed for it"
                )

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the manifest."""
        return {
            "method": self.method,
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "ranks": list(self.ranks),
            "stages": [{"weight": s.weight, "groups": s.groups, "kind": s.kind} for s in self.stages],
            "bias": self.bias,
            "error": self.error,
            "floor": self.floor,
            "certificate": None if self.certificate is None else dict(self.certificate),
            "tied_to": self.tied_to,
            **self.extra,
        }


@dataclass(frozen=True)
class Manifest:
    """All factored modules by name, and what the model was made from."""

    modules: Mapping[str, Module]
    source: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def parse(
        cls, text: str | bytes, file: str = "eckart.json", shapes: Mapping[str, Sequence[int]] | None = None
    ) -> Manifest:
        """The manifest in a text; `shapes` of the tensors tell the kind of stages that do not. Raises FormatError or
        UnsupportedError naming `file` and what is wrong."""
        root = _mapping(_decode(text, file), f"the manifest of {file!r}")
        if root.get("format") != FORMAT:
            raise FormatError(f"{file!r} is not a manifest of ours: format is {root.get('format')!r}, not {FORMAT!r}")
        version = root.get("version")
        if type(version) is not int:
            raise FormatError(f"the manifest of {file!r} has version {version!r}: not an integer")
        if version != VERSION:
            raise UnsupportedError(f"the manifest of {file!r} has version {version}: this package reads {VERSION}")
        records = _mapping(root.get("modules"), f"modules of {file!r}")
        modules = {name: _module(name, record, shapes or {}) for name, record in records.items()}
        for module in modules.values():
            if module.tied_to is not None and module.tied_to not in modules:
                raise FormatError(f"module {module.name!r} is tied to {module.tied_to!r}, which is not in the manifest")
        source = root.get("source")
        return cls(modules, {} if source is None else _mapping(source, f"source of {file!r}"), version)

    def to_json(self) -> dict[str, Any]:
        """The manifest as it is written."""
        modules = {name: module.to_json() for name, module in self.modules.items()}
        producer = {"name": "eckart (Python)", "version": PRODUCER_VERSION}
        source = dict(self.source)
        return {"format": FORMAT, "version": self.version, "producer": producer, "source": source, "modules": modules}

    def dumps(self) -> str:
        """The manifest as text, one line; equal manifests give equal text."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def stage_flow(stage: Stage, shape: Sequence[int], spatial: int) -> Flow:
    """What a stage of this shape does; `spatial` dimensions are those of the dense layer. Raises ShapeError."""
    wanted = {"linear": 2, "lookup": 2, "scale": 1}.get(stage.kind, 2 + spatial)
    if len(shape) != wanted or min(shape) < 1:
        raise ShapeError(
            f"tensor {stage.weight!r} has shape {list(shape)}: "
            f"a {stage.kind} stage has {wanted} dimensions of 1 or more"
        )
    if stage.kind == "linear":
        return Flow(shape[1], shape[0])
    if stage.kind == "lookup":
        return Flow(shape[0], shape[1])
    if stage.kind == "scale":
        return Flow(shape[0], shape[0], (1,) * spatial)
    if shape[0] % stage.groups != 0:
        raise ShapeError(
            f"tensor {stage.weight!r} has shape {list(shape)}: {shape[0]} is no multiple of {stage.groups}"
        )
    wide = shape[1] * stage.groups
    if stage.kind == "conv":
        return Flow(wide, shape[0], tuple(shape[2:]))
    return Flow(shape[0], wide, tuple(shape[2:]))


def _decode(text: str | bytes, file: str) -> Any:
    """JSON with duplicate keys, NaN and infinities refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise FormatError(f"the manifest of {file!r} lists {key!r} twice")
            found[key] = value
        return found

    def refuse(constant: str) -> Any:
        raise FormatError(f"the manifest of {file!r} holds {constant}, which is not JSON")

    if len(text) > TEXT_MAX:
        raise FormatError(f"the manifest of {file!r} has {len(text)} bytes, {TEXT_MAX} are allowed")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise FormatError(f"the manifest of {file!r} is nested too deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"the manifest of {file!r} is not JSON: {error}") from None


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{what} is {type(value).__name__}, not an object")
    return value


def _known(value: Any, allowed: Sequence[str], what: str) -> str:
    """A word of a closed list; anything else is from a later version or damaged."""
    if not isinstance(value, str) or value not in allowed:
        raise UnsupportedError(f"{what} is {value!r}: known are {', '.join(allowed)}")
    return value


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or any(ord(letter) < 32 for letter in value):
        raise FormatError(f"{what} is {value!r}, not a name")
    return value


def _sizes(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(size) is not int or not 1 <= size <= 2**48 for size in value):
        raise FormatError(f"{what} is {value!r}, not a list of integers from 1 to 2^48")
    return tuple(value)


def _number(value: Any, what: str) -> float | None:
    """A finite number of 0 or more, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{what} is {value!r}, not a number")
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise FormatError(f"{what} is {value!r}, not a finite number of 0 or more")
    return number


def _likely_kind(shape: Sequence[int], first_of_embedding: bool) -> str:
    """What a stage without a kind is: its tensor's dimensions say."""
    if len(shape) == 2:
        return "lookup" if first_of_embedding else "linear"
    return "scale" if len(shape) == 1 else "conv"


def _stage(record: Any, what: str, shapes: Mapping[str, Sequence[int]], first_of_embedding: bool) -> Stage:
    record = _mapping(record, what)
    weight = _name(record.get("weight"), f"weight of {what}")
    kind = record.get("kind")
    if "kind" not in record and weight in shapes:
        kind = _likely_kind(shapes[weight], first_of_embedding)
    kind = _known(kind, STAGE_KINDS, f"kind of {what}")
    groups = record.get("groups", 1)
    if type(groups) is not int or groups < 1:
        raise FormatError(f"groups of {what} is {groups!r}, not an integer of 1 or more")
    if groups != 1 and kind not in ("conv", "conv_transpose"):
        raise UnsupportedError(f"groups of {what} is {groups}: a {kind} stage has one")
    return Stage(weight, kind, groups)


def _check_order(name: str, kind: str, stages: Sequence[Stage]) -> None:
    """Only stages that can follow each other in a chain of this kind."""
    for index, stage in enumerate(stages):
        if stage.kind not in _STAGES_OF_KIND[kind]:
            raise UnsupportedError(f"stage {stage.weight!r} is a {stage.kind} in module {name!r} of kind {kind}")
        if kind == "embedding" and (stage.kind == "lookup") != (index == 0):
            raise UnsupportedError(f"stage {stage.weight!r} is a {stage.kind} in place {index} of embedding {name!r}")
    if all(stage.kind == "scale" for stage in stages):
        raise UnsupportedError(f"module {name!r} has only scale stages")
    if kind == "conv_transpose" and all(stage.kind != "conv_transpose" for stage in stages):
        raise UnsupportedError(f"module {name!r} of kind conv_transpose has no conv_transpose stage")


def _module(name: str, record: Any, shapes: Mapping[str, Sequence[int]]) -> Module:
    what = f"module {name!r}"
    record = dict(_mapping(record, what))
    method = _known(record.pop("method", None), METHODS, f"method of {what}")
    kind = _known(record.pop("kind", None), KINDS, f"kind of {what}")
    shape = _sizes(record.pop("shape", None), f"shape of {what}")
    allowed = (3, 4, 5) if kind in ("conv", "conv_transpose") else (2,)
    if len(shape) not in allowed:
        raise FormatError(f"shape of {what} is {list(shape)}: a {kind} has {' or '.join(map(str, allowed))} dimensions")
    items = record.pop("stages", None)
    if not isinstance(items, list) or not 1 <= len(items) <= STAGES_MAX:
        raise FormatError(f"stages of {what} is not a list of 1 to {STAGES_MAX}")
    stages = tuple(
        _stage(item, f"stage {index} of {what}", shapes, index == 0 and kind == "embedding")
        for index, item in enumerate(items)
    )
    _check_order(name, kind, stages)
    bias, tied_to = record.pop("bias", None), record.pop("tied_to", None)
    certificate = record.pop("certificate", None)
    return Module(
        name=name,
        method=method,
        kind=kind,
        shape=shape,
        dtype=_known(record.pop("dtype", None), DTYPES, f"dtype of {what}"),
        ranks=_sizes(record.pop("ranks", None), f"ranks of {what}"),
        stages=stages,
        bias=None if bias is None else _name(bias, f"bias of {what}"),
        error=_number(record.pop("error", None), f"error of {what}"),
        floor=_number(record.pop("floor", None), f"floor of {what}"),
        certificate=None if certificate is None else _mapping(certificate, f"certificate of {what}"),
        tied_to=None if tied_to is None else _name(tied_to, f"tied_to of {what}"),
        extra=record,
    )
