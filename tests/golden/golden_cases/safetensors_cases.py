"""safetensors: one file each."""

import json
import struct

from .case import Case, entry, index

DATA = bytes(range(1, 9))
W = '"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2,
    "I32": 4, "U32": 4, "I64": 8, "U64": 8, "BOOL": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "C64": 8,
}


def raw(header, data=b"", length=None):
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(name, dtype, shape, begin, end):
    return f'"{name}":{{"dtype":"{dtype}","shape":{json.dumps(shape)},"data_offsets":[{begin},{end}]}}'


def good(name, header, data, text, warning=""):
    path = f"safetensors/{name}.safetensors"
    return Case(path, {path: raw(header, data)}, text=text, warning=warning)


def bad(name, content, offset, text, status="format"):
    path = f"safetensors/{name}.safetensors"
    return Case(path, {path: content}, status, offset, text)


def bad_header(name, header, mark, text, data=DATA, status="format", nth=0):
    """The byte is where `mark` stands in the header, the nth time it does."""
    at = -1
    for _ in range(nth + 1):
        at = header.index(mark, at + 1)
    return bad(name, raw(header, data), 8 + len(header[:at].encode()), text, status)


def good_cases():
    w = entry("w", "F32", [2], DATA)
    yield good("one", "{" + W + "}", DATA, w)
    yield good("nothing", "{}", b"", "")
    yield good("scalar", "{" + tensor("s", "F64", [], 0, 8) + "}", DATA, entry("s", "F64", [], DATA))
    yield good("blanks", " \t\r\n{ \n" + W.replace(":", " : ").replace(",", " ,\t") + "\r}  \n", DATA, w)
    yield good("metadata", '{"__metadata__":{"b":"2","a":"\\u00e9\\ud83d\\ude00\\n"},' + W + "}", DATA, w)
    yield good("metadata-null", '{"__metadata__":null,' + W + "}", DATA, w)
    yield good("metadata-empty", '{"__metadata__":{},' + W + "}", DATA, w)
    yield good("escaped-words", '{"\\u0077":{"\\u0064type":"F\\u00332","shape":[2],"data_offsets":[0,8]}}', DATA, w)
    yield good("unknown-key", '{"w":{"note":[{"a":1.5e3},[],{},null,true,"x"],"dtype":"F32","shape":[2],'
               '"data_offsets":[0,8]}}', DATA, w, "1 unknown keys in the header of")
    yield good("unaligned", "{" + tensor("a", "U8", [1], 0, 1) + "," + tensor("w", "F32", [2], 1, 9) + "}",
               b"\x07" + DATA, index(entry("a", "U8", [1], b"\x07"), w))
    yield good("header-in-other-order", "{" + tensor("b", "U8", [4], 4, 8) + "," + tensor("a", "U8", [4], 0, 4) + "}",
               DATA, index(entry("a", "U8", [4], DATA[:4]), entry("b", "U8", [4], DATA[4:])))
    yield good("empty-tensors", "{" + ",".join([tensor("a", "F32", [0], 0, 0), tensor("b", "F32", [3, 0], 0, 0),
               W, tensor("z", "F32", [0, 5], 8, 8)]) + "}", DATA,
               index(entry("a", "F32", [0], b""), entry("b", "F32", [3, 0], b""), w, entry("z", "F32", [0, 5], b"")))
    yield good("utf8-name", "{" + tensor("Schicht.größe.層", "F32", [2], 0, 8) + "}", DATA,
               entry("Schicht.größe.層", "F32", [2], DATA))
    yield good("case", "{" + tensor("a.w", "U8", [4], 0, 4) + "," + tensor("A.w", "U8", [4], 4, 8) + "}", DATA,
               index(entry("a.w", "U8", [4], DATA[:4]), entry("A.w", "U8", [4], DATA[4:])),
               "names that differ in case alone: 'A.w' and 'a.w', 1 such pairs")
    yield good("eight-dimensions", "{" + tensor("w", "U8", [1, 2, 1, 2, 1, 2, 1, 1], 0, 8) + "}", DATA,
               entry("w", "U8", [1, 2, 1, 2, 1, 2, 1, 1], DATA))
    yield good("half-bytes", "{" + tensor("w", "F4", [2, 8], 0, 8) + "}", DATA, entry("w", "F4", [2, 8], DATA))
    yield good("six-bits", "{" + tensor("w", "F6_E2M3", [4], 0, 3) + "," + tensor("x", "F6_E3M2", [4], 3, 6) + "}",
               DATA[:6], index(entry("w", "F6_E2M3", [4], DATA[:3]), entry("x", "F6_E3M2", [4], DATA[3:6])))
    parts, entries, at = [], [], 0
    for name, width in WIDTHS.items():
        parts.append(tensor(f"t_{name}", name, [1], at, at + width))
        entries.append(entry(f"t_{name}", name, [1], bytes([at % 251] * width)))
        at += width
    data = b"".join(bytes([sum(list(WIDTHS.values())[:i]) % 251] * w) for i, w in enumerate(WIDTHS.values()))
    yield good("all-types", "{" + ",".join(parts) + "}", data, index(*entries))
    longest = "n" * 1024
    yield good("longest-name", "{" + tensor(longest, "F32", [2], 0, 8) + "}", DATA, entry(longest, "F32", [2], DATA))


