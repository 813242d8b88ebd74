"""Times adapters at the sizes people have, and writes bench/results/<machine>/adapter-<case>.json.

    make bench            after bench/run.py; QUICK=1: small sizes

Whole processes of `eckart lora`: seconds, the most memory held, the error told, and the same error found another way. The
opponent of extraction is a whole process too, bench_extract_torch.py, in alternating pairs; that of resizing is torch.linalg.svd
of the dense change in float32, timed on one module. Inputs are made from fixed seeds and kept in build/bench-data/adapters.
Adapters are written for every run, and reading them counts; they come from the page cache. The load of the machine is noted
beside every time.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from run import BUILD, PAIRS, ROOT, SCRATCH, environment, processor, run, spread, store

FOLDER = SCRATCH / "adapters"
RUNS = 3
SLOW, FEW = 60.0, 3  # an opponent that takes so many seconds has so many turns


# A process starts with the peak of the one that forked it, so eckart is started by one that is small.
STARTER = """
import json, os, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
wall, usage = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
if done.returncode: sys.exit(done.stderr)
print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024,
                  "told": json.loads(done.stdout)}))
"""


def command(*arguments):
    """One process of eckart: wall seconds, the most it held in MB, its JSON document."""
    words = [str(BUILD / "eckart"), "lora", *map(str, arguments), "--json", "-q"]
    load = os.getloadavg()[0]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, *words], env=environment(), capture_output=True,
                          text=True)
    if done.returncode != 0:
        sys.exit(f"bench: '{' '.join(words)}' failed: {done.stderr.strip()}")
    return {"load": load, **json.loads(done.stdout)}


def fresh(path):
    subprocess.run(["rm", "-rf", str(path)], check=True)
    return path


def repeated(arguments, out, runs):
    return min((command(*arguments, "-o", fresh(out)) for _ in range(runs)), key=lambda one: one["wall"])


def torch_svd(matrix):
    start = time.perf_counter()
    torch.linalg.svd(matrix, full_matrices=False)
    return time.perf_counter() - start


def relative(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


# ---- resize ---------------------------------------------------------------------------------------------------------


def make_resize(count, size, rank):
    path = FOLDER / f"resize-{count}x{size}-{rank}"
    if path.exists():
        return path
    path.mkdir(parents=True)
    tensors, fall = {}, torch.arange(1, rank + 1) ** -0.5
    for index in range(count):
        random = torch.Generator().manual_seed(index)
        name = f"base_model.model.blocks.{index}.attn"
        first = torch.randn(rank, size, generator=random) * 0.01 * fall[:, None]
        tensors[f"{name}.lora_A.weight"] = first.bfloat16()
        tensors[f"{name}.lora_B.weight"] = (torch.randn(size, rank, generator=random) * 0.01).bfloat16()
    save_file(tensors, path / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank // 2, "target_modules": ["attn"]}
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path


def product_of(path, name, scale):
    """s B A of one module in float64."""
    with safe_open(str(path / "adapter_model.safetensors"), "pt") as file:
        first, last = (file.get_tensor(f"base_model.model.{name}.lora_{half}.weight").double() for half in "AB")
    return scale, last, first


def best_of(scale, last, first, rank):
    """The truncated SVD of the product by QR in float64: another route than eckart's Grams."""
    left, upper = torch.linalg.qr(last)
    right, lower = torch.linalg.qr(first.T)
    u, s, vt = torch.linalg.svd(scale * upper @ lower.T)
    return (left @ u[:, :rank] * s[:rank]) @ (vt[:rank] @ right.T)


def resize(count, size, rank, to, runs):
    path, out = make_resize(count, size, rank), FOLDER / "out"
    best = repeated(["resize", path, "--rank", to], out, runs)
    command("resize", make_resize(1, size, rank), "-o", fresh(out), "--rank", to, "--dtype", "f32")
    factors = product_of(make_resize(1, size, rank), "blocks.0.attn", 0.5)
    _, last, first = product_of(out, "blocks.0.attn", 1)
    off = relative(last @ first, best_of(*factors, to))
    peer = torch_svd((factors[0] * factors[1] @ factors[2]).float())
    return {"case": f"resize of {count} modules {size} x {size}, r = {rank} to {to}, bf16", "ours": best,
            "product_off": off, "peer_per_module": peer, "ratio_per_module": peer * count / best["wall"]}


# ---- extract --------------------------------------------------------------------------------------------------------


