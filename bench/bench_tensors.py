"""Tensor decompositions beside TensorLy's NumPy backend: bench_tensors.py [REPEATS] [THREADS].

The same ranks, the same number of sweeps or iterations at most, the same threads, float32 input; both sides in one process,
alternating; processor seconds and wall seconds, the least of the repeats, with the errors of both, printed and written to
bench/results/tensor-<case>-<threads>.json. Set OPENBLAS_NUM_THREADS and OMP_NUM_THREADS to THREADS before.
"""

import ctypes
import json
import os
import sys
import time
import warnings

import numpy as np
import tensorly
from eckart._raw.array import eck_dtype, eck_view
from eckart._raw.context import eck_context
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
from run import RESULTS, processor
from tensorly.decomposition import parafac, partial_tucker, tensor_train, tucker


def ours(name, kind, x, options, threads):
    """Relative error of what is stored."""
    view = eck_view(x.ctypes.data, eck_dtype.ECK_DTYPE_F32, x.ndim)
    for mode in range(x.ndim):
        view.shape[mode], view.stride[mode] = x.shape[mode], x.strides[mode] // x.itemsize
    out, error, context = ctypes.POINTER(kind)(), eck_error(), eck_context(1, threads)
    arguments = ctypes.byref(out), view, ctypes.byref(options), ctypes.byref(context), ctypes.byref(error)
    if getattr(library(), f"eck_{name}_compute")(*arguments) != 0:
        raise RuntimeError(error.message)
    found = out.contents.certificate.error
    getattr(library(), f"eck_{name}_free")(out)
    return found


def tensor(shape, seed):
    """A decay along every mode, as trained kernels have it, and noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    for mode, size in enumerate(shape):
        scale = (1.0 + np.arange(size)) ** -0.5
        x *= scale.reshape([-1 if other == mode else 1 for other in range(len(shape))]).astype(np.float32)
    return x


def cases(threads):
    """Name, tensor, ours and theirs; theirs gives the reconstruction."""
    for shape, ranks, keep in (((64, 64, 64, 64), (16, 16, 16, 16), 0), ((512, 512, 3, 3), (128, 128, 3, 3), 12),
                               ((256, 256, 3, 3), (64, 64, 3, 3), 12)):
        x = tensor(shape, 1)
        options = ECK_TUCKER_OPTIONS_INIT()
        options.sweeps, options.tolerance, options.keep = 2, 0.0, keep
        for mode, rank in enumerate(ranks):
            options.ranks[mode] = rank
        dense = None
        if keep:
            def dense(x=x, ranks=ranks):
                (core, factors), _ = partial_tucker(x, ranks[:2], modes=[0, 1], n_iter_max=2, tol=0)
                return tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1])
        else:
            def dense(x=x, ranks=ranks):
                return tensorly.tucker_to_tensor(tucker(x, ranks, n_iter_max=2, tol=0))
        yield f"tucker {shape}", x, lambda x=x, o=options: ours("tucker", eck_tucker, x, o, threads), dense
        cuts = (ranks[0], 2 * ranks[0], ranks[2])
        train = ECK_TT_OPTIONS_INIT()
        for cut, rank in enumerate(cuts):
            train.ranks[cut] = rank
        yield (f"train {shape}", x, lambda x=x, o=train: ours("tt", eck_tt, x, o, threads),
               lambda x=x, cuts=cuts: tensorly.tt_to_tensor(tensor_train(x, [1, *cuts, 1])))
        terms = ECK_CP_OPTIONS_INIT()
        terms.rank, terms.iterations, terms.tolerance, terms.slack = 16, 10, 0.0, 0.0
        yield (f"cp {shape}", x, lambda x=x, o=terms: ours("cp", eck_cp, x, o, threads),
               lambda x=x: tensorly.cp_to_tensor(parafac(x, 16, n_iter_max=10, init="svd", tol=0)))


def timed(job):
    wall, processor = time.perf_counter(), time.process_time()
    result = job()
    return time.perf_counter() - wall, time.process_time() - processor, result


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    warnings.simplefilter("ignore")
    for name, x, we, they in cases(threads):
        rows = [(timed(we), timed(they)) for _ in range(repeats)]
        error = float(np.linalg.norm(x - rows[0][1][2]) / np.linalg.norm(x))
        result = {
            "kind": "tensor",
            "case": name,
            "threads": threads,
            "processor": processor(),
            "cores": os.cpu_count(),
            "date": time.strftime("%Y-%m-%d"),
            "peer": tensorly.__version__,
            "eckart": {"wall": min(r[0][0] for r in rows), "processor": min(r[0][1] for r in rows),
                       "error": rows[0][0][2]},
            "tensorly": {"wall": min(r[1][0] for r in rows), "processor": min(r[1][1] for r in rows), "error": error},
            "processor_ratio": min(r[1][1] for r in rows) / min(r[0][1] for r in rows),
        }
        print(json.dumps(result), flush=True)
        where = RESULTS / f"tensor-{name.replace('(', '').replace(')', '').replace(', ', 'x').replace(' ', '-')}-{threads}.json"
        where.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