def prefix_cases():
    whole = raw("{" + W + "}", DATA)
    yield bad("no-bytes", b"", 0, "the file is empty")
    yield bad("seven-bytes", whole[:7], 7, "7 bytes, a header needs 8")
    yield bad("length-2-64-1", raw("{" + W + "}", DATA, 2**64 - 1), 0, "a header of 18446744073709551615 bytes")
    yield bad("length-2-63", raw("{" + W + "}", DATA, 2**63), 0, "a header of 9223372036854775808 bytes")
    yield bad("length-over-limit", raw("{" + W + "}", DATA, 100_000_001), 0, "at most 100000000")
    yield bad("length-one-too-many", raw("{" + W + "}", DATA, len(whole) - 7), 0,
              f"a header of {len(whole) - 7} bytes, the file has {len(whole) - 8}")
    yield bad("length-0", raw("", b"\0" * 8), 8, "'{' is missing at byte 8")
    yield bad("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n", 0,
              "git-lfs pointer")
    yield bad("gguf", b"GGUF\3\0\0\0" + b"\0" * 16, 0, "it is a GGUF file", status="unsupported")
    for name, content, what in [
        ("gguf.weights", b"GGUF\3\0\0\0" + b"\0" * 16, "a GGUF file"),
        ("hdf5.weights", b"\x89HDF\r\n\x1a\n" + b"\0" * 16, "an HDF5 file"),
        ("pickle.weights", b"\x80\x02}q\0.", "a Python pickle"),
        ("text.weights", b"hello\n", "neither safetensors nor npy"),
    ]:
        yield Case(f"safetensors/{name}", {f"safetensors/{name}": content}, "unsupported", 0, what)


