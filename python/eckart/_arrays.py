"""Matrices of other libraries as views, without copying their numbers, and arrays of libeckart as theirs.

A view borrows: what `Borrowed.holder` refers to must live as long as it is used.
"""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._raw import library
from ._raw.array import eck_array, eck_dtype, eck_view
from ._raw.operator import eck_operator
from ._raw.sparse import eck_sparse_layout, eck_sparse_view
from ._run import Run
from .errors import InputTypeError, RangeError, ShapeError

F64, F32, F16, BF16 = (getattr(eck_dtype, f"ECK_DTYPE_{name}") for name in ("F64", "F32", "F16", "BF16"))

_NAMES = {
    "float64": F64,
    "float32": F32,
    "float16": F16,
    "bfloat16": BF16,
    "float8_e4m3fn": eck_dtype.ECK_DTYPE_F8_E4M3,
    "float8_e5m2": eck_dtype.ECK_DTYPE_F8_E5M2,
}
_SHORT = {"f64": F64, "f32": F32, "f16": F16, "bf16": BF16}
_TYPESTR = {F64: "<f8", F32: "<f4", F16: "<f2", BF16: "<u2"}
_ALLOWED = "float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, or integers"


@dataclass
class Borrowed:
    """A matrix of somebody else's, dense or sparse."""

    view: eck_view | eck_sparse_view
    shape: tuple[int, ...]
    holder: Any
    torch: bool

    @property
    def work(self) -> float:
        """Multiplications of all Gram matrices: decides whether a call is worth a thread."""
        *batch, rows, cols = self.shape
        return float(rows) * float(cols) * float(min(rows, cols)) * math.prod(map(float, batch))

    def make_operator(self, run: Run, out: ctypes._Pointer[eck_operator]) -> None:
        """Sets `out`, to be freed by the caller. A sparse matrix is copied, so that nothing is borrowed then."""
        if isinstance(self.view, eck_sparse_view):
            run.check(library().eck_operator_sparse, ctypes.byref(out), ctypes.byref(self.view))
        else:
            run.check(library().eck_operator_dense, ctypes.byref(out), self.view)


def storage_type(dtype: Any) -> int:
    """The type named by None (the engine's choice), a name, a NumPy or a torch type."""
    if dtype is None:
        return eck_dtype.ECK_DTYPE_NONE
    name = dtype.lower() if isinstance(dtype, str) else str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        name = np.dtype(dtype).name
    found = _SHORT.get(name, _NAMES.get(name))
    if found is None or found not in _TYPESTR:
        raise RangeError(f"dtype: found {dtype!r}, allowed: float64, float32, float16, bfloat16")
    return int(found)


