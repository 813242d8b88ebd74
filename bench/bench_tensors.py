"""Tensor decompositions beside TensorLy's NumPy backend: bench_tensors.py [PAIRS] [THREADS].

The same ranks, the same number of sweeps or iterations at most, the same threads, float32 input; each side in a process of
its own, taking turns; wall and processor seconds and their ratios, median and quartiles, with the errors of both, printed
and written to bench/results/<machine>/tensor-<case>-<threads>.json. Set OPENBLAS_NUM_THREADS and OMP_NUM_THREADS to THREADS before.
"""

import ctypes
import multiprocessing
import os
import statistics
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
from run import REST, processor, store
from tensorly.decomposition import parafac, partial_tucker, tensor_train, tucker

SIDES = ("eckart", "tensorly")


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


def serve(pipe, side, threads):
    """One side in a process of its own: threads of the other's libraries, which spin for work, would be timed with it."""
    warnings.simplefilter("ignore")
    for name, x, *jobs in cases(threads):
        pipe.send(name)
        while pipe.recv():
            wall, spent = time.perf_counter(), time.process_time()
            result = jobs[SIDES.index(side)]()
            wall, spent = time.perf_counter() - wall, time.process_time() - spent
            if side == "tensorly":
                result = float(np.linalg.norm(x - result) / np.linalg.norm(x))
            pipe.send((wall, spent, result))


def race(pipes, pairs):
    """Runs of both sides, the first to go alternating; the first of each side warms up."""
    for side in SIDES:
        once(pipes[side])
    runs = {side: [] for side in SIDES}
    for pair in range(pairs):
        for side in SIDES if pair % 2 == 0 else SIDES[::-1]:
            time.sleep(REST)
            runs[side].append(once(pipes[side]))
    return runs


def once(pipe):
    pipe.send(True)
    return pipe.recv()


def summary(numbers):
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    spawn, pipes = multiprocessing.get_context("spawn"), {}
    for side in SIDES:
        pipes[side], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(theirs, side, threads), daemon=True).start()
    for name, *_ in cases(threads):
        assert all(pipe.recv() == name for pipe in pipes.values())
        runs = race(pipes, pairs)
        result = {
            "kind": "tensor",
            "case": name,
            "threads": threads,
            "processor": processor(),
            "cores": os.cpu_count(),
            "date": time.strftime("%Y-%m-%d"),
            "peer": tensorly.__version__,
            "pairs": pairs,
        }
        for side in SIDES:
            result[side] = {"wall": summary([run[0] for run in runs[side]]),
                            "processor": summary([run[1] for run in runs[side]]), "error": runs[side][0][2]}
        for what, at in (("wall_ratio", 0), ("processor_ratio", 1)):
            result[what] = summary([they[at] / we[at] for we, they in zip(runs["eckart"], runs["tensorly"], strict=True)])
        print(f"{name:28} {result['wall_ratio']['median']:6.2f}x ({result['wall_ratio']['low']:.2f} .. "
              f"{result['wall_ratio']['high']:.2f})  {1e3 * result['eckart']['wall']['median']:8.1f} ms  errors "
              f"{result['eckart']['error']:.5f} {result['tensorly']['error']:.5f}", flush=True)
        plain = name.replace("(", "").replace(")", "").replace(", ", "x").replace(" ", "-")
        store(f"tensor-{plain}-{threads}", result)
        for pipe in pipes.values():
            pipe.send(False)


if __name__ == "__main__":
    main()
