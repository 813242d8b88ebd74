"""npy and npz, both ways: what NumPy writes we read, what we write NumPy reads."""

import io
import itertools
import warnings

import ml_dtypes
import numpy as np
import pytest
from numpy.lib import format as npy_format

from file_access import BF16, DTYPES, Model, Refused, write

TYPES = list(DTYPES.values())
SHAPES = [(), (1,), (7,), (0,), (3, 4), (0, 5), (5, 0), (1, 1), (2, 3, 4), (2, 1, 3, 2)]


def numbers(shape, dtype, seed=1):
    """Values that every type holds exactly in F64, signs and zeros among them."""
    generator = np.random.default_rng(seed)
    count = int(np.prod(shape, dtype=np.int64))
    values = generator.standard_normal(count) if np.dtype(dtype).kind == "f" else generator.integers(-100, 100, count)
    if np.dtype(dtype).kind in "ub":
        values = np.abs(values)
    return np.asarray(values).astype(dtype).reshape(shape)


def assert_reads(path, name, wanted):
    if np.isfortran(wanted) and wanted.ndim > 2:  # told apart, not turned round
        with Model(path) as model, pytest.raises(Refused, match="dimensions in Fortran order: save it in C order"):
            model.read(name)
        return
    with Model(path) as model:
        found = model.read(name)
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted.astype(np.float64))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_npy_of_numpy(tmp_path, dtype):
    for shape, order, byte_order in itertools.product(SHAPES, "CF", "<>"):
        array = np.asarray(numbers(shape, dtype), order=order).astype(np.dtype(dtype).newbyteorder(byte_order))
        np.save(tmp_path / "a.npy", array)
        assert_reads(tmp_path / "a.npy", "", array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(tmp_path, version):
    for shape in SHAPES:
        array = np.asfortranarray(numbers(shape, np.float32))
        with open(tmp_path / "a.npy", "wb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy remarks that version 1 would do
            npy_format.write_array(file, array, version=version)
        assert_reads(tmp_path / "a.npy", "", array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_numpy(tmp_path, save):
    arrays = {f"{t.__name__}/{i}": numbers(s, t, i) for t in TYPES for i, s in enumerate(SHAPES)}
    arrays["größe"] = np.asfortranarray(numbers((5, 6), np.float64)).astype(">f8")
    save(tmp_path / "a.npz", **arrays)
    with Model(tmp_path / "a.npz") as model:
        index = model.index()
        assert list(index) == list(arrays)
        for name, array in arrays.items():
            assert index[name][1] == array.shape
            np.testing.assert_array_equal(model.read(name), array.astype(np.float64))


def test_npz_into_a_stream(tmp_path):
    """Written where nothing can be gone back to: sizes follow the data."""
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.content += data
            return len(data)

    pipe, array = Pipe(), numbers((30, 40), np.float32)
    np.savez_compressed(pipe, x=array)
    (tmp_path / "a.npz").write_bytes(pipe.content)
    assert_reads(tmp_path / "a.npz", "x", array)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_npy_of_ours(tmp_path, dtype):
    for shape in SHAPES:
        array = numbers(shape, dtype)
        write(tmp_path / "a.npy", {"any": array})
        found = np.load(tmp_path / "a.npy", allow_pickle=False)
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)
        # byte for byte what NumPy writes
        np.save(tmp_path / "b.npy", array)
        assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_npz_of_ours(tmp_path):
    arrays = {f"{t.__name__}/{i}": numbers(s, t, i) for t in TYPES for i, s in enumerate(SHAPES)}
    arrays["größe"] = numbers((3,), np.float64)
    write(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found.files == list(arrays)
        assert found.zip.testzip() is None
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_bfloat16_has_no_name_in_npy(tmp_path):
    array = np.ones(3, ml_dtypes.bfloat16)
    for ending in ("npy", "npz"):
        with pytest.raises(Refused, match="NumPy has no such type; convert to F32 or write .safetensors"):
            write(tmp_path / f"a.{ending}", {"w": array}, {"w": BF16})
    np.save(tmp_path / "b.npy", array)
    with pytest.raises(Refused, match="bfloat16 loses its name in NumPy's format"):
        Model(tmp_path / "b.npy")


@pytest.mark.parametrize("value", [
    np.array([{"a": 1}], dtype=object), np.array([b"x"]), np.array(["x"]), np.array([1j]), np.zeros(2, "M8[s]"),
    np.zeros(2, [("a", "f4"), ("b", "i4")]), np.zeros(2, "V8"), np.zeros(2, np.longdouble),
], ids=lambda v: str(v.dtype))
def test_what_holds_no_numbers(tmp_path, value):
    np.save(tmp_path / "a.npy", value)
    with pytest.raises(Refused):
        Model(tmp_path / "a.npy")


def test_numpy_refuses_implies_we_refuse(tmp_path):
    """Heads with one byte exchanged: where NumPy finds no array of numbers, neither do we."""
    array = numbers((3, 4), np.float32)
    np.save(tmp_path / "a.npy", array)
    whole, path = (tmp_path / "a.npy").read_bytes(), tmp_path / "b.npy"
    generator = np.random.default_rng(11)
    both, ours_only = 0, 0
    for at in range(80):
        for byte in generator.choice(256, 24, replace=False):
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1:])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    wanted = np.load(path, allow_pickle=False)
            except Exception:  # NumPy has no one type for this
                with pytest.raises(Refused):
                    Model(path)
                continue
            try:
                with Model(path) as model:
                    np.testing.assert_array_equal(model.read(""), wanted.astype(np.float64))
                    both += 1
            except Refused:
                ours_only += 1
    print(f"both read {both}, we alone refuse {ours_only}")
    assert both > 0
