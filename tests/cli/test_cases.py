"""Every case: a script beside what it must write and how it must end."""

import os
import subprocess

import pytest

from commandline import CASES, environment, masked

UPDATE = os.environ.get("ECKART_UPDATE")


def expected(case, ending, otherwise):
    path = case.with_suffix(ending)
    return path.read_text() if path.exists() else otherwise


def store(case, ending, found, otherwise):
    path = case.with_suffix(ending)
    if found == otherwise:
        path.unlink(missing_ok=True)
    else:
        path.write_text(found)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.sh")), ids=lambda case: case.stem)
def test_case(case, folder):
    done = subprocess.run(
        ["bash", "-u", case], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=600,
    )
    found = {".out": masked(done.stdout), ".err": masked(done.stderr), ".exit": f"{done.returncode}\n"}
    empty = {".out": "", ".err": "", ".exit": "0\n"}
    if UPDATE:
        for ending, text in found.items():
            store(case, ending, text, empty[ending])
    assert found == {ending: expected(case, ending, text) for ending, text in empty.items()}


def test_every_expectation_has_its_case():
    orphans = [path.name for path in CASES.iterdir() if not path.with_suffix(".sh").exists()]
    assert orphans == []
    assert len(list(CASES.glob("*.sh"))) >= 30
