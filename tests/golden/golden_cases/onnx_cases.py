"""onnx: graphs in every form that is read, and messages that are broken in every way that is refused."""

import struct

from .case import Case, entry

F4 = struct.pack("<6f", 1.5, -2.385, 3.25, 4.125, 5.0625, 6.7)


# ---- protobuf, as far as ONNX needs it


def varint(value):
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor(name="w", dims=(2, 3), dtype=1, raw=F4, extra=b""):
    head = b"".join(number(1, d) for d in dims) + number(2, dtype) + (block(8, name) if name else b"")
    return head + (block(9, raw) if raw is not None else b"") + extra


def attribute(name, content, kind):
    return block(5, block(1, name) + content + number(20, kind))


def node(op, inputs=(), outputs=(), name="", attributes=b"", domain=""):
    content = b"".join(block(1, i) for i in inputs) + b"".join(block(2, o) for o in outputs)
    content += (block(3, name) if name else b"") + block(4, op) + attributes
    return block(1, content + (block(7, domain) if domain else b""))


def value(field, name, shape=None):
    dims = b"" if shape is None else block(2, b"".join(block(1, number(1, d)) for d in shape))
    return block(field, block(1, name) + block(2, block(1, number(1, 1) + dims)))


X, Y = value(11, "x", (4, 2)), value(12, "y")
MATMUL = node("MatMul", ["x", "w"], ["y"], "product")


def model(graph, ir=8, opset=17, tail=b""):
    return number(1, ir) + block(7, graph) + block(8, block(1, "") + number(2, opset)) + tail


def simple(content):
    return model(block(5, content) + X + Y + MATMUL)


def packed(values, form):
    return struct.pack(f"<{len(values)}{form}", *values)


# ---- good


def good(name, content, text, warning="", more=None):
    path = f"onnx/{name}.onnx"
    return Case(path, {path: content, **(more or {})}, text=text, warning=warning)


def external(location, *pairs):
    pairs = (("location", location), *pairs)
    return tensor(raw=None, extra=b"".join(block(13, block(1, k) + block(2, v)) for k, v in pairs) + number(14, 1))


def inner(content, op="If"):
    return attribute("then_branch", block(6, content), 5)


