"""ONNX Runtime runs what we write, and it computes what the original does.

Every weight here has exactly rank R, so that a chain of rank R is the same map and outputs may differ by rounding alone:
1e-5 relative in float32. Sums of n terms in float32 differ by about sqrt(n) u with u = 6e-8, twice for two factors, and
n is a few hundred here: 3e-6.
"""

import json

import numpy as np
import onnx
import pytest
from eckart_command import eckart_command
from graphs import NEWEST, Graph, difference, low_rank, run
from onnx import TensorProto, helper, numpy_helper

R = 5
TOLERANCE = 1e-5


def compress(folder, *more, rank=R):
    eckart_command(folder, "compress", "in.onnx", "-o", "out.onnx", "--rank", rank, "--no-cache", *more)
    return folder / "out.onnx"


def layers(folder, file="in.onnx"):
    return {layer["name"]: layer for layer in json.loads(eckart_command(folder, "inspect", file, "--json"))["layers"]}


def kinds(path):
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def check(folder, graph, *more, factored=1, tolerance=TOLERANCE, run_it=True):
    """The whole path on one graph; returns the output's model."""
    graph.save(folder / "in.onnx")
    out = compress(folder, *more)
    report = json.loads(eckart_command(folder, "verify", "in.onnx", "out.onnx", "--json"))
    assert report["ok"] and len(report["layers"]) == factored
    onnx.checker.check_model(str(out), full_check=graph.ir >= 4)
    eckart_command(folder, "restore", "out.onnx", "-o", "dense.onnx")
    onnx.checker.check_model(str(folder / "dense.onnx"), full_check=graph.ir >= 4)
    same_but_weights(folder / "in.onnx", folder / "dense.onnx")
    if run_it:
        before = run(folder / "in.onnx", graph.feeds)
        for file in ("out.onnx", "dense.onnx"):
            assert difference(before, run(folder / file, graph.feeds)) < tolerance
    return onnx.load(out)


