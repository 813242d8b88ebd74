"""Low-rank layers: chains with names for their factors, made from a dense layer or from nothing.

Every class is a Chain, so `state_dict()` has the names of the file: `0.weight`, `1.weight`, ..., and the bias on the
last stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import RangeError, ShapeError
from ._chain import CONVS, Chain, Scale

Device = torch.device | str | None


def choose_rank(
    values: torch.Tensor, rank: int | None = None, energy: float | None = None, error: float | None = None
) -> int:
    """The rank one of three rules asks for, given singular values in descending order.

    rank    itself
    energy  smallest k with  sum_{i<=k} s_i^2 >= energy * sum s_i^2
    error   smallest k with  sqrt(sum_{i>k} s_i^2) <= error * sqrt(sum s_i^2)
    """
    if sum(rule is not None for rule in (rank, energy, error)) != 1:
        raise RangeError("exactly one of rank, energy and error is needed")
    if rank is not None:
        if not 1 <= rank <= len(values):
            raise RangeError(f"rank is {rank}: 1 to {len(values)} are allowed")
        return rank
    if energy is not None and not 0 < energy <= 1:
        raise RangeError(f"energy is {energy}: above 0, up to 1 is allowed")
    if error is not None and not 0 <= error < 1:
        raise RangeError(f"error is {error}: 0 up to, not including, 1 is allowed")
    squares = values.double() ** 2
    tails = squares.flip(0).cumsum(0).flip(0)  # tails[k] = what k terms leave
    allowed = (1 - energy if energy is not None else error**2) * tails[0]  # type: ignore[operator]
    return max(1, int((tails > allowed).sum()))


def _svd(
    matrix: torch.Tensor, rank: int | None, energy: float | None, error: float | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U [m,k], S [k], V^T [k,n] of the best approximation, in float64."""
    if not torch.isfinite(matrix).all():
        raise RangeError("the weight holds NaN or infinity")
    left, values, right = torch.linalg.svd(matrix.detach().double(), full_matrices=False)
    k = choose_rank(values, rank, energy, error)
    return left[:, :k], values[:k], right[:k]


