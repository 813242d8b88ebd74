"""docs/tour.md runs as it stands: every console line with the built command, every Python block, in order."""

import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
ECKART = os.environ["ECKART_COMMAND"]


def run_console(block):
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        words = shlex.split(line[2:])
        assert words[0] == "eckart", line
        done = subprocess.run([ECKART, *words[1:]], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_tour_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tour.md").read_text()
    blocks = re.findall(r"```(console|python)\n(.*?)```", text, re.S)
    names = {}
    for number, (kind, block) in enumerate(blocks):
        if kind == "console":
            run_console(block)
        else:
            exec(compile(block, f"docs/tour.md, block {number}", "exec"), names)
    assert sum(kind == "console" for kind, _ in blocks) >= 7
    assert sum("assert" in block for _, block in blocks) >= 12