def bare(graph):
    """Nodes, inputs and initializers of a graph without numbers, in any order, graphs in attributes likewise."""
    nodes = []
    for node in graph.node:
        inner = [bare(a.g) for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        for a in node.attribute:
            a.ClearField("g")
            forget(a.t)
        nodes.append((node.SerializeToString(), inner))
    for tensor in graph.initializer:
        forget(tensor)
    return (sorted(nodes), sorted(v.name for v in graph.input), sorted(t.SerializeToString() for t in graph.initializer))


def forget(tensor):
    """Drops numbers, and the name that the tensor of a Constant has for nothing."""
    for field in ("raw_data", "float_data", "int32_data", "double_data", "external_data"):
        tensor.ClearField(field)


def same_but_weights(before, after):
    """A restored model has the nodes, names and shapes of the original."""
    first, other = (onnx.load(path, load_external_data=False).graph for path in (before, after))
    for node in [*first.node, *other.node, *(n for g in (first, other) for m in g.node for a in m.attribute for n in a.g.node)]:
        for a in node.attribute:
            a.t.name = ""
    assert bare(first) == bare(other)


def linear(**options):
    graph = Graph(**options)
    graph.input("x", [3, 7, 96])
    return graph


# ---- products


@pytest.mark.parametrize("opset,ir", [(7, 3), (9, 4), (11, 6), (13, 7), (17, 8), (NEWEST, 10)])
@pytest.mark.parametrize("constant", [False, True])
def test_matmul(tmp_path, opset, ir, constant):
    graph = linear(opset=opset, ir=ir)
    graph.weight("w", low_rank(graph.random, 96, 128, R), constant)
    graph.weight("b", graph.random.standard_normal(128).astype(np.float32))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("Add", ["h", "b"], "y")
    graph.output("y", 3)
    made = check(tmp_path, graph)
    assert [n.op_type for n in made.graph.node if n.op_type != "Constant"] == ["MatMul", "MatMul", "Add"]
    assert "w" not in [t.name for t in made.graph.initializer]
    assert made.graph.node[-1].SerializeToString() == graph.nodes[-1].SerializeToString()


def test_weight_first(tmp_path):
    graph = Graph()
    graph.input("x", [2, 96, 5])
    graph.weight("w", low_rank(graph.random, 128, 96, R))
    graph.node("MatMul", ["w", "x"], "y")
    graph.output("y", 3)
    assert kinds(tmp_path / "out.onnx") == ["MatMul", "MatMul"] if check(tmp_path, graph) else False


@pytest.mark.parametrize("opset", [7, 9, 11, 13, NEWEST])
@pytest.mark.parametrize("attributes", [
    {}, {"transB": 1}, {"transB": 1, "alpha": 0.5, "beta": 2.0}, {"transA": 1, "transB": 1}, {"transA": 1, "alpha": 3.0}])
def test_gemm(tmp_path, opset, attributes):
    graph = Graph(opset=opset, ir=8)
    graph.input("x", [96, 4] if attributes.get("transA") else [4, 96])
    weight = low_rank(graph.random, 128, 96, R)
    graph.weight("w", weight if attributes.get("transB") else weight.T)
    graph.weight("c", graph.random.standard_normal(128).astype(np.float32))
    graph.node("Gemm", ["x", "w", "c"], "y", **attributes)
    graph.output("y")
    if attributes.get("transA") and opset < 11:
        graph.save(tmp_path / "in.onnx")
        assert "below opset 11" in layers(tmp_path)["w"]["skipped"]
        return
    made = check(tmp_path, graph)
    assert [n.op_type for n in made.graph.node] == (["MatMul", "Gemm"] if opset < 11 else ["Gemm", "Gemm"])


@pytest.mark.parametrize("attributes", [{}, {"transA": 1}, {"transB": 1, "alpha": 0.5}, {"transA": 1, "transB": 1}])
def test_gemm_weight_first(tmp_path, attributes):
    graph = Graph()
    graph.input("x", [4, 96] if attributes.get("transB") else [96, 4])
    weight = low_rank(graph.random, 128, 96, R)
    graph.weight("w", weight.T if attributes.get("transA") else weight)
    graph.weight("c", graph.random.standard_normal((128, 1)).astype(np.float32))
    graph.node("Gemm", ["w", "x", "c"], "y", **attributes)
    graph.output("y")
    check(tmp_path, graph)


@pytest.mark.parametrize("constant", [False, True])
def test_transpose_between(tmp_path, constant):
    graph = linear()
    graph.weight("w", low_rank(graph.random, 128, 96, R), constant)
    graph.node("Transpose", ["w"], "t", perm=[1, 0])
    graph.node("MatMul", ["x", "t"], "y")
    graph.output("y", 3)
    made = check(tmp_path, graph)
    assert "Transpose" not in [n.op_type for n in made.graph.node]


def test_transpose_behind_another_layer(tmp_path):
    """Restored, the Transpose stands before every other node, also before one that is restored itself."""
    graph = linear()
    graph.weight("w", low_rank(graph.random, 96, 128, R))
    graph.weight("t", low_rank(graph.random, 96, 128, R))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("Transpose", ["t"], "u", perm=[1, 0])
    graph.node("MatMul", ["h", "u"], "y")
    graph.output("y", 3)
    check(tmp_path, graph, factored=2)


def test_shared_by_identity_and_uses(tmp_path):
    """One weight, three uses of one kind: one pair of factors, used three times."""
    graph = Graph()
    graph.input("x", [4, 96])
    graph.weight("w", low_rank(graph.random, 96, 96, R))
    graph.node("Identity", ["w"], "v")
    graph.node("MatMul", ["x", "w"], "a")
    graph.node("MatMul", ["a", "v"], "b")
    graph.node("Gemm", ["b", "w"], "y")
    graph.output("y")
    made = check(tmp_path, graph)
    assert len(made.graph.initializer) == 2
    assert [n.op_type for n in made.graph.node] == ["MatMul"] * 4 + ["Gemm"] * 2


def test_used_in_two_ways_is_left_alone(tmp_path):
    graph = Graph()
    graph.input("x", [4, 96])
    graph.ids("ids", 4, 128)
    graph.weight("table", low_rank(graph.random, 128, 96, R))
    graph.node("Gather", ["table", "ids"], "h")
    graph.node("Gemm", ["h", "table"], "y", transB=1)
    graph.output("y")
    graph.save(tmp_path / "in.onnx")
    assert layers(tmp_path)["table"]["skipped"].startswith("tied")


def test_gather(tmp_path):
    graph = Graph()
    graph.ids("ids", 9, 400)
    graph.weight("table", low_rank(graph.random, 400, 96, R))
    graph.node("Gather", ["table", "ids"], "y")
    graph.output("y")
    made = check(tmp_path, graph, "--include", "table")
    assert [n.op_type for n in made.graph.node] == ["Gather", "MatMul"]


# ---- convolutions

CONVOLUTIONS = {
    "plain": ([3, 3], {}),
    "pointwise-stride": ([1, 1], {"strides": [2, 2]}),
    "asymmetric": ([3, 5], {"pads": [1, 0, 2, 3], "strides": [2, 1], "dilations": [2, 3]}),
    "same-upper": ([3, 4], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same-lower": ([4, 3], {"auto_pad": "SAME_LOWER", "strides": [1, 2]}),
    "valid": ([3, 3], {"auto_pad": "VALID", "strides": [2, 2]}),
    "one-dimension": ([7], {"pads": [2, 4], "strides": [3], "dilations": [2]}),
    "three-dimensions": ([3, 2, 3], {"pads": [1, 0, 1, 0, 1, 1], "strides": [1, 2, 1]}),
    "kernel-shape": ([3, 3], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(tmp_path, name, bias):
    kernel, attributes = CONVOLUTIONS[name]
    graph = Graph(opset=11, ir=6)
    graph.input("x", [2, 24] + [17] * len(kernel))
    weight = low_rank(graph.random, 96, 24 * int(np.prod(kernel)), R).reshape(96, 24, *kernel)
    inputs = ["x", graph.weight("conv.weight", weight)]
    if bias:
        inputs.append(graph.weight("conv.bias", graph.random.standard_normal(96).astype(np.float32)))
    graph.node("Conv", inputs, "y", **attributes)
    graph.output("y", 2 + len(kernel))
    check(tmp_path, graph, "--min-size", 1)
    assert kinds(tmp_path / "out.onnx") == ["Conv", "Conv"]


def test_one_kernel_with_two_strides(tmp_path):
    graph = Graph()
    graph.input("x", [1, 24, 17, 17])
    weight = low_rank(graph.random, 24, 24 * 9, R).reshape(24, 24, 3, 3)
    graph.weight("w", weight)
    graph.node("Conv", ["x", "w"], "h", strides=[2, 1], pads=[1, 1, 1, 1])
    graph.node("Conv", ["h", "w"], "y", dilations=[1, 2])
    graph.output("y", 4)
    check(tmp_path, graph)


# ---- types


@pytest.mark.parametrize("kind,tolerance", [(np.float64, 1e-13), (np.float16, 0.02)])
def test_types(tmp_path, kind, tolerance):
    """float16 holds 11 bits: two factors of 5 terms each are off by some units of 2^-11, and so is the weight itself."""
    graph = Graph()
    graph.input("x", [4, 96], kind)
    graph.weight("w", low_rank(graph.random, 96, 128, R, kind))
    graph.node("MatMul", ["x", "w"], "y")
    graph.output("y", kind=kind)
    made = check(tmp_path, graph, tolerance=tolerance)
    assert {t.data_type for t in made.graph.initializer} == {graph.initializers[0].data_type}


@pytest.mark.parametrize("form", ["raw", "bits"])
def test_bfloat16(tmp_path, form):
    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [4, 96]))
    weight = low_rank(graph.random, 96, 128, R)
    bits = weight.view(np.uint32) >> 16
    content = bits.astype("<u2").tobytes() if form == "raw" else bits.flatten().astype(int)
    if form == "raw":
        tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [96, 128], content, raw=True)
    else:
        tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[96, 128], int32_data=content)
    graph.initializers.append(tensor)
    graph.node("MatMul", ["x", "w"], "y")
    graph.outputs.append(helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [4, 128]))
    made = check(tmp_path, graph, run_it=False)
    assert [t.data_type for t in made.graph.initializer] == [TensorProto.BFLOAT16] * 2


