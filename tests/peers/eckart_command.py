"""Runs the `eckart` command under test."""

import os
import subprocess


def eckart_command(directory, *arguments, exit_code=0):
    """Its standard output; anything but `exit_code` fails the test with what it said."""
    command = [os.environ["ECKART_COMMAND"], *map(str, arguments)]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert result.returncode == exit_code, f"{' '.join(command)}: {result.returncode}\n{result.stderr}"
    return result.stdout
