"""From a record of the manifest and the module it replaces to a chain on the meta device.

The file knows weights; stride, padding and dilation come from the module. For every spatial dimension the first stage
whose kernel is larger than 1 there takes stride, padding and dilation of that dimension; if none is, the first stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..checkpoint import Tensor
from ..errors import MismatchError, UnsupportedError
from ..manifest import Module, stage_flow
from ._chain import CONV_TRANSPOSES, CONVS, Chain, Scale
from ._layers import (
    DepthwiseSeparableConv,
    LowRankConv1d,
    LowRankConv2d,
    LowRankConv3d,
    LowRankEmbedding,
    LowRankLinear,
)

TORCH_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}

# Classes with a forward of their own that computes what torch's does.
_PLAIN_BY_ANOTHER_NAME = ("FalconLinear",)

_LOW_RANK_CONVS = (LowRankConv1d, LowRankConv2d, LowRankConv3d)


def build_chain(old: nn.Module, record: Module, groups: int, tensors: Mapping[str, Tensor]) -> Chain:
    """The chain that takes the place of `old`, its weights on the meta device in the types of the file.

    Raises MismatchError or UnsupportedError naming the module.
    """
    _check_module(old, record)
    movements: Sequence[Mapping[str, Any]] = [{} for _ in record.stages]
    if record.kind in ("conv", "conv_transpose"):
        _check_groups(old, record, groups)
        movements = _movements(old, record, tensors)
    stages = []
    for index, (stage, movement) in enumerate(zip(record.stages, movements)):
        bias = record.bias is not None and index + 1 == len(record.stages)
        stages.append(_stage(old, record, index, tensors[stage.weight], movement, bias))
    chain: Chain = _chain_class(record).__new__(_chain_class(record))
    Chain.__init__(chain, stages, record.kind, record.shape, record.method)
    if record.kind == "embedding" and tensors[record.stages[-1].weight].dtype != record.dtype:
        # What follows expects the type of the table it knew; `.to()` moves this along with the model.
        like = torch.empty(0, dtype=TORCH_DTYPES[record.dtype])
        chain.register_buffer("output_like", like, persistent=False)
    return chain.train(old.training)


def _chain_class(record: Module) -> type[Chain]:
    """The class with names for the factors, where there is one."""
    kinds = tuple(stage.kind for stage in record.stages)
    if record.kind == "linear" and kinds in (("linear", "linear"), ("linear", "scale", "linear")):
        return LowRankLinear
    if record.kind == "embedding" and kinds == ("lookup", "linear"):
        return LowRankEmbedding
    if record.kind == "conv" and kinds == ("conv", "conv"):
        if record.method == "svd":
            return _LOW_RANK_CONVS[len(record.shape) - 3]
        depthwise, pointwise = record.stages
        if len(record.shape) == 4 and depthwise.groups == record.shape[1] * pointwise.groups:
            return DepthwiseSeparableConv
    return Chain


def _dense_class(record: Module) -> type[nn.Module] | None:
    """The torch class a kind replaces; None for GPT-2's Conv1D, which is known by its looks."""
    dimensions = len(record.shape) - 2
    return {
        "linear": nn.Linear,
        "embedding": nn.Embedding,
        "conv": CONVS[dimensions - 1],
        "conv_transpose": CONV_TRANSPOSES[dimensions - 1],
    }.get(record.kind)


def _check_module(old: nn.Module, record: Module) -> None:
    """`old` is the dense layer the record was made from, and does nothing beyond it."""
    found, dense = type(old), _dense_class(record)
    if dense is None:
        if found.__name__ != "Conv1D" or not hasattr(old, "nf"):
            raise MismatchError(f"module {record.name!r} is a {found.__name__}, the file has a GPT-2 Conv1D there")
    elif not isinstance(old, dense):
        raise MismatchError(f"module {record.name!r} is a {found.__name__}, the file has a {dense.__name__} there")
    elif found.forward is not dense.forward and found.__name__ not in _PLAIN_BY_ANOTHER_NAME:
        raise UnsupportedError(
            f"module {record.name!r} is a {found.__name__}, which does more than {dense.__name__}: "
            "a chain cannot take its place; compress with --exclude for it"
        )
    weight: Any = old.weight
    if tuple(weight.shape) != record.shape:
        raise MismatchError(
            f"module {record.name!r} has a weight of shape {list(weight.shape)}, "
            f"the file has {list(record.shape)} there"
        )
    bias = getattr(old, "bias", None)
    if (bias is None) != (record.bias is None):
        ours, theirs = ("no bias", "one") if bias is None else ("a bias", "none")
        raise MismatchError(f"module {record.name!r} has {ours}, the file has {theirs} there")
    if getattr(old, "max_norm", None) is not None:
        raise UnsupportedError(f"module {record.name!r} has max_norm: it is not linear")


