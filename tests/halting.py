"""Programs that stop, or are killed, at a chosen system call: tests/faults/halt.c tells how to name one.

A test that sleeps and hopes that the program is where it should be fails on a faster machine, or a loaded one.
"""

import os
import pathlib
import signal
import subprocess

MODULE = pathlib.Path(os.environ["ECKART_BUILD"]).resolve() / "tests" / "halt.so"


def with_halt(at, environment=None):
    """The environment of a program that halts there."""
    base = dict(os.environ if environment is None else environment)
    sanitizer = f"{base.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"
    return base | {"LD_PRELOAD": str(MODULE), "HALT_AT": at, "ASAN_OPTIONS": sanitizer}


def stopped(command, at, env=None, **more):
    """Starts a program and returns once it has stopped at, for example, "read 20"."""
    process = subprocess.Popen(command, env=with_halt(f"stop {at}", env), **more)
    end = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert end.si_code == os.CLD_STOPPED, f"ended before '{at}'"
    return process


def go_on(process, number=None):
    """Lets a stopped program go on, with a signal that it finds as it wakes up."""
    if number is not None:
        process.send_signal(number)
    process.send_signal(signal.SIGCONT)