def block_shapes(hidden, key, inner):
    return {
        "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (key, hidden), "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def make_pair(shapes, rank, name):
    """A block of a transformer, and the same with a change of that rank, both rounded to bf16."""
    path = FOLDER / name
    if path.exists():
        return path
    random, base, tuned = torch.Generator().manual_seed(3), {}, {}
    for module, (rows, cols) in shapes.items():
        weight = (torch.randn(rows, cols, generator=random) * 0.02).bfloat16()
        fall = torch.arange(1, rank + 1) ** -0.3
        change = (torch.randn(rows, rank, generator=random) * fall) @ torch.randn(rank, cols, generator=random) * 1e-4
        base[f"model.layers.0.{module}.weight"] = weight
        tuned[f"model.layers.0.{module}.weight"] = (weight.float() + change).bfloat16()
    path.mkdir(parents=True)
    save_file(base, path / "base.safetensors")
    save_file(tuned, path / "tuned.safetensors")
    return path


def optimum(change, rank):
    """|| tail || / || change || from the eigenvalues of the float64 Gram of the short side."""
    tall = change if change.shape[0] >= change.shape[1] else change.T
    values = torch.linalg.eigvalsh(tall.T @ tall).flip(0).clamp(min=0)
    return (values[rank:].sum() / values.sum()).sqrt().item()


def adapter_file(out):
    return out / "adapter_model.safetensors" if out.is_dir() else out


def errors_above(pair, out, shapes, rank):
    """The worst error of the product over the best possible, less 1, in one module of every shape; in float64."""
    worst = 0.0
    with safe_open(str(pair[0]), "pt") as base, safe_open(str(pair[1]), "pt") as tuned, safe_open(str(out), "pt") as factors:
        for module in {shape: module for module, shape in shapes.items()}.values():
            key = f"model.layers.0.{module}"
            change = tuned.get_tensor(f"{key}.weight").double() - base.get_tensor(f"{key}.weight").double()
            first, last = (factors.get_tensor(f"base_model.model.{key}.lora_{half}.weight").double() for half in "AB")
            worst = max(worst, relative(last @ first, change) / optimum(change, rank) - 1)
    return worst


def usual_way(pair, out, rank, way):
    """One process of the peer: wall seconds, and those of its decompositions."""
    done = run([sys.executable, str(ROOT / "bench/bench_extract_torch.py"), *map(str, pair), str(out), str(rank), way])
    return {"wall": done["wall"], "seconds": done["seconds"]}


def extract(hidden, key, inner, rank, runs):
    """Pairs of whole processes, which of them begins alternating; each way of the peer by itself."""
    shapes = block_shapes(hidden, key, inner)
    path = make_pair(shapes, rank, f"pair-{hidden}-{inner}")
    pair, out, other = [path / "base.safetensors", path / "tuned.safetensors"], FOLDER / "out", FOLDER / "other.safetensors"
    words = ["extract", *pair, "--rank", rank, "--min-size", 1, "--engine"]
    exact = repeated([*words, "exact"], out, 1)
    ways, ours = {}, []
    for way in ("full", "lowrank"):
        done = []
        while len(done) < (FEW if done and done[0]["torch"]["wall"] > SLOW else runs):
            index = len(done)
            sides = {"eckart": lambda: command(*words, "krylov", "-o", fresh(out)),
                     "torch": lambda way=way: usual_way(pair, fresh(other), rank, way)}
            done.append({side: sides[side]() for side in (sides if index % 2 == 0 else reversed(sides))})
        ours += [one["eckart"] for one in done]
        ways[way] = {
            "ratio": spread([one["torch"]["wall"] / one["eckart"]["wall"] for one in done]),
            "ratio_inside": spread([one["torch"]["seconds"] / one["eckart"]["wall"] for one in done]),
            **{side: spread([one[side]["wall"] for one in done]) for side in ("eckart", "torch")},
            "pairs": len(done), "above_optimum": errors_above(pair, other, shapes, rank),
        }
    best = sorted(ours, key=lambda one: one["wall"])[len(ours) // 2]
    certified = max(module["error"] / module["optimum"][0] - 1 for module in best["told"]["modules"])
    return {"case": f"extraction of a block, hidden {hidden}, inner {inner}, bf16, r = {rank}, engine krylov", "ours": best,
            "exact": exact["wall"], "certified": certified, "above_optimum": errors_above(pair, adapter_file(out), shapes, rank),
            "ways": ways}


# ---- combine --------------------------------------------------------------------------------------------------------


def unet_shapes(parts):
    """The linear layers of an SDXL UNet's transformers: (part, width, attentions, depth)."""
    shapes = {}
    for part, d, attentions, depth in parts:
        for attention in range(attentions):
            module = f"{part}_attentions_{attention}"
            shapes |= {f"{module}_proj_in": (d, d), f"{module}_proj_out": (d, d)}
            for block in range(depth):
                inner = f"{module}_transformer_blocks_{block}"
                for name in ("attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0", "attn2_to_q", "attn2_to_out_0"):
                    shapes[f"{inner}_{name}"] = (d, d)
                shapes |= {f"{inner}_attn2_to_k": (d, 2048), f"{inner}_attn2_to_v": (d, 2048)}
                shapes |= {f"{inner}_ff_net_0_proj": (8 * d, d), f"{inner}_ff_net_2": (d, 4 * d)}
    return shapes


SDXL = [("down_blocks_1", 640, 2, 2), ("down_blocks_2", 1280, 2, 10), ("mid_block", 1280, 1, 10),
        ("up_blocks_0", 1280, 3, 10), ("up_blocks_1", 640, 3, 2)]


def make_unet(shapes, rank, seed):
    path = FOLDER / f"unet-{len(shapes)}-{rank}-{seed}.safetensors"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    random, tensors = torch.Generator().manual_seed(seed), {}
    for name, (rows, cols) in shapes.items():
        tensors[f"lora_unet_{name}.lora_down.weight"] = (torch.randn(rank, cols, generator=random) * 0.05).half()
        tensors[f"lora_unet_{name}.lora_up.weight"] = (torch.randn(rows, rank, generator=random) * 0.05).half()
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(rank / 2)
    save_file(tensors, path)
    return path


def combine(parts, adapters, rank, runs):
    shapes = unet_shapes(parts)
    terms = [f"{make_unet(shapes, rank, seed)}=0.1" for seed in range(adapters)]
    best = repeated(["combine", *terms, "--rank", rank], FOLDER / "out.safetensors", runs)
    return {"case": f"combination of {adapters} adapters, {len(shapes)} modules of an SDXL UNet, r = {rank}, f16",
            "ours": best}


# ---- all ------------------------------------------------------------------------------------------------------------

CASES = {
    "resize": lambda runs: resize(400, 5120, 128, 32, runs),
    "extract": lambda runs: extract(4096, 1024, 14336, 64, max(runs, PAIRS)),
    "combine": lambda runs: combine(SDXL, 10, 32, runs),
}
QUICK = {
    "resize": lambda runs: resize(8, 1024, 64, 16, runs),
    "extract": lambda runs: extract(256, 64, 896, 16, runs),
    "combine": lambda runs: combine([("mid_block", 320, 1, 2)], 4, 16, runs),
}


def show(result):
    ours = result["ours"]
    print(f"{result['case']}: {ours['wall']:.2f} s, {ours['cpu']:.1f} s of processor, {ours['megabytes']:.0f} MB, "
          f"load {ours['load']:.1f}")
    for key in ("product_off", "exact", "certified", "above_optimum", "peer_per_module", "ratio_per_module"):
        if key in result:
            print(f"    {key.replace('_', ' ')}: {result[key]:.3g}")
    for way, found in result.get("ways", {}).items():
        ratio, inside = found["ratio"], found["ratio_inside"]
        print(f"    torch, {way}: {found['torch']['median']:.2f} s, {ratio['median']:.2f}x ({ratio['low']:.2f} .. {ratio['high']:.2f}), "
              f"its decompositions alone {inside['median']:.2f}x, {found['pairs']} pairs; {found['above_optimum']:.2e} above the optimum")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--runs", type=int, default=RUNS, help="the quickest of so many counts")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    for name, case in (QUICK if options.quick else CASES).items():
        if options.only not in name:
            continue
        result = {"kind": "adapter", **case(options.runs), "processor": processor(), "cores": os.cpu_count(),
                  "date": time.strftime("%Y-%m-%d"), "torch": torch.__version__, "runs": options.runs}
        if options.quick:
            result["quick"] = True
        told = result["ours"].pop("told")
        result["error"] = told["totals"]["error"]
        show(result)
        if not options.no_save:
            quick = "-quick" if options.quick else ""
            store(f"adapter-{name}{quick}", result)


if __name__ == "__main__":
    main()
