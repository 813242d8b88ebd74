"""How much memory a program held at its highest.

A process is charged what the one that started it held at that moment: so that is one that holds little, not pytest.
"""

import os
import subprocess
import sys

STARTER = """
import os, sys
pipe = int(sys.argv[1])
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, pipe)])
_, status, usage = os.wait4(child, 0)
os.write(pipe, b"%d" % (usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_measured(command, **more):
    """The finished program, its output as text, and its peak of resident memory in bytes."""
    ours, theirs = os.pipe()
    starter = [sys.executable, "-S", "-E", "-c", STARTER, str(theirs)]
    done = subprocess.run(starter + [str(word) for word in command], pass_fds=[theirs], capture_output=True, text=True,
                          **more)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        return done, int(pipe.read())