def borrow(matrix: Any, most: int = 2) -> Borrowed:
    """A view of a matrix, or of a batch of up to `most` dimensions: NumPy arrays of any layout and torch CPU tensors as
    they lie in memory, SciPy sparse matrices of any format, integers and what NumPy makes an array of as a copy."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(matrix, torch.Tensor):
        return _borrow_tensor(matrix, torch, most)
    if type(matrix).__module__.split(".")[:2] == ["scipy", "sparse"]:
        return _borrow_sparse(matrix, most)
    return _borrow_array(matrix, most)


def _check_shape(shape: tuple[int, ...], most: int) -> None:
    if len(shape) < 2 or len(shape) > most:
        if most > 2:
            raise ShapeError(f"a batch of matrices has 2 to {most} dimensions, found {len(shape)}: shape {shape}")
        hint = "; eckart.svd_batch takes batches" if len(shape) > 2 else ""
        raise ShapeError(f"a matrix has 2 dimensions, found {len(shape)}: shape {shape}{hint}")
    if 0 in shape[-2:]:
        raise ShapeError(f"the matrix is empty: shape {shape}")


def _make_view(address: int, dtype: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> eck_view:
    view = eck_view(address, dtype, len(shape))
    view.shape[: len(shape)] = shape
    view.stride[: len(shape)] = strides
    return view


def _as_array(matrix: Any) -> np.ndarray[Any, Any]:
    if isinstance(matrix, np.ma.MaskedArray) and np.ma.is_masked(matrix):
        raise InputTypeError("a matrix with masked entries cannot be factored: fill them first")
    try:
        array = np.asarray(matrix)
    except (ValueError, TypeError) as error:
        raise InputTypeError(f"cannot make a matrix of a {type(matrix).__name__}: {error}") from error
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype.name not in _NAMES:
        raise InputTypeError(f"cannot factor a matrix of {array.dtype}: allowed: {_ALLOWED}")
    return array


def _borrow_array(matrix: Any, most: int) -> Borrowed:
    array = _as_array(matrix)
    _check_shape(array.shape, most)
    size = array.itemsize
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    elif not array.flags.aligned or any(stride % size for stride in array.strides):
        array = array.copy()
    strides = tuple(stride // size for stride in array.strides)
    view = _make_view(array.__array_interface__["data"][0], _NAMES[array.dtype.name], array.shape, strides)
    return Borrowed(view, array.shape, array, torch=False)


def _borrow_sparse(matrix: Any, most: int) -> Borrowed:
    """CSR and CSC by their own layout, other formats by rows. Entries of one place are added, as SciPy does."""
    if most > 2:
        raise InputTypeError("a SciPy sparse matrix is no batch: eckart.svd takes it")
    _check_shape(tuple(matrix.shape), most)
    lines = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
    if lines.dtype.kind not in "biuf" or lines.dtype.itemsize > 8:
        raise InputTypeError(f"cannot factor a sparse matrix of {lines.dtype}: allowed: {_ALLOWED}")
    narrow = lines.dtype.kind == "f" and lines.dtype.itemsize <= 4
    values = np.ascontiguousarray(lines.data, np.float32 if narrow else np.float64)
    starts = np.ascontiguousarray(lines.indptr, np.int64)
    indices = np.ascontiguousarray(lines.indices, np.int64)
    if starts[-1] > min(len(values), len(indices)):
        raise InputTypeError(f"a sparse matrix of {starts[-1]} entries holds {len(values)} values")
    layout = eck_sparse_layout.ECK_SPARSE_ROWS if lines.format == "csr" else eck_sparse_layout.ECK_SPARSE_COLS
    as_integers = ctypes.POINTER(ctypes.c_int64)
    view = eck_sparse_view(
        layout, F32 if narrow else F64, *matrix.shape,
        starts.ctypes.data_as(as_integers), indices.ctypes.data_as(as_integers), values.ctypes.data,
    )
    return Borrowed(view, tuple(matrix.shape), (starts, indices, values), torch=False)


def _borrow_tensor(tensor: Any, torch: Any, most: int) -> Borrowed:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        layout = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise InputTypeError(f"a {layout} tensor cannot be factored yet: give its dense form")
    if tensor.device.type != "cpu":
        raise InputTypeError(f"a tensor on '{tensor.device}' cannot be factored: give tensor.cpu()")
    _check_shape(tuple(tensor.shape), most)
    tensor = tensor.detach().resolve_neg()
    if not tensor.dtype.is_floating_point and not tensor.dtype.is_complex:
        tensor = tensor.to(torch.float64)
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise InputTypeError(f"cannot factor a tensor of {name}: allowed: {_ALLOWED}")
    view = _make_view(tensor.data_ptr(), _NAMES[name], tuple(tensor.shape), tensor.stride())
    return Borrowed(view, tuple(tensor.shape), tensor, torch=True)


class _Owner:
    """An eck_array that NumPy arrays refer to; freed with the last of them."""

    def __init__(self, address: int) -> None:
        self._free = library().eck_array_free
        self._pointer = ctypes.c_void_p(address)
        array = eck_array.from_address(address)
        self.dtype = int(array.dtype)
        self.shape = tuple(array.shape[: array.ndim])
        self.__array_interface__ = {
            "version": 3,
            "data": (array.data, False),
            "typestr": _TYPESTR[self.dtype],
            "shape": self.shape,
            "strides": None,
        }

    def __del__(self) -> None:
        self._free(ctypes.cast(self._pointer, self._free.argtypes[0]))


def take(struct: Any, field: str, torch: bool) -> Any:
    """The array a struct owns in a field, as a NumPy array or torch tensor that owns it from now on: no copy."""
    address = ctypes.cast(getattr(struct, field), ctypes.c_void_p).value
    if address is None:
        return None
    owner = _Owner(address)
    setattr(struct, field, None)
    array = np.empty(owner.shape, _TYPESTR[owner.dtype]) if 0 in owner.shape else np.asarray(owner)
    return _as_tensor(array, owner.dtype) if torch else _as_numpy(array, owner.dtype)


def _as_numpy(array: np.ndarray[Any, Any], dtype: int) -> np.ndarray[Any, Any]:
    if dtype != BF16:
        return array
    try:
        import ml_dtypes
    except ImportError:
        raise InputTypeError("NumPy has no bfloat16: install ml_dtypes, or give dtype='float32'") from None
    return array.view(ml_dtypes.bfloat16)


def _as_tensor(array: np.ndarray[Any, Any], dtype: int) -> Any:
    torch = sys.modules["torch"]
    if dtype == BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
