"""npy: heads as NumPy and others write them, and heads that nobody should."""

import struct

from .case import Case, entry

F4 = struct.pack("<6f", 1.5, -2.385, 3.25, 4.125, 5.0625, 6.7)


def head(text, version=1, multiple=64):
    text = text if isinstance(text, bytes) else text.encode("utf8" if version == 3 else "latin1")
    prefix = 10 if version == 1 else 12
    text += b" " * (-(prefix + len(text) + 1) % multiple) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def fields(descr="'<f4'", order="False", shape="(2, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def good(name, content, text, warning=""):
    return Case(f"npy/{name}.npy", {f"npy/{name}.npy": content}, text=text, warning=warning)


def bad(name, content, offset, text, status="format"):
    return Case(f"npy/{name}.npy", {f"npy/{name}.npy": content}, status, offset, text)


def bad_text(name, text, mark, message, status="format", nth=0):
    at = -1
    for _ in range(nth + 1):
        at = text.index(mark, at + 1)
    return bad(name, head(text) + F4, 10 + at, message, status)


def good_cases():
    whole = entry("", "F32", [2, 3], F4)
    for version in (1, 2, 3):
        yield good(f"version-{version}", head(fields(), version) + F4, whole)
    yield good("header-of-16", head(fields(), multiple=16) + F4, whole)
    yield good("fortran", head(fields(order="True")) + F4, entry("", "F32", [2, 3], F4, " F"))
    yield good("big-endian", head(fields("'>f4'")) + F4, entry("", "F32", [2, 3], F4, " S"))
    yield good("big-endian-bytes", head(fields("'>u1'", shape="(24,)")) + F4, entry("", "U8", [24], F4))
    yield good("native-order", head(fields("'=f4'")) + F4, whole)
    yield good("no-dimension", head(fields("'<f8'", shape="()")) + F4[:8], entry("", "F64", [], F4[:8]))
    yield good("one-dimension", head(fields(shape="(6,)")) + F4, entry("", "F32", [6], F4))
    yield good("empty", head(fields(shape="(0, 3)")), entry("", "F32", [0, 3], b""))
    yield good("python-2", head(fields(shape="(2L, 3L)")) + F4, whole)
    yield good("other-order-and-quotes",
               head('{"shape":(2,3),\n\t"fortran_order" : False , "descr":"<f4"}') + F4, whole)
    yield good("trailing", head(fields()) + F4 + b"tail", whole, "4 bytes follow the array of")
    path = "npy/named-otherwise.safetensors"
    yield Case(path, {path: head(fields()) + F4}, text=whole)
    for name, dtype, width in [("f8", "F64", 8), ("f2", "F16", 2), ("i1", "I8", 1), ("u1", "U8", 1), ("i2", "I16", 2),
                               ("u2", "U16", 2), ("i4", "I32", 4), ("u4", "U32", 4), ("i8", "I64", 8), ("u8", "U64", 8),
                               ("b1", "BOOL", 1)]:
        order = "|" if width == 1 else "<"
        yield good(f"type-{name}", head(fields(f"'{order}{name}'", shape=f"({24 // width},)")) + F4,
                   entry("", dtype, [24 // width], F4))


def prefix_cases():
    whole = head(fields()) + F4
    yield bad("no-bytes", b"", 0, "the file is empty")
    yield bad("magic", b"\x93NUMPZ" + whole[6:], 0, "it does not begin as a .npy array does")
    yield bad("only-magic", whole[:9], 0, "it does not begin as a .npy array does")
    for name, version in [("0-0", (0, 0)), ("4-0", (4, 0)), ("1-1", (1, 1))]:
        yield bad(f"version-{name}", whole[:6] + bytes(version) + whole[8:], 0, "of the .npy format, 1.0 to 3.0",
                  "unsupported")
    yield bad("version-2-cut", head(fields(), 2)[:11], 0, "its header is cut off")
    yield bad("header-10001", whole[:8] + struct.pack("<H", 10001) + whole[10:], 0, "a header of 10001 bytes, at most")
    two = head(fields(), 2)
    yield bad("header-2-32-1", two[:8] + b"\xff" * 4 + two[12:], 0, "a header of 4294967295 bytes, at most 10000")
    yield bad("header-cut", whole[:100], 0, "a header of 118 bytes, 90 are there")
    yield bad("truncated", whole[:-1], len(whole) - 1, "1 bytes missing of 24")
    yield bad("no-numbers", whole[:-24], len(whole) - 24, "24 bytes missing of 24")


def text_cases():
    yield bad_text("no-brace", fields()[1:], "'descr'", "'{' is missing")
    yield bad("not-closed", head(fields()[:-1]) + F4, 128, "a string is missing")
    yield bad_text("list", "[" + fields() + "]", "[", "'{' is missing")
    yield bad_text("more-text", fields() + " + {}", "+", "more text")
    yield bad_text("key-unknown", fields()[:-1] + "'x': 1}", "'x'", "an unknown key")
    yield bad_text("key-empty", "{'': 1}", "''", "an unknown key")
    yield bad_text("key-number", "{1: 2}", "1", "a string is missing")
    for key, value in [("descr", "'<f4'"), ("fortran_order", "False"), ("shape", "(2, 3)")]:
        yield bad_text(f"two-{key}", fields()[:-1] + f"'{key}': {value}}}", f"'{key}'", "a key that comes twice", nth=1)
    lacking = {"descr": "'fortran_order': False, 'shape': (2, 3)", "fortran_order": "'descr': '<f4', 'shape': (2, 3)",
               "shape": "'descr': '<f4', 'fortran_order': False"}
    for key, rest in lacking.items():
        lacking_head = head("{" + rest + "}")
        yield bad(f"no-{key}", lacking_head + F4, len(lacking_head), f"no '{key}'")
    yield bad_text("no-colon", fields().replace(":", " ", 1), "'<f4'", "':' is missing")
    yield bad_text("no-comma", fields().replace(",", " ", 1), "'fortran_order'", "',' or '}' is missing")
    yield bad_text("escape", fields("'\\x3cf4'"), "\\x3c", "a string without an end")
    yield bad_text("string-not-closed", "{'descr", "descr", "a string without an end")
    yield bad_text("order-number", fields(order="0"), "0,", "True or False is missing")
    yield bad_text("order-word", fields(order="false"), "false", "True or False is missing")
    yield bad_text("nul", fields(order="\0False"), "\0", "True or False is missing")
    for name, shape, mark, message in [
        ("integer", "6", "6", "'(' is missing"), ("list", "[2, 3]", "[", "'(' is missing"),
        ("parenthesis", "(6)", ", }", "',' is missing in a tuple of one"), ("comma", "(,)", ",)", "a dimension of 0"),
        ("negative", "(-2, 3)", "-2", "a dimension of 0 to 2^48"), ("float", "(2.0, 3)", ".0", "',' or ')' is missing"),
        ("leading-zero", "(02, 3)", "02", "a dimension of 0"), ("hex", "(0x2, 3)", "x2", "',' or ')' is missing"),
        ("nested", "((2, 3),)", "(2", "a dimension of 0"), ("too-large", "(281474976710657,)", "2814", "a dimension of"),
        ("2-64", "(18446744073709551616, 0)", "1844", "a dimension of 0"), ("no-comma", "(2 3)", "3)", "',' or ')'"),
        ("not-closed", "(2, 3", "}", "a dimension of 0"),
    ]:
        yield bad_text(f"shape-{name}", fields(shape=shape), mark, message)
    yield bad("python-2-in-version-3", head(fields(shape="(2L, 3L)"), 3) + F4, 12 + fields(shape="(2L").index("L"),
              "',' or ')' is missing")
    yield bad("product-square", head(fields(shape="(4294967296, 4294967296)")), 10, "exceeds 2^63")
    yield bad("product-zero", head(fields(shape="(0, 281474976710656, 281474976710656)")), 10, "exceeds 2^63")
    yield bad("product-bytes", head(fields(shape="(281474976710656, 16384)")), 10, "exceeds 2^63")


def type_cases():
    for name, descr, message in [
        ("object", "'|O'", "values of type '|O': pickled Python objects are never read"),
        ("bfloat16", "'<V2'", "values of type '<V2': bfloat16 loses its name"),
        ("bfloat16-bar", "'|V2'", "values of type '|V2': bfloat16 loses its name"),
        ("void", "'|V8'", "values of type '|V8'"), ("bytes", "'|S4'", "values of type '|S4'"),
        ("text", "'<U4'", "values of type '<U4'"), ("complex", "'<c8'", "values of type '<c8'"),
        ("date", "'<M8[s]'", "values of type '<M8[s]'"), ("long-double", "'<f16'", "values of type '<f16'"),
        ("no-order", "'f4'", "values of type 'f4'"), ("nothing", "''", "values of type ''"),
        ("control", "'<\x07\x1b'", "values of type '<\\x07\\x1b'"),
        ("records", "[('a', '<f4')]", "records of several fields"),
        ("record", "('<f4', (2,))", "records of several fields"),
    ]:
        yield bad(f"type-{name}", head(fields(descr)) + F4, 10, message, "unsupported")
    nine = fields(shape="(1, 1, 1, 1, 1, 1, 1, 1, 6)")
    yield bad("nine-dimensions", head(nine) + F4, 10, "more than 8 dimensions", "unsupported")


def cases():
    for make in (good_cases, prefix_cases, text_cases, type_cases):
        yield from make()
