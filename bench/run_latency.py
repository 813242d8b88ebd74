"""Plans by time against the clock: what the timings of a net's layers predict for it, and what ONNX Runtime then takes.

    bench/run_latency.py [--only TEXT] [--no-save]

For every net of bench/run_models.py its layers are timed, plans for parts of its time are made with them (`--latency`,
`--no-slower`), and the finished models are timed beside the net. Printed and written to bench/results/<machine>/latency-<net>-<part>.json:
milliseconds predicted and measured, and by how much the prediction missed. Only times on a machine that does nothing else say
anything.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from run import ROOT, processor, store
from run_models import eckart, nets, onnxruntime

# net, method, parts of its time
NETS = [("edges", "spatial", (0.8, 0.65)), ("upscaling", "spatial", (0.8, 0.65)), ("detection", "auto", (0.9,)),
        ("pitch", "auto", (0.8, 0.65))]


def measured(*arguments):
    """The JSON document of eckart.measure."""
    command = [sys.executable, "-m", "eckart.measure", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    if done.returncode != 0:
        sys.exit(f"bench: '{' '.join(command)}' failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(net, method, part, source, folder):
    shape = nets.NETS[net][3]
    sizes, timings, out = f"x={'x'.join(map(str, shape))}", folder / f"{net}.json", folder / f"{net}.onnx"
    if not timings.exists():
        timings.write_text(json.dumps(measured(source, "--shape", sizes, "--method", method)))
    how = ("--latency", part, "--no-slower", "--rank-multiple", 8, "--timings", timings)
    outcome = eckart("compress", source, "-o", out, "-f", "--method", method, "--shape", sizes, *how)
    whole = measured("--whole", source, out, "--shape", sizes, "--timings", timings, "--rounds", 41)
    return {
        "kind": "latency", "net": net, "method": method, "part": part, "input": list(shape), "factored": outcome["factored"],
        "processor": processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "runtime": onnxruntime.__version__,
        **{key: whole[key] for key in ("before", "after", "gain", "predicted", "miss_percent")},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="part of a net's name")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for net, method, parts in NETS:
            if options.only not in net:
                continue
            source = nets.NETS[net][0](folder)
            for part in parts:
                r = measure(net, method, part, source, folder)
                print(f"{net} {method} {part}: {r['factored']} layers, {r['before']['milliseconds']:.2f} ms -> predicted "
                      f"{r['predicted']:.2f}, measured {r['after']['milliseconds']:.2f}, a miss of {r['miss_percent']:+.1f} %", flush=True)
                if not options.no_save:
                    store(f"latency-{net}-{part}", r)


if __name__ == "__main__":
    main()
