"""Runners against torch: all numbers are whole and small enough for every sum to be exact in float32, in any order, so that
both must agree to the last bit."""

import ctypes

import numpy as np
import pytest
import torch

from eckart._raw import library
from eckart._raw.array import eck_array, eck_dtype
from eckart._raw.runtime import ECK_PLACE_INIT, eck_runner
from eckart._raw.stage import eck_chain, eck_stage, eck_stage_kind
from eckart._raw.status import eck_error

CASES = {
    "linear": dict(batch=5, channels=(12, 7), input=(), kernel=()),
    "line": dict(batch=2, channels=(6, 8), input=(17,), kernel=(5,), stride=(2,), padding=(2,), dilation=(2,), groups=2),
    "plane": dict(batch=2, channels=(16, 24), input=(14, 11), kernel=(3, 3), stride=(2, 1), padding=(1, 1)),
    "dilated": dict(batch=1, channels=(5, 9), input=(15, 13), kernel=(5, 3), padding=(4, 0), dilation=(2, 1)),
    "depthwise": dict(batch=1, channels=(10, 20), input=(9, 9), kernel=(3, 3), padding=(1, 1), groups=10),
    "point": dict(batch=3, channels=(8, 6), input=(7, 7), kernel=(1, 1), stride=(2, 2), padding=(1, 0)),
    "up-line": dict(
        batch=2, channels=(6, 8), input=(9,), kernel=(4,), stride=(3,), padding=(1,), output_padding=(2,), groups=2, transposed=True
    ),
    "up-plane": dict(
        batch=2, channels=(16, 12), input=(7, 6), kernel=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 0),
        transposed=True,
    ),
    "up-dilated": dict(
        batch=1, channels=(5, 9), input=(6, 5), kernel=(5, 3), stride=(3, 1), padding=(4, 0), dilation=(2, 1), transposed=True
    ),
    "up-point": dict(batch=1, channels=(8, 6), input=(4, 5), kernel=(1, 1), stride=(2, 2), output_padding=(0, 1), transposed=True),
    "up-space": dict(
        batch=1, channels=(4, 6), input=(3, 4, 3), kernel=(3, 2, 3), stride=(1, 2, 2), padding=(1, 0, 1), groups=2, transposed=True
    ),
    "space": dict(batch=1, channels=(4, 6), input=(6, 7, 8), kernel=(3, 1, 3), stride=(1, 2, 2), padding=(1, 0, 1), groups=2),
}


def checked(status, error):
    assert status == 0, error.message.decode()


def owned(lib, numbers):
    """A copy of an array as the library's own."""
    out, error = ctypes.POINTER(eck_array)(), eck_error()
    shape = (ctypes.c_int64 * numbers.ndim)(*numbers.shape)
    status = lib.eck_array_create(ctypes.byref(out), eck_dtype.ECK_DTYPE_F32, numbers.ndim, shape, ctypes.byref(error))
    checked(status, error)
    ctypes.memmove(out.contents.data, np.ascontiguousarray(numbers).ctypes.data, numbers.nbytes)
    return out


def run(case, x, weight, bias):
    """What a runner of one stage makes of x."""
    lib, error = library(), eck_error()
    spatial, place, stage = len(case["kernel"]), ECK_PLACE_INIT(), eck_stage()
    stage.kind = eck_stage_kind.ECK_STAGE_CONV if spatial else eck_stage_kind.ECK_STAGE_LINEAR
    if case.get("transposed"):
        stage.kind = eck_stage_kind.ECK_STAGE_CONV_TRANSPOSE
    stage.spatial, stage.groups = spatial, case.get("groups", 1)
    setattr(stage, "in", case["channels"][0])
    stage.out = case["channels"][1]
    place.batch = case["batch"]
    for d in range(3):
        inside = d < spatial
        stage.kernel[d] = case["kernel"][d] if inside else 1
        stage.stride[d] = case.get("stride", (1,) * 3)[d] if inside else 1
        stage.dilation[d] = case.get("dilation", (1,) * 3)[d] if inside else 1
        if inside:
            place.input[d] = case["input"][d]
            place.pad_begin[d] = place.pad_end[d] = case.get("padding", (0,) * 3)[d]
            place.output_padding[d] = case.get("output_padding", (0,) * 3)[d]
    stage.weight, stage.bias = owned(lib, weight), owned(lib, bias)
    runner = ctypes.POINTER(eck_runner)()
    chain = eck_chain(ctypes.pointer(stage), 1)
    checked(lib.eck_runner_create(ctypes.byref(runner), chain, place, None, ctypes.byref(error)), error)
    shape = (ctypes.c_int64 * 8)()
    y = np.empty(tuple(shape[: lib.eck_runner_output(runner, shape)]), np.float32)
    as_floats = ctypes.POINTER(ctypes.c_float)
    checked(
        lib.eck_runner_run(runner, y.ctypes.data_as(as_floats), x.ctypes.data_as(as_floats), ctypes.byref(error)), error
    )
    lib.eck_runner_free(runner)
    lib.eck_array_free(stage.weight)
    lib.eck_array_free(stage.bias)
    return y


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name):
    case = CASES[name]
    random = np.random.default_rng(4)
    whole = lambda *shape: random.integers(-4, 5, shape).astype(np.float32)
    (ins, outs), groups = case["channels"], case.get("groups", 1)
    transposed = case.get("transposed", False)
    channels = (ins, outs // groups) if transposed else (outs, ins // groups)
    x, weight, bias = whole(case["batch"], ins, *case["input"]), whole(*channels, *case["kernel"]), whole(outs)
    given = [torch.from_numpy(a) for a in (x, weight, bias)]
    if case["kernel"]:
        layer = getattr(torch.nn.functional, f"conv{'_transpose' * transposed}{len(case['kernel'])}d")
        known = ("stride", "padding", "output_padding", "dilation", "groups")
        want = layer(*given, **{k: case[k] for k in known if k in case})
    else:
        want = torch.nn.functional.linear(*given)
    found = run(case, x, weight, bias)
    assert found.shape == tuple(want.shape)
    assert np.array_equal(found, want.numpy())