def grammar_cases():
    yield bad_header("array", "[" + "{" + W + "}]", "[", "'{' is missing")
    yield bad("not-closed", raw("{" + W, DATA), 8 + len("{" + W), "',' or '}' is missing")
    yield bad("more-text", raw("{" + W + "} x", DATA), 8 + len("{" + W + "} "), "more text")
    yield bad("second-object", raw("{" + W + "}{}", DATA), 8 + len("{" + W + "}"), "more text")
    yield bad("nul-padding", raw("{" + W + "}\0\0", DATA), 8 + len("{" + W + "}"), "more text")
    yield bad("comma-at-end", raw("{" + W + ",}", DATA), 8 + len("{" + W + ","), "a string is missing")
    yield bad_header("no-colon", "{" + W.replace(":", " ", 1) + "}", "{", "':' is missing", nth=1)
    yield bad_header("single-quotes", "{" + W.replace('"', "'") + "}", "'", "a string is missing")
    yield bad_header("comment", "{/**/" + W + "}", "/", "a string is missing")
    yield bad_header("byte-order-mark", "\ufeff{" + W + "}", "\ufeff", "'{' is missing")
    yield bad("not-utf8", raw(b'{"w\xff":' + W[4:].encode() + b"}", DATA), 10, "a string that is not UTF-8")
    yield bad("overlong", raw(b'{"\xc1\xb7":' + W[4:].encode() + b"}", DATA), 10, "a string that is not UTF-8")
    yield bad("surrogate-bytes", raw(b'{"\xed\xa0\x80":' + W[4:].encode() + b"}", DATA), 10, "not UTF-8")
    yield bad("lone-surrogate", raw('{"\\ud800":' + W[4:] + "}", DATA), 10, "an escape that means nothing")
    yield bad("low-surrogate-first", raw('{"\\udc00\\ud800":' + W[4:] + "}", DATA), 10, "an escape that means nothing")
    yield bad("escaped-nul", raw('{"a\\u0000b":' + W[4:] + "}", DATA), 11, "an escape that means nothing")
    yield bad("unknown-escape", raw('{"a\\x41":' + W[4:] + "}", DATA), 11, "an escape that means nothing")
    yield bad("raw-nul", raw(b'{"a\0b":' + W[4:].encode() + b"}", DATA), 11, "a control character in a string")
    yield bad("raw-newline", raw('{"a\nb":' + W[4:] + "}", DATA), 11, "a control character in a string")
    yield bad("string-not-closed", raw('{"w', b""), 9, "a string without an end")
    nested = '{"w":{"x":' + "[" * 31 + "]" * 31 + "," + W[5:] + "}"
    yield bad("too-deep", raw(nested, DATA), 8 + nested.index("[") + 30, "too deep a nesting")
    yield good("deep-enough", '{"w":{"x":' + "[" * 30 + "]" * 30 + "," + W[5:] + "}", DATA,
               entry("w", "F32", [2], DATA), "unknown keys")


