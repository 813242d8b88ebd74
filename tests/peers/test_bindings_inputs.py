"""What cannot be factored is a clear exception, never a crash."""

import eckart
import numpy as np
import pytest
import scipy.sparse
import torch

FUNCTIONS = [eckart.svd, eckart.svdvals, eckart.eigh]
WRONG = {
    "no dimension": (3.0, eckart.ShapeError, "2 dimensions, found 0"),
    "vector": (np.ones(4), eckart.ShapeError, r"found 1: shape \(4,\)"),
    "stack": (np.ones((2, 3, 3)), eckart.ShapeError, r"found 3: shape \(2, 3, 3\)"),
    "no rows": (np.ones((0, 3)), eckart.ShapeError, r"empty: shape \(0, 3\)"),
    "no columns": (np.ones((3, 0)), eckart.ShapeError, r"empty: shape \(3, 0\)"),
    "empty list": ([], eckart.ShapeError, "found 1"),
    "ragged": ([[1.0, 2.0], [3.0]], eckart.InputTypeError, "cannot make a matrix of a list"),
    "objects": (np.array([[1, None], [2, 3]], object), eckart.InputTypeError, "object"),
    "none": (None, eckart.InputTypeError, "object"),
    "text": ([["1", "2"], ["3", "4"]], eckart.InputTypeError, "<U1"),
    "a word": ("A.npy", eckart.InputTypeError, "<U5"),
    "bytes": (np.array([[b"1"]]), eckart.InputTypeError, r"\|S1"),
    "complex": (np.ones((2, 2), complex), eckart.InputTypeError, "complex128"),
    "long double": (np.ones((2, 2), np.longdouble), eckart.InputTypeError, "longdouble|float128"),
    "dates": (np.zeros((2, 2), "M8[s]"), eckart.InputTypeError, "datetime64"),
    "records": (np.zeros((2, 2), [("a", float)]), eckart.InputTypeError, "cannot factor"),
    "masked": (np.ma.masked_equal(np.eye(2), 1.0), eckart.InputTypeError, "masked"),
    "complex sparse matrix": (scipy.sparse.csr_matrix(np.eye(3) * 1j), eckart.InputTypeError, "sparse matrix of complex128"),
    "empty sparse matrix": (scipy.sparse.csr_matrix((0, 3)), eckart.ShapeError, r"empty: shape \(0, 3\)"),
    "sparse vector": (scipy.sparse.coo_array(np.ones(3)), eckart.ShapeError, "found 1"),
    "sparse tensor": (torch.eye(3).to_sparse(), eckart.InputTypeError, "sparse_coo"),
    "quantized tensor": (
        torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8), eckart.InputTypeError, "quantized"),
    "meta tensor": (torch.empty(3, 3, device="meta"), eckart.InputTypeError, "'meta'"),
    "complex tensor": (torch.ones(2, 2, dtype=torch.complex64), eckart.InputTypeError, "complex64"),
    "vector tensor": (torch.ones(4), eckart.ShapeError, "found 1"),
    "empty tensor": (torch.ones(0, 4), eckart.ShapeError, "empty"),
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_matrices(function, name):
    matrix, exception, message = WRONG[name]
    with pytest.raises(exception, match=message):
        function(matrix)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_first_number_that_is_none_is_named(value, dtype):
    matrix = np.ones((40, 30), dtype)
    matrix[7, 11] = matrix[20, 3] = value
    for given in (matrix, np.asfortranarray(matrix)):
        with pytest.raises(eckart.NonFiniteError, match=r"the matrix.*221") as raised:
            eckart.svd(given, 3)
        assert raised.value.offset == 7 * 30 + 11 and isinstance(raised.value, ValueError)


OPTIONS = {
    "negative rank": ({"rank": -1}, "rank: found -1"),
    "part of a rank": ({"rank": 2.5}, "rank: found 2.5"),
    "a truth for a rank": ({"rank": True}, "rank: found True"),
    "rank as text": ({"rank": "3"}, "rank: found '3'"),
    "no energy": ({"energy": 0.0}, "energy 0 "),
    "too much energy": ({"energy": 1.5}, "energy 1.5"),
    "negative error": ({"error": -0.1}, "error -0.1"),
    "error of one": ({"error": 1.0}, "error 1 "),
    "error that is no number": ({"error": float("nan")}, "error nan"),
    "energy as text": ({"energy": "much"}, "energy: found 'much'"),
    "two rules": ({"energy": 0.9, "error": 0.1}, "energy or error, not both"),
    "cap of nothing": ({"rank": 0, "energy": 0.9}, "rank: found 0"),
    "engine": ({"engine": "fast"}, "engine: found 'fast', allowed: auto, exact, deflated, krylov, golub-kahan"),
    "proof": ({"proof": "none"}, "proof: found 'none'"),
    "failure": ({"proof": "bound", "failure": 2.0}, "failure 2 lies outside"),
    "factors of integers": ({"dtype": "int8"}, "dtype: found 'int8'"),
    "a type that is none": ({"dtype": 7}, "dtype: found 7"),
    "threads": ({"threads": 0}, "threads: found 0"),
    "memory": ({"memory": -5}, "memory: found -5"),
    "seed": ({"seed": -1}, "seed: found -1"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options(name):
    options, message = OPTIONS[name]
    with pytest.raises(eckart.RangeError, match=message):
        eckart.svd(np.eye(4), **options)


def test_a_limit_of_memory_is_kept():
    with pytest.raises(eckart.BudgetError, match="bytes") as raised:
        eckart.svd(np.ones((300, 200), np.float32), memory=1000)
    assert isinstance(raised.value, MemoryError)


def test_every_status_has_its_exception():
    from eckart import _run
    from eckart._raw.status import eck_error, eck_status

    assert set(_run._EXCEPTIONS) == set(eck_status) - {eck_status.ECK_OK}
    assert len(set(_run._EXCEPTIONS.values())) == len(_run._EXCEPTIONS)
    error = eck_error(eck_status.ECK_E_FORMAT, 12, b"a/b.npy", b"wte", b"cannot read 'wte'")
    found = _run.exception_of(error)
    assert isinstance(found, eckart.FormatError) and isinstance(found, eckart.Error)
    assert str(found) == "cannot read 'wte'"
    assert (found.offset, found.file, found.tensor) == (12, "a/b.npy", "wte")
    assert _run.exception_of(eck_error(eck_status.ECK_E_IO, -1)).offset is None
    named = {name for name in vars(eckart.errors) if name.endswith("Error")}
    assert named <= set(eckart.__all__)
