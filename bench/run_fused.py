"""The fused product beside the two products of the BLAS, and bench/results/<machine>/fused-<shape>-<width>.json.

Both sides in turns in one process (bench_fused.c), which of them begins changing, the
BLAS with the quicker layout of X; the rate of sgemm is measured in the same
process and stands for what this machine can do. `apart`: the largest difference of the results over the largest number.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import run

CASES = [(4096, 4096, 16), (4096, 4096, 32), (4096, 11008, 16), (4096, 11008, 32)]
QUICK = [(1024, 1024, 16), (1024, 1024, 32)]


def measure(rows, cols, width):
    command = [str(run.BUILD / "bench/bench_fused"), str(rows), str(cols), str(width)]
    done = subprocess.run(command, env=run.environment(), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: '{' '.join(command)}' failed: {done.stderr.strip()}")
    return {**json.loads(done.stdout), "processor": run.processor(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    for case in QUICK if options.quick else CASES:
        result = measure(*case)
        ratio, rate = result["ratio"], result["gflops"]
        print(f"{case[0]}x{case[1]} width {case[2]}: {ratio['median']:.2f}x ({ratio['low']:.2f} .. {ratio['high']:.2f}), "
              f"{rate['eckart']:.0f} GFLOP/s, {rate['eckart'] / rate['sgemm']:.0%} of sgemm at 2048, core {result['core']}",
              flush=True)
        if options.no_save:
            continue
        quick = "-quick" if options.quick else ""
        run.store(f"fused-{case[0]}x{case[1]}-{case[2]}{quick}", result)


if __name__ == "__main__":
    main()
