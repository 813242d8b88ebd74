"""Times eckart beside its peers, in pairs of whole processes, and writes bench/results/<machine>/<case>.json.

    make bench            every case         make bench QUICK=1    small sizes

Each case alternates the two sides, at least seven pairs, which of them goes first changing from pair to pair. Before
every pair the machine's gemm rate is measured; a pair is void, and done again, when it lies below 80 % of the rate this
machine has shown it can reach. Both sides read the same .npy file; making it does not count. OPENBLAS_CORETYPE is taken
out of the environment, so that every side runs at the core its library chooses itself. Errors come from one untimed run
of each side, against singular values computed in float64 by LAPACK's dgesdd and residuals computed in float64.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
SCRATCH = BUILD / "bench-data"
PAIRS = 7
VOID_BELOW = 0.8
RETRIES = 10
REST = 0.3  # seconds before each run of two sides in one process: threads of the side before stop spinning

SIDES = {
    "eckart": [str(BUILD / "bench/bench_eckart")],
    "lapack": [str(BUILD / "bench/bench_lapack")],
    "torch": [sys.executable, str(ROOT / "bench/bench_torch.py")],
}

# rows, cols, rank, mode, opponent: one case a line.
CASES = [
    (4096, 4096, 512, "svd", "lapack"),
    (4096, 4096, 512, "svd", "torch"),
    (4096, 4096, 512, "values", "lapack"),
    (4096, 4096, 512, "values", "torch"),
    (4096, 11008, 512, "svd", "lapack"),
    (4096, 11008, 512, "svd", "torch"),
    (4096, 11008, 512, "values", "lapack"),
    (4096, 11008, 512, "values", "torch"),
    (4096, 4096, 1638, "svd", "lapack"),
    (4096, 4096, 1638, "svd", "torch"),
]
QUICK = [
    (512, 512, 64, "svd", "lapack"),
    (512, 512, 64, "values", "lapack"),
    (1024, 1024, 128, "svd", "lapack"),
    (1024, 1024, 128, "svd", "torch"),
    (1024, 1024, 128, "values", "lapack"),
    (1024, 1024, 128, "values", "torch"),
    (1024, 2752, 128, "svd", "lapack"),
]


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        return re.search(r"^model name\s*:\s*(.*)$", text, re.M).group(1).strip()
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def machine():
    """A name for machines like this one, of letters and figures: processor, widest vectors, cores."""
    try:
        flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M).group(1).split()
    except (OSError, AttributeError):
        flags = []
    words = re.sub(r"\(\w+\)|\bprocessor\b|\bcpu\b|@.*", " ", processor().lower())
    units = {"amx_tile": "amx", "avx512f": "avx512", "avx2": "avx2", "asimd": "neon"}
    unit = [short for flag, short in units.items() if flag in flags][:1]
    return "-".join([*re.findall("[a-z0-9]+", words), *unit, f"{os.cpu_count()}-cores"])


RESULTS = ROOT / "bench/results" / machine()


def store(name, result):
    """A raw result of this machine; those of others stay what they are."""
    if not RESULTS.exists():
        RESULTS.mkdir(parents=True)
        (RESULTS / "README.md").write_text(f"# bench/results/{RESULTS.name}\n\nRaw results of one machine (../README.md).\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def environment():
    """The environment of every side: no preset BLAS core, no thread limits."""
    drop = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {key: value for key, value in os.environ.items() if key not in drop}


def run(command):
    """Runs a process; what it says of itself, with the seconds seen from outside."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"bench: '{' '.join(command)}' failed: {done.stderr.strip()}")
    return {**json.loads(done.stdout), "wall": wall}


def gemm(size):
    return run([str(BUILD / "bench/bench_gemm"), str(size)])


def input_matrix(rows, cols):
    """A matrix whose values fall about as i^-0.5, like those of trained weights; made once."""
    path = SCRATCH / f"a-{rows}x{cols}.npy"
    if not path.exists():
        SCRATCH.mkdir(parents=True, exist_ok=True)
        random = numpy.random.default_rng(20241)
        inner = min(rows, cols)
        left = random.standard_normal((rows, inner), dtype=numpy.float32)
        right = random.standard_normal((inner, cols), dtype=numpy.float32)
        left *= (numpy.arange(1, inner + 1, dtype=numpy.float32) ** -0.5)[None, :]
        numpy.save(path, (left @ right / numpy.float32(numpy.sqrt(rows * cols))).astype(numpy.float32))
    return path


def reference_values(path):
    cached = path.with_suffix(".values.npy")
    if not cached.exists():
        a = numpy.load(path).astype(numpy.float64)
        numpy.save(cached, numpy.linalg.svd(a, compute_uv=False))
    return numpy.load(cached)


def load_factors(side, out):
    if side == "eckart":
        with numpy.load(out) as arrays:
            return {name: arrays[name].astype(numpy.float64) for name in arrays.files}
    names = [name for name in "USV" if pathlib.Path(f"{out}.{name}.npy").exists()]
    return {name: numpy.load(f"{out}.{name}.npy").astype(numpy.float64) for name in names}


def command_of(side, path, mode, rank):
    return [*SIDES[side], str(path), mode, str(rank)]


