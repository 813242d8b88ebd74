"""What compressing real nets costs and brings, and writes bench/results/<machine>/model-<net>-<method>-<macs>.json.

    bench/run_models.py [--only TEXT] [--no-save]

Nets and their measures are those of tests/quality/nets.py. Every net is compressed without data or training, within a part
of its multiply-adds; then tensor bytes, multiply-adds of one pass, the measure, and milliseconds in ONNX Runtime, on all
cores, before and after: at least fifteen pairs, in turn, after two that do not count. Nothing is left out: where plain
decomposition ruins a net, the row says so.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from run import ROOT, processor, spread, store

sys.path[:0] = [str(ROOT / "tests/quality"), str(ROOT / "python")]

import nets  # noqa: E402
from eckart import _tiny  # noqa: E402
import onnxruntime  # noqa: E402

PAIRS, UNCOUNTED = 15, 2
# net, method, part of the multiply-adds
POINTS = [
    ("recognition", "svd", 0.97),
    ("recognition", "auto", 0.97),
    ("detection", "svd", 0.9),
    ("detection", "auto", 0.9),
    ("pitch", "svd", 0.7),
    ("pitch", "auto", 0.7),
    ("pitch", "auto", 0.4),
    ("pitch", "auto", 0.25),
    ("upscaling", "auto", 0.95),
    ("upscaling", "auto", 0.7),
    ("edges", "svd", 0.5),
    ("edges", "spatial", 0.5),
    ("edges", "spatial", 0.45),
    ("edges", "spatial", 0.35),
    ("edges", "auto", 0.35),
]


def eckart(*arguments):
    """A JSON document of the command."""
    command = [str(ROOT / "build/eckart"), *map(str, arguments), "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: '{' '.join(command)}' failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def pairs_of(paths, shape):
    """Milliseconds of each file, pair by pair, in a process of its own: threads of an idle session would spin beside the one that
    is timed, so both have the threads of the process."""
    _tiny.use_threads(os.cpu_count())
    sessions = [_tiny.session_of(str(path)) for path in paths]
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    times = [[] for _ in paths]
    for index in range(PAIRS + UNCOUNTED):
        for side in (0, 1) if index % 2 else (1, 0):
            start = time.perf_counter()
            sessions[side].run(None, {"x": x})
            if index >= UNCOUNTED:
                times[side].append(1e3 * (time.perf_counter() - start))
    return times


def milliseconds(paths, shape):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(pairs_of, (paths, shape))


def measure(point, source, folder):
    net, method, part = point
    _, quality, unit, shape = nets.NETS[net]
    sizes = f"x={'x'.join(map(str, shape))}"
    out = folder / f"{net}.onnx"
    cache = folder / f"cache-{net}-{method}"
    fresh = not cache.exists()
    how = ("--macs", part, "--method", method, "--shape", sizes, "--cache", cache)
    start = time.perf_counter()
    outcome = eckart("compress", source, "-o", out, "-f", *how)
    seconds = time.perf_counter() - start
    plan = eckart("plan", source, *how)
    macs = [eckart("inspect", path, "--shape", sizes, "--min-size", 1)["totals"]["macs"] for path in (source, out)]
    before, after = milliseconds([source, out], shape)
    methods = sorted({x["method"] for x in plan["layers"]} - {"dense"})
    return {
        "kind": "model", "net": net, "method": method, "part": part, "used": methods, "input": list(shape), "unit": unit,
        "processor": processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "runtime": onnxruntime.__version__,
        "factored": outcome["factored"], "error": outcome["error"], "seconds": seconds if fresh else None,
        "bytes": [outcome["bytes_before"], outcome["bytes_after"]], "macs": macs,
        "quality": [quality(source), quality(out)],
        "ms": [spread(before), spread(after)], "faster": statistics.median(b / a for b, a in zip(before, after, strict=True)),
    }


def show(r):
    print(f"{r['net']} {r['method']} {r['part']}: {r['factored']} layers ({', '.join(r['used'])}), bytes "
          f"{r['bytes'][1] / r['bytes'][0]:.2f}, MACs {r['macs'][1] / r['macs'][0]:.2f}, {r['unit']} {r['quality'][0]:.4g} -> "
          f"{r['quality'][1]:.4g}, {r['ms'][0]['median']:.1f} -> {r['ms'][1]['median']:.1f} ms, {r['faster']:.2f}x", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="part of a point's name")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, sources = pathlib.Path(scratch), {}
        for point in POINTS:
            name = "-".join(map(str, point))
            if options.only not in name:
                continue
            if point[0] not in sources:
                sources[point[0]] = nets.NETS[point[0]][0](folder)
            result = measure(point, sources[point[0]], folder)
            show(result)
            if not options.no_save:
                store(f"model-{name}", result)


if __name__ == "__main__":
    main()
