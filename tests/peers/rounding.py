"""How far float32 may be off, so that no test needs a guessed tolerance.

Roundings are taken as independent, each of variance at most u^2 of what is rounded, u = 2^-24 (Higham and Mary 2019).
A sum of n products a_i b_i makes at most 2 n of them on values whose squares grow to sum (a b)^2, half of that on the
way, so its variance is below (n + 1) u^2 sum (a b)^2; what came in with the operands passes through the squares of the
weights. Six standard deviations are allowed.
"""

import copy

import torch
from torch import nn

from eckart.torch import Scale

U32 = 2.0**-24
DEVIATIONS = 6


def terms(stage):
    """Products added up in one output of a stage."""
    if isinstance(stage, (Scale, nn.Embedding)):
        return 1
    if isinstance(stage, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return stage.weight.shape[0] // stage.groups * stage.weight[0, 0].numel()
    return stage.weight[0].numel()


@torch.no_grad()
def rounding_bound(chain, x):
    """Elementwise, for the chain in float32 at x; see the top of the file."""
    variance = None
    values = x.double() if x.is_floating_point() else x
    for stage in chain:
        exact, squared, through = (copy.deepcopy(stage).double() for _ in range(3))
        for parameter in (*squared.parameters(), *through.parameters()):
            parameter.square_()
        if getattr(through, "bias", None) is not None:
            through.bias.zero_()
        passed = 0 if variance is None else through(variance)
        lookup = isinstance(stage, nn.Embedding)
        made = 0 if lookup else (terms(stage) + 1) * U32**2 * squared(values.square())
        values = exact(values)
        variance = passed + made + torch.zeros_like(values)
    return DEVIATIONS * variance.sqrt()


def assert_within(measured, allowed, what=""):
    """Elementwise; prints the worst pair."""
    ratio = (measured / allowed.clamp_min(1e-300)).max().item()
    print(f"{what} worst {measured.max().item():.2e}, {ratio:.3f} of the bound")
    assert ratio <= 1


@torch.no_grad()
def perturbation_bound(model, run, tries=16):
    """For a whole model: the largest change of run(model) seen when every weight is moved by u at random signs, twice
    (a weight is rounded with its product and with the sum that takes it up), and the rounding of the result itself."""
    generator = torch.Generator().manual_seed(3)
    exact, worst = run(model), 0.0
    for _ in range(tries):
        moved = copy.deepcopy(model)
        for value in moved.parameters():
            sign = torch.randint(0, 2, value.shape, generator=generator) * 2.0 - 1
            value.mul_(1 + U32 * sign)
        worst = max(worst, (run(moved) - exact).abs().max().item())
    return 2 * worst + U32 * exact.abs().max().item()


def assert_rounded(measured, exact, roundings, norm=None):
    """|| measured - exact ||_F <= sqrt(roundings) u norm, for at most so many independent roundings an entry; norm is
    that of the terms added up, || exact ||_F where they do not cancel."""
    exact = torch.as_tensor(exact).double()
    error = (measured.detach().double() - exact).norm().item()
    allowed = roundings**0.5 * U32 * float(exact.norm() if norm is None else norm)
    print(f"error {error:.2e}, allowed {allowed:.2e}")
    assert error <= allowed
