"""Completion in bash, asked as bash asks."""

import shlex
import subprocess

import pytest

from commandline import environment
from rules_of_json import ROOT

ASK = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_eckart
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(folder, *words):
    """What is offered for the last of the words; "" begins a new one."""
    script = ASK.format(script=ROOT / "cli/completion.bash", words=" ".join(map(shlex.quote, words)))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


def test_commands(folder):
    offered = complete(folder, "eckart", "")
    assert {"svd", "inspect", "analyze", "plan", "compress", "verify", "restore", "help", "--version"} <= set(offered)
    assert complete(folder, "eckart", "comp") == ["compress"]


def test_options(folder):
    assert complete(folder, "eckart", "svd", "A.npy", "--en") == ["--energy", "--engine"]
    offered = complete(folder, "eckart", "compress", "--")
    assert {"--keep", "--plan", "--json", "--output", "--no-cache"} <= set(offered)
    assert all(word.startswith("--") for word in offered)


@pytest.mark.parametrize("words", [["--engine", "g"], ["--engine", "=", "g"]])
def test_words_of_a_choice(folder, words):
    assert complete(folder, "eckart", "svd", *words) == ["golub-kahan", "gradient"]


def test_every_word_of_a_choice(folder):
    assert complete(folder, "eckart", "plan", "model", "--split", "") == ["balanced", "left", "right"]


@pytest.mark.parametrize("words", [["-o", "A"], ["--output", "A"], ["--output", "=", "A"], ["A"]])
def test_files(folder, words):
    assert sorted(complete(folder, "eckart", "svd", *words)) == ["A.csv", "A.npy"]


def test_numbers_offer_nothing(folder):
    assert complete(folder, "eckart", "svd", "--rank", "") == []
