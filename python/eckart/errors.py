"""Exceptions: one per status of the C library, one for a module that a file does not fit, and two of Python's own.

Those that come from the library carry what it knows in attributes: `offset` (byte in a file, or flat row-major index of
the element), `file`, `tensor`; None where nothing is known.
"""

from __future__ import annotations


class Error(Exception):
    """Base of all exceptions raised on purpose by this package."""

    offset: int | None = None
    file: str | None = None
    tensor: str | None = None


class NoMemoryError(Error, MemoryError):
    """An allocation failed."""


class CancelledError(Error, RuntimeError):
    """The progress function returned False."""


class BudgetError(Error, MemoryError):
    """Cannot be done in the memory allowed; the message names what would do."""


class ShapeError(Error, ValueError):
    """Dimensions do not fit each other."""


class RangeError(Error, ValueError):
    """An argument lies outside what is allowed."""


class NonFiniteError(Error, ValueError):
    """NaN or infinity where a number is needed; `offset` is the flat row-major index of the first."""


class SolverError(Error, ArithmeticError):
    """Every solver of the retry chain failed."""


class PromiseError(Error, RuntimeError):
    """A stated error bound does not hold."""


class NothingError(Error, ValueError):
    """Nothing to do pays: no layer gets smaller under these rules."""


class FormatError(Error, ValueError):
    """A file is not what it says it is."""


class UnsupportedError(Error, ValueError):
    """Well formed, but not something this version reads or writes."""


class FileError(Error, OSError):
    """The operating system refused or failed."""


class ExistsError(Error, FileExistsError):
    """The output exists and may not be replaced."""


class MismatchError(Error, RuntimeError):
    """A module and a file do not belong together: tensors missing, left over or of other shapes."""


class InputTypeError(Error, TypeError):
    """An argument of a type that holds no numbers to work on: text, objects, complex or sparse ones."""


class LibraryError(Error, ImportError):
    """libeckart cannot be found or loaded, or is of another version."""
