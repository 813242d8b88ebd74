"""Exceptions: one per status of the C library that can be met here, and one for a module that a file does not fit."""

from __future__ import annotations


class Error(Exception):
    """Base of all exceptions raised on purpose by this package."""


class ShapeError(Error, ValueError):
    """Dimensions do not fit each other."""


class RangeError(Error, ValueError):
    """An argument lies outside what is allowed."""


class FormatError(Error, ValueError):
    """A file is not what it says it is."""


class UnsupportedError(Error, ValueError):
    """Well formed, but not something this version reads or writes."""


class ExistsError(Error, FileExistsError):
    """The output exists and may not be replaced."""


class MismatchError(Error, RuntimeError):
    """A module and a file do not belong together: tensors missing, left over or of other shapes."""
