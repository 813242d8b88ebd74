"""Inputs made of exact numbers, and running the command on them."""

import json
import os
import pathlib
import re
import subprocess

import numpy
import onnx
import safetensors.numpy

COMMAND = pathlib.Path(os.environ["ECKART_COMMAND"])
CASES = pathlib.Path(__file__).resolve().parent / "cases"


def hadamard(n):
    """Entries 1 and -1, rows orthogonal; n a power of two."""
    h = numpy.ones((1, 1), dtype=numpy.int64)
    while len(h) < n:
        h = numpy.block([[h, h], [h, -h]])
    return h


def matrix_of(values):
    """A symmetric matrix with these integers as eigenvalues, exact: H diag(values) H / n with a Hadamard matrix H."""
    n = len(values)
    product = hadamard(n) @ (numpy.array(values, dtype=numpy.int64)[:, None] * hadamard(n))
    return product / n


def falling(n, ratio, first=1 << 20):
    return [max(1, int(first * ratio**i)) for i in range(n)]


def weights():
    """A small BERT: two like layers, a table, norms and biases."""
    query = matrix_of(falling(64, 0.8)).astype(numpy.float32)
    wide = numpy.vstack([matrix_of(falling(64, 0.9)), matrix_of(falling(64, 0.95))]).astype(numpy.float32)
    tensors = {"embeddings.word_embeddings.weight": numpy.arange(100 * 64, dtype=numpy.float32).reshape(100, 64)}
    for i in range(2):
        layer = f"encoder.layer.{i}"
        tensors |= {
            f"{layer}.attention.self.query.weight": query,
            f"{layer}.attention.self.query.bias": numpy.arange(64, dtype=numpy.float32),
            f"{layer}.intermediate.dense.weight": wide,
            f"{layer}.output.dense.weight": wide.T.copy(),
            f"{layer}.LayerNorm.weight": numpy.ones(64, dtype=numpy.float32),
        }
    return tensors


def timings():
    """Times of the layers of weights(): queries gain below rank 24, the wide layers below 40 and the narrow ones never."""
    layers = []
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for name, shape, dense, per_rank in (
            ("attention.self.query", [64, 64], 0.5, 0.02), ("intermediate.dense", [128, 64], 1.0, 0.025),
            ("output.dense", [64, 128], 1.0, 0.125),
        ):
            points = [{"method": "dense", "ranks": [], "milliseconds": dense}]
            points += [{"method": "svd", "ranks": [r], "milliseconds": 0.02 + r * per_rank} for r in (8, 16, 32)]
            use = {"rows": 16, "input": [], "output": []}
            layers.append({"name": f"{layer}.{name}", "kind": "linear", "shape": shape, "uses": [use], "points": points})
    return {
        "format": "eckart-timings", "version": 1, "model": "model", "runtime": "made", "runtime_version": "1", "cpu": "made",
        "threads": 1, "rounds": 1, "inputs": {}, "whole": {"milliseconds": 6.0, "low": 6.0, "high": 6.0}, "layers": layers,
    }


