"""`eckart.svd_batch` against `numpy.linalg.svd` of more than two dimensions, in layouts, types and from torch.

Both answers may be off by 3 max(m,n) spacings of the type relative to s_1 (docs/methods/jacobi.md; LAPACK's own tests
allow 50).
"""

import eckart
import ml_dtypes
import numpy as np
import pytest
import torch

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
SHAPES = [(40, 3, 3), (5, 4, 9, 9), (33, 16, 8), (7, 9, 64), (3, 32, 32), (4, 5), (2, 40, 36), (0, 3, 3)]


def made(shape, dtype):
    return np.random.default_rng(5).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_as_numpy(shape, dtype):
    A = made(shape, dtype)
    U, S, Vt = found = eckart.svd_batch(A)
    expected = np.linalg.svd(A, compute_uv=False)
    assert (U.dtype, S.dtype, Vt.dtype) == (A.dtype,) * 3
    assert S.shape == expected.shape and U.shape == (*shape[:-1], S.shape[-1]) and Vt.shape == (*S.shape, shape[-1])
    allowed = 6 * max(shape[-2:]) * EPS[dtype]
    if S.size:
        assert np.max(np.abs(S - expected) / expected[..., :1]) <= allowed
        assert np.max(np.abs(U * S[..., None, :] @ Vt - A) / expected[..., :1, None]) <= allowed
        assert np.max(np.abs(Vt @ np.swapaxes(Vt, -1, -2) - np.eye(S.shape[-1]))) <= allowed
    assert found.engine == ("exact" if max(shape[-2:]) == 40 else "jacobi") and found.unconverged == 0
    assert found.errors is None


def test_layouts_give_the_same_bytes():
    A = made((12, 5, 7), np.float32)
    room = np.zeros((24, 10, 21), np.float32)
    room[::2, ::2, ::3] = A
    expected = [x.tobytes() for x in eckart.svd_batch(A)]
    views = (room[::2, ::2, ::3], np.asfortranarray(A), A[::-1].copy()[::-1], A.astype(">f4"))
    for view in views:
        assert [x.tobytes() for x in eckart.svd_batch(view)] == expected
    for threads in (1, 2, 3):
        assert [x.tobytes() for x in eckart.svd_batch(A, threads=threads)] == expected


def test_types_and_torch():
    A = made((6, 4, 3), np.float32).astype(ml_dtypes.bfloat16)
    wide = eckart.svd_batch(A.astype(np.float32))
    assert eckart.svd_batch(A).S.tobytes() == wide.S.tobytes()
    assert eckart.svd_batch(A, dtype="float64").S.dtype == np.float64
    assert eckart.svd_batch(np.arange(18).reshape(2, 3, 3)).U.dtype == np.float64
    tensor = torch.from_numpy(A.view(np.int16)).view(torch.bfloat16)
    found = eckart.svd_batch(tensor, errors=True)
    assert isinstance(found.U, torch.Tensor) and found.U.dtype == torch.float32
    assert np.array_equal(found.S.numpy(), wide.S)
    assert np.max(found.errors) <= 3 * 4 * EPS["float32"]


def test_parts():
    A = made((8, 6, 5), np.float64)
    whole = eckart.svd_batch(A)
    values = eckart.svd_batch(A, vectors=False)
    assert values.U is None and values.Vt is None and np.array_equal(values.S, whole.S)
    part = eckart.svd_batch(A, rank=2, errors=True)
    assert part.rank == 2 and np.array_equal(part.Vt, whole.Vt[:, :2])
    tail = np.sqrt((whole.S[:, 2:] ** 2).sum(-1) / (whole.S**2).sum(-1))
    assert np.max(np.abs(part.errors - tail)) <= 3 * 6 * EPS["float64"]


def test_refused():
    A = made((3, 4, 4), np.float32)
    with pytest.raises(eckart.ShapeError, match=r"2 dimensions, found 3: shape \(3, 4, 4\); eckart.svd_batch takes"):
        eckart.svd(A)
    with pytest.raises(eckart.ShapeError, match="2 to 8 dimensions, found 1"):
        eckart.svd_batch(A[0, 0])
    with pytest.raises(eckart.ShapeError, match="empty"):
        eckart.svd_batch(A[:, :0])
    with pytest.raises(eckart.RangeError, match="rank: found 5, allowed: 0 to 4"):
        eckart.svd_batch(A, rank=5)
    with pytest.raises(eckart.RangeError, match="rank: found 0"):
        eckart.svd_batch(A, rank=0)
    with pytest.raises(eckart.RangeError, match="allowed: float32, float64"):
        eckart.svd_batch(A, dtype="bfloat16")
    A[2, 1, 3] = np.inf
    with pytest.raises(eckart.NonFiniteError, match=r"matrix 2 of the batch: element \(1,3\)") as caught:
        eckart.svd_batch(A)
    assert caught.value.offset == 2 * 16 + 7
    with pytest.raises(eckart.CancelledError):
        eckart.svd_batch(made((40, 3, 3), np.float32), progress=lambda *_: False)
    with pytest.raises(eckart.BudgetError):
        eckart.svd_batch(made((40, 3, 3), np.float32), memory=100)
