"""Small ONNX models with weights of exactly known rank, and running them."""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Any opset from 7 on is for us; the newest that the runtime has is tested too.
NEWEST = min(onnx.defs.onnx_opset_version(), 23)


def low_rank(random, out, into, rank, kind=np.float32):
    """[out,into] of exactly that rank, of entries near one in size."""
    left, right = random.standard_normal((out, rank)), random.standard_normal((rank, into))
    return (left @ right / np.sqrt(rank * into)).astype(kind)


class Graph:
    """A graph in the making."""

    def __init__(self, opset=17, ir=8, seed=7):
        self.random = np.random.default_rng(seed)
        self.opset, self.ir = opset, ir
        self.nodes, self.initializers, self.inputs, self.outputs, self.feeds = [], [], [], [], {}

    def input(self, name, shape, kind=np.float32):
        value = self.random.standard_normal(shape).astype(kind)
        self.feeds[name] = value
        self.inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape))
        return name

    def ids(self, name, count, limit):
        self.feeds[name] = self.random.integers(0, limit, count)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, [count]))
        return name

    def weight(self, name, value, constant=False):
        tensor = numpy_helper.from_array(np.array(value, order="C"), name)
        if constant:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
            return name
        self.initializers.append(tensor)
        if self.ir < 4:
            self.inputs.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        return name

    def node(self, kind, inputs, output, **attributes):
        name = attributes.pop("name", f"{kind}_{output}")
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def output(self, name, ndim=2, kind=np.float32):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self.outputs.append(helper.make_tensor_value_info(name, kind, [None] * ndim))

    def model(self):
        graph = helper.make_graph(self.nodes, "made", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir, producer_name="tests")

    def save(self, path):
        onnx.save(self.model(), path)
        return path


def run(path, feeds):
    """Outputs on the processor, with one thread and without the optimiser, so that only the graph decides."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def difference(first, second):
    """Largest difference of two lists of outputs, relative to the largest number of the output it is in."""
    worst = 0.0
    assert len(first) == len(second)
    for one, other in zip(first, second):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert one.shape == other.shape
        worst = max(worst, np.abs(one - other).max() / max(np.abs(one).max(), 1e-30))
    return worst
