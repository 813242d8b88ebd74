"""PyTorch checkpoints: pickles put together opcode by opcode, in both containers, and those that must not be believed."""

import io
import struct
import zipfile

from .case import Case, entry

F4 = struct.pack("<6f", 1.5, -2.385, 3.25, 4.125, 5.0625, 6.7)
PROTO, STOP, MARK, EMPTY = b"\x80\x02", b".", b"(", b")"


# ---- pickles


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(value)) + value


def integer(value):
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def tup(*items):
    return MARK + b"".join(items) + b"t"


def name(module, what):
    return f"c{module}\n{what}\n".encode()


def storage(key="0", count=6, kind="FloatStorage", module="torch", more=()):
    return tup(text("storage"), name(module, kind), text(key), text("cpu"), integer(count), *more) + b"Q"


ORDERED = name("collections", "OrderedDict") + EMPTY + b"R"


def tensor(shape=(2, 3), stride=(3, 1), offset=0, held=None, call="_rebuild_tensor_v2", more=()):
    return name("torch._utils", call) + tup(
        held or storage(), integer(offset), tup(*map(integer, shape)), tup(*map(integer, stride)), b"\x89", ORDERED, *more
    ) + b"R"


def dictionary(*pairs, start=b"}"):
    return start + MARK + b"".join(text(k) + v if isinstance(k, str) else k + v for k, v in pairs) + b"u"


def pickled(value):
    return PROTO + value + STOP


# ---- containers


