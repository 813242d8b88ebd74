"""SciPy sparse matrices of every format against NumPy on their dense form."""

import eckart
import numpy as np
import pytest
import scipy.sparse

LAYOUTS = ["csr", "csc", "coo", "lil", "dok", "bsr"]


def made(rows=90, cols=40, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, cols)) < 0.1, rng.standard_normal((rows, cols)), 0)
    dense[5] = 0
    return dense.astype(dtype)


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", LAYOUTS)
def test_every_format_is_the_dense_matrix(form, kind):
    dense = made()
    sparse = getattr(scipy.sparse, f"{form}_{kind}")(dense)
    found = eckart.svd(sparse, 7)
    values = np.linalg.svd(dense.astype(np.float64), compute_uv=False)
    # ten spacings of float32 at the largest value, as the exact lane promises
    assert np.abs(found.values - values).max() <= 10 * np.finfo(np.float32).eps * values[0]
    dense = dense.astype(np.float64)
    error = np.linalg.norm(dense - found.U * found.values[:7] @ found.Vt) / np.linalg.norm(dense)
    assert found.certificate.error_low - 1e-12 <= error <= found.certificate.error_high + 1e-12
    assert found.U.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint16, bool])
def test_other_types_are_float64(dtype):
    sparse = scipy.sparse.csr_array((made(dtype=np.float64) * 10).astype(dtype))
    found = eckart.svdvals(sparse)
    values = np.linalg.svd(sparse.toarray().astype(np.float64), compute_uv=False)
    assert np.abs(found - values).max() <= 10 * 90 * np.finfo(np.float64).eps * values[0]


def test_wide_index_types_and_entries_at_one_place():
    rows, cols = np.array([3, 0, 3, 3], np.int64), np.array([1, 2, 1, 0], np.int64)
    coo = scipy.sparse.coo_array((np.array([1.5, 2, 2, 4], np.float32), (rows, cols)), shape=(5, 4))
    csr = scipy.sparse.csr_array((np.array([4, 2, 1.5, 2], np.float32), np.array([0, 2, 1, 1]),
                                  np.array([0, 1, 1, 1, 1, 4])), shape=(5, 4))
    assert np.allclose(eckart.svdvals(coo), np.linalg.svd(coo.toarray(), compute_uv=False), atol=1e-6)
    assert np.allclose(eckart.svdvals(csr), np.linalg.svd(csr.toarray(), compute_uv=False), atol=1e-6)


def test_eigenvalues_of_a_graph():
    ring = scipy.sparse.diags_array([1.0, 1.0], offsets=[1, -1], shape=(50, 50), dtype=np.float32)
    w, _ = eckart.eigh(ring, 3)
    assert np.allclose(np.abs(w), 2 * np.cos(np.pi * np.array([1, 1, 2]) / 51), atol=1e-6)


def test_what_is_not_finite_is_named():
    sparse = scipy.sparse.csr_array(made())
    sparse.data[11] = np.nan
    place = np.flatnonzero(~np.isfinite(sparse.toarray()))[0]
    with pytest.raises(eckart.NonFiniteError) as raised:
        eckart.svd(sparse, 2)
    assert raised.value.offset == place


def test_indices_that_leave_the_matrix():
    sparse = scipy.sparse.csr_array(made())
    sparse.indices[4] = 40
    with pytest.raises(eckart.RangeError, match="index 40, 0 to 39 are allowed"):
        eckart.svd(sparse, 2)
