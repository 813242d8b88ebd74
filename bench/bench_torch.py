"""The other opponent: torch.linalg.svd and svdvals. bench_torch.py INPUT.npy svd|values RANK [OUT-PREFIX].

Full factors are computed and cut to RANK, for that is how torch truncates exactly. Prints one JSON line.
"""

import json
import re
import sys
import time

import numpy
import torch


def main():
    path, mode, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
    a = torch.from_numpy(numpy.load(path))
    start = time.perf_counter()
    if mode == "values":
        s = torch.linalg.svdvals(a)
        factors = {"S": s[None, :]}
    else:
        u, s, vt = torch.linalg.svd(a, full_matrices=False)
        factors = {"U": u[:, :rank].contiguous(), "S": s[None, :], "V": vt[:rank].T.contiguous()}
    seconds = time.perf_counter() - start
    blas = re.search(r"Intel\(R\) (?:oneAPI )?Math Kernel Library Version \S+|OpenBLAS\S*", torch.__config__.show())
    said = {
        "seconds": seconds,
        "blas": blas.group(0) if blas else "unknown",
        "core": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(said))
    if len(sys.argv) > 4:
        for name, value in factors.items():
            numpy.save(f"{sys.argv[4]}.{name}.npy", value.numpy())


if __name__ == "__main__":
    main()
