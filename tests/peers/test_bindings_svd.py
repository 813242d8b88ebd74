"""`eckart.svd`, `svdvals` and `eigh` against NumPy, in every layout and type, to the accuracy the engine states.

Stated (eckart/svd.h): |s_i - sigma_i| <= 1 eps(F32) s_1 for storage of at most 32 bits; LAPACK's for F64, here
p(m,n) eps s_1 with p = 10 max(m,n), twice: ours and NumPy's. Stored factors cost 0.6 unit roundoffs of their type
beside the tail, hypot(tail, floor), with a floor of 1e-7, 4e-4 and 3e-3 for F32, F16 and BF16.
"""

import eckart
import ml_dtypes
import numpy as np
import pytest
import torch

EPS32, EPS64 = 2.0**-23, 2.0**-52
FLOOR = {"float64": 0.0, "float32": 1e-7, "float16": 4e-4, "bfloat16": 3e-3}
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def strided(array):
    """The same numbers in a larger array, every other row and third column."""
    room = np.zeros((2 * array.shape[0], 3 * array.shape[1]), array.dtype)
    room[::2, ::3] = array
    return room[::2, ::3]


def reversed_in_memory(array):
    return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    room = np.zeros(array.nbytes + 1, np.uint8)
    room[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return room[1:].view(array.dtype).reshape(array.shape)


def in_a_record(array):
    """A field of a structured array: strides are no multiples of the item."""
    records = np.zeros(array.shape, [("pad", np.uint8), ("value", array.dtype)])
    records["value"] = array
    return records["value"]


LAYOUTS = {
    "c": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_in_memory,
    "transposed": lambda array: np.ascontiguousarray(array.T).T,
    "read-only": read_only,
    "unaligned": unaligned,
    "record": in_a_record,
    "broadcast": lambda array: np.broadcast_to(array[:1], array.shape),
}
TYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def made(shape, dtype, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(TYPES[dtype])


def exact(matrix):
    return np.asarray(matrix).astype(np.float64)


def value_bound(reference, dtype):
    """Between the values of the engine and of NumPy in float64."""
    of_numpy = 10 * max(reference.shape) * EPS64
    of_ours = of_numpy if dtype == "float64" else EPS32
    return (of_numpy + of_ours) * np.linalg.norm(reference, 2)


def check(matrix, dtype, found, rank):
    """Factors and values against the truncated SVD of NumPy in float64."""
    reference = exact(matrix)
    sigma = np.linalg.svd(reference, compute_uv=False)
    norm = np.linalg.norm(reference)
    worst = abs(found.values - sigma).max()
    print(f"{dtype} {reference.shape}: values off by {worst:.3g}, allowed {value_bound(reference, dtype):.3g}")
    assert worst <= value_bound(reference, dtype)
    U, S, Vt = found
    assert U.shape == (len(reference), rank) and S.shape == (rank,) and Vt.shape == (rank, reference.shape[1])
    stored = found.certificate.stored
    floor = {"F64": 10 * max(reference.shape) * EPS64, "F32": FLOOR["float32"]}[stored]
    tail = np.linalg.norm(sigma[rank:]) / norm
    # S is rounded once more than the factors the floor speaks of.
    error = np.linalg.norm(reference - exact(U) * exact(S) @ exact(Vt)) / norm
    allowed = np.hypot(tail, floor) + value_bound(reference, dtype) / norm
    print(f"    error {error:.6g}, allowed {allowed:.6g}; told {found.error:.6g}")
    assert error <= allowed
    assert abs(error - found.error) <= floor
    unit = {"F64": 2.0**-53, "F32": 2.0**-24}[stored]
    gram = exact(Vt) @ exact(Vt).T - np.eye(rank)
    assert np.abs(gram).max() <= 8 * np.sqrt(max(rank, 1)) * unit + 10 * max(reference.shape) * EPS64


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(23, 17), (17, 23), (40, 1), (1, 9)])
def test_svd_is_that_of_numpy(dtype, layout, shape):
    matrix = LAYOUTS[layout](made(shape, dtype))
    before = exact(matrix)
    for rank in (None, 3):
        found = eckart.svd(matrix, rank)
        check(matrix, dtype, found, min(shape) if rank is None else min(rank, *shape))
    assert np.array_equal(before, exact(matrix))