def archive(pickle, storages=(("0", F4),), top="made", more=()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        members = [(f"{top}/data.pkl", pickle), *((f"{top}/data/{k}", v) for k, v in storages), (f"{top}/version", b"3\n"), *more]
        for path, content in members:
            info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            file.writestr(info, content)
    return out.getvalue()


MAGIC = pickled(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
SYSTEM = dictionary(("protocol_version", b"M\xe9\x03"), ("little_endian", b"\x88"))


def legacy(value, keys=("0",), data=None, system=SYSTEM, version=b"M\xe9\x03"):
    data = struct.pack("<q", 6) + F4 if data is None else data
    listed = b"]" + MARK + b"".join(map(text, keys)) + b"e"
    return MAGIC + pickled(version) + pickled(system) + pickled(value) + pickled(listed) + data


OLD = storage(more=(b"N",))
ONE = dictionary(("w", tensor()))


# ---- cases


def good(file, content, wanted):
    path = f"torch/{file}"
    return Case(path, {path: content}, text=wanted)


def good_cases():
    whole = entry("w", "F32", [2, 3], F4)
    yield good("one.pt", archive(pickled(ONE)), whole)
    yield good("ordered.pth", archive(pickled(dictionary(("w", tensor()), start=ORDERED + b"}b"))), whole)
    yield good("parameter.bin", archive(pickled(dictionary(("w", name("torch._utils", "_rebuild_parameter") + tup(
        tensor(), b"\x88", ORDERED) + b"R")))), whole)
    typed = tensor(held=storage(kind="UntypedStorage", module="torch.storage", count=24), call="_rebuild_tensor_v3",
                   more=(name("torch", "float32"),))
    yield good("typed.pt", archive(pickled(dictionary(("w", typed)))), whole)
    for kind, dtype, width in [("DoubleStorage", "F64", 8), ("HalfStorage", "F16", 2), ("BFloat16Storage", "BF16", 2),
                               ("LongStorage", "I64", 8), ("CharStorage", "I8", 1), ("BoolStorage", "BOOL", 1)]:
        count = 24 // width
        held = storage(kind=kind, count=count)
        yield good(f"type-{kind.lower()}.pt", archive(pickled(dictionary(("w", tensor((count,), (1,), held=held))))),
                   entry("w", dtype, [count], F4))
    turned = b"".join(F4[4 * (r * 3 + c) : 4 * (r * 3 + c) + 4] for c in range(3) for r in range(2))
    yield good("turned.pt", archive(pickled(dictionary(("w", tensor((3, 2), (1, 3)))))), entry("w", "F32", [3, 2], turned))
    part = F4[4:12] + F4[16:24]
    yield good("part.pt", archive(pickled(dictionary(("w", tensor((2, 2), (3, 1), 1))))), entry("w", "F32", [2, 2], part))
    yield good("scalar.pt", archive(pickled(dictionary(("w", tensor((), (), 5))))), entry("w", "F32", [], F4[20:]))
    yield good("empty.pt", archive(pickled(dictionary(("w", tensor((0, 3), (3, 1)))))), entry("w", "F32", [0, 3], b""))
    two = dictionary(("w", tensor()), ("v", tensor()))
    yield good("shared.pt", archive(pickled(two)), whole + "; " + entry("v", "F32", [2, 3], F4))
    memo = dictionary(("w", tensor() + b"q\x05"), ("v", b"h\x05"))
    yield good("by-memo.pt", archive(pickled(memo)), whole + "; " + entry("v", "F32", [2, 3], F4))
    nested = dictionary(("epoch", integer(3)), ("lr", b"G" + struct.pack(">d", 0.1)), ("state_dict", ONE), ("names", b"](N\x88e"))
    yield good("state_dict.pt", archive(pickled(nested)), whole)
    yield good("model.pt", archive(pickled(dictionary(("optimizer", dictionary((b"K\0", ONE))), ("model", ONE)))), whole)
    deep = dictionary(("a", dictionary(("b", ONE))), ("c", ONE))
    yield good("dotted.pt", archive(pickled(deep)), entry("a.b.w", "F32", [2, 3], F4) + "; " + entry("c.w", "F32", [2, 3], F4))
    yield good("alone.pt", archive(pickled(tensor())), entry("tensor", "F32", [2, 3], F4))
    yield good("legacy.pth", legacy(dictionary(("w", tensor(held=OLD)))), whole)


def bad(file, content, offset, words, status="format"):
    path = f"torch/{file}"
    return Case(path, {path: content}, status, offset, words)


def bad_pickle(file, value, mark, words):
    """A pickle that must stop at the opcode `mark`."""
    content = archive(pickled(value))
    return bad(file, content, content.index(mark) if mark else -1, words)


def bad_pickles():
    nothing = "nothing was run"
    call = name("posix", "system")
    yield bad_pickle("system.pt", dictionary(("w", call + tup(text("id")) + b"R")), call, f"asks for 'posix.system', which no tensor needs; {nothing}")
    for module, what in [("builtins", "eval"), ("__builtin__", "exec"), ("torch", "load"), ("collections", "defaultdict"),
                         ("numpy.core.multiarray", "scalar"), ("torch._utils", "_rebuild_qtensor")]:
        call = name(module, what)
        yield bad_pickle(f"name-{what}.pt", dictionary(("w", call)), call, f"asks for '{module}.{what}'")
    for what, code in [("INST", b"iposix\nsystem\n"), ("OBJ", b"o"), ("NEWOBJ", b"\x81"), ("STACK_GLOBAL", b"\x93"), ("EXT1", b"\x82\1"),
                       ("PERSID", b"P0\n"), ("FRAME", b"\x95"), ("BINBYTES", b"B"), ("UNICODE", b"Vw\n"), ("POP", b"0"), ("DUP", b"2")]:
        yield bad_pickle(f"opcode-{what.lower()}.pt", b"\x88\x89\x88" + code, code, f"the opcode {what}, which no tensor needs; {nothing}")
    yield bad_pickle("opcode-unknown.pt", b"\x88\x89\x88\xff", b"\xff", "0xff is no opcode")
    content = archive(pickled(b"]\x88aa"))
    yield bad("empty-stack.pt", content, content.index(b"\x88aa") + 2, "the stack has too few values")
    yield bad_pickle("no-mark.pt", b"]\x88\x88e", b"e.", "the stack has no mark")
    yield bad_pickle("odd.pt", b"}(\x88\x88\x88u", b"u.", "a key without a value")
    yield bad_pickle("memo.pt", b"h\x07", b"h\x07", "memo 7 was never put")
    yield bad_pickle("left-over.pt", b"\x88\x88", b".\x50", "1 values are left over")
    yield bad_pickle("calls-a-type.pt", name("torch", "FloatStorage") + b")R", b"R.", "it calls a type")
    yield bad_pickle("build.pt", b"]}b", b"b.", "a value of kind")
    yield bad_pickle("other-id.pt", tup(text("module"), b"NNNN") + b"Q", b"Q.", "a persistent id that is no storage's")
    content = archive(PROTO + b"\x88")
    yield bad("no-stop.pt", content, content.index(b"\x88PK") + 1, "the pickle ends within an opcode")
    content = archive(pickled(ONE) + b"more")
    yield bad("more.pt", content, -1, "bytes follow the end of its pickle")
    content = archive(b"\x80\x04" + ONE + STOP)
    yield bad("protocol-4.pt", content, content.index(b"\x80\x04"), "a pickle of protocol 4")
    yield bad("long-text.pt", archive(PROTO + b"X\xff\xff\xff\x7f"), archive(PROTO + b"X\xff\xff\xff\x7f").index(b"X\xff"), "a text of 2147483647 bytes")


def bad_tensor(file, value, words, status="format", storages=(("0", F4),)):
    return bad(file, archive(pickled(dictionary(("w", value))), storages), -1, words, status)


def bad_tensors():
    yield bad_tensor("storage-missing.pt", tensor(held=storage("9")), "its storage is missing")
    yield bad_tensor("storage-short.pt", tensor(held=storage(count=12)), "not as many bytes as it says")
    yield bad_tensor("storage-long.pt", tensor((2,), (1,), held=storage(count=2)), "not as many bytes as it says")
    yield bad_tensor("storage-wraps.pt", tensor(held=storage(count=2**62 + 6)), "not as many bytes as it says")
    yield bad_tensor("beyond.pt", tensor((2, 3), (3, 1), 1), "it reaches beyond its storage")
    yield bad_tensor("stride-wraps.pt", tensor((3, 3), (2**62, 1)), "its strides lead too far")
    yield bad_tensor("shape-wraps.pt", tensor((2**32, 2**32), (0, 0)), "its shape has too many numbers")
    yield bad_tensor("repeats.pt", tensor((2**20, 6), (0, 1)), "a view that repeats elements", "unsupported")
    yield bad_tensor("negative.pt", tensor((2, -3), (3, 1)), "not two tuples")
    yield bad_tensor("negative-offset.pt", tensor(offset=-1), "not described as a view")
    yield bad_tensor("ranks-differ.pt", tensor((2, 3), (3,)), "not two tuples")
    yield bad_tensor("nine.pt", tensor((1,) * 9, (1,) * 9), "not two tuples")
    yield bad_tensor("no-storage.pt", tensor(held=b"N"), "not described as a view")
    typed = tensor(call="_rebuild_tensor_v3", more=(b"N",))
    yield bad_tensor("no-type.pt", typed, "its type is not said")
    other = dictionary(("w", tensor()), ("v", tensor(held=storage(count=3, kind="DoubleStorage"))))
    yield bad("two-types.pt", archive(pickled(other)), -1, "of another type or size elsewhere")
    circle = b"}q\x01" + text("w") + b"h\x01s"
    yield bad("circle.pt", archive(pickled(circle)), -1, "or in a circle", "unsupported")
    yield bad("nothing.pt", archive(pickled(b"}")), -1, "there is no tensor in it", "unsupported")
    yield bad("a-list.pt", archive(pickled(b"]")), -1, "no dictionary of tensors", "unsupported")
    yield bad("name-control.pt", archive(pickled(dictionary(("a\nb", tensor())))), -1, "its name has control characters")
    twice = dictionary(("w", tensor()), ("w", tensor()))
    path, content = "torch/twice.pt", archive(pickled(twice))
    yield Case(path, {path: content}, "format", content.index(F4), "the name comes twice")


def bad_archives():
    yield bad("script.pt", archive(pickled(ONE), more=(("made/constants.pkl", b"."),)), -1, "it is a program (TorchScript)", "unsupported")
    yield bad("beside.pt", archive(pickled(ONE), more=(("other/data", b"."),)), -1, "beside the archive's one folder")
    yield bad("big.pt", archive(pickled(ONE), more=(("made/byteorder", b"big"),)), -1, "its numbers are big-endian", "unsupported")
    value = dictionary(("w", tensor(held=OLD)))
    other = pickled(b"\x8a\x0a" + b"1234567890")
    yield bad("legacy-other-number.pt", other + legacy(value)[len(MAGIC) :], -1, "none of PyTorch's", "unsupported")
    yield bad("legacy-version.pt", legacy(value, version=b"M\xea\x03"), -1, "an unknown version", "unsupported")
    big = dictionary(("little_endian", b"\x89"))
    yield bad("legacy-big.pt", legacy(value, system=big), -1, "its numbers are big-endian", "unsupported")
    yield bad("legacy-long.pt", legacy(value, data=struct.pack("<q", 7) + F4), -1, "a storage longer than the file")
    yield bad("legacy-longest.pt", legacy(value, data=struct.pack("<q", -1) + F4), -1, "a storage longer than the file")
    yield bad("legacy-more.pt", legacy(value, data=struct.pack("<q", 6) + F4 + b"."), -1, "bytes follow its last storage")
    yield bad("legacy-unnamed.pt", legacy(value, ("0", "1"), (struct.pack("<q", 6) + F4) * 2), -1, "a storage that no tensor names")
    part = tensor(held=storage(more=(tup(text("v"), integer(0), integer(3)),)))
    yield bad("legacy-part.pt", legacy(dictionary(("w", part))), -1, "its storage is part of another", "unsupported")


def cases():
    yield from good_cases()
    yield from bad_pickles()
    yield from bad_tensors()
    yield from bad_archives()
