"""How a call runs: the context it is given, its status as an exception, and Ctrl-C.

Long work runs on a thread of its own while the caller waits, so that the main thread can take a signal. On
KeyboardInterrupt the work is told to stop; it does between two calls of LAPACK, frees what it holds, and its result is
dropped. The exception does not wait for that longer than GRACE seconds.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from . import errors
from ._raw import library
from ._raw.context import ECK_CONTEXT_INIT, eck_context
from ._raw.status import eck_error, eck_status

Result = TypeVar("Result")
Progress = Callable[[str, int, int], Any]

GRACE = 0.2
_PROGRESS: Any = type(eck_context().progress)

_EXCEPTIONS: dict[int, type[errors.Error]] = {
    eck_status.ECK_E_NOMEM: errors.NoMemoryError,
    eck_status.ECK_E_CANCELLED: errors.CancelledError,
    eck_status.ECK_E_BUDGET: errors.BudgetError,
    eck_status.ECK_E_SHAPE: errors.ShapeError,
    eck_status.ECK_E_RANGE: errors.RangeError,
    eck_status.ECK_E_NONFINITE: errors.NonFiniteError,
    eck_status.ECK_E_SOLVER: errors.SolverError,
    eck_status.ECK_E_PROMISE: errors.PromiseError,
    eck_status.ECK_E_NOTHING: errors.NothingError,
    eck_status.ECK_E_FORMAT: errors.FormatError,
    eck_status.ECK_E_UNSUPPORTED: errors.UnsupportedError,
    eck_status.ECK_E_IO: errors.FileError,
    eck_status.ECK_E_EXISTS: errors.ExistsError,
}


def text_of(raw: bytes | None) -> str:
    """Text from the library: UTF-8, and file names that are not."""
    return (raw or b"").decode("utf-8", "surrogateescape")


def exception_of(error: eck_error) -> errors.Error:
    # A matrix in memory has no name.
    message = text_of(error.message).replace("''", "the matrix")
    found = _EXCEPTIONS.get(error.status, errors.Error)(message)
    found.offset = None if error.offset < 0 else error.offset
    found.file = text_of(error.file) or None
    found.tensor = text_of(error.tensor) or None
    return found


class Run:
    """One piece of work: threads, memory, progress, and the wish to stop."""

    def __init__(self, threads: int | None = None, memory: int | None = None, progress: Progress | None = None) -> None:
        for name, value in (("threads", threads), ("memory", memory)):
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise errors.RangeError(f"{name}: found {value!r}, allowed: a whole number from 1, or None")
        self.stop = threading.Event()
        self.raised: list[BaseException] = []
        stop, raised = self.stop, self.raised  # no reference to self: no cycle for the collector

        def report(_: int | None, what: bytes, done: int, total: int) -> bool:
            if stop.is_set() or raised:
                return False
            try:
                return progress is None or progress(text_of(what), done, total) is not False
            except BaseException as exception:
                raised.append(exception)
                return False

        self.context = ECK_CONTEXT_INIT()
        self.context.threads = threads or 0
        self.context.memory = memory or 0
        self.context.progress = _PROGRESS(report)

    def call(self, function: Any, *arguments: Any) -> None:
        """Calls a function whose last two parameters are context and error; raises what it says."""
        self.check(function, *arguments, ctypes.byref(self.context))

    def check(self, function: Any, *arguments: Any) -> None:
        """The same for a function without a context."""
        error = eck_error()
        if function(*arguments, ctypes.byref(error)) != eck_status.ECK_OK:
            if self.raised:
                raise self.raised.pop()
            raise exception_of(error)


_abandoned: set[threading.Thread] = set()


def interruptible(run: Run, job: Callable[[], Result]) -> Result:
    """job() on a thread of its own, if this is the main thread; only there Python takes signals."""
    if threading.current_thread() is not threading.main_thread():
        return job()
    results: list[Result] = []
    raised: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            results.append(job())
        except BaseException as exception:
            raised.append(exception)
        finally:
            ended.set()
            _abandoned.discard(threading.current_thread())

    thread = threading.Thread(target=work, name="eckart", daemon=True)
    try:
        thread.start()
        ended.wait()
    except BaseException:
        run.stop.set()
        _abandoned.add(thread)
        if ended.wait(GRACE):
            _abandoned.discard(thread)
        raise
    if raised:
        raise raised.pop()
    return results.pop()


@atexit.register
def _wait_for_abandoned() -> None:
    """Work that was told to stop must have stopped before the library is unloaded under it. A program that Ctrl-C ends
    is ended by the signal: nothing is unloaded, and nobody has to wait."""
    if getattr(sys, "last_type", None) is not KeyboardInterrupt:
        for thread in list(_abandoned):
            thread.join()


__all__ = ["Progress", "Run", "exception_of", "interruptible", "library", "text_of"]