def good_cases():
    whole = entry("w", "F32", [2, 3], F4)
    yield good("one", simple(tensor()), whole)
    yield good("packed-dimensions", simple(block(1, b"\2\3") + number(2, 1) + block(8, "w") + block(9, F4)), whole)
    yield good("packed-floats", simple(tensor(raw=None, extra=block(4, F4))), whole)
    one_by_one = b"".join(varint(4 << 3 | 5) + F4[i : i + 4] for i in range(0, 24, 4))
    yield good("floats-one-by-one", simple(tensor(raw=None, extra=one_by_one)), whole)
    yield good("floats-in-two-packs", simple(tensor(raw=None, extra=block(4, F4[:8]) + block(4, F4[8:]))), whole)
    f8 = packed([1.5, -2.385, 3.25, 4.0, 5.0, 6.0], "d")
    yield good("doubles", simple(tensor(dtype=11, raw=None, extra=block(10, f8))), entry("w", "F64", [2, 3], f8))
    halves = packed([15360, 1, 2, 3, 4, 65535], "H")
    bits = b"".join(varint(v) for v in struct.unpack("<6H", halves))
    yield good("halves-as-integers", simple(tensor(dtype=10, raw=None, extra=block(5, bits))), entry("w", "F16", [2, 3], halves))
    yield good("bfloats-as-integers", simple(tensor(dtype=16, raw=None, extra=block(5, bits))), entry("w", "BF16", [2, 3], halves))
    integers = [1, -1, 2**40, 0, 7, -(2**63)]
    lists = b"".join(varint(v) for v in integers)
    yield good("integers", simple(tensor(dtype=7, raw=None, extra=block(7, lists))),
               entry("w", "I64", [2, 3], packed(integers, "q")))
    yield good("scalar", simple(tensor(dims=(), raw=F4[:4])), entry("w", "F32", [], F4[:4]))
    yield good("empty", simple(tensor(dims=(0, 3), raw=None)), entry("w", "F32", [0, 3], b""))
    constant = node("Constant", [], ["w"], attributes=attribute("value", block(5, tensor(name="")), 4))
    yield good("constant", model(constant + X + Y + MATMUL), whole)
    yield good("default-of-an-input", model(block(5, tensor()) + X + value(11, "w", (2, 3)) + Y + MATMUL, ir=3), whole)
    yield good("unknown-fields", model(block(5, tensor(extra=block(99, "?"))) + X + Y + MATMUL + number(77, 3),
                                       tail=block(1000, "??") + varint(1001 << 3 | 5) + b"abcd"), whole)
    strings = block(5, number(1, 1) + number(2, 8) + block(8, "s") + block(6, "text"))
    yield good("strings", model(block(5, tensor()) + strings + X + Y + MATMUL), whole, "1 tensors of")
    path = "onnx/named-otherwise.weights"
    yield Case(path, {path: simple(tensor())}, text=whole)
    body = block(5, tensor()) + node("MatMul", ["x", "w"], ["z"]) + value(12, "z")
    other = block(5, tensor(raw=F4[::-1])) + node("MatMul", ["x", "w"], ["z"]) + value(12, "z")
    cond = value(11, "c", ())
    both = attribute("then_branch", block(6, body), 5) + attribute("else_branch", block(6, other), 5)
    yield good("graphs-with-one-name", model(X + cond + Y + node("If", ["c"], ["y"], attributes=both)),
               entry("w#1", "F32", [2, 3], F4) + "; " + entry("w#2", "F32", [2, 3], F4[::-1]))
    seen = node("MatMul", ["x", "w"], ["z"]) + value(12, "z")
    yield good("seen-from-within", model(block(5, tensor()) + X + cond + Y + node("If", ["c"], ["y"], attributes=inner(seen))), whole)
    second = node("Relu", ["h"], ["y"]) + node("MatMul", ["x", "w"], ["h"])
    yield good("not-in-order", model(block(5, tensor()) + X + Y + second), whole)
    yield good("external", simple(external("external.bin", ("offset", "8"), ("length", "24"))), whole,
               more={"onnx/external.bin": b"12345678" + F4})
    yield good("external-below", simple(external("below/external.bin")), whole, more={"onnx/below/external.bin": F4})


# ---- bad


def bad(name, content, offset, text, status="format", more=None):
    path = f"onnx/{name}.onnx"
    return Case(path, {path: content, **(more or {})}, status, offset, text)


def bad_tensor(name, content, text, status="format", more=None):
    whole = simple(content)
    return bad(name, whole, whole.index(block(5, content)), text, status, more)


def bad_messages():
    head = number(1, 8)
    yield bad("no-graph", head + block(2, "made") + block(8, number(2, 17)), 12, "a model without a graph")
    yield bad("two-graphs", head + block(7, X) * 2, 2 + len(block(7, X)), "a second graph")
    yield bad("group", head + block(2, "") + bytes([3 << 3 | 3]), 4, "field 3 of type 3")
    yield bad("field-zero", head + block(2, "") + b"\0\0", 4, "field 0")
    yield bad("field-too-high", head + block(2, "") + varint(2**29 << 3) + b"\0", 4, "field 536870912")
    yield bad("longer-than-the-file", head + block(2, "") + b"\x3a\x05abcd", 4, "field 7 of 5 bytes in a message with 4 left")
    yield bad("length-2-63", head + block(2, "") + b"\x3a" + varint(2**63), 4, "field 7 of 9223372036854775808 bytes")
    yield bad("number-of-70-bits", head + block(2, "") + b"\x28" + b"\xff" * 10 + b"\1", 5, "a number of more than 64 bits")
    yield bad("number-cut", head + block(2, "") + b"\x28\xff", 6, "the message ends within a number")
    inner_bad = head + block(7, b"\x0a\x7f")
    yield bad("longer-than-its-message", inner_bad, 4, "field 1 of 127 bytes in a message with 0 left")
    yield bad("graph-is-a-number", head + block(2, "") + number(7, 3), 4, "the graph is a field of type 0, expected 2")
    graphs = [X]  # each within the next; the model's own is the first of 32
    for _ in range(40):
        graphs.append(node("If", ["x"], ["y"], attributes=inner(graphs[-1])))
    path, nested = "onnx/too-deep.onnx", model(graphs[-1])
    yield Case(path, {path: nested}, "unsupported", nested.index(block(6, graphs[-33])), "graphs nested more than 32 deep")
    name = "n" * 1025
    whole = model(block(5, tensor(name)) + X)
    yield bad("name-too-long", whole, whole.index(block(8, name)), "a tensor's name of 1025 bytes, at most 1024")
    whole = model(block(5, tensor("a\nb")) + X)
    yield bad("name-control", whole, whole.index(block(8, "a\nb")), "not UTF-8 or has control characters")
    whole = model(X + node("MatMul", [b"\xff"], ["y"]))
    yield bad("name-not-utf8", whole, whole.index(block(1, b"\xff")), "the name of an input that is not UTF-8")
    twice = block(14, block(1, "eckart") + block(2, "{}"))
    whole = model(X, tail=twice + twice)
    yield bad("manifest-twice", whole, len(whole) - len(twice), "metadata key 'eckart' comes twice")


