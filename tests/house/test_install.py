"""Installs into an empty prefix and builds the examples against it as a user would: pkg-config, shared and static."""

import json
import os
import pathlib
import re
import shlex
import struct
import subprocess

import pytest

from rules import BUILD, ROOT, code, read

# Output each example must show, beside ending with 0.
SHOWS = {
    "truncate": ["rank 2 of 4", "relative error 0.0"],
    "own_operator": ["worst difference"],
    "inspect_model": ["block.dense: may be factored", "2 tensors, 1 layers, 1 may be factored"],
}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """meson install honours the prefix of the build directory; DESTDIR moves it, and pkg-config is told."""
    destination = tmp_path_factory.mktemp("destination")
    subprocess.run(
        ["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet"],
        env={**os.environ, "DESTDIR": str(destination)}, check=True, capture_output=True, text=True,
    )
    (pc,) = destination.rglob("eckart.pc")
    inside = next(line.removeprefix("prefix=") for line in pc.read_text().splitlines() if line.startswith("prefix="))
    return destination, pathlib.Path(inside), pc


def find(prefix, name):
    found = [path for path in prefix[0].rglob(name)]
    assert found, f"'{name}' is not installed"
    return found[0]


def flags(prefix, *options):
    destination, inside, pc = prefix
    done = subprocess.run(
        ["pkg-config", f"--define-variable=prefix={destination}{inside}", *options, str(pc)],
        check=True, capture_output=True, text=True,
    )
    return shlex.split(done.stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A safetensors file with one linear layer, written byte by byte."""
    header = {
        "block.dense.weight": {"dtype": "F32", "shape": [96, 64], "data_offsets": [0, 24576]},
        "block.dense.bias": {"dtype": "F32", "shape": [96], "data_offsets": [24576, 24960]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    numbers = struct.pack("<6240f", *(((i * 7919) % 1013) / 1013 - 0.5 for i in range(6240)))
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


def static_flags(prefix):
    """libeckart.a, and what the .pc file says it stands on as shared libraries. Not --static: that asks for the static
    forms of those too, and with them for their compilers' libraries."""
    names = flags(prefix, "--print-requires-private")
    theirs = subprocess.run(["pkg-config", "--libs", *names], check=True, capture_output=True, text=True).stdout
    private = re.search(r"^Libs.private:(.*)$", prefix[2].read_text(), re.M).group(1)
    return [*flags(prefix, "--cflags"), str(find(prefix, "libeckart.a")), *shlex.split(theirs), *shlex.split(private)]


def build(prefix, name, linking, target):
    words = static_flags(prefix) if linking == "static" else flags(prefix, "--cflags", "--libs")
    source = str(ROOT / "examples" / f"{name}.c")
    subprocess.run(
        ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, "-o", str(target), *words, "-lm"],
        check=True, capture_output=True, text=True,
    )


@pytest.mark.parametrize("linking", ["shared", "static"])
@pytest.mark.parametrize("name", [pathlib.Path(path).stem for path in code("examples") if path.endswith(".c")])
def test_example_builds_against_the_prefix_and_runs(prefix, model, tmp_path, name, linking):
    program = tmp_path / name
    build(prefix, name, linking, program)
    needed = subprocess.run(["readelf", "-d", str(program)], check=True, capture_output=True, text=True).stdout
    assert ("libeckart.so" in needed) == (linking == "shared")
    arguments = [str(model)] if name == "inspect_model" else []
    environment = {**os.environ, "LD_LIBRARY_PATH": str(find(prefix, "libeckart.so").parent)}
    done = subprocess.run([str(program), *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in SHOWS[name]:
        assert text in done.stdout, done.stdout


@pytest.mark.parametrize(
    "name",
    ["eckart.pc", "libeckart.so", "libeckart.so.0", "libeckart.a", "bin/eckart", "eckart.1", "completions/eckart",
     *[path.removeprefix("include/") for path in code("include")]],
)
def test_file_is_installed(prefix, name):
    found = [path for path in prefix[0].rglob(name.rsplit("/", 1)[-1]) if str(path).endswith("/" + name)]
    assert found, f"'{name}' is not installed"


def test_installed_command_runs(prefix):
    command = find(prefix, "libeckart.so").parent
    program = next(path for path in prefix[0].rglob("eckart") if path.parent.name == "bin")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(command)}
    done = subprocess.run([str(program), "--version"], env=environment, capture_output=True, text=True)
    version = next(line for line in read("meson.build").splitlines() if "version: '" in line).split("'")[1]
    assert done.returncode == 0 and version in done.stdout


def test_installed_headers_are_those_of_the_tree(prefix):
    for path in code("include"):
        assert find(prefix, path.rsplit("/", 1)[-1]).read_text() == read(path)
