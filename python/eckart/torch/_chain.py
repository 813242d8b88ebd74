"""A chain: ordinary torch layers run one after the other in place of one dense layer.

Stage i of a chain is its submodule `i`, so the names in `state_dict()` are those of the file. Only the last stage has
a bias. Nothing here knows how many stages there are or which method made them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..checkpoint import Tensor
from ..errors import RangeError, ShapeError
from ..manifest import KINDS, Module
from ._product import Product

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONV_TRANSPOSES = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FULL_CONVOLUTION = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


@dataclass(frozen=True)
class Origin:
    """Where a chain was read from: what the record promises holds as long as its numbers are those."""

    record: Module
    tensors: tuple[Tensor, ...]


class Scale(nn.Module):
    """y = d * x along the channels: the last dimension, or the one before `spatial` more."""

    def __init__(
        self,
        channels: int,
        spatial: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.spatial = channels, spatial
        self.weight = nn.Parameter(torch.ones(channels, device=device, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight.reshape(-1, *(1,) * self.spatial)

    def extra_repr(self) -> str:
        return f"{self.channels}"


class Chain(nn.Module):
    """Stages in the order data flows, standing for one dense layer of `kind` with a weight of `shape`.

    stages  nn.Linear, nn.ConvNd, nn.ConvTransposeNd, nn.Embedding (first only) or Scale; no bias but on the last
    kind    "linear", "conv", "conv_transpose", "embedding" or "conv1d_gpt2"
    shape   of the dense weight as that kind lays it out; None: worked out from the stages
    method  the name the manifest gives to how the stages were found

    Stages may be stored in another type than the input has; the product is then computed in the wider of both and
    given back in the type of the input.
    """

    origin: Origin | None = None

    def __init__(
        self, stages: Sequence[nn.Module], kind: str = "linear", shape: Sequence[int] | None = None, method: str = "svd"
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise RangeError(f"kind is {kind!r}: known are {', '.join(KINDS)}")
        if not stages:
            raise RangeError("a chain needs a stage")
        for index, stage in enumerate(stages):
            if index + 1 < len(stages) and getattr(stage, "bias", None) is not None:
                raise RangeError(f"stage {index} of {len(stages)} has a bias: only the last may")
            self.add_module(str(index), stage)
        self.kind, self.method = kind, method
        groups = 1 if shape is None else _dense_groups(self, shape)
        self.groups = groups
        on_meta = [_Part(part.kind, part.weight.to("meta"), part.groups) for part in _parts(self)]
        found = tuple(_dense_weight(on_meta, kind, groups).shape)
        if shape is not None and tuple(shape) != found:
            raise ShapeError(f"the stages multiply to shape {list(found)}, not {list(shape)}")
        self.shape = found
        self._set_sizes()

    def _set_sizes(self) -> None:
        """The attributes by which code asks a dense layer for its sizes."""
        if self.kind == "linear":
            self.out_features, self.in_features = self.shape
        elif self.kind == "conv1d_gpt2":
            self.nx, self.nf = self.shape
        elif self.kind == "embedding":
            self.num_embeddings, self.embedding_dim = self.shape
            self.padding_idx = self[0].padding_idx
        else:
            ours = self.shape[0], self.shape[1] * self.groups
            self.in_channels, self.out_channels = ours if self.kind == "conv_transpose" else ours[::-1]
            self.kernel_size = self.shape[2:]
            self._set_movement([stage for stage in self if not isinstance(stage, Scale)])

    def _set_movement(self, convs: Sequence[Any]) -> None:
        """stride, padding, dilation of the dense layer: what its stages do after each other."""
        self.stride = tuple(math.prod(values) for values in zip(*(conv.stride for conv in convs)))
        self.dilation = tuple(max(values) for values in zip(*(conv.dilation for conv in convs)))
        words = [conv.padding for conv in convs if isinstance(conv.padding, str)]
        self.padding = words[0] if words else tuple(sum(values) for values in zip(*(conv.padding for conv in convs)))
        self.output_padding = tuple(sum(values) for values in zip(*(conv.output_padding for conv in convs)))
        self.padding_mode = next((conv.padding_mode for conv in convs if conv.padding_mode != "zeros"), "zeros")

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stages)

    def __getitem__(self, index: int) -> Any:
        return self.stages[index]

    @property
    def stages(self) -> list[Any]:
        """In the order data flows."""
        return list(self._modules.values())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        like = self._buffers.get("output_like")  # of a table stored in another type than the one it replaces
        for stage in self.stages:
            x = _run(stage, x)
            x = x if like is None else x.to(like.dtype)
        return x

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the last stage."""
        return getattr(self[-1], "bias", None)

    @property
    def weight(self) -> torch.Tensor:
        """The weight of the dense layer. Shape, dtype and device at once; its numbers are multiplied out at each use,
        so take `reconstruct_weight()` to use them more than once."""
        weights = [stage.weight for stage in self]
        return Product(
            self.reconstruct_weight,
            self.shape,
            _widest(weights),
            weights[0].device,
            torch.is_grad_enabled() and any(weight.requires_grad for weight in weights),
        )

    def reconstruct_weight(self) -> torch.Tensor:
        """The weight of the dense layer, multiplied out, in the layout of that layer; differentiable. Products of
        16-bit factors are formed in float32 and rounded once."""
        dtype = _widest([stage.weight for stage in self])
        return _dense_weight(_parts(self), self.kind, self.groups).to(dtype)

    @property
    def parameter_count(self) -> int:
        """Numbers in the weights of all stages, without bias."""
        return sum(stage.weight.numel() for stage in self)

    @property
    def compression_ratio(self) -> float:
        """Numbers in the dense weight over numbers in the stages; above 1 the chain is smaller."""
        return math.prod(self.shape) / self.parameter_count

    @property
    def ranks(self) -> tuple[int, ...]:
        """Inner widths in the order data flows."""
        widths = [_widths(stage)[1] for stage in self if not isinstance(stage, Scale)]
        return tuple(widths[:-1])

    def extra_repr(self) -> str:
        ranks = ", ".join(map(str, self.ranks))
        return f"{self.kind} {list(self.shape)}, ranks=[{ranks}], {self.compression_ratio:.3g}x smaller"


