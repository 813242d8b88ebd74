"""How far float32 may be off, so that no test needs a guessed tolerance.

A sum of n products in float32 is off by at most n u sum |a b|, u = 2^-24, so a chain of stages with n_i terms is off by
at most (sum n_i + one per bias) u times the chain of absolute values at |x|.
"""

import copy

import torch
from eckart.torch import Scale
from torch import nn

U32 = 2.0**-24


def terms(stage):
    """Products added up in one output of a stage."""
    if isinstance(stage, (Scale, nn.Embedding)):
        return 1
    if isinstance(stage, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return stage.weight.shape[0] // stage.groups * stage.weight[0, 0].numel()
    return stage.weight[0].numel()


def rounding_bound(chain, x):
    """See the top of the file."""
    absolute = copy.deepcopy(chain).double()
    with torch.no_grad():
        for value in absolute.parameters():
            value.abs_()
        y = absolute(x.abs().double() if x.is_floating_point() else x)
    return sum(terms(stage) + 1 for stage in chain) * U32 * y


def assert_within(measured, allowed, what=""):
    """Elementwise; prints the worst pair."""
    ratio = (measured / allowed.clamp_min(1e-300)).max().item()
    print(f"{what} worst {measured.max().item():.2e}, {ratio:.3f} of the bound")
    assert ratio <= 1
