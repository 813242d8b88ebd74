"""One set of inputs for a test, in a folder of its own."""

import shutil

import pytest

from commandline import make_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.fixture
def folder(inputs, tmp_path):
    """A copy that a test may write to."""
    copy = tmp_path / "work"
    shutil.copytree(inputs, copy)
    return copy