def test_floats_in_a_list(tmp_path):
    graph = Graph()
    graph.input("x", [4, 96])
    weight = low_rank(graph.random, 96, 128, R)
    graph.initializers.append(helper.make_tensor("w", TensorProto.FLOAT, [96, 128], weight.flatten()))
    graph.node("MatMul", ["x", "w"], "y")
    graph.output("y")
    check(tmp_path, graph)


# ---- inner graphs


def branch(graph, name, inputs, kind="MatMul", nodes=(), initializers=()):
    """A branch that multiplies an outer value with a weight of its own or from outside."""
    output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [4, 96])
    node = helper.make_node(kind, inputs, [f"{name}_y"], name=f"{name}_node")
    return helper.make_graph([*nodes, node], name, [], [output], list(initializers))


@pytest.mark.parametrize("answer", [False, True])
def test_branches(tmp_path, answer):
    """One weight used outside and in both branches, one that lies in a branch."""
    graph = Graph()
    graph.input("x", [4, 96])
    graph.feeds["c"] = np.array(answer)
    graph.inputs.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    graph.weight("w", low_rank(graph.random, 96, 96, R))
    own = numpy_helper.from_array(low_rank(graph.random, 96, 96, R), "own")
    constant = helper.make_node("Constant", [], ["made"],
                                value=numpy_helper.from_array(low_rank(graph.random, 96, 96, R), ""))
    first = branch(graph, "first", ["h", "w"], nodes=[helper.make_node("MatMul", ["x", "own"], ["h"])], initializers=[own])
    other = branch(graph, "other", ["k", "made"], nodes=[constant, helper.make_node("MatMul", ["g", "w"], ["k"])])
    graph.node("MatMul", ["x", "w"], "g")
    graph.node("If", ["c"], "y", then_branch=first, else_branch=other)
    graph.output("y")
    check(tmp_path, graph, factored=3)


