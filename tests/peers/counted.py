"""Multiply-adds counted another way: shapes by onnx.shape_inference, or of what ONNX Runtime made; operators by definition."""

from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import shape_inference


def fixed(model, shapes):
    """The model with those input shapes and without what it says of values in between."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.value_info[:]
    for value in model.graph.input:
        if value.name in shapes:
            del value.type.tensor_type.shape.dim[:]
            for size in shapes[value.name]:
                value.type.tensor_type.shape.dim.add().dim_value = size
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model


def inferred(model):
    """{value: sizes} of what onnx.shape_inference knows whole."""
    model, found = shape_inference.infer_shapes(model, data_prop=True), {}
    for value in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in sizes):
            found[value.name] = [d.dim_value for d in sizes]
    return found


def made(model):
    """{value: sizes} of everything ONNX Runtime computes, from inputs of ones."""
    model, names = onnx.ModelProto.FromString(model.SerializeToString()), []
    initial = {t.name for t in model.graph.initializer}
    feeds = {v.name: np.ones([d.dim_value for d in v.type.tensor_type.shape.dim], np.float32) for v in model.graph.input if v.name not in initial}
    del model.graph.output[:]
    for node in model.graph.node:
        if node.op_type != "Constant":
            names += node.output
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(names, feeds)
    return {**{name: list(value.shape) for name, value in feeds.items()}, **{n: list(v.shape) for n, v in zip(names, outputs, strict=True)}}


def weights_of(model):
    """Shapes of everything that is a constant: initializers, Constant nodes, and what Identity and Transpose make of them."""
    found = {t.name: list(t.dims) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.name == "value":
                    found[node.output[0]] = list(a.t.dims)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
        elif node.op_type == "Transpose" and len(found.get(node.input[0], [])) == 2:
            found[node.output[0]] = found[node.input[0]][::-1]
    return found


def cost_of(node, slot, weight, known):
    """Multiply-adds of a node with a weight of that shape in that place; None for other operators."""
    if node.op_type == "Conv" and slot == 1:
        out = known[node.output[0]]
        return prod(weight) * out[0] * prod(out[2:])
    if node.op_type == "ConvTranspose" and slot == 1:
        data = known[node.input[0]]
        return prod(weight) * data[0] * prod(data[2:])
    if node.op_type == "MatMul" and slot < 2:
        return prod(known[node.output[0]]) * weight[1 if slot == 0 else 0]
    if node.op_type == "Gemm" and slot < 2:
        turned = {a.name: a.i for a in node.attribute}.get("transA" if slot == 0 else "transB", 0)
        return prod(known[node.output[0]]) * weight[(slot == 0) != bool(turned)]
    return None


def macs(model, shapes=None, by=inferred):
    """The multiply-adds of every weight that a product or convolution uses, {name: count}."""
    model = fixed(model, shapes or {})
    known, weights, counted = by(model), weights_of(model), {}
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            if len(weights.get(name, [])) < 2:
                continue
            cost = cost_of(node, slot, weights[name], known)
            if cost is not None:
                counted[name] = counted.get(name, 0) + cost
    return counted