def adapters(folder):
    """style: PEFT's, rank 8 in two layers, scale 1/2, dW with the values 4, 4/2, .. 4/128; style.safetensors: the same
    for one layer under kohya's name."""
    first = hadamard(64)[:8].astype(numpy.float32) / 8
    last = (hadamard(64)[:, 8:16] * 2.0 ** numpy.arange(0, -8, -1)).astype(numpy.float32)
    tensors = {}
    for i in range(2):
        name = f"base_model.model.encoder.layer.{i}.attention.self.query"
        tensors |= {f"{name}.lora_A.weight": first, f"{name}.lora_B.weight": last}
    (folder / "style").mkdir()
    safetensors.numpy.save_file(tensors, folder / "style/adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 4, "target_modules": ["query"], "base_model_name_or_path": "model"}
    (folder / "style/adapter_config.json").write_text(json.dumps(config))
    name = "lora_unet_encoder_layer_0_attention_self_query"
    kohya = {f"{name}.lora_down.weight": first, f"{name}.lora_up.weight": last, f"{name}.alpha": numpy.float32(4)}
    safetensors.numpy.save_file({key: numpy.asarray(value) for key, value in kohya.items()}, folder / "style.safetensors")
    half = {f"{name}.lora_down.weight": first}
    safetensors.numpy.save_file(half, folder / "half.safetensors")


def rising(path):
    """A graph of two transposed convolutions, up and far: what comes in is doubled, then tripled, the second in two groups."""
    weights = {"up.weight": (16, 8, 4, 4), "far.weight": (8, 4, 3, 3)}
    tensors = [onnx.numpy_helper.from_array(numpy.ones(shape, numpy.float32), name) for name, shape in weights.items()]
    node = lambda x, y, w, **attributes: onnx.helper.make_node("ConvTranspose", [x, w], [y], **attributes)
    up = node("x", "h", "up.weight", strides=[2, 2], pads=[1, 1, 1, 1])
    far = node("h", "y", "far.weight", strides=[3, 3], pads=[1, 1, 1, 1], output_padding=[2, 2], group=2)
    value = lambda name, sizes: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
    graph = onnx.helper.make_graph([up, far], "rising", [value("x", [1, 16, 4, 5])], [value("y", [1, 8, 24, 30])], tensors)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def make_inputs(folder):
    """Everything the cases name, in a folder."""
    a = matrix_of(range(16, 0, -1)).astype(numpy.float32)
    numpy.save(folder / "A.npy", a)
    numpy.save(folder / "S.npy", matrix_of([8, -7, 6, 5, -4, 3, 2, 1]))
    numpy.save(folder / "low.npy", matrix_of([4, 2, 1, 0]).astype(numpy.float32))
    numpy.savez(folder / "two.npz", left=a, right=a[:4])
    numpy.savetxt(folder / "A.csv", a, delimiter=",")
    ring = "".join(f"{i + 1} {i % 8 + 1}\n{i % 8 + 2} {i % 8 + 1}\n" for i in range(8))
    (folder / "ring.mtx").write_text(f"%%MatrixMarket matrix coordinate pattern general\n9 9 16\n{ring}")
    (folder / "wrong.mtx").write_text("%%MatrixMarket matrix coordinate real general\n3 3 2\n1 1 2.5\n4 1 1\n")
    (folder / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{\"a\":")
    broken = a.copy()
    broken[1, 2] = numpy.nan
    numpy.save(folder / "nan.npy", broken)
    model = folder / "model"
    model.mkdir()
    safetensors.numpy.save_file(weights(), model / "model.safetensors", metadata={"format": "pt"})
    (model / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    (folder / "timings.json").write_text(json.dumps(timings()))
    (model / "README.md").write_text("made by tests\n")
    safetensors.numpy.save_file(weights(), folder / "single.safetensors", metadata={"format": "pt"})
    adapters(folder)
    rising(folder / "rising.onnx")


def environment(folder, **more):
    """What the command sees: nothing of the caller's taste, a cache of its own."""
    kept = {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OMP_WAIT_POLICY") if name in os.environ}
    sanitizers = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
    base = {"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    return base | kept | sanitizers | {"ECKART_CACHE": str(folder / ".cache")} | more


def run(folder, *arguments, **more):
    """Runs `eckart arguments` in a folder; bytes are text. more: arguments of subprocess.run()."""
    more.setdefault("env", environment(folder))
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=600, **more)


def masked(text):
    """Text without what differs between runs or machines: times, noise of the last bits, the LAPACK routine, digests."""
    text = re.sub(r"\b\d+(\.\d+)? m?s\b", "T s", text)
    text = re.sub(r"this error is at most \S+ % above", "this error is at most E % above", text)
    text = re.sub(r"^(engine +\S+) \(.*$", r"\1 (SOLVER)", text, flags=re.M)
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    return re.sub(r"^(memory +at most|eckart: memory: at most) .*?(,.*)?$", r"\1 M\2", text, flags=re.M)