def _balanced(left: torch.Tensor, values: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(first, last) with the roots of the singular values in both: smallest range, safest in 16 bits."""
    root = values.sqrt()
    return root[:, None] * right, left * root


def _assign(module: nn.Module, name: str, value: torch.Tensor | None) -> None:
    """Overwrites one parameter, in the parameter's own type."""
    if value is not None:
        with torch.no_grad():
            getattr(module, name).copy_(value)


def _uniform(weight: torch.Tensor, variance: float) -> None:
    bound = math.sqrt(3 * variance)
    nn.init.uniform_(weight, -bound, bound)


class LowRankLinear(Chain):
    """y = last (first x) + b, or y = U (S * (V^T x)) + b: a linear layer whose weight has rank `rank`.

    form  "compact": stages first [rank,in], last [out,rank]; "expanded": V^T [rank,in], S [rank], U [out,rank]

    Made without a weight, the product starts with the variance of nn.Linear's own weight, 1/(3 in), and the bias as
    nn.Linear's.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        bias: bool = True,
        form: str = "compact",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if form not in ("compact", "expanded"):
            raise RangeError(f"form is {form!r}: known are compact, expanded")
        if not 1 <= rank <= min(in_features, out_features):
            raise RangeError(f"rank is {rank}: 1 to {min(in_features, out_features)} are allowed")
        stages: list[nn.Module] = [nn.Linear(in_features, rank, bias=False, device=device, dtype=dtype)]
        if form == "expanded":
            stages.append(Scale(rank, device=device, dtype=dtype))
        stages.append(nn.Linear(rank, out_features, bias=bias, device=device, dtype=dtype))
        super().__init__(stages, "linear")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Var(last first) = rank * 1/in * 1/(3 rank) = 1/(3 in)."""
        _uniform(self.first, 1 / self.in_features)
        _uniform(self.last, 1 / (3 * self.rank))
        if self.form == "expanded":
            nn.init.ones_(self.S)
        if self.bias is not None:
            _uniform(self.bias, 1 / (3 * self.in_features))

    @classmethod
    def from_weight(
        cls,
        weight: torch.Tensor,
        rank: int | None = None,
        energy: float | None = None,
        error: float | None = None,
        bias: torch.Tensor | None = None,
        form: str = "compact",
    ) -> LowRankLinear:
        """The best layer of its rank for a weight [out,in], by one of three rules: the rank itself, the share of
        sum s_i^2 to keep, or the relative Frobenius error allowed (before rounding to the weight's type)."""
        if weight.ndim != 2:
            raise ShapeError(f"weight has shape {list(weight.shape)}: 2 dimensions are needed")
        left, values, right = _svd(weight, rank, energy, error)
        layer = cls(weight.shape[1], weight.shape[0], len(values), bias is not None, form, weight.device, weight.dtype)
        first, last = _balanced(left, values, right) if form == "compact" else (right, left)
        _assign(layer[0], "weight", first)
        _assign(layer[-1], "weight", last)
        if form == "expanded":
            _assign(layer[1], "weight", values)
        _assign(layer[-1], "bias", bias)
        return layer

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        rank: int | None = None,
        energy: float | None = None,
        error: float | None = None,
        form: str = "compact",
    ) -> LowRankLinear:
        """from_weight() of a layer, with its bias."""
        return cls.from_weight(linear.weight, rank, energy, error, linear.bias, form)

    @property
    def form(self) -> str:
        return "compact" if len(self) == 2 else "expanded"

    @property
    def rank(self) -> int:
        return self.ranks[0]

    @property
    def first(self) -> torch.Tensor:
        """[rank,in]: what x meets first; V^T in the expanded form."""
        return self[0].weight  # type: ignore[no-any-return]

    @property
    def last(self) -> torch.Tensor:
        """[out,rank]: what gives y; U in the expanded form."""
        return self[-1].weight  # type: ignore[no-any-return]

    def _expanded(self, name: str) -> None:
        if self.form != "expanded":
            raise AttributeError(f"{name} belongs to the expanded form: this layer is compact, with first and last")

    @property
    def U(self) -> torch.Tensor:
        """[out,rank], weight = U diag(S) V^T."""
        self._expanded("U")
        return self.last

    @property
    def S(self) -> torch.Tensor:
        """[rank], descending when made from a weight."""
        self._expanded("S")
        return self[1].weight  # type: ignore[no-any-return]

    @property
    def V(self) -> torch.Tensor:
        """[in,rank]: V itself, not V^T, which is what is stored; a view."""
        self._expanded("V")
        return self.first.T

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, rank={self.rank}, "
            f"bias={self.bias is not None}, form={self.form}, compression_ratio={self.compression_ratio:.4g}"
        )