@pytest.mark.parametrize("dtype", TYPES)
def test_layouts_give_the_same_bytes(dtype):
    """The view is read, not a copy in another order."""
    matrix = made((30, 20), dtype)
    first = eckart.svd(matrix, 5)
    for name in ("fortran", "strided", "reversed", "read-only", "unaligned", "record"):
        for ours, theirs in zip(first, eckart.svd(LAYOUTS[name](matrix), 5), strict=True):
            assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize("dtype", TYPES)
def test_torch_in_torch_out(dtype):
    matrix = made((21, 33), dtype)
    bits = matrix.view(np.int16) if dtype == "bfloat16" else matrix
    tensor = torch.from_numpy(bits.copy()).view(getattr(torch, dtype))
    wide = torch.zeros(42, 66, dtype=tensor.dtype)
    wide[::2, ::2] = tensor
    by_numpy = eckart.svd(matrix, 4)
    learned = torch.nn.Parameter(tensor)
    for given in (tensor, tensor.t().contiguous().t(), wide[::2, ::2], tensor.clone().requires_grad_(), learned):
        found = eckart.svd(given, 4)
        assert all(isinstance(part, torch.Tensor) and not part.requires_grad for part in found)
        for ours, theirs in zip(found, by_numpy, strict=True):
            assert np.array_equal(ours.numpy(), theirs)
        assert isinstance(eckart.svdvals(given), torch.Tensor)
    U, S, Vt = eckart.svd(tensor)
    product = U @ torch.diag(S) @ Vt
    assert torch.linalg.norm(product.double() - tensor.double()) <= 1e-6 * torch.linalg.norm(tensor.double())


def test_tensors_are_not_copied():
    tensor = torch.zeros(40, 30)
    with pytest.raises(eckart.NonFiniteError) as raised:
        tensor[3, 4] = torch.inf
        eckart.svd(tensor.t())
    assert raised.value.offset == 4 * 40 + 3  # of the transpose, row-major


def test_memmap(tmp_path):
    matrix = made((50, 40), "float32")
    matrix.tofile(tmp_path / "numbers")
    mapped = np.memmap(tmp_path / "numbers", np.float32, "r", shape=(50, 40))
    for ours, theirs in zip(eckart.svd(mapped, 6), eckart.svd(matrix, 6), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.bool_, ">f8", ">f4"])
