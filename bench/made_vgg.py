"""Writes an ONNX file of the shapes of VGG16's convolutions, for timings: kernels whose spectra fall as those of trained
nets do, and no use beyond that.

    python bench/made_vgg.py vgg.onnx [SIZE]    input x [1,3,SIZE,SIZE], default 112
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def kernel(random, outputs, inputs):
    """Singular values k^-0.8 between its channels, both ways."""
    ranks = np.arange(1, min(outputs, inputs) + 1) ** -0.8
    left = np.linalg.qr(random.standard_normal((outputs, outputs)))[0][:, : len(ranks)] * ranks**0.5
    right = np.linalg.qr(random.standard_normal((inputs, inputs)))[0][:, : len(ranks)] * ranks**0.5
    core = random.standard_normal((len(ranks), len(ranks), 9))
    weight = np.einsum("oa,abk,ib->oik", left, core, right, optimize=True).reshape(outputs, inputs, 3, 3)
    return (weight * np.sqrt(2 / 9 / inputs) / weight.std() / 3).astype(np.float32)


def main():
    path, size = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 112
    random = np.random.default_rng(1)
    nodes, weights, value, inputs = [], [], "x", 3
    for b, block in enumerate(BLOCKS):
        for c, outputs in enumerate(block):
            name = f"conv{b + 1}_{c + 1}"
            weights.append(numpy_helper.from_array(kernel(random, outputs, inputs), f"{name}.weight"))
            nodes.append(helper.make_node("Conv", [value, f"{name}.weight"], [name], pads=[1, 1, 1, 1]))
            nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"]))
            value, inputs = f"{name}_relu", outputs
        nodes.append(helper.make_node("MaxPool", [value], [f"pool{b + 1}"], kernel_shape=[2, 2], strides=[2, 2]))
        value = f"pool{b + 1}"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])
    made = helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, inputs, size // 32, size // 32])
    graph = helper.make_graph(nodes, "vgg", [given], [made], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


if __name__ == "__main__":
    main()
