"""Every mutant still applies: its text stands exactly once where the table says, and its tests exist."""

import sys

import pytest

from rules import ROOT, read, report, tracked

sys.path.insert(0, str(ROOT / "tests/mutants"))
import table  # noqa: E402


def test_there_are_at_least_twenty():
    names = [mutant["name"] for mutant in table.MUTANTS]
    assert len(names) == len(set(names)) >= 20


@pytest.mark.parametrize("mutant", table.MUTANTS, ids=lambda mutant: mutant["name"])
def test_mutant_applies(mutant):
    assert read(mutant["file"]).count(mutant["old"]) == 1
    assert mutant["old"] != mutant["new"]


def test_tests_of_mutants_exist():
    sources = {path.rsplit("/", 1)[-1] for path in tracked("tests/*.c")}
    report([
        f"{mutant['name']}: no test '{test}'"
        for mutant in table.MUTANTS
        for test in mutant["tests"]
        if not ((ROOT / test.split("::")[0]).exists() if "/" in test else f"test_{test}.c" in sources)
    ])
