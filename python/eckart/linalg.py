"""The decompositions: `svd`, `svdvals`, `eigh`, each with its certificate.

They take NumPy arrays in any layout (memmaps too), torch CPU tensors, SciPy sparse matrices and what NumPy makes a
matrix of; float64, float32, float16 and bfloat16 are read where they lie. Torch in, torch out. The interpreter lock is
free meanwhile.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from ._arrays import Borrowed, borrow, storage_type, take
from ._raw import library
from ._raw.operator import eck_operator
from ._raw.svd import (
    ECK_SVD_OPTIONS_INIT,
    ECK_WANT_FULL,
    ECK_WANT_VALUES,
    eck_certificate,
    eck_eigen,
    eck_engine,
    eck_proof,
    eck_spectral_proof,
    eck_rule,
    eck_svd,
    eck_svd_options,
)
from ._run import Progress, Run, interruptible, text_of
from .errors import RangeError

Result = TypeVar("Result")

ENGINES = {
    "auto": eck_engine.ECK_ENGINE_AUTO,
    "exact": eck_engine.ECK_ENGINE_EXACT,
    "deflated": eck_engine.ECK_ENGINE_DEFLATED,
    "krylov": eck_engine.ECK_ENGINE_KRYLOV,
    "golub-kahan": eck_engine.ECK_ENGINE_GOLUB_KAHAN,
}
PROOFS = {
    "exact": eck_proof.ECK_PROOF_TAIL,
    "residual": eck_proof.ECK_PROOF_RESIDUAL,
    "bound": eck_proof.ECK_PROOF_BOUND,
}
# Below this many multiplications a call is over before anybody could interrupt it.
_QUICK = 4e6


@dataclass(frozen=True)
class Certificate:
    """What is known about the error || A - A_k || / || A || (Frobenius) of the factors as they were handed out."""

    proof: str  #: "exact", "residual" or "bound"
    stored: str  #: type of the factors, "F32"
    norm2: float  #: squared Frobenius norm of A
    error: float  #: best estimate
    error_low: float  #: error_low <= true error <= error_high, for certain if failure is 0
    error_high: float
    optimum_low: float  #: bracket of the least error any approximation of this rank has
    optimum_high: float
    excess_high: float  #: error_high / optimum_low - 1
    floor: float  #: nothing below this is claimed
    failure: float  #: probability that the bound is wrong
    orthogonality: float  #: max | V^T V - I |; -1 where there is no orthonormal factor


@dataclass(frozen=True)
class SpectralProof:
    """What is proved of || A - U diag(S) Vt ||_2, the largest singular value of what the factors miss."""

    bound: float  #: the norm is at most this, for certain
    above: int  #: singular values of A above the bound; when they are as many as `rank`, none was missed
    blur: float  #: values nearer to the bound than this may be counted on either side


@dataclass(frozen=True, eq=False)
class SVD:
    """A ~ U diag(S) Vt. Unpacks to U, S, Vt."""

    U: Any  #: [rows, rank]; square if full_matrices
    S: Any  #: the kept values, descending, float64 or float32
    Vt: Any  #: [rank, cols]; square if full_matrices
    values: np.ndarray[Any, np.dtype[np.float64]]  #: all min(rows, cols) singular values; "deflated", "krylov": the kept
    rank: int
    numerical_rank: int | None  #: values above tolerance; None: the lanes that find the leading values only
    tolerance: float
    error: float  #: relative Frobenius error of U diag(S) Vt; as certificate.error
    energy: float  #: share of the sum of squares that the kept values hold
    certificate: Certificate
    engine: str
    solver: str
    reproducible: bool  #: the same bytes for any number of threads
    seconds: float
    spectral: SpectralProof | None = None  #: where spectral_proof asked for it

    def __iter__(self) -> Iterator[Any]:
        return iter((self.U, self.S, self.Vt))


@dataclass(frozen=True, eq=False)
class Eigen:
    """A ~ V diag(w) V^T for a symmetric A. Unpacks to w, V, by descending |w|."""

    w: Any  #: the kept values
    V: Any  #: [size, rank], orthonormal columns
    values: np.ndarray[Any, np.dtype[np.float64]]  #: all of them
    rank: int
    error: float
    certificate: Certificate
    asymmetry: float  #: max | A - A^T | found
    seconds: float

    def __iter__(self) -> Iterator[Any]:
        return iter((self.w, self.V))


def _choice(name: str, found: str, allowed: dict[str, Any]) -> int:
    if found not in allowed:
        raise RangeError(f"{name}: found {found!r}, allowed: {', '.join(allowed)}")
    return int(allowed[found])


def _part(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RangeError(f"{name}: found {value!r}, allowed: a number") from None


def _whole(name: str, value: Any, limit: int) -> int:
    try:
        whole = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        whole = -1
    if not 0 <= whole < limit:
        raise RangeError(f"{name}: found {value!r}, allowed: a whole number from 0")
    return whole


def _options(rank: Any, energy: Any, error: Any, engine: str, proof: str, failure: float, dtype: Any, seed: int,
             excess: float = 1e-4) -> eck_svd_options:
    """rank alone is the rule, beside energy or error it is a cap; none of the three: every term."""
    options = ECK_SVD_OPTIONS_INIT()
    if energy is not None and error is not None:
        raise RangeError("give energy or error, not both: energy = 1 - error**2")
    options.rule = eck_rule.ECK_RULE_THIN if rank is None else eck_rule.ECK_RULE_RANK
    if energy is not None:
        options.rule, options.target = eck_rule.ECK_RULE_ENERGY, _part("energy", energy)
    if error is not None:
        options.rule, options.target = eck_rule.ECK_RULE_ERROR, _part("error", error)
    if rank is not None:
        options.rank = _whole("rank", rank, 2**62)
        if options.rank == 0 and options.rule != eck_rule.ECK_RULE_RANK:
            raise RangeError("rank: found 0, allowed beside energy or error: a whole number from 1")
    options.engine = _choice("engine", engine, ENGINES)
    options.proof = _choice("proof", proof, PROOFS)
    options.failure = _part("failure", failure)
    options.excess = _part("excess", excess)
    options.store = storage_type(dtype)
    options.seed = _whole("seed", seed, 2**64)
    return options


def _certificate(raw: eck_certificate) -> Certificate:
    known = {field.name: getattr(raw, field.name) for field in fields(Certificate)}
    known["proof"] = text_of(library().eck_proof_name(raw.proof))
    known["stored"] = text_of(library().eck_dtype_name(raw.stored))
    return Certificate(**known)


def _spectral(raw: eck_spectral_proof) -> SpectralProof | None:
    return SpectralProof(raw.bound, raw.above, raw.blur) if raw.bound >= 0 else None


def _kept(values: np.ndarray[Any, Any], rank: int, vectors: Any, matrix: Borrowed) -> Any:
    """The kept values in the type of the vectors, float32 where those have 16 bits: they multiply each other."""
    kept = values[:rank].astype(np.float64 if vectors.dtype.itemsize == 8 else np.float32)
    return _tensor(kept) if matrix.torch else kept


def _tensor(array: np.ndarray[Any, Any]) -> Any:
    import torch

    return torch.from_numpy(array)


def _decompose(run: Run, matrix: Borrowed, function: Any, free: Any, kind: Any, options: eck_svd_options,
               finish: Callable[[Any], Result]) -> Result:
    """Operator, decomposition, result, and nothing left behind, whatever happens."""
    lib = library()
    a = ctypes.POINTER(eck_operator)()
    out = ctypes.POINTER(kind)()
    try:
        matrix.make_operator(run, a)
        run.call(function, ctypes.byref(out), a, ctypes.byref(options))
        return finish(out.contents)
    finally:
        free(out)
        lib.eck_operator_free(a)


def _start(run: Run, matrix: Borrowed, job: Callable[[], Result]) -> Result:
    return job() if matrix.work < _QUICK else interruptible(run, job)


def _svd_of(found: eck_svd, matrix: Borrowed) -> SVD:
    values = take(found, "s", torch=False)
    left, right = take(found, "u", matrix.torch), take(found, "v", matrix.torch)
    certificate = _certificate(found.certificate)
    return SVD(
        U=left,
        S=_kept(values, found.rank, left, matrix),
        Vt=right.T,
        values=values,
        rank=found.rank,
        numerical_rank=found.numerical_rank if found.numerical_rank >= 0 else None,
        tolerance=found.tolerance,
        error=certificate.error,
        energy=found.energy,
        certificate=certificate,
        engine=text_of(library().eck_engine_name(found.engine)),
        solver=text_of(found.solver),
        reproducible=found.reproducible,
        seconds=found.seconds,
        spectral=_spectral(found.spectral),
    )


def svd(
    A: Any,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    *,
    full_matrices: bool = False,
    engine: str = "auto",
    proof: str = "residual",
    failure: float = 1e-6,
    excess: float = 1e-4,
    dtype: Any = None,
    threads: int | None = None,
    memory: int | None = None,
    seed: int = 0,
    spectral_proof: bool = False,
    progress: Progress | None = None,
) -> SVD:
    """Singular value decomposition A ~ U diag(S) Vt, truncated as asked, with a certificate of its error.

    A              matrix of float64, float32, float16, bfloat16 (read where it lies) or integers (as float64), or a SciPy
                   sparse matrix or array of any format (its entries alone are computed with)
    rank           keep so many terms; beside energy or error: at most so many. Default: min(rows, cols)
    energy         keep the fewest terms that hold this share of the sum of squared values, 0 < energy <= 1
    error          keep the fewest terms with a relative Frobenius error of this or less, 0 <= error < 1
    full_matrices  complete U and Vt to square ones
    engine         "exact": all values, then the vectors of the rank; "deflated": its way with a reduction in float32, for
                   a given rank; "krylov": the leading terms alone, in few reads of A; what these two cannot do to `excess`
                   goes to "exact"; "auto": "exact" or "krylov" by what they cost, the latter for few terms of a large matrix;
                   "golub-kahan": LAPACK on the whole matrix in float64
    excess         how far above the optimum the error may stay with "deflated" and "krylov"
    proof          how the error is known: "residual", "exact" (from all values) or "bound" (probes, wrong with
                   probability `failure`; `seed` is theirs)
    dtype          type of U and Vt; default float64 for float64 and wider integers, else float32
    threads        default: as many as the process may use
    memory         bytes held at most beyond A; BudgetError if that will not do
    spectral_proof also prove a bound of the spectral norm of the error: about as much work as all values, n^2 memory
    progress       called as progress(what, done, total) while working, from another thread; False cancels

    Ctrl-C ends it within a fraction of a second. Raises NonFiniteError (with .offset), InputTypeError, ShapeError,
    RangeError, BudgetError, NoMemoryError, CancelledError, SolverError.

    >>> import numpy as np
    >>> A = np.outer([1.0, 2.0, 2.0], [3.0, 4.0]) + 0.01 * np.eye(3, 2)
    >>> U, S, Vt = eckart.svd(A)
    >>> bool(np.allclose(U * S @ Vt, A))
    True
    >>> best = eckart.svd(A, error=0.01)
    >>> best.rank, best.error < 0.01, best.certificate.proof
    (1, True, 'residual')
    """
    matrix = borrow(A)
    run = Run(threads, memory, progress)
    options = _options(rank, energy, error, engine, proof, failure, dtype, seed, excess)
    options.spectral_proof = bool(spectral_proof)
    if full_matrices:
        options.want |= ECK_WANT_FULL
    lib = library()

    return _start(run, matrix, lambda: _decompose(
        run, matrix, lib.eck_svd_compute, lib.eck_svd_free, eck_svd, options, lambda found: _svd_of(found, matrix)))


def svdvals(
    A: Any,
    *,
    engine: str = "auto",
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """All singular values of a matrix, descending, float64. Arguments as for `svd`.

    >>> eckart.svdvals([[3, 0], [0, -4]])
    array([4., 3.])
    """
    matrix = borrow(A)
    run = Run(threads, memory, progress)
    options = _options(None, None, None, engine, "exact", 1e-6, None, 0)
    options.want, options.rule = ECK_WANT_VALUES, eck_rule.ECK_RULE_NUMERICAL
    lib = library()
    return _start(run, matrix, lambda: _decompose(
        run, matrix, lib.eck_svd_compute, lib.eck_svd_free, eck_svd, options,
        lambda found: take(found, "s", matrix.torch)))


def eigh(
    A: Any,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    *,
    proof: str = "residual",
    failure: float = 1e-6,
    dtype: Any = None,
    threads: int | None = None,
    memory: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Eigen:
    """Spectral decomposition A ~ V diag(w) V^T of a symmetric matrix, by descending |w|. Arguments as for `svd`.

    >>> w, V = eckart.eigh([[0.0, 2.0], [2.0, 3.0]])
    >>> w
    array([ 4., -1.])
    """
    matrix = borrow(A)
    run = Run(threads, memory, progress)
    options = _options(rank, energy, error, "auto", proof, failure, dtype, seed)
    lib = library()

    def finish(found: eck_eigen) -> Eigen:
        values, vectors = take(found, "values", torch=False), take(found, "vectors", matrix.torch)
        certificate = _certificate(found.certificate)
        return Eigen(
            w=_kept(values, found.rank, vectors, matrix),
            V=vectors,
            values=values,
            rank=found.rank,
            error=certificate.error,
            certificate=certificate,
            asymmetry=found.asymmetry,
            seconds=found.seconds,
        )

    return _start(run, matrix, lambda: _decompose(
        run, matrix, lib.eck_eigen_compute, lib.eck_eigen_free, eck_eigen, options, finish))