def test_integers_and_foreign_byte_orders_are_converted(dtype):
    matrix = np.random.default_rng(2).integers(0, 100, (12, 7)).astype(dtype)
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    eps = EPS32 if dtype == ">f4" else 20 * 12 * EPS64
    assert abs(eckart.svdvals(matrix) - expected).max() <= eps * expected[0]
    if isinstance(dtype, type):
        assert abs(eckart.svdvals(torch.from_numpy(matrix)).numpy() - expected).max() <= eps * expected[0]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_eight_bit_floats(dtype):
    matrix = np.random.default_rng(3).standard_normal((9, 14)).astype(getattr(ml_dtypes, dtype))
    tensor = torch.from_numpy(matrix.view(np.uint8)).view(getattr(torch, dtype))
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    for given in (matrix, tensor):
        assert abs(np.asarray(eckart.svdvals(given)) - expected).max() <= EPS32 * expected[0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_factors_in_the_type_asked_for(dtype):
    matrix = made((60, 45), "float32")
    sigma = np.linalg.svd(exact(matrix), compute_uv=False)
    tail = np.linalg.norm(sigma[10:]) / np.linalg.norm(sigma)
    for given in (dtype, np.dtype(TYPES[dtype]), TYPES[dtype], getattr(torch, dtype)):
        found = eckart.svd(matrix, 10, dtype=given)
        assert found.U.dtype == found.Vt.dtype == TYPES[dtype]
        error = np.linalg.norm(exact(matrix) - exact(found.U) * exact(found.S) @ exact(found.Vt))
        allowed = np.hypot(tail, FLOOR[dtype]) + 2 * EPS32
        assert error / np.linalg.norm(sigma) <= allowed, dtype
    assert eckart.svd(torch.from_numpy(matrix), 10, dtype=dtype).U.dtype == getattr(torch, dtype)


def test_rules():
    left, right = (np.linalg.qr(np.random.default_rng(i).standard_normal((30, 30)))[0] for i in (1, 2))
    sigma = 0.7 ** np.arange(30)
    matrix = left * sigma @ right
    squares = sigma**2
    tails = np.sqrt(np.append(squares[::-1].cumsum()[::-1], 0) / squares.sum())
    for target in (0.5, 0.1, 1e-3):
        rank = int(np.argmax(tails <= target))
        by_error, by_energy = eckart.svd(matrix, error=target), eckart.svd(matrix, energy=1 - target**2)
        assert by_error.rank == by_energy.rank == rank
        assert by_error.error <= target < tails[rank - 1]
        # 1 - target^2 is rounded, and so is the sum.
        assert abs(by_error.energy - (1 - tails[rank] ** 2)) <= 30 * EPS64
        assert eckart.svd(matrix, 2, error=target).rank == min(2, rank)
    assert eckart.svd(matrix, 1000).rank == 30
    assert eckart.svd(matrix, 0).U.shape == (30, 0)
    assert eckart.svd(matrix[:, :5] @ matrix[:5]).numerical_rank == 5


@pytest.mark.parametrize("shape", [(14, 9), (9, 14)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_full_matrices(shape, dtype):
    matrix = made(shape, dtype)
    U, S, Vt = eckart.svd(matrix, full_matrices=True)
    assert U.shape == (shape[0],) * 2 and Vt.shape == (shape[1],) * 2 and S.shape == (9,)
    unit = 8 * np.sqrt(14) * UNIT[dtype] + 140 * EPS64
    assert np.abs(exact(U).T @ exact(U) - np.eye(shape[0])).max() <= unit
    assert np.abs(exact(Vt) @ exact(Vt).T - np.eye(shape[1])).max() <= unit
    wide = np.zeros(shape)
    np.fill_diagonal(wide, S)
    error = np.linalg.norm(exact(U) @ wide @ exact(Vt) - matrix) / np.linalg.norm(matrix)
    assert error <= {"float64": 140 * EPS64, "float32": 2e-7}[dtype]


@pytest.mark.parametrize("engine", ["auto", "exact", "golub-kahan"])
@pytest.mark.parametrize("proof", ["exact", "residual", "bound"])
def test_engines_and_proofs(engine, proof):
    matrix = made((50, 30), "float32")
    found = eckart.svd(matrix, 7, engine=engine, proof=proof, seed=3, failure=1e-6)
    assert found.engine == (engine if engine != "auto" else "exact") and found.certificate.proof == proof
    true = np.linalg.norm(exact(matrix) - exact(found.U) * found.S.astype(np.float64) @ exact(found.Vt))
    true /= np.linalg.norm(exact(matrix))
    certificate = found.certificate
    # S was rounded to float32 after the certificate was made.
    slack = EPS32 * true
    assert certificate.error_low - slack <= true <= certificate.error_high + slack
    assert (certificate.failure > 0) == (proof == "bound")
    assert certificate.optimum_low <= certificate.error_high


@pytest.mark.parametrize("dtype", TYPES)
def test_eigh(dtype):
    matrix = made((25, 25), dtype)
    matrix = (np.triu(matrix) + np.triu(matrix, 1).T).astype(TYPES[dtype])
    expected = np.linalg.eigvalsh(exact(matrix))
    found = eckart.eigh(matrix)
    w, V = found
    assert np.all(np.diff(np.abs(found.values)) <= 0) and w.shape == (25,) and V.shape == (25, 25)
    bound = value_bound(exact(matrix), dtype)
    assert abs(np.sort(found.values) - expected).max() <= bound
    error = np.linalg.norm(exact(V) * exact(w) @ exact(V).T - exact(matrix)) / np.linalg.norm(exact(matrix))
    assert error <= (2 * FLOOR["float32"] if V.dtype == np.float32 else 250 * EPS64)
    assert eckart.eigh(torch.from_numpy(exact(matrix)), 3).V.shape == (25, 3)
    with pytest.raises(eckart.RangeError, match="symmetric"):
        eckart.eigh(made((5, 5), "float64"))


def test_the_same_call_gives_the_same_bytes():
    matrix = made((200, 150), "float32")
    first = eckart.svd(matrix, 9, threads=1)
    for threads in (1, 2):
        again = eckart.svd(matrix, 9, threads=threads)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.reproducible


def test_results_outlive_their_siblings():
    """Each array owns its own memory of the library's."""
    matrix = made((60, 50), "float64")
    U, S, Vt = eckart.svd(matrix, 5)
    expected = U.copy(), Vt.copy()
    slice_of_u = U[3:, 1]
    del S, U
    for _ in range(20):
        eckart.svd(made((60, 50), "float64", 9))
    assert np.array_equal(slice_of_u, expected[0][3:, 1]) and np.array_equal(Vt, expected[1])
    Vt[0, 0] = 7  # theirs to write