def bad_tensors():
    yield bad_tensor("no-type", block(8, "w") + block(9, F4), "it has no type")
    yield bad_tensor("no-name", tensor(name=""), "an initializer without a name")
    yield bad_tensor("raw-short", tensor(raw=F4[:20]), "raw_data of 20, its shape needs 24")
    yield bad_tensor("raw-long", tensor(raw=F4 + b"4444"), "raw_data of 28, its shape needs 24")
    yield bad_tensor("no-numbers", tensor(raw=None), "it has no numbers")
    yield bad_tensor("raw-and-list", tensor(extra=block(4, F4)), "stand in raw_data and in a list too")
    yield bad_tensor("two-lists", tensor(raw=None, extra=block(4, F4) + block(5, b"\1")), "stand in two fields")
    yield bad_tensor("raw-twice", tensor(extra=block(9, F4)), "there twice")
    yield bad_tensor("list-of-another-type", tensor(raw=None, extra=block(5, b"\1" * 6)), "in a field of another type")
    yield bad_tensor("list-short", tensor(raw=None, extra=block(4, F4[:20])), "bytes of 20, its shape needs 24")
    yield bad_tensor("integers-short", tensor(dtype=7, raw=None, extra=block(7, b"\1" * 5)), "a list of 5, its shape needs 6")
    yield bad_tensor("integers-long", tensor(dtype=7, raw=None, extra=block(7, b"\1" * 7)), "more numbers than its shape has")
    yield bad_tensor("many-from-few", tensor(dims=(2**40,), dtype=7, raw=None, extra=block(7, b"\1")), "fewer numbers than its shape needs")
    yield bad_tensor("dimension-negative", tensor(dims=(-2, 3)), "a dimension that is negative or above 2^48")
    yield bad_tensor("dimension-over-2-48", tensor(dims=(2**48 + 1,)), "a dimension that is negative or above 2^48")
    yield bad_tensor("product-wraps", tensor(dims=(2**32, 2**32)), "its shape has too many numbers")
    yield bad_tensor("product-wraps-behind-zero", tensor(dims=(0, 2**48, 2**48)), "its shape has too many numbers")
    yield bad_tensor("nine-dimensions", tensor(dims=(1,) * 9, raw=F4[:4]), "more than 8 dimensions", "unsupported")
    yield bad_tensor("segment", tensor(extra=block(3, number(1, 0))), "one segment of a tensor", "unsupported")
    yield bad_tensor("unknown-location", tensor(extra=number(14, 2)), "an unknown data_location")


