"""Decompositions of many small matrices at once: `svd_batch`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import F32, F64, borrow, storage_type, take
from ._raw import library
from ._raw.array import ECK_DIMS_MAX
from ._raw.batch import ECK_SVD_BATCH_OPTIONS_INIT, eck_svd_batch
from ._raw.svd import ECK_WANT_VALUES
from ._run import Progress, Run, interruptible, text_of
from .errors import RangeError
from .linalg import _QUICK, _whole


@dataclass(frozen=True, eq=False)
class SVDBatch:
    """A_i = U_i diag(S_i) Vt_i for every matrix of a batch. Unpacks to U, S, Vt; [..] are the leading dimensions."""

    U: Any  #: [.., rows, rank]; None without vectors
    S: Any  #: [.., rank], descending
    Vt: Any  #: [.., rank, cols]; None without vectors
    errors: np.ndarray[Any, np.dtype[np.float64]] | None  #: [..] relative Frobenius errors, where asked for
    rank: int
    engine: str  #: "jacobi", or "exact" for matrices that do not fit the lanes
    kernel: str  #: "avx512", "avx2", "portable", "lapack"
    unconverged: int  #: matrices that the last sweep allowed still rotated
    seconds: float

    def __iter__(self) -> Iterator[Any]:
        return iter((self.U, self.S, self.Vt))


def svd_batch(
    A: Any,
    rank: int | None = None,
    *,
    vectors: bool = True,
    errors: bool = False,
    dtype: Any = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> SVDBatch:
    """Singular value decompositions of every matrix of a batch [.., rows, cols], like numpy.linalg.svd of more than two
    dimensions with full_matrices=False. A matrix gives the same bytes whatever stands beside it.

    A        array or torch CPU tensor of 2 to 8 dimensions; types and layouts as for `svd`
    rank     terms kept of each matrix; default: min(rows, cols)
    vectors  False: values only
    errors   True: the relative Frobenius error of every matrix, from its factors as handed out
    dtype    float32 or float64; default float64 for float64 and integers, else float32
    threads, memory, progress  as for `svd`

    Fastest for min(rows, cols) <= 32 and max <= 1024, one matrix a lane of the processor's vectors; larger ones go one
    by one through the engine of `svd`. Raises as `svd`; NonFiniteError has the flat .offset in the batch.

    >>> import numpy as np
    >>> slices = np.arange(54.0).reshape(6, 3, 3)
    >>> U, S, Vt = eckart.svd_batch(slices)
    >>> bool(np.allclose(U * S[:, None] @ Vt, slices))
    True
    """
    matrix = borrow(A, ECK_DIMS_MAX)
    run = Run(threads, memory, progress)
    options = ECK_SVD_BATCH_OPTIONS_INIT()
    if rank is not None:
        options.rank = _whole("rank", rank, 2**62)
        if options.rank == 0:
            raise RangeError("rank: found 0, allowed: a whole number from 1")
    options.compute = storage_type(dtype)
    if dtype is not None and options.compute not in (F32, F64):
        raise RangeError(f"dtype: found {dtype!r}, allowed: float32, float64")
    options.errors = errors
    if not vectors:
        options.want = ECK_WANT_VALUES
    lib = library()

    def job() -> SVDBatch:
        out = ctypes.POINTER(eck_svd_batch)()
        try:
            run.call(lib.eck_svd_batch_compute, ctypes.byref(out), matrix.view, ctypes.byref(options))
            found = out.contents
            return SVDBatch(
                U=take(found, "u", matrix.torch),
                S=take(found, "s", matrix.torch),
                Vt=take(found, "vt", matrix.torch),
                errors=take(found, "errors", torch=False),
                rank=found.rank,
                engine=text_of(lib.eck_engine_name(found.engine)),
                kernel=text_of(found.kernel),
                unconverged=found.unconverged,
                seconds=found.seconds,
            )
        finally:
            lib.eck_svd_batch_free(out)

    return job() if matrix.work < _QUICK else interruptible(run, job)