def _run(stage: Any, x: torch.Tensor) -> torch.Tensor:
    """One stage on an input that may have another floating point type than the weights."""
    weight = stage.weight
    if not isinstance(weight, torch.Tensor) or weight.dtype == x.dtype:
        return stage(x)  # type: ignore[no-any-return]
    both_float = weight.is_floating_point() and x.is_floating_point()  # others: a lookup, a quantised stage
    if not both_float or torch.is_autocast_enabled(x.device.type):
        return stage(x)  # type: ignore[no-any-return]
    wide = torch.promote_types(x.dtype, weight.dtype)
    widened = {name: value.to(wide) for name, value in stage.named_parameters(recurse=False)}
    y: torch.Tensor = torch.func.functional_call(stage, widened, (x.to(wide),))
    return y.to(x.dtype)


def _widest(weights: Sequence[torch.Tensor]) -> torch.dtype:
    dtype = weights[0].dtype
    for weight in weights[1:]:
        dtype = torch.promote_types(dtype, weight.dtype)
    return dtype


def _widths(stage: nn.Module) -> tuple[int, int]:
    """Channels in and out."""
    if isinstance(stage, nn.Linear):
        return stage.in_features, stage.out_features
    if isinstance(stage, nn.Embedding):
        return stage.num_embeddings, stage.embedding_dim
    if isinstance(stage, Scale):
        return stage.channels, stage.channels
    if isinstance(stage, (*CONVS, *CONV_TRANSPOSES)):
        return stage.in_channels, stage.out_channels
    raise RangeError(f"a {type(stage).__name__} cannot be a stage")


