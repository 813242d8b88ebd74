"""While a call works: other threads run, progress is told, Ctrl-C ends it, and nothing is left behind."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import eckart
import numpy as np
import pytest
from eckart._raw import library
from factored_files import ROOT


def matrix_of(size, dtype=np.float32):
    return np.random.default_rng(1).standard_normal((size, size)).astype(dtype)


@pytest.mark.parametrize("caller", ["main", "thread"])
def test_other_threads_run_meanwhile(caller, monkeypatch):
    """A thread that counts gets on while a call is inside the library.

    The interpreter lock is never taken from who holds it, for the time of the test; it is between the two marks that
    the thread could count only if the library's call gave the lock away.
    """
    matrix, loaded = matrix_of(300), library()
    inside, ticks, ended = [False], [0], threading.Event()
    computes = loaded.eck_svd_compute

    def marked(*arguments):
        inside[0] = True
        status = computes(*arguments)
        inside[0] = False
        return status

    def count():
        while not ended.is_set():
            ticks[0] += inside[0]
            time.sleep(0.0001)

    monkeypatch.setattr(loaded, "eck_svd_compute", marked)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(1000):  # of which one is enough, if others leave the counter a moment
            if caller == "main":
                eckart.svd(matrix, 20)
            else:
                worker = threading.Thread(target=eckart.svd, args=(matrix, 20))
                worker.start()
                worker.join()
            if ticks[0] > 0:
                break
    finally:
        ended.set()
        counter.join()
        sys.setswitchinterval(interval)
    assert ticks[0] > 0


def test_progress_is_told():
    seen = []
    eckart.svd(matrix_of(300), 5, progress=lambda what, done, total: seen.append((what, done, total)))
    assert {what for what, _, _ in seen} >= {"gram", "reduce", "vectors"}
    assert all(0 <= done <= total for _, done, total in seen)


@pytest.mark.parametrize("size", [60, 300])
def test_progress_cancels_and_its_exceptions_arrive(size):
    with pytest.raises(eckart.CancelledError, match="cancelled at"):
        eckart.svd(matrix_of(size), progress=lambda what, done, total: False)

    def fails(what, done, total):
        raise KeyError(what)

    with pytest.raises(KeyError):
        eckart.svd(matrix_of(size), progress=fails)
    assert eckart.svd(matrix_of(size), 3).rank == 3


def test_calls_from_many_threads_agree():
    matrix = matrix_of(200)
    expected, found = eckart.svd(matrix, 8), []
    threads = [threading.Thread(target=lambda: found.append(eckart.svd(matrix, 8))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for one in found:
        assert all(np.array_equal(a, b) for a, b in zip(one, expected, strict=True))


def first_value(seed):
    return float(eckart.svd(np.random.default_rng(seed).standard_normal((300, 300)), 2).S[0])


def test_forked_processes_work_after_their_parent_did():
    """Threads of the parent are no threads of the child; a pool of them must not be waited for."""
    expected = [first_value(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(first_value, range(4)).get(timeout=600) == expected


# A call that never ends: the first news of its progress is not answered before `answer` is set.
STUCK = """
import atexit, threading
import numpy as np
import eckart
matrix = np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.DTYPE)
eckart.svdvals(np.eye(3))  # what is imported at first use is imported: that is no place to be interrupted
answer, news = threading.Event(), []
atexit.register(answer.set)

def stuck(*progress):
    news.append(progress)
    print("working", flush=True)
    answer.wait()

"""

CAUGHT = """
try:
    eckart.svd(matrix, progress=stuck)
except KeyboardInterrupt:
    assert [thread.name for thread in threading.enumerate()] == ["MainThread", "eckart"]
    answer.set()
    # What was told to stop stops by itself, at the next news, of which nobody hears.
    for thread in threading.enumerate():
        if thread.name == "eckart":
            thread.join()
    assert len(news) == 1
    U, S, Vt = eckart.svd(matrix[:50, :40])
    print("ended", U.shape)
"""

# Interrupted anywhere in calls without end.
WITHOUT_END = """
try:
    print("working", flush=True)
    while True:
        eckart.svd(matrix)
except KeyboardInterrupt:
    print("interrupted")
"""


def interrupted(text, size, dtype, after=0.0):
    """Runs a program until it says that it works, and for some more seconds; then Ctrl-C."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    code = (STUCK + text).replace("SIZE", str(size)).replace("DTYPE", dtype)
    program = subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert program.stdout.readline() == "working\n"
    time.sleep(after)
    program.send_signal(signal.SIGINT)
    output, errors = program.communicate(timeout=600)
    return program.returncode, output, errors


@pytest.mark.parametrize(("size", "dtype"), [(300, "float32"), (400, "float64")])
def test_ctrl_c_does_not_wait_for_the_call(size, dtype):
    """Which would never end: the exception comes all the same, and the call stops once it can."""
    code, output, errors = interrupted(CAUGHT, size, dtype)
    assert code == 0, errors
    assert output == "ended (50, 40)\n"


def test_ctrl_c_that_nobody_catches_ends_the_program():
    """Though the call does not: a program that is ended by the signal waits for nothing."""
    code, _, errors = interrupted("atexit.unregister(answer.set)\neckart.svd(matrix, progress=stuck)\n", 300, "float32")
    assert code == -signal.SIGINT and "KeyboardInterrupt" in errors


@pytest.mark.parametrize("after", [0.0, 0.01, 0.1, 0.5])
def test_an_interrupted_call_that_still_works_does_not_crash_the_end(after):
    """Exceptions caught, program ended at once, while LAPACK is still at it: wherever it may be."""
    code, output, errors = interrupted(WITHOUT_END, 1200, "float64", after)
    assert code == 0 and "interrupted" in output, (code, errors)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_thousand_calls_leak_nothing():
    """Results, views, options, failed and cancelled calls: none may stay. One leaked U alone would be 25 MB."""
    matrix, bad = matrix_of(80), matrix_of(80)
    bad[3, 3] = np.nan

    def once(index):
        eckart.svd(matrix, proof=("residual", "exact", "bound")[index % 3])
        eckart.svdvals(matrix)
        with pytest.raises(eckart.NonFiniteError):
            eckart.svd(bad)
        with pytest.raises(eckart.CancelledError):
            eckart.svd(matrix, progress=lambda what, done, total: False)

    threads = threading.active_count()  # libraries other tests imported may have some of their own
    for index in range(200):
        once(index)
    gc.collect()
    before = resident()
    for index in range(1000):
        once(index)
    gc.collect()
    grown = resident() - before
    # U and Vt are 25,600 bytes each; the heap itself may move by some pages.
    print(f"{grown} bytes more after 1000 rounds, 4e6 allowed")
    assert grown <= 4e6
    assert threading.active_count() <= threads


def test_calls_that_work_on_a_thread_leak_nothing():
    matrix = matrix_of(250)
    for _ in range(10):
        eckart.svd(matrix)
    gc.collect()
    before = resident()
    for _ in range(60):
        eckart.svd(matrix)
    grown = resident() - before
    # U and Vt are 500,000 bytes, 30 MB in all; so is a Gram matrix. Arenas of threads come and go by 4 MB.
    print(f"{grown} bytes more after 60 calls, 8e6 allowed")
    assert grown <= 8e6
