"""safetensors against the reference reader: what it refuses we refuse, what we write it reads, byte for byte its own."""

import json
import pathlib
import re
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from file_access import BF16, DTYPES, Model, Refused, write

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "safetensors"


def reference(content):
    """name -> (type, shape, bytes) as the reference reads it; None if it refuses."""
    try:
        return {name: (t["dtype"], tuple(t["shape"]), bytes(t["data"])) for name, t in safetensors.deserialize(content)}
    except safetensors.SafetensorError:
        return None


def ours(path):
    """name -> (type, shape, count of bytes); None if we refuse."""
    try:
        with Model(path) as model:
            return model.index()
    except Refused as refusal:
        assert str(refusal)
        return None


def compare(path, content):
    """Fails if we read what the reference refuses, or both read and differ. Says who read: "both", "reference", "none"."""
    path.write_bytes(content)
    wanted, found = reference(content), ours(path)
    if wanted is None:
        assert found is None, f"the reference refuses what we read: {content[:400]!r}"
        return "none"
    if found is None:
        return "reference"
    told = {name: (t, s, len(d)) for name, (t, s, d) in wanted.items()}
    halved = {name: v for name, v in told.items() if v[0].startswith("F4")}
    for name in halved:  # its binding counts bytes where the header counts half bytes
        told[name] = found[name]
    assert found == told
    return "both"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda p: p.stem)
def test_golden(tmp_path, path):
    compare(tmp_path / "a.safetensors", path.read_bytes())


def sample():
    """A file with something of everything."""
    header = {
        "__metadata__": {"format": "pt", "k": "v\n\u00e9"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b.c": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
        "e": {"dtype": "I64", "shape": [0, 4], "data_offsets": [26, 26]},
        "z": {"dtype": "U8", "shape": [6], "data_offsets": [26, 32]},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(range(32))


def test_every_truncation(tmp_path):
    whole = sample()
    assert compare(tmp_path / "a.safetensors", whole) == "both"
    for end in range(len(whole)):
        assert compare(tmp_path / "a.safetensors", whole[:end]) == "none"


def test_every_byte_exchanged(tmp_path):
    whole = sample()
    generator = np.random.default_rng(5)
    counts = {"both": 0, "reference": 0, "none": 0}
    for at in range(len(whole) - 32):
        for byte in [0, 0x20, 0x22, 0x30, 0x39, 0x7d, *generator.choice(256, 6, replace=False)]:
            counts[compare(tmp_path / "a.safetensors", whole[:at] + bytes([byte]) + whole[at + 1:])] += 1
    print(counts)
    assert counts["both"] > 0 and counts["none"] > 0


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|-?[0-9.eE+]+|null|true|false')
STRANGE = ['"a"', '"dtype"', '"F64"', "{}", "[]", "0", "-0", "1.0", "1e2", "24", "18446744073709551616", "null", ",", "}",
           "]", ":", '"\\ud800"', '"\\u0000"', '"\\u0061"', '[["x"]]', '{"x":1}', '"__metadata__"', " ", "", "NaN"]


def test_tokens_exchanged_dropped_doubled(tmp_path):
    """The grammar turned over: tokens exchanged with one another and with strange ones, dropped, doubled."""
    whole = sample()
    length = struct.unpack("<Q", whole[:8])[0]
    tokens = TOKEN.findall(whole[8: 8 + length].decode())
    generator = np.random.default_rng(9)
    counts = {"both": 0, "reference": 0, "none": 0}
    for _ in range(4000):
        changed = list(tokens)
        for _ in range(generator.integers(1, 4)):
            at, other = (int(i) for i in generator.integers(0, len(changed), 2))
            kind = generator.integers(0, 5)
            if kind == 0:
                changed[at] = STRANGE[generator.integers(0, len(STRANGE))]
            elif kind == 1:
                changed[at], changed[other] = changed[other], changed[at]
            elif kind == 2:
                changed.pop(at)
            elif kind == 3:
                changed.insert(at, changed[other])
            else:
                changed.insert(at, STRANGE[generator.integers(0, len(STRANGE))])
        text = "".join(changed).encode()
        counts[compare(tmp_path / "a.safetensors", struct.pack("<Q", len(text)) + text + whole[8 + length:])] += 1
    print(counts)
    assert counts["both"] > 20 and counts["none"] > 1000


def numbers(shape, dtype, seed):
    generator = np.random.default_rng(seed)
    return np.asarray(generator.standard_normal(shape) * 50).astype(dtype).reshape(shape)


def test_same_bytes_as_the_reference(tmp_path):
    arrays = {f"layer.{i}.{t.__name__}": numbers((i, 3), t, i) for i, t in enumerate(DTYPES.values())}
    arrays["größe"] = numbers((), np.float32, 3)
    arrays['quote"\\'] = numbers((5,), np.float16, 4)
    arrays["half"] = numbers((4, 5), ml_dtypes.bfloat16, 5)
    write(tmp_path / "a.safetensors", arrays, {"half": BF16})
    save_file(arrays, tmp_path / "b.safetensors", {"format": "pt"})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = load_file(tmp_path / "a.safetensors")
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_reads_what_the_reference_writes(tmp_path):
    arrays = {f"{t.__name__}.{i}": numbers(s, t, i) for t in [*DTYPES.values(), ml_dtypes.bfloat16]
              for i, s in enumerate([(), (0,), (7,), (3, 4), (2, 3, 4)])}
    save_file(arrays, tmp_path / "a.safetensors")
    with Model(tmp_path / "a.safetensors") as model:
        assert sorted(model.index()) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(model.read(name), array.astype(np.float64))


def test_no_tensors(tmp_path):
    write(tmp_path / "a.safetensors", {})
    assert load_file(tmp_path / "a.safetensors") == {}
    with Model(tmp_path / "a.safetensors") as model:
        assert model.index() == {}
