"""Tensor decompositions beside TensorLy's at the same ranks: errors are equal or better."""

import ctypes
import warnings

import numpy as np
import pytest
import tensorly
from tensorly.decomposition import parafac, partial_tucker, tensor_train, tucker

from eckart._raw.array import eck_dtype, eck_view
from eckart._raw.library import library
from eckart._raw.multilinear import (
    ECK_CP_OPTIONS_INIT,
    ECK_TT_OPTIONS_INIT,
    ECK_TUCKER_OPTIONS_INIT,
    eck_cp,
    eck_tt,
    eck_tucker,
)
from eckart._raw.status import eck_error

TYPES = {"float32": eck_dtype.ECK_DTYPE_F32, "float64": eck_dtype.ECK_DTYPE_F64}


def view_of(x):
    view = eck_view(x.ctypes.data, TYPES[x.dtype.name], x.ndim)
    for mode in range(x.ndim):
        view.shape[mode], view.stride[mode] = x.shape[mode], x.strides[mode] // x.itemsize
    return view


def decompose(name, kind, x, options):
    """The certificate's error."""
    out, error = ctypes.POINTER(kind)(), eck_error()
    lib = library()
    status = getattr(lib, f"eck_{name}_compute")(
        ctypes.byref(out), view_of(x), ctypes.byref(options), None, ctypes.byref(error)
    )
    assert status == 0, error.message
    found = out.contents.certificate.error
    getattr(lib, f"eck_{name}_free")(out)
    return found


def tensor(shape, dtype, seed):
    """Kernels as trained ones look: a fast and a slow decay along every mode, and noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    for mode, size in enumerate(shape):
        mixing = np.linalg.qr(rng.standard_normal((size, size)))[0]
        x = np.moveaxis(np.tensordot(mixing * (1.0 + np.arange(size)) ** -0.6, x, (1, mode)), 0, mode)
    return np.ascontiguousarray(x, dtype=dtype)


def distance(x, y):
    x = x.astype(np.float64)
    return np.linalg.norm(x - y) / np.linalg.norm(x)


SHAPES = [((12, 10, 8), (5, 4, 3)), ((24, 16, 3, 3), (10, 8, 2, 3)), ((7, 9, 6, 5), (3, 4, 3, 2))]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape, ranks", SHAPES)
def test_tucker(shape, ranks, dtype):
    x = tensor(shape, dtype, 1)
    options = ECK_TUCKER_OPTIONS_INIT()
    options.sweeps, options.tolerance = 200, 1e-14
    for mode, rank in enumerate(ranks):
        options.ranks[mode] = rank
    core, factors = tucker(x.astype(np.float64), ranks, n_iter_max=200, tol=1e-12)
    theirs = distance(x, tensorly.tucker_to_tensor((core, factors)))
    # Both iterate to the end; what is left is where they stop.
    assert decompose("tucker", eck_tucker, x, options) <= theirs * (1 + 1e-6)


@pytest.mark.parametrize("ranks", [(8, 6), (3, 12), (16, 10)])
def test_partial_tucker_of_a_kernel(ranks):
    x = tensor((24, 16, 3, 3), "float32", 2)
    options = ECK_TUCKER_OPTIONS_INIT()
    options.sweeps, options.tolerance, options.keep = 200, 1e-14, 0b1100
    options.ranks[0], options.ranks[1] = ranks
    (core, factors), _ = partial_tucker(x.astype(np.float64), ranks, modes=[0, 1], n_iter_max=200, tol=1e-12)
    theirs = distance(x, tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1]))
    assert decompose("tucker", eck_tucker, x, options) <= theirs * (1 + 1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape, ranks", SHAPES)
def test_tensor_train(shape, ranks, dtype):
    x = tensor(shape, dtype, 3)
    options = ECK_TT_OPTIONS_INIT()
    for cut, rank in enumerate(ranks[:-1]):
        options.ranks[cut] = rank
    cores = tensor_train(x.astype(np.float64), [1, *ranks[:-1], 1])
    theirs = distance(x, tensorly.tt_to_tensor(cores))
    # The same algorithm; ours rounds its cores to the storage type of the tensor, 6e-8 at most in each of four.
    assert decompose("tt", eck_tt, x, options) <= theirs + (1e-12 if dtype == "float64" else 1e-6 * theirs)


@pytest.mark.parametrize("rank", [2, 5, 9])
@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES])
def test_cp(shape, rank):
    """The best of as many starts on either side."""
    x = tensor(shape, "float64", 4)
    options = ECK_CP_OPTIONS_INIT()
    options.rank, options.restarts, options.iterations, options.slack = rank, 5, 2000, 0.0
    options.tolerance = 1e-12
    theirs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(6):
            terms = parafac(
                x, rank, n_iter_max=2000, init="random" if start else "svd", tol=1e-12, random_state=start
            )
            theirs.append(distance(x, tensorly.cp_to_tensor(terms)))
    # Local minima differ; the best of six is within a thousandth of the best there is on these.
    assert decompose("cp", eck_cp, x, options) <= min(theirs) * (1 + 1e-3)