def _check_groups(old: Any, record: Module, groups: int) -> None:
    if old.groups != groups:
        raise MismatchError(
            f"module {record.name!r} has {old.groups} groups and {old.in_channels} channels, "
            f"the shapes of the file imply {groups} groups"
        )


def _stage(old: Any, record: Module, index: int, tensor: Tensor, movement: Mapping[str, Any], bias: bool) -> nn.Module:
    """Stage `index` on the meta device."""
    stage, dimensions = record.stages[index], len(record.shape) - 2
    if tensor.dtype not in TORCH_DTYPES:
        raise UnsupportedError(f"tensor {tensor.name!r} is {tensor.dtype}: stages are {', '.join(TORCH_DTYPES)}")
    flow = stage_flow(stage, tensor.shape, dimensions)
    where: dict[str, Any] = {"device": "meta", "dtype": TORCH_DTYPES[tensor.dtype]}
    if stage.kind == "linear":
        return nn.Linear(flow.inputs, flow.outputs, bias=bias, **where)
    if stage.kind == "scale":
        return Scale(flow.outputs, dimensions, **where)
    if stage.kind == "lookup":
        rows = {"scale_grad_by_freq": old.scale_grad_by_freq, "sparse": old.sparse}
        return nn.Embedding(flow.inputs, flow.outputs, old.padding_idx, **rows, **where)
    classes: Sequence[Any] = CONVS if stage.kind == "conv" else CONV_TRANSPOSES
    return classes[dimensions - 1](  # type: ignore[no-any-return]
        flow.inputs, flow.outputs, flow.kernel, groups=stage.groups, bias=bias, **movement, **where
    )


@dataclass
class _Axis:
    """One spatial dimension: which stage moves along it, and whether others reach along it too."""

    taker: int
    shared: bool


def _axes(record: Module, tensors: Mapping[str, Tensor]) -> list[_Axis]:
    movers = [index for index, stage in enumerate(record.stages) if stage.kind == record.kind]
    if not movers:
        raise UnsupportedError(f"module {record.name!r} has no {record.kind} stage")
    axes = []
    for axis in range(len(record.shape) - 2):
        wide = [index for index in movers if tensors[record.stages[index].weight].shape[2 + axis] > 1]
        axes.append(_Axis(wide[0] if wide else movers[0], len(wide) > 1))
    return axes


def _movements(old: Any, record: Module, tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """stride, padding, dilation (and output_padding, padding_mode) of every stage."""
    axes = _axes(record, tensors)
    transposed = record.kind == "conv_transpose"
    for number, axis in enumerate(axes):
        if axis.shared:
            _check_shared(old, record, number, transposed)
    padding = old.padding if transposed else _padding(old, record, axes)
    movements: list[dict[str, Any]] = []
    for index, stage in enumerate(record.stages):
        if stage.kind != record.kind:
            movements.append({})
            continue
        taken = [axis.taker == index for axis in axes]
        movement = {
            "stride": _taken(old.stride, taken, 1),
            "dilation": _taken(old.dilation, taken, 1),
            "padding": padding if isinstance(padding, str) else _taken(padding, taken, 0),
        }
        if transposed:
            movement["output_padding"] = _taken(old.output_padding, taken, 0)
        elif old.padding_mode != "zeros" and (padding == "same" or any(movement["padding"])):
            movement["padding_mode"] = old.padding_mode
        movements.append(movement)
    return movements


def _taken(values: Sequence[int], taken: Sequence[bool], neutral: int) -> tuple[int, ...]:
    return tuple(value if own else neutral for value, own in zip(values, taken))


def _check_shared(old: Any, record: Module, axis: int, transposed: bool) -> None:
    """Two kernels along one dimension: what a stride, dilation or crop did to the dense kernel cannot be done to the
    first of them alone."""
    settings = {"dilation": old.dilation[axis] != 1}
    if transposed:
        settings["padding"] = old.padding[axis] != 0
        settings["output_padding"] = old.output_padding[axis] != 0
    else:
        settings["stride"] = old.stride[axis] != 1
    for name, set_ in settings.items():
        if set_:
            raise UnsupportedError(
                f"module {record.name!r} has {name} {list(getattr(old, name))}: several stages reach along "
                f"dimension {axis}, it cannot be given to one of them"
            )


def _padding(old: Any, record: Module, axes: Sequence[_Axis]) -> str | tuple[int, ...]:
    """Padding by numbers; "same" stays a word where it is uneven (one more behind than before)."""
    if not isinstance(old.padding, str):
        return tuple(old.padding)
    if old.padding == "valid":
        return (0,) * len(axes)
    total = [dilation * (size - 1) for dilation, size in zip(old.dilation, record.shape[2:])]
    if all(points % 2 == 0 for points in total):
        return tuple(points // 2 for points in total)
    if any(axis.shared for axis in axes):
        raise UnsupportedError(f"module {record.name!r} has uneven padding 'same', which several stages cannot share")
    return "same"
