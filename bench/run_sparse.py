"""A large sparse matrix beside SciPy's svds (ARPACK and PROPACK) and PRIMME: packages of Debian against what they depend on.

    run_sparse.py [--pairs N] [--rank K] [--quick] [--no-save]

The matrix is made of `apt-cache dumpavail` of this machine: a one for every dependency. All sides run in this process, in
turns, which of them begins changing; of each the median time is printed with its worst residual max_i ||A v_i - s_i u_i||
/ s_1 in float64 and its error relative to the best values found by any side, and written to bench/results/<machine>/sparse-<rank>.json.
ARPACK and PROPACK come as near to eckart's residual as they do in float32; PRIMME, which at their tolerance takes minutes,
has 1e-4. It is left out where it is not installed.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import eckart
import numpy
import run
import scipy
import scipy.sparse
from scipy.sparse.linalg import svds


def dependencies():
    """Packages x names they depend on, CSR of ones in float32."""
    text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    packages, names, rows, cols = {}, {}, [], []
    for paragraph in text.split("\n\n"):
        package = re.search(r"^Package: (\S+)", paragraph, re.M)
        if not package:
            continue
        row = packages.setdefault(package[1], len(packages))
        for line in re.findall(r"^(?:Pre-)?Depends: (.*)$", paragraph, re.M):
            for word in re.split(r"[,|]", line):
                name = re.sub(r"[\s(:].*", "", word.strip())
                if name:
                    rows.append(row)
                    cols.append(names.setdefault(name, len(names)))
    matrix = scipy.sparse.csr_matrix((numpy.ones(len(rows), numpy.float32), (rows, cols)), (len(packages), len(names)))
    matrix.data[:] = 1  # a dependency listed twice is one
    return matrix


def ours(matrix, rank):
    found = eckart.svd(matrix, rank, engine="krylov")
    return found.U, found.values[:rank], found.Vt


def peer(solver, tolerance):
    def run(matrix, rank):
        return svds(matrix, rank, solver=solver, tol=tolerance, rng=0)
    return run


def primme(tolerance):
    import primme as library

    def run(matrix, rank):
        return library.svds(matrix, rank, tol=tolerance)
    return run


def sides():
    found = {"eckart": ours, "arpack": peer("arpack", 1e-6), "propack": peer("propack", 1e-6)}
    try:
        found["primme"] = primme(1e-4)
    except ImportError:
        print("PRIMME is not installed")
    return found


def judge(matrix, result):
    """Descending values and the worst residual."""
    u, s, vt = (numpy.asarray(x, numpy.float64) for x in result)
    order = numpy.argsort(-s)
    u, s, vt = u[:, order], s[order], vt[order]
    return s, numpy.linalg.norm(matrix.astype(numpy.float64) @ vt.T - u * s, axis=0).max() / s[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="rank 8, print only")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    if options.quick:
        options.rank = 8
    if not shutil.which("apt-cache"):
        sys.exit("run_sparse: the matrix is made of Debian's list of packages, and there is no apt-cache here")
    matrix, tried = dependencies(), sides()
    print(f"{matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} entries, rank {options.rank}", flush=True)
    seconds, results = {name: [] for name in tried}, {}
    for turn in range(options.pairs):
        names = list(tried) if turn % 2 == 0 else list(tried)[::-1]
        for name in names:
            time.sleep(run.REST)
            start = time.perf_counter()
            results[name] = tried[name](matrix, options.rank)
            seconds[name].append(time.perf_counter() - start)
    judged = {name: judge(matrix, result) for name, result in results.items()}
    best = numpy.max([values for values, _ in judged.values()], axis=0)
    mine = statistics.median(seconds["eckart"])
    found = {}
    for name, (values, residual) in judged.items():
        median = statistics.median(seconds[name])
        found[name] = {"seconds": run.spread(seconds[name]), "residual": float(residual),
                       "below": float(((best - values) / best[0]).max()),
                       "ratio": run.spread([theirs / ours for theirs, ours in zip(seconds[name], seconds["eckart"], strict=True)])}
        print(f"{name:8} {median:8.2f} s  {median / mine:6.1f} x  residual {residual:.1e}  "
              f"values below the best by {((best - values) / best[0]).max():.1e}")
    if not options.no_save and not options.quick:
        result = {"kind": "sparse", "rows": matrix.shape[0], "cols": matrix.shape[1], "entries": matrix.nnz, "rank": options.rank,
                  "processor": run.processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
                  "scipy": scipy.__version__, "pairs": options.pairs, "sides": found}
        run.store(f"sparse-{options.rank}", result)


if __name__ == "__main__":
    main()