def field_cases():
    def w(dtype='"F32"', shape="[2]", offsets="[0,8]"):
        return f'{{"w":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'

    yield bad_header("entry-array", '{"w":["F32",[2],[0,8]]}', "[", "'{' is missing")
    yield bad_header("entry-null", '{"w":null}', "null", "'{' is missing", data=b"")
    for key in ("dtype", "shape", "data_offsets"):
        fields = {"dtype": '"F32"', "shape": "[2]", "data_offsets": "[0,8]"}
        twice = ",".join(f'"{k}":{v}' for k, v in [*fields.items(), (key, fields[key])])
        yield bad_header(f"two-{key}", '{"w":{' + twice + "}}", f'"{key}"', f"'{key}' comes twice", nth=1)
        del fields[key]
        lacking = '{"w":{' + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}}"
        yield bad(f"no-{key}", raw(lacking, DATA), 8 + len(lacking) - 2, f"'{key}' is missing")
    yield bad_header("dtype-unknown", w('"F33"'), '"F33"', "unknown dtype 'F33'", status="unsupported")
    yield bad_header("dtype-lower-case", w('"f32"'), '"f32"', "unknown dtype 'f32'", status="unsupported")
    yield bad_header("dtype-number", w("32"), "32", "a string is missing")
    for name, number in [("float", "2.0"), ("exponent", "2e0"), ("minus-zero", "-0"), ("negative", "-2"),
                         ("leading-zero", "02"), ("plus", "+2"), ("2-64", "18446744073709551616"),
                         ("2-63", "9223372036854775808"), ("string", '"2"'), ("true", "true"), ("nan", "NaN")]:
        yield bad_header(f"shape-{name}", w(shape=f"[{number}]"), f"{number}]", "an integer of 0 to 2^63-1 is missing")
    yield bad_header("offset-float", w(offsets="[0.0,8]"), "0.0", "an integer of 0 to 2^63-1 is missing")
    yield bad_header("offset-2-64", w(offsets="[18446744073709551616,8]"), "1844", "an integer of 0 to 2^63-1")
    yield bad_header("offset-negative", w(offsets="[-8,0]"), "-8", "an integer of 0 to 2^63-1 is missing")
    yield bad("offsets-one", raw(w(offsets="[8]"), DATA), 8 + w(offsets="[8]").index("[8]") + 2, "',' is missing")
    yield bad("offsets-three", raw(w(offsets="[0,8,9]"), DATA), 8 + w(offsets="[0,8,9]").index(",9"), "']' is missing")
    yield bad("shape-object", raw(w(shape="{}"), DATA), 8 + w(shape="{}").index("{}"), "'[' is missing")
    yield bad("shape-comma-at-end", raw(w(shape="[2,]"), DATA), 8 + w(shape="[2,]").index(",]") + 1, "an integer of")
    nine = w(shape="[1,1,1,1,1,1,1,1,2]")
    yield bad("nine-dimensions", raw(nine, DATA), 8 + nine.index(",2]") + 1, "more than 8 dimensions", "unsupported")
    over = w(shape="[281474976710657]")
    yield bad_header("dimension-over-2-48", over, "281474976710657", "dimension 0 is 281474976710657, at most 2^48")
    for name, shape in [("square", "[4294967296,4294967296]"), ("zero-first", "[0,281474976710656,281474976710656]"),
                        ("zero-last", "[281474976710656,281474976710656,0]")]:
        text = w(shape=shape, offsets="[0,0]")
        yield bad(f"product-{name}", raw(text), 8 + len(text) - 2, "the product of its dimensions exceeds 2^63")
    text = w(shape="[281474976710656,16384]", offsets="[0,0]")
    yield bad("product-of-bits", raw(text), 8 + len(text) - 2, "4611686018427387904 elements of 32 bits are no number of")
    for name, shape, mark in [("2-63-times-2", "[9223372036854775808,2]", "9223372036854775808"),
                              ("zero-and-2-63", "[0,9223372036854775808,9223372036854775808]", "9223372036854775808")]:
        yield bad_header(f"product-{name}", w(shape=shape, offsets="[0,0]"), mark, "an integer of 0 to 2^63-1")
    odd = '{"w":{"dtype":"F4","shape":[15],"data_offsets":[0,8]}}'
    yield bad("half-bytes-odd", raw(odd, DATA), 8 + len(odd) - 2, "15 elements of 4 bits are no number of bytes")
    short = w(shape="[3]")
    yield bad("shape-too-large", raw(short, DATA), 8 + len(short) - 2, "its shape takes 12 bytes, its offsets hold 8")
    back = w(offsets="[8,0]")
    yield bad("end-before-begin", raw(back, DATA), 8 + len(back) - 2, "it begins at byte 8 and ends at 0")


