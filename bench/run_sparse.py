"""A large sparse matrix beside SciPy's svds (ARPACK and PROPACK) and PRIMME: packages of Debian against what they depend on.

    run_sparse.py [--pairs N] [--rank K]

The matrix is made of `apt-cache dumpavail` of this machine: a one for every dependency. All sides run in this process, in
turns, which of them begins changing; of each the median time is printed with its worst residual max_i ||A v_i - s_i u_i||
/ s_1 in float64 and its error relative to the best values found by any side. Peers get the tolerance that brings them to
eckart's residual, within the powers of ten. PRIMME is left out where it is not installed.
"""

import argparse
import re
import statistics
import subprocess
import time

import eckart
import numpy
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
        found["primme"] = primme(1e-6)
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
    options = parser.parse_args()
    matrix, tried = dependencies(), sides()
    print(f"{matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} entries, rank {options.rank}", flush=True)
    seconds, results = {name: [] for name in tried}, {}
    for turn in range(options.pairs):
        names = list(tried) if turn % 2 == 0 else list(tried)[::-1]
        for name in names:
            start = time.perf_counter()
            results[name] = tried[name](matrix, options.rank)
            seconds[name].append(time.perf_counter() - start)
    judged = {name: judge(matrix, result) for name, result in results.items()}
    best = numpy.max([values for values, _ in judged.values()], axis=0)
    mine = statistics.median(seconds["eckart"])
    for name, (values, residual) in judged.items():
        median = statistics.median(seconds[name])
        print(f"{name:8} {median:8.2f} s  {median / mine:6.1f} x  residual {residual:.1e}  "
              f"values below the best by {((best - values) / best[0]).max():.1e}")


if __name__ == "__main__":
    main()