def errors(side, path, mode, rank):
    """Error of the values in units of eps32 * s_1, and of the rank-k product relative to the best possible."""
    out = str(SCRATCH / f"out-{side}") + (".npz" if side == "eckart" else "")
    for old in SCRATCH.glob(f"out-{side}*"):
        old.unlink()
    run(command_of(side, path, mode, rank) + [out])
    exact = reference_values(path)
    factors = load_factors(side, out)
    eps = float(numpy.finfo(numpy.float32).eps)
    values = factors["S"].ravel()
    count = min(values.size, exact.size)
    found = {"values_eps": float(numpy.abs(values[:count] - exact[:count]).max() / (eps * exact[0]))}
    if mode != "values":
        a = numpy.load(path).astype(numpy.float64)
        residual = a - (factors["U"][:, :rank] * values[:rank]) @ factors["V"][:, :rank].T
        norm = numpy.sqrt((exact**2).sum())
        best = numpy.sqrt((exact[rank:] ** 2).sum()) / norm
        found["error"] = float(numpy.linalg.norm(residual) / norm)
        found["excess"] = float(found["error"] / best - 1)
    return found


def calibrated(size, key="sgemm"):
    """The best gemm rate this processor has shown, kept between runs."""
    path = SCRATCH / "calibration.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    name = f"{processor()} x{os.cpu_count()} {size}"
    best = max([known.get(name, 0.0)] + [gemm(size)[key] for _ in range(5)])
    known[name] = best
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known))
    return best


def pair(commands, first, size, best, timed=run):
    """One pair, alternating, once the machine is at its rate; None if it never was. timed tells of one side."""
    for _ in range(RETRIES):
        rate = gemm(size)
        if rate["sgemm"] < VOID_BELOW * best:
            time.sleep(3)
            continue
        order = list(commands) if first else list(commands)[::-1]
        times = {side: timed(commands[side]) for side in order}
        after = gemm(size)
        if after["sgemm"] >= VOID_BELOW * best:
            return {"gemm": rate, "gemm_after": after["sgemm"], **times}
    return None


def spread(values):
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "low": ordered[0], "high": ordered[-1]}


def measure(case, pairs, size, best):
    rows, cols, rank, mode, opponent = case
    path = input_matrix(rows, cols)
    sides = ["eckart", opponent]
    commands = {side: command_of(side, path, mode, rank) for side in sides}
    found = {side: errors(side, path, mode, rank) for side in sides}
    done = []
    for index in range(pairs):
        one = pair(commands, index % 2 == 0, size, best)
        if one is None:
            print(f"void: gemm stays below {VOID_BELOW:.0%} of {best:.0f} GFLOP/s", flush=True)
            return None
        done.append(one)
    sgemm = statistics.median(one["gemm"]["sgemm"] for one in done)
    work = 4.0 * rows * cols * min(rows, cols) * 1e-9
    result = {
        "kind": "svd", "rows": rows, "cols": cols, "rank": rank, "mode": mode, "opponent": opponent,
        "processor": processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
        "gemm": {"sgemm": sgemm, "dgemm": statistics.median(one["gemm"]["dgemm"] for one in done),
                 "calibrated": best, "core": done[0]["gemm"]["core"], "threads": done[0]["gemm"]["threads"]},
        "ratio": spread([one[opponent]["wall"] / one["eckart"]["wall"] for one in done]),
        "ratio_inside": spread([one[opponent]["seconds"] / one["eckart"]["seconds"] for one in done]),
        "sides": {}, "pairs": done,
    }
    for side in sides:
        wall, inside = (spread([one[side][key] for one in done]) for key in ("wall", "seconds"))
        result["sides"][side] = {
            "wall": wall, "seconds": inside, "of_gemm": work / inside["median"] / sgemm, **found[side],
            **{key: done[0][side][key] for key in ("blas", "core", "threads", "torch", "solver") if key in done[0][side]},
        }
    return result


def show(result):
    ratio, inside = result["ratio"], result["ratio_inside"]
    print(f"{result['rows']}x{result['cols']} {result['mode']} k={result['rank']} against {result['opponent']}: "
          f"{ratio['median']:.2f}x whole process ({ratio['low']:.2f} .. {ratio['high']:.2f}), "
          f"{inside['median']:.2f}x inside ({inside['low']:.2f} .. {inside['high']:.2f}); "
          f"sgemm {result['gemm']['sgemm']:.0f} GFLOP/s, {result['gemm']['sgemm'] / result['gemm']['calibrated']:.0%} "
          f"of calibrated, core {result['gemm']['core']}, {result['gemm']['threads']} threads")
    for name, side in result["sides"].items():
        error = f", error {side['error']:.6e}, excess {side['excess']:.1e}" if "error" in side else ""
        print(f"    {name:7s} {side['wall']['median']:7.3f} s whole, {side['seconds']['median']:7.3f} s inside, "
              f"{side['of_gemm']:.0%} of sgemm, values {side['values_eps']:.2f} eps32 s_1{error}; {side['blas']}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    subprocess.run(["ninja", "-C", str(BUILD), "bench-programs"], check=True, stdout=subprocess.DEVNULL)
    size = 1024 if options.quick else 2048
    best, void = calibrated(size), 0
    for case in QUICK if options.quick else CASES:
        rows, cols, rank, mode, opponent = case
        name = f"{mode}-{rows}x{cols}-{opponent}" if rank == min(rows, cols) // 8 else f"{mode}-{rows}x{cols}-{rank}-{opponent}"
        if options.only not in name:
            continue
        result = measure(case, max(options.pairs, PAIRS), size, best)
        if result is None:
            void += 1
            continue
        show(result)
        if not options.no_save:
            store(name, result)
    sys.exit(1 if void else 0)


if __name__ == "__main__":
    main()