def name_cases():
    yield bad("name-empty", raw('{"":' + W[4:] + "}", DATA), 9, "a tensor without a name")
    yield bad("name-control", raw('{"a\\u0007b":' + W[4:] + "}", DATA), 9, "cannot read tensor 'a\\x07b' of")
    yield bad("name-delete", raw('{"a\x7f":' + W[4:] + "}", DATA), 9, "its name has control characters")
    yield bad("name-too-long", raw('{"' + "n" * 1025 + '":' + W[4:] + "}", DATA), 9, "more than 1024 bytes (1025)")
    bidi = '{"a\u202eb":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}'
    yield bad("name-bidi-escaped", raw(bidi, DATA), 8 + len(bidi.encode()) - 2, "tensor 'a\\u{202e}b' of")
    twice = "{" + tensor("w", "U8", [4], 0, 4) + "," + tensor("w", "U8", [4], 4, 8) + "}"
    yield bad("name-twice", raw(twice, DATA), 8 + len(twice) + 4, "tensor 'w' of 'safetensors/name-twice.safetensors': the name comes twice")
    same = "{" + tensor("w", "U8", [0], 0, 0) + "," + tensor("w", "U8", [0], 0, 0) + "}"
    yield bad("name-twice-same-range", raw(same), 8 + len(same), "the name comes twice")
    escaped = "{" + tensor("w", "U8", [4], 0, 4) + "," + tensor("\\u0077", "U8", [4], 4, 8) + "}"
    yield bad("name-twice-escaped", raw(escaped, DATA), 8 + len(escaped) + 4, "the name comes twice")
    m = '"__metadata__":{"a":"1"},'
    yield bad_header("two-metadata", "{" + m + m + W + "}", '"__metadata__"', "a second '__metadata__'", nth=1)
    null = '{"__metadata__":null,' + m + W + "}"
    yield bad_header("two-metadata-null", null, '"__metadata__"', "a second '__metadata__'", nth=1)
    keys = '{"__metadata__":{"a":"1","b":"2","a":"3"},' + W + "}"
    yield bad("metadata-key-twice", raw(keys, DATA), 8 + keys.index(",\"w\""), "metadata key 'a' comes twice")
    yield bad_header("metadata-number", '{"__metadata__":{"a":1},' + W + "}", "1}", "a string is missing")
    yield bad_header("metadata-array", '{"__metadata__":["a"],' + W + "}", "[", "'{' is missing")
    yield bad_header("metadata-nested", '{"__metadata__":{"a":{}},' + W + "}", "{}", "a string is missing")


def place_cases():
    def two(a, b):
        return "{" + tensor("a", "U8", [a[1] - a[0]], *a) + "," + tensor("b", "U8", [b[1] - b[0]], *b) + "}"

    def start(header):
        return 8 + len(header)

    overlap = two((0, 5), (4, 8))
    yield bad("overlap", raw(overlap, DATA), start(overlap) + 4, "tensor 'b' of 'safetensors/overlap.safetensors': it overlaps 'a'")
    inside = two((0, 8), (2, 4))
    yield bad("overlap-inside", raw(inside, DATA), start(inside) + 2, "it overlaps 'a'")
    same = two((0, 8), (0, 8))
    yield bad("overlap-same", raw(same, DATA), start(same), "it overlaps 'a'")
    gap = two((0, 3), (4, 8))
    yield bad("gap", raw(gap, DATA), start(gap) + 3, "tensor 'b' of 'safetensors/gap.safetensors': 1 bytes before it belong to no")
    late = two((1, 3), (3, 8))
    yield bad("gap-first", raw(late, DATA), start(late), "1 bytes before it belong to no tensor")
    hole = "{" + tensor("a", "U8", [3], 0, 3) + "," + tensor("e", "U8", [0], 5, 5) + "," + tensor(
        "b", "U8", [5], 3, 8) + "}"
    yield bad("empty-inside", raw(hole, DATA), start(hole) + 5, "tensor 'e' of 'safetensors/empty-inside.safetensors': it overlaps 'b'")
    one = "{" + W + "}"
    yield bad("trailing", raw(one, DATA + b"\0"), start(one) + 8, "1 bytes follow the last tensor")
    yield bad("trailing-nothing", raw("{}", b"x"), 10, "1 bytes follow the last tensor")
    archive = b"PK\5\6" + b"\0" * 18
    yield bad("polyglot-zip", raw(one, DATA + archive), start(one) + 8, "22 bytes follow the last tensor")
    yield bad("truncated", raw(one, DATA[:5]), start(one) - 2, "tensor 'w' of 'safetensors/truncated.safetensors': 3 bytes missing of 8")
    far = "{" + tensor("a", "U8", [4], 2**62, 2**62 + 4) + "}"
    yield bad("far-away", raw(far, DATA), start(far) - 2, "4 bytes missing of 4")


def cases():
    for make in (good_cases, prefix_cases, grammar_cases, field_cases, name_cases, place_cases):
        yield from make()