def bad_external():
    outside = "which is no file below the model's directory"
    for name, location in [("up", "../external.bin"), ("up-inside", "below/../external.bin"), ("absolute", "/etc/passwd"),
                           ("drive", "C:external.bin"), ("empty-part", "below//external.bin"), ("backslash", "below\\external.bin"),
                           ("memory", "*/_ORT_MEM_ADDR_/*"), ("hidden", ".external.bin")]:
        case = bad_tensor(f"external-{name}", external(location), outside)
        yield Case(case.path, case.files, case.status, -1, case.text)
    files = {"onnx/short.bin": F4}
    path = "onnx/external-short.onnx"
    yield Case(path, {path: simple(external("short.bin", ("offset", "1"))), **files}, "format", 1,
               "24 bytes from 1 on, the file has 24")
    path = "onnx/external-far.onnx"
    yield Case(path, {path: simple(external("short.bin", ("offset", str(2**63 - 1)))), **files}, "format", 2**63 - 1,
               "24 bytes from 9223372036854775807 on")
    yield bad_tensor("external-length", external("short.bin", ("length", "23")), "a length of 23, its shape needs 24")
    yield bad_tensor("external-offset-negative", external("short.bin", ("offset", "-1")), "offset or length is no number")
    yield bad_tensor("external-offset-2-64", external("short.bin", ("offset", str(2**64))), "offset or length is no number")
    yield bad_tensor("external-without-location", external(""), "external data without a location")
    yield bad_tensor("external-denied", tensor(extra=block(13, block(1, "location") + block(2, "short.bin"))),
                     "a data_location that denies it")
    yield bad_tensor("external-and-raw", external("short.bin") + block(9, F4), "in the file and in an external one too")
    path = "onnx/external-missing.onnx"
    yield Case(path, {path: simple(external("none.bin"))}, "io", -1, "No such file")
    path = "onnx/external-link.onnx"
    yield Case(path, {path: simple(external("leads-out.bin")), "onnx/leads-out.bin": "../npy/version-1.npy"}, "io", -1,
               "a symbolic link that leaves its directory")
    path = "onnx/external-folder-link.onnx"
    yield Case(path, {path: simple(external("out/version-1.npy")), "onnx/out": "../npy"}, "io", -1,
               "a symbolic link that leaves its directory")


def bad_graphs():
    def graph(name, content, mark, text):
        whole = model(content)
        return bad(name, whole, whole.index(mark) if mark else -1, text)

    lost = node("Relu", ["lost"], ["y"], "relu")
    yield graph("dangling", X + Y + lost, lost, "name 'lost' of node 'relu' comes from nowhere")
    yield graph("dangling-output", X + Y, b"", "name 'y' comes from nowhere")
    then = node("Relu", ["x"], ["inside"]) + value(12, "inside")
    outer = node("Relu", ["inside"], ["y"], "outer")
    branch = node("If", ["x"], ["z"], attributes=inner(then))
    yield graph("seen-from-outside", X + Y + branch + outer, outer, "name 'inside' of node 'outer' comes from nowhere")
    again = node("Relu", ["x"], ["y"], "again")
    yield graph("made-twice", block(5, tensor()) + X + Y + MATMUL + again, again, "name 'y' of node 'again' is defined twice")
    yield graph("initializer-twice", block(5, tensor()) * 2 + X + Y + MATMUL, b"", "name 'w' is defined twice")
    made = node("Relu", ["x"], ["w"], "over")
    yield graph("initializer-made", block(5, tensor()) + X + Y + MATMUL + made, made, "name 'w' of node 'over' is defined twice")
    itself = node("Add", ["x", "y"], ["y"], "itself")
    yield graph("circle-of-one", X + Y + itself, itself, "name 'y' of node 'itself' goes in a circle")
    ring = node("Relu", ["y"], ["z"], "first") + node("Relu", ["z"], ["y"], "second")
    yield graph("circle-of-two", X + Y + ring, node("Relu", ["y"], ["z"], "first"), "the graph goes in a circle")
    within = node("Relu", ["y"], ["v"]) + value(12, "v")
    snake = node("If", ["x"], ["y"], "snake", attributes=inner(within))
    inside = node("Relu", ["y"], ["v"])
    yield graph("circle-from-within", X + Y + snake, inside, "goes in a circle")


def cases():
    yield from good_cases()
    yield from bad_messages()
    yield from bad_tensors()
    yield from bad_external()
    yield from bad_graphs()
