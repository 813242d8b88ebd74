"""Batches of small matrices beside a threaded loop of LAPACK's sgesdd, and bench/results/<machine>/batch-<shape>-lapack.json.

As run.py: pairs of processes, alternating, both sides at the BLAS core their library chooses, while the machine's gemm rate
is at least 80 % of what it has shown. What counts is seconds inside, since a batch is over before a process has started:
the median of five calls for eckart, the best of three for LAPACK. Residual and orthogonality of both sides are printed
beside it, in spacings of float32.
"""

import argparse
import os
import statistics
import sys
import time

import numpy
import run

# rows, cols, matrices.
CASES = [(3, 3, 400_000), (9, 9, 100_000), (16, 8, 60_000), (16, 16, 30_000), (64, 9, 30_000), (32, 32, 8_000)]
QUICK = [(3, 3, 40_000), (9, 9, 10_000), (32, 32, 1_000)]
PROGRAMS = {"eckart": "bench_batch", "lapack": "bench_batch_lapack"}


def input_batch(rows, cols, count):
    """Normal numbers, made once."""
    path = run.SCRATCH / f"batch-{count}x{rows}x{cols}.npy"
    if not path.exists():
        run.SCRATCH.mkdir(parents=True, exist_ok=True)
        numpy.save(path, numpy.random.default_rng(7).standard_normal((count * rows, cols), dtype=numpy.float32))
    return path


def measure(case, pairs, size, best):
    rows, cols, count = case
    path = input_batch(rows, cols, count)
    commands = {side: [str(run.BUILD / "bench" / name), str(path), str(count)] for side, name in PROGRAMS.items()}
    done = []
    for index in range(pairs):
        one = run.pair(commands, index % 2 == 0, size, best)
        if one is None:
            print(f"void: gemm stays below {run.VOID_BELOW:.0%} of {best:.0f} GFLOP/s", flush=True)
            return None
        done.append(one)
    sides = {}
    for side in PROGRAMS:
        each = run.spread([one[side]["seconds"] / count * 1e6 for one in done])
        kept = {key: done[0][side][key] for key in done[0][side] if key not in ("seconds", "wall")}
        sides[side] = {"microseconds_each": each, **kept}
    rate = statistics.median(one["gemm"]["sgemm"] for one in done)
    return {
        "kind": "batch", "rows": rows, "cols": cols, "count": count, "opponent": "lapack",
        "processor": run.processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
        "gemm": {"sgemm": rate, "calibrated": best, "core": done[0]["gemm"]["core"],
                 "threads": done[0]["gemm"]["threads"]},
        "ratio": run.spread([one["lapack"]["seconds"] / one["eckart"]["seconds"] for one in done]),
        "sides": sides, "pairs": done,
    }


def show(result):
    ratio, gemm = result["ratio"], result["gemm"]
    print(f"{result['count']} of {result['rows']}x{result['cols']}: {ratio['median']:.1f}x ({ratio['low']:.1f} .. "
          f"{ratio['high']:.1f}); sgemm {gemm['sgemm']:.0f} GFLOP/s, {gemm['sgemm'] / gemm['calibrated']:.0%} of calibrated, "
          f"core {gemm['core']}, {gemm['threads']} threads")
    for name, side in result["sides"].items():
        print(f"    {name:7s} {side['microseconds_each']['median']:9.4f} us a matrix, residual {side['residual']:.2f}, "
              f"orthogonality {side['orthogonality']:.2f} eps32; {side.get('kernel', side.get('core'))}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small batches")
    parser.add_argument("--pairs", type=int, default=run.PAIRS)
    parser.add_argument("--only", default="", help="part of a shape, as 9x9")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    size = 1024 if options.quick else 2048
    best, void = run.calibrated(size), 0
    for case in QUICK if options.quick else CASES:
        shape = f"{case[0]}x{case[1]}"
        if options.only not in shape:
            continue
        result = measure(case, max(options.pairs, run.PAIRS), size, best)
        if result is None:
            void += 1
            continue
        show(result)
        if not options.no_save:
            run.store(f"batch-{shape}-lapack", result)
    sys.exit(1 if void else 0)


if __name__ == "__main__":
    main()