def test_loop(tmp_path):
    graph = Graph()
    graph.input("x", [4, 96])
    graph.weight("w", low_rank(graph.random, 96, 96, R))
    graph.weight("count", np.array(3))
    graph.weight("go", np.array(True))
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "w"], ["next"], name="step"), helper.make_node("Identity", ["more"], ["again"])],
        "body",
        [value("i", TensorProto.INT64, []), value("more", TensorProto.BOOL, []), value("state", TensorProto.FLOAT, [4, 96])],
        [value("again", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [4, 96])])
    graph.node("Loop", ["count", "go", "x"], "y", body=body)
    graph.output("y")
    made = check(tmp_path, graph)
    assert [n.op_type for n in made.graph.node[0].attribute[0].g.node] == ["MatMul", "MatMul", "Identity"]


# ---- files


def external_graph(folder):
    graph = Graph()
    graph.input("x", [4, 96])
    graph.weight("w", low_rank(graph.random, 96, 128, R))
    graph.weight("v", graph.random.standard_normal((128, 40)).astype(np.float32))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("MatMul", ["h", "v"], "y")
    graph.output("y")
    onnx.save(graph.model(), folder / "in.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return graph


def test_external_data(tmp_path):
    graph = external_graph(tmp_path)
    out = compress(tmp_path, "--exclude", "v")
    before = run(tmp_path / "in.onnx", graph.feeds)
    assert difference(before, run(out, graph.feeds)) < TOLERANCE
    (tmp_path / "weights.bin").rename(tmp_path / "gone")
    assert difference(before, run(out, graph.feeds)) < TOLERANCE
    model = onnx.load(out, load_external_data=False)
    for tensor in model.graph.initializer:
        entries = {e.key: e.value for e in tensor.external_data}
        assert entries["location"] == "out.onnx.data" and int(entries["offset"]) % 4096 == 0
        assert int(entries["length"]) > 0
    (tmp_path / "gone").rename(tmp_path / "weights.bin")
    eckart_command(tmp_path, "verify", "in.onnx", "out.onnx")
    eckart_command(tmp_path, "restore", "out.onnx", "-o", "dense.onnx")
    assert difference(before, run(tmp_path / "dense.onnx", graph.feeds)) < TOLERANCE
    assert (tmp_path / "out.onnx.data").stat().st_nlink == 1


def test_a_changed_byte_is_found(tmp_path):
    """Whatever byte of an output is changed, reading refuses it or verify says so: tensors, nodes, lengths, manifest."""
    graph = Graph()
    graph.input("x", [4, 96])
    graph.weight("w", low_rank(graph.random, 96, 128, R))
    graph.weight("b", graph.random.standard_normal(128).astype(np.float32))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("Add", ["h", "b"], "y")
    graph.output("y")
    graph.save(tmp_path / "in.onnx")
    content = bytearray(compress(tmp_path).read_bytes())
    manifest = content.index(b"eckart-factored")
    factors = [content.index(numpy_helper.to_array(t).tobytes()) for t in onnx.load(tmp_path / "out.onnx").graph.initializer[:2]]
    places = [i for i in range(0, manifest, 41) if not any(f <= i < f + 128 * R * 4 for f in factors)]
    places += [manifest, manifest + 40]
    import os
    import subprocess

    for place in places:
        changed = content.copy()
        changed[place] ^= 4
        (tmp_path / "changed.onnx").write_bytes(changed)
        command = [os.environ["ECKART_COMMAND"], "verify", "in.onnx", "changed.onnx"]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode in (1, 3), place


def test_same_bytes_every_time(tmp_path):
    external_graph(tmp_path)
    first = compress(tmp_path).read_bytes()
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "again.onnx", "--rank", R, "--no-cache", "--threads", 1)
    assert first.replace(b"out.onnx.data", b"?") == (tmp_path / "again.onnx").read_bytes().replace(b"again.onnx.data", b"?") or \
        len(first) != (tmp_path / "again.onnx").stat().st_size
    assert (tmp_path / "out.onnx.data").read_bytes() == (tmp_path / "again.onnx.data").read_bytes()


