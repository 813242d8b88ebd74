"""The leading terms of a dense matrix beside scikit-learn's randomized_svd and torch.svd_lowrank, in one process.

    run_leading.py [--quick] [--only NAME] [--pairs N] [--no-save]

Writes bench/results/<machine>/leading-<case>.json. All sides run in this process on the same array, in turns, which of them begins
changing; a turn counts only while the machine's gemm rate is at least 80 % of what it has shown (run.py). Peers run as
their documentation tells: randomized_svd with its automatic power iterations or 15, svd_lowrank with ten more columns than
terms and two iterations, torch.linalg.svd of the whole. The error of every side is the relative Frobenius norm of A - U S V^T
in float64, and its excess that over the optimum, from all singular values or, where these would take minutes, from the
bound in eckart's certificate.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import eckart
import numpy
import run
import torch
from sklearn.utils.extmath import randomized_svd

EXACT_UP_TO = 1e12  # operations behind all singular values that a reference may take


def ours(engine, excess):
    def decompose(a, rank):
        found = eckart.svd(a, rank, engine=engine, excess=excess)
        return found.U, found.S, found.Vt
    return decompose


def sklearn(iterations):
    def decompose(a, rank):
        return randomized_svd(a, rank, n_iter=iterations, random_state=0)
    return decompose


def lowrank(a, rank):
    torch.manual_seed(0)
    u, s, v = torch.svd_lowrank(torch.from_numpy(a), q=rank + 10, niter=2)
    return u[:, :rank].numpy(), s[:rank].numpy(), v[:, :rank].T.numpy()


def whole(a, rank):
    u, s, vt = torch.linalg.svd(torch.from_numpy(a), full_matrices=False)
    return u[:, :rank].numpy(), s[:rank].numpy(), vt[:rank].numpy()


# name: rows, cols, rank, type of the stored numbers, engine, excess allowed (no more than the peer's own), peer, its name.
CASES = {
    "4096x11008-64-sklearn": (4096, 11008, 64, "f32", "auto", 1e-4, sklearn("auto"), "randomized_svd, n_iter auto"),
    "4096x11008-64-sklearn-15": (4096, 11008, 64, "f32", "auto", 1e-5, sklearn(15), "randomized_svd, n_iter 15"),
    "4096x4096-128-lowrank": (4096, 4096, 128, "f32", "auto", 9e-3, lowrank, "svd_lowrank, q = k + 10, niter 2"),
    "4096x11008-128-lowrank": (4096, 11008, 128, "f32", "auto", 9e-3, lowrank, "svd_lowrank, q = k + 10, niter 2"),
    "4096x11008-64-bf16": (4096, 11008, 64, "bf16", "auto", 1e-4, ours("auto", 1e-4), "eckart in f32"),
    "4096x4096-64-whole": (4096, 4096, 64, "f32", "auto", 1e-4, whole, "torch.linalg.svd"),
    "16384x16384-128-sklearn": (16384, 16384, 128, "f32", "auto", 1e-4, sklearn("auto"), "randomized_svd, n_iter auto"),
    "16384x16384-128-lowrank": (16384, 16384, 128, "f32", "auto", 9e-3, lowrank, "svd_lowrank, q = k + 10, niter 2"),
}
QUICK = {
    "1024x2752-16-sklearn": (1024, 2752, 16, "f32", "krylov", 1e-4, sklearn("auto"), "randomized_svd, n_iter auto"),
    "1024x1024-32-lowrank": (1024, 1024, 32, "f32", "krylov", 1e-4, lowrank, "svd_lowrank, q = k + 10, niter 2"),
}


def error_of(a, norm, factors):
    """|| A - U S V^T || / || A || in float64, a band of rows at a time."""
    u, s, vt = (numpy.asarray(x, numpy.float64) for x in factors)
    total = 0.0
    for at in range(0, a.shape[0], 1024):
        total += numpy.square(a[at : at + 1024].astype(numpy.float64) - (u[at : at + 1024] * s) @ vt).sum()
    return float(numpy.sqrt(total) / norm)


def optimum_of(a, path, rank, norm):
    """The least error of this rank, and how it is known."""
    exact = a.shape[0] * a.shape[1] * min(a.shape) < EXACT_UP_TO
    if path and exact:
        values = run.reference_values(path)
        return float(numpy.sqrt(numpy.square(values[rank:]).sum()) / norm), "all values, dgesdd"
    certificate = eckart.svd(a, rank, engine="exact" if exact else "krylov", excess=1e-6).certificate
    return certificate.optimum_low, "lower bound in eckart's certificate"


def stored(a, kind):
    """What eckart reads: the same array, or it rounded to bfloat16."""
    return a if kind == "f32" else torch.from_numpy(a).to(torch.bfloat16)


def seconds_of(side):
    time.sleep(run.REST)
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def measure(case, pairs, size, best):
    rows, cols, rank, kind, engine, excess, peer, peer_name = case
    path = run.input_matrix(rows, cols)
    a = numpy.load(path)
    taken = stored(a, kind)
    plain = a if kind == "f32" else taken.to(torch.float32).numpy()
    norm = float(numpy.sqrt(sum(numpy.square(row.astype(numpy.float64)).sum() for row in plain)))
    sides = {"eckart": lambda: ours(engine, excess)(taken, rank), "peer": lambda: peer(plain, rank)}
    optimum, known = optimum_of(plain, path if kind == "f32" else None, rank, norm)
    found = {}
    for name, side in sides.items():
        error = error_of(plain, norm, side())
        found[name] = {"error": error, "excess": error / optimum - 1}
    told = eckart.svd(taken, rank, engine=engine, excess=excess)
    found["eckart"].update(engine=told.engine, proven=told.certificate.excess_high)
    done = []
    for index in range(pairs):
        one = run.pair(sides, index % 2 == 0, size, best, seconds_of)
        if one is None:
            print(f"void: gemm stays below {run.VOID_BELOW:.0%} of {best:.0f} GFLOP/s", flush=True)
            return None
        done.append(one)
    for name, side in found.items():
        side["seconds"] = run.spread([one[name] for one in done])
    return {
        "kind": "leading", "rows": rows, "cols": cols, "rank": rank, "storage": kind, "peer": peer_name,
        "allowed": excess, "optimum": known, "processor": run.processor(), "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"), "torch": torch.__version__, "eckart": eckart.__version__,
        "gemm": {"sgemm": statistics.median(one["gemm"]["sgemm"] for one in done), "calibrated": best,
                 "core": done[0]["gemm"]["core"], "threads": done[0]["gemm"]["threads"]},
        "ratio": run.spread([one["peer"] / one["eckart"] for one in done]), "sides": found, "pairs": done,
    }


def show(name, result):
    ratio, sides = result["ratio"], result["sides"]
    print(f"{name}: {ratio['median']:.2f}x ({ratio['low']:.2f} .. {ratio['high']:.2f}); "
          f"sgemm {result['gemm']['sgemm']:.0f} GFLOP/s, core {result['gemm']['core']}")
    for side, label in (("eckart", f"eckart, {sides['eckart']['engine']}"), ("peer", result["peer"])):
        print(f"    {label:34s} {sides[side]['seconds']['median']:8.3f} s, error {sides[side]['error']:.6e}, "
              f"excess {sides[side]['excess']:.1e}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--pairs", type=int, default=run.PAIRS)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    subprocess.run(["ninja", "-C", str(run.BUILD), "bench-programs"], check=True, stdout=subprocess.DEVNULL)
    size = 1024 if options.quick else 2048
    best, void = run.calibrated(size), 0
    for name, case in (QUICK if options.quick else CASES).items():
        if options.only not in name:
            continue
        result = measure(case, max(options.pairs, run.PAIRS), size, best)
        if result is None:
            void += 1
            continue
        show(name, result)
        if not options.no_save:
            run.store(f"leading-{name}", result)
    sys.exit(1 if void else 0)


if __name__ == "__main__":
    main()