def _dense_groups(chain: Chain, shape: Sequence[int]) -> int:
    """Groups of the dense layer: its weight lists the channels of one group on one side."""
    if chain.kind == "conv":
        return max(1, _widths(chain[0])[0] // shape[1])
    if chain.kind == "conv_transpose":
        return max(1, _widths(chain[-1])[1] // shape[1])
    return 1


@dataclass(frozen=True)
class _Part:
    """A stage cut to what its weight does."""

    kind: type[nn.Module]
    weight: torch.Tensor
    groups: int


def _parts(chain: Chain) -> list[_Part]:
    return [_Part(type(stage), stage.weight, getattr(stage, "groups", 1)) for stage in chain]


def _part_of_group(part: _Part, group: int, groups: int) -> _Part:
    """What a stage does in one group of the dense layer: one of `groups` equal blocks of its channels."""
    if part.kind is not Scale and part.groups % groups != 0:
        raise ShapeError(f"a stage of {part.groups} groups mixes the {groups} groups of its layer")
    return _Part(part.kind, part.weight.chunk(groups, dim=0)[group], max(part.groups // groups, 1))


def _dense_weight(parts: Sequence[_Part], kind: str, groups: int) -> torch.Tensor:
    """The dense weight that the parts multiply to, in the layout of `kind`, in float32 or wider."""
    dtype = torch.promote_types(_widest([part.weight for part in parts]), torch.float32)
    parts = [_Part(part.kind, part.weight.to(dtype), part.groups) for part in parts]
    responses = [_response([_part_of_group(part, group, groups) for part in parts]) for group in range(groups)]
    if kind == "linear":
        return responses[0].T
    if kind == "conv":
        return torch.cat([response.transpose(0, 1) for response in responses])
    return torch.cat(responses)


def _response(parts: Sequence[_Part]) -> torch.Tensor:
    """K [inputs, outputs, k...]: what the parts answer to one unit pulse on each input.

    Linear: K <- K W^T. Scale: K <- K diag(d). Convolutions one after the other have the full convolution of their
    kernels: K[i, :, u] = sum_{q + t = u} W[q] K[i, :, t], which is what conv_transpose computes with K as a batch.
    """
    first, *rest = parts
    if first.kind is Scale:
        response = torch.diag(first.weight)
    elif issubclass(first.kind, nn.Embedding):
        response = first.weight
    elif issubclass(first.kind, nn.Linear):
        response = first.weight.T
    else:
        inputs = (
            first.weight.shape[0] if issubclass(first.kind, CONV_TRANSPOSES) else first.weight.shape[1] * first.groups
        )
        response, rest = (torch.eye(inputs, dtype=first.weight.dtype, device=first.weight.device), list(parts))
        if first.groups == 1:  # the pulse would only copy the weight
            response, rest = _as_transposed(first), rest[1:]
    for part in rest:
        response = _next_response(response, part)
    return response


def _next_response(response: torch.Tensor, part: _Part) -> torch.Tensor:
    if part.kind is Scale:
        return response * part.weight.reshape(-1, *(1,) * (response.ndim - 2))
    if issubclass(part.kind, nn.Linear):
        return response @ part.weight.T
    spatial = part.weight.ndim - 2
    image = response.reshape(*response.shape, *(1,) * spatial) if response.ndim == 2 else response
    return _FULL_CONVOLUTION[spatial - 1](image, _as_transposed(part), groups=part.groups)


def _as_transposed(part: _Part) -> torch.Tensor:
    """The weight of a convolution in the layout [in, out/groups, k...]."""
    if issubclass(part.kind, CONV_TRANSPOSES):
        return part.weight
    outputs, inputs, *kernel = part.weight.shape
    blocks = part.weight.reshape(part.groups, outputs // part.groups, inputs, *kernel).transpose(1, 2)
    return blocks.reshape(part.groups * inputs, outputs // part.groups, *kernel)
