"""The examples in the docstrings of the bindings run and give what they say; the package is typed throughout."""

import doctest
import importlib
import os
import subprocess
import sys

import eckart
import pytest
from bindings_example_files import write_adapter, write_model
from factored_files import ROOT


@pytest.mark.parametrize(("module", "least"), [("linalg", 9), ("compression", 7), ("sklearn", 4), ("lora", 12)])
def test_docstrings(module, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECKART_CACHE", str(tmp_path))
    write_model("MODEL.safetensors")
    write_adapter("ADAPTER")
    found = importlib.import_module(f"eckart.{module}")
    tests = doctest.DocTestFinder(exclude_empty=True).find(found, globs={"eckart": eckart})
    # In the order of the file: later examples go on from earlier ones.
    runner = doctest.DocTestRunner()
    for test in sorted(tests, key=lambda test: test.lineno or 0):
        runner.run(test, clear_globs=False)
    assert runner.failures == 0 and runner.tries >= least


def test_everything_public_has_a_docstring():
    bare = [name for name in eckart.__all__ if name != "__version__" and not getattr(eckart, name).__doc__]
    assert bare == []
    assert set(eckart.__all__) <= set(dir(eckart))
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = eckart.nothing_here


def test_types_are_strict():
    """As python/pyproject.toml says: strict, the whole package."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.path.join(os.environ["ECKART_BUILD"], "mypy")]
    done = subprocess.run(command, cwd=ROOT / "python", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