def test_what_is_not_known_is_kept(tmp_path):
    """Documentation, metadata, functions, other domains, fields of the future."""
    graph = Graph()
    graph.input("x", [4, 96])
    graph.weight("w", low_rank(graph.random, 96, 128, R))
    graph.node("MatMul", ["x", "w"], "h")
    graph.node("Relu", ["h"], "y", doc_string="kept")
    graph.output("y")
    model = graph.model()
    model.doc_string = "about"
    helper.set_model_props(model, {"key": "value"})
    model.graph.node[0].doc_string = "of the product"
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString() + b"\xc2\x3e\x03new")
    out = compress(tmp_path)
    made = onnx.load(out)
    assert made.doc_string == "about" and made.graph.node[-1].doc_string == "kept"
    assert made.graph.node[1].doc_string == "of the product"
    assert {p.key for p in made.metadata_props} == {"key", "eckart"}
    assert b"\xc2\x3e\x03new" in out.read_bytes()
    assert difference(run(tmp_path / "in.onnx", graph.feeds), run(out, graph.feeds)) < TOLERANCE


def test_one_type(tmp_path):
    """A product has one type: factors of another are refused, and so is another kind of file."""
    graph = linear()
    graph.weight("w", low_rank(graph.random, 96, 128, R))
    graph.node("MatMul", ["x", "w"], "y")
    graph.output("y", 3)
    graph.save(tmp_path / "in.onnx")
    for more in (["-o", "out.onnx", "--dtype", "bf16"], ["-o", "out.safetensors"]):
        eckart_command(tmp_path, "compress", "in.onnx", "--rank", R, "--no-cache", *more, exit_code=1)
    assert [p.name for p in tmp_path.iterdir()] == ["in.onnx"]


# ---- every method, every chain

METHODS = ["svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise"]
KERNELS = {
    "plain": ([3, 3], {"pads": [1, 1, 1, 1]}, 1),
    "asymmetric": ([3, 5], {"pads": [1, 0, 2, 3], "strides": [2, 1], "dilations": [2, 3]}, 1),
    "same": ([3, 4], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, 1),
    "grouped": ([3, 3], {"group": 4, "pads": [1, 1, 1, 1], "strides": [1, 2]}, 4),
    "one-dimension": ([7], {"pads": [2, 4], "strides": [3], "dilations": [2]}, 1),
    "three-dimensions": ([3, 2, 3], {"pads": [1, 0, 1, 0, 1, 1], "strides": [1, 2, 1]}, 1),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("method", METHODS)
def test_chain_computes_what_its_product_does(tmp_path, method, name):
    """A kernel of no low rank: the graph with the chain and the graph with the chain multiplied out differ by rounding."""
    kernel, attributes, groups = KERNELS[name]
    graph = Graph()
    graph.input("x", [2, 32] + [17] * len(kernel))
    weight = graph.random.standard_normal((64, 32 // groups, *kernel)).astype(np.float32)
    graph.weight("conv.weight", weight)
    graph.weight("conv.bias", graph.random.standard_normal(64).astype(np.float32))
    graph.node("Conv", ["x", "conv.weight", "conv.bias"], "y", **attributes)
    graph.output("y", 2 + len(kernel))
    graph.save(tmp_path / "in.onnx")
    options = ["--method", method, "--keep", 0.7, "--min-size", 1, "--no-cache", "--allow-dense", "-q"]
    eckart_command(tmp_path, "compress", "in.onnx", "-o", "out.onnx", *options)
    report = json.loads(eckart_command(tmp_path, "verify", "in.onnx", "out.onnx", "--json"))
    assert report["ok"] and len(report["layers"]) == 1
    onnx.checker.check_model(str(tmp_path / "out.onnx"), full_check=True)
    eckart_command(tmp_path, "restore", "out.onnx", "-o", "dense.onnx")
    out, dense = run(tmp_path / "out.onnx", graph.feeds), run(tmp_path / "dense.onnx", graph.feeds)
    assert difference(dense, out) < TOLERANCE