class LowRankEmbedding(Chain):
    """A table [num_embeddings, embedding_dim] of rank `rank`: rows of `first` [num_embeddings, rank], then `last`
    [embedding_dim, rank]. Made without a weight, the product has variance 1, as nn.Embedding."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        padding_idx: int | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not 1 <= rank <= min(num_embeddings, embedding_dim):
            raise RangeError(f"rank is {rank}: 1 to {min(num_embeddings, embedding_dim)} are allowed")
        lookup = nn.Embedding(num_embeddings, rank, padding_idx, device=device, dtype=dtype)
        super().__init__([lookup, nn.Linear(rank, embedding_dim, bias=False, device=device, dtype=dtype)], "embedding")
        nn.init.normal_(self[1].weight, std=1 / math.sqrt(rank))

    @classmethod
    def from_embedding(
        cls, embedding: nn.Embedding, rank: int | None = None, energy: float | None = None, error: float | None = None
    ) -> LowRankEmbedding:
        """The best table of its rank; rules as LowRankLinear.from_weight()."""
        if embedding.max_norm is not None:
            raise RangeError("an embedding with max_norm is not linear")
        weight = embedding.weight
        first, last = _balanced(*_svd(weight.T, rank, energy, error))
        rows, columns = weight.shape
        layer = cls(rows, columns, len(first), embedding.padding_idx, weight.device, weight.dtype)
        _assign(layer[0], "weight", first.T)
        _assign(layer[1], "weight", last)
        return layer

    @property
    def rank(self) -> int:
        return self.ranks[0]

    @property
    def first(self) -> torch.Tensor:
        """[num_embeddings, rank]."""
        return self[0].weight  # type: ignore[no-any-return]

    @property
    def last(self) -> torch.Tensor:
        """[embedding_dim, rank]."""
        return self[-1].weight  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return (
            f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}, "
            f"compression_ratio={self.compression_ratio:.4g}"
        )


def _tuple(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _conv_options(conv: nn.Module) -> dict[str, Any]:
    """How a convolution moves over its input."""
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    return {name: getattr(conv, name) for name in names}


class _LowRankConv(Chain):
    """Channel SVD: a convolution to `rank` channels with the kernel of the dense layer, then a 1x1 one.

    A grouped layer stays grouped in both stages; `rank` is then a multiple of groups. Made without a weight, the
    product has the variance of torch's own weight, 1/(3 in/groups k).
    """

    dimensions: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        rank: int,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        conv: Any = CONVS[self.dimensions - 1]
        kernel = _tuple(kernel_size, self.dimensions)
        most = min(out_channels, in_channels // groups * math.prod(kernel) * groups)
        if not 1 <= rank <= most or rank % groups != 0:
            raise RangeError(f"rank is {rank}: multiples of {groups} up to {most} are allowed")
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        first = conv(in_channels, rank, kernel, stride, padding, dilation, groups, False, padding_mode, **where)
        last = conv(rank, out_channels, 1, groups=groups, bias=bias, **where)
        super().__init__([first, last], "conv", (out_channels, in_channels // groups, *kernel))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Var(product) = rank/groups * 1/fan * groups/(3 rank) = 1/(3 fan), fan = in/groups * k."""
        fan = math.prod(self.shape[1:])
        _uniform(self.first, 1 / fan)
        _uniform(self.last, self.groups / (3 * self.rank))
        if self.bias is not None:
            _uniform(self.bias, 1 / (3 * fan))

    @classmethod
    def _from_conv(cls: type[Any], conv: Any, rank: int | None, energy: float | None, error: float | None) -> Any:
        if not isinstance(conv, CONVS[cls.dimensions - 1]):
            raise RangeError(f"a {type(conv).__name__} is no {cls.dimensions}-d convolution")
        weight, groups = conv.weight.detach(), conv.groups
        if rank is not None and rank % groups != 0:
            raise RangeError(f"rank is {rank}: a multiple of the {groups} groups is needed")
        blocks = weight.reshape(groups, weight.shape[0] // groups, -1)
        if rank is None:
            rank = groups * _common_rank(blocks, energy, error)
        pairs = [_balanced(*_svd(block, rank // groups, None, None)) for block in blocks]
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            rank,
            bias=conv.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
            **_conv_options(conv),
        )
        _assign(layer[0], "weight", torch.cat([pair[0] for pair in pairs]).reshape(layer[0].weight.shape))
        _assign(layer[1], "weight", torch.cat([pair[1] for pair in pairs]).reshape(layer[1].weight.shape))
        _assign(layer[1], "bias", conv.bias)
        return layer

    @property
    def rank(self) -> int:
        return self.ranks[0]

    @property
    def first(self) -> torch.Tensor:
        """[rank, in/groups, k...]."""
        return self[0].weight  # type: ignore[no-any-return]

    @property
    def last(self) -> torch.Tensor:
        """[out, rank/groups, 1...]."""
        return self[-1].weight  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={tuple(self.kernel_size)}, rank={self.rank}, "
            f"groups={self.groups}, compression_ratio={self.compression_ratio:.4g}"
        )


def _common_rank(blocks: torch.Tensor, energy: float | None, error: float | None) -> int:
    """The rank of each group at which a rule holds for all groups together: squares are added across groups."""
    values = torch.linalg.svdvals(blocks.double())
    return choose_rank(values.square().sum(0).sqrt(), None, energy, error)


class LowRankConv1d(_LowRankConv):
    dimensions = 1

    @classmethod
    def from_conv1d(
        cls, conv: nn.Conv1d, rank: int | None = None, energy: float | None = None, error: float | None = None
    ) -> LowRankConv1d:
        """The best layer of its rank; rules as LowRankLinear.from_weight()."""
        return cls._from_conv(conv, rank, energy, error)  # type: ignore[no-any-return]


class LowRankConv2d(_LowRankConv):
    dimensions = 2

    @classmethod
    def from_conv2d(
        cls, conv: nn.Conv2d, rank: int | None = None, energy: float | None = None, error: float | None = None
    ) -> LowRankConv2d:
        """The best layer of its rank; rules as LowRankLinear.from_weight()."""
        return cls._from_conv(conv, rank, energy, error)  # type: ignore[no-any-return]


class LowRankConv3d(_LowRankConv):
    dimensions = 3

    @classmethod
    def from_conv3d(
        cls, conv: nn.Conv3d, rank: int | None = None, energy: float | None = None, error: float | None = None
    ) -> LowRankConv3d:
        """The best layer of its rank; rules as LowRankLinear.from_weight()."""
        return cls._from_conv(conv, rank, energy, error)  # type: ignore[no-any-return]


class DepthwiseSeparableConv(Chain):
    """`terms` filters on every input channel by itself, then a 1x1 convolution over all of them.

    Stages: depthwise [terms*in, 1, kh, kw] with groups = in, pointwise [out, terms*in/groups, 1, 1]. Filter t of
    channel i gives channel i*terms + t. Any kernel is met exactly at terms = kh*kw.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        terms: int = 1,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kernel = _tuple(kernel_size, 2)
        if not 1 <= terms <= math.prod(kernel):
            raise RangeError(f"terms is {terms}: 1 to {math.prod(kernel)} are allowed")
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        wide = terms * in_channels
        conv: Any = nn.Conv2d
        depthwise = conv(
            in_channels, wide, kernel, stride, padding, dilation, in_channels, False, padding_mode, **where
        )
        pointwise = conv(wide, out_channels, 1, groups=groups, bias=bias, **where)
        super().__init__([depthwise, pointwise], "conv", (out_channels, in_channels // groups, *kernel), "depthwise")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Var(product) = terms * 1/k * 1/(3 terms in/groups) = 1/(3 in/groups k)."""
        _uniform(self[0].weight, 1 / math.prod(self.kernel_size))
        _uniform(self[1].weight, 1 / (3 * self.terms * self.shape[1]))
        if self.bias is not None:
            _uniform(self.bias, 1 / (3 * math.prod(self.shape[1:])))

    @classmethod
    def from_conv2d(cls, conv: nn.Conv2d, terms: int) -> DepthwiseSeparableConv:
        """The best layer of `terms` terms: for each input channel the SVD of its [out/groups, kh*kw] slice."""
        if not isinstance(conv, nn.Conv2d):
            raise RangeError(f"a {type(conv).__name__} is no 2-d convolution")
        weight, groups = conv.weight.detach(), conv.groups
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            terms,
            bias=conv.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
            **_conv_options(conv),
        )
        outputs, inputs = conv.out_channels // groups, conv.in_channels // groups
        slices = weight.double().reshape(groups, outputs, inputs, -1).transpose(1, 2)  # [g, in/g, out/g, kh*kw]
        left, values, right = torch.linalg.svd(slices, full_matrices=False)
        kept = min(terms, values.shape[-1])  # fewer outputs than terms: the rest stays zero
        root = values[..., :kept].sqrt()
        filters = slices.new_zeros(groups, inputs, terms, slices.shape[-1])
        filters[:, :, :kept] = root[..., None] * right[..., :kept, :]
        mixing = slices.new_zeros(groups, inputs, outputs, terms)
        mixing[..., :kept] = left[..., :kept] * root[..., None, :]
        _assign(layer[0], "weight", filters.reshape(layer[0].weight.shape))
        _assign(layer[1], "weight", mixing.transpose(1, 2).reshape(layer[1].weight.shape))
        _assign(layer[1], "bias", conv.bias)
        return layer

    @property
    def terms(self) -> int:
        return self.ranks[0] // self.in_channels

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={tuple(self.kernel_size)}, terms={self.terms}, "
            f"groups={self.groups}, compression_ratio={self.compression_ratio:.4g}"
        )
