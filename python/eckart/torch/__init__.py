"""Factored models in PyTorch: loading them into modules, low-rank layers, and writing them again."""

from ._chain import Chain, Scale
from ._layers import (
    DepthwiseSeparableConv,
    LowRankConv1d,
    LowRankConv2d,
    LowRankConv3d,
    LowRankEmbedding,
    LowRankLinear,
)
from ._load import load
from ._meta import parameters_on_meta
from ._save import save

__all__ = [
    "Chain",
    "DepthwiseSeparableConv",
    "LowRankConv1d",
    "LowRankConv2d",
    "LowRankConv3d",
    "LowRankEmbedding",
    "LowRankLinear",
    "Scale",
    "load",
    "parameters_on_meta",
    "save",
]
