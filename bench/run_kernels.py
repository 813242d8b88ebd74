"""How long it takes to take a whole net apart by every method, and writes bench/results/<machine>/kernels-vgg16.json.

    bench/run_kernels.py [--runs N] [--no-save]

The net is bench/made_vgg.py: the thirteen convolutions of VGG16, kernels whose spectra fall as those of trained nets do.
`analyze` finds the errors of all methods at all their ranks, `compress` does that and fits what a plan for half of the
multiply-adds chooses; whole processes with nothing in a cache, the quickest of the runs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

from run import BUILD, ROOT, processor, store

SIZE, PART = 224, 0.5


def run(*arguments):
    """Seconds of a whole process, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run([str(BUILD / "eckart"), *map(str, arguments), "--no-cache", "--json", "-q"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip()}")
    return time.perf_counter() - start, json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        net = f"{folder}/vgg.onnx"
        subprocess.run([sys.executable, ROOT / "bench/made_vgg.py", net, str(SIZE)], check=True)
        analyze = [run("analyze", net, "--method", "auto") for _ in range(options.runs)]
        compress = [run("compress", net, "-o", f"{folder}/out.onnx", "-f", "--macs", PART, "--method", "auto") for _ in range(options.runs)]
    layers = analyze[0][1]["layers"]
    result = {
        "kind": "kernels", "net": "VGG16", "layers": len(layers), "parameters": sum(x["parameters"] for x in layers),
        "methods": sorted({m["method"] for x in layers for m in x["methods_at_half"]}), "part": PART,
        "processor": processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "runs": options.runs,
        "seconds": {"analyze": min(t for t, _ in analyze), "compress": min(t for t, _ in compress)},
        "factored": compress[0][1]["factored"],
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }
    print(json.dumps(result), flush=True)
    if not options.no_save:
        store("kernels-vgg16", result)


if __name__ == "__main__":
    main()
