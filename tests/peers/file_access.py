"""Files through the public functions of the library: opened as models, read tensor by tensor, written from arrays."""

import ctypes
import os

import numpy as np

F64, F32, F16, BF16, E4M3, E5M2 = range(1, 7)
I8, U8, I16, U16, I32, U32, I64, U64, BOOL = range(16, 25)
OTHERS = {32: "F4", 33: "F6_E2M3", 34: "F6_E3M2", 35: "F8_E8M0", 36: "F8_E4M3FNUZ", 37: "F8_E5M2FNUZ", 38: "C64"}
NAMES = {
    F64: "F64", F32: "F32", F16: "F16", BF16: "BF16", E4M3: "F8_E4M3", E5M2: "F8_E5M2", I8: "I8", U8: "U8", I16: "I16",
    U16: "U16", I32: "I32", U32: "U32", I64: "I64", U64: "U64", BOOL: "BOOL", **OTHERS,
}
DTYPES = {
    F64: np.float64, F32: np.float32, F16: np.float16, I8: np.int8, U8: np.uint8, I16: np.int16, U16: np.uint16,
    I32: np.int32, U32: np.uint32, I64: np.int64, U64: np.uint64, BOOL: np.bool_,
}
OF_NUMPY = {np.dtype(v): k for k, v in DTYPES.items()}


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("offset", ctypes.c_int64), ("file", ctypes.c_char * 256),
                ("tensor", ctypes.c_char * 256), ("message", ctypes.c_char * 1000)]


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("file", ctypes.c_char_p), ("dtype", ctypes.c_int), ("ndim", ctypes.c_int32),
                ("shape", ctypes.c_int64 * 8), ("bytes", ctypes.c_int64)]


class Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("ndim", ctypes.c_int32),
                ("shape", ctypes.c_int64 * 8)]


class NamedArray(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("array", ctypes.POINTER(Array))]


class Panel(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("rows", ctypes.c_int64), ("cols", ctypes.c_int64),
                ("ld", ctypes.c_int64)]


class Refused(Exception):
    """What the library said."""


def load():
    lib = ctypes.CDLL(os.environ["ECKART_LIBRARY"])
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    lib.eck_model_open.argtypes = [ctypes.POINTER(pointer), ctypes.c_char_p, ctypes.POINTER(Error)]
    lib.eck_model_close.argtypes = [pointer]
    lib.eck_model_tensor_count.argtypes = [pointer]
    lib.eck_model_tensor_count.restype = number
    lib.eck_model_tensor.argtypes = [pointer, number]
    lib.eck_model_tensor.restype = ctypes.POINTER(Tensor)
    lib.eck_model_tensor_operator.argtypes = [ctypes.POINTER(pointer), pointer, number, ctypes.POINTER(Error)]
    lib.eck_operator_read.argtypes = [pointer, number, number, Panel, ctypes.POINTER(Error)]
    lib.eck_operator_free.argtypes = [pointer]
    lib.eck_file_write_arrays.argtypes = [ctypes.c_char_p, ctypes.POINTER(NamedArray), number, ctypes.c_bool,
                                          ctypes.POINTER(Error)]
    return lib


LIB = load()


def matrix_shape(shape):
    """Rows and columns of the matrix that a tensor is read as."""
    if len(shape) < 2:
        return 1, shape[0] if shape else 1
    return shape[0], int(np.prod(shape[1:], dtype=np.int64))


def check(status, error):
    if status != 0:
        raise Refused(error.message.decode())


class Model:
    """An open file, as a context."""

    def __init__(self, path):
        self.handle, error = ctypes.c_void_p(), Error()
        check(LIB.eck_model_open(ctypes.byref(self.handle), os.fsencode(path), ctypes.byref(error)), error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIB.eck_model_close(self.handle)

    def index(self):
        """name -> (type, shape, bytes), in the order of the file."""
        found = {}
        for i in range(LIB.eck_model_tensor_count(self.handle)):
            t = LIB.eck_model_tensor(self.handle, i).contents
            found[t.name.decode()] = (NAMES[t.dtype], tuple(t.shape[: t.ndim]), t.bytes)
        return found

    def read(self, name):
        """The numbers of a tensor in F64, in its shape."""
        place = list(self.index()).index(name)
        shape = self.index()[name][1]
        rows, cols = matrix_shape(shape)
        out = np.empty((rows, cols))
        operator, error = ctypes.c_void_p(), Error()
        if out.size == 0:
            return out.reshape(shape)
        check(LIB.eck_model_tensor_operator(ctypes.byref(operator), self.handle, place, ctypes.byref(error)), error)
        status = LIB.eck_operator_read(operator, 0, 0, Panel(out.ctypes.data, F64, rows, cols, cols), ctypes.byref(error))
        LIB.eck_operator_free(operator)
        check(status, error)
        return out.reshape(shape)


def array_of(array, dtype=None):
    """A NumPy array as the library takes it; the caller keeps the array alive."""
    view = Array(array.ctypes.data, dtype or OF_NUMPY[array.dtype], array.ndim)
    for i, size in enumerate(array.shape):
        view.shape[i] = size
    return view


def write(path, arrays, dtypes=None, replace=True):
    """eck_file_write_arrays; arrays: name -> contiguous array, dtypes: name -> type where NumPy has none."""
    views = [array_of(a, (dtypes or {}).get(n)) for n, a in arrays.items()]
    named = (NamedArray * max(len(arrays), 1))()
    for i, name in enumerate(arrays):
        named[i] = NamedArray(name.encode(), ctypes.pointer(views[i]))
    error = Error()
    check(LIB.eck_file_write_arrays(os.fsencode(path), named, len(arrays), replace, ctypes.byref(error)), error)
