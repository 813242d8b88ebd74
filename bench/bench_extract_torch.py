"""A LoRA adapter out of two models the usual way: bench_extract_torch.py BASE TUNED OUT RANK full|lowrank.

What extraction scripts do, without their overhead: one layer at a time, the change in float32, its whole SVD by
torch.linalg.svd or the randomised one by torch.svd_lowrank (q = rank + 10, niter = 2), factors cut to the rank and written in
the type of the models. Prints the seconds of the decompositions alone.
"""

import json
import sys
import time

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def leading(change, rank, way):
    if way == "lowrank":
        left, values, right = torch.svd_lowrank(change, q=rank + 10, niter=2)
        return left[:, :rank], values[:rank], right[:, :rank].T
    left, values, right = torch.linalg.svd(change, full_matrices=False)
    return left[:, :rank], values[:rank], right[:rank]


def main():
    base, tuned, out, rank, way = sys.argv[1:]
    torch.manual_seed(0)
    tensors, seconds = {}, 0.0
    with safe_open(base, "pt") as before, safe_open(tuned, "pt") as after:
        for key in after.keys():
            weight = after.get_tensor(key)
            change = weight.float() - before.get_tensor(key).float()
            start = time.perf_counter()
            left, values, right = leading(change, int(rank), way)
            seconds += time.perf_counter() - start
            root, name = values.sqrt(), key.removesuffix(".weight")
            tensors[f"base_model.model.{name}.lora_A.weight"] = (root[:, None] * right).to(weight.dtype).contiguous()
            tensors[f"base_model.model.{name}.lora_B.weight"] = (left * root).to(weight.dtype).contiguous()
    save_file(tensors, out)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
