"""The wheel of `make wheel`: installs into an empty environment and gives a first result, with nothing of this machine
but Python and the C library."""

import json
import os
import pathlib
import subprocess
import sys
import time
import zipfile

import pytest
from factored_files import ROOT

FIRST_RESULT = """
import json, sys
import numpy as np
import eckart
from eckart._raw import library
A = np.random.default_rng(0).standard_normal((60, 40)).astype(np.float32)
U, S, Vt = found = eckart.svd(A, error=0.5)
with open("/proc/self/maps") as file:
    mapped = sorted({line.split(maxsplit=5)[5].strip() for line in file if ".so" in line})
print(json.dumps({
    "error": float(np.linalg.norm(A - U * S @ Vt) / np.linalg.norm(A)), "told": found.error, "mapped": mapped,
    "library": library().path, "file": eckart.__file__, "torch": "torch" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dist")
    # Not resolved: the environment, not the Python it was made from.
    environment = {**os.environ, "ECKART_VENV": str(pathlib.Path(sys.executable).parents[1])}
    command = [str(ROOT / "scripts" / "wheel"), str(directory)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.whl")
    return path


def test_it_holds_the_library_and_what_that_stands_on(wheel):
    assert "-py3-none-manylinux_2_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "eckart/lib/libeckart.so.0" in names and "eckart/py.typed" in names and "eckart/_raw/svd.py" in names
    bundled = [name.split("/")[1] for name in names if name.startswith("eckart.libs/")]
    for needed in ("libopenblas", "libgomp", "libjansson", "libcrypto"):
        assert any(name.startswith(needed) for name in bundled), needed
    assert not [name for name in names if "__pycache__" in name or name.endswith(".c")]


def test_first_result_in_an_empty_environment(wheel, tmp_path):
    start = time.perf_counter()
    home = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = str(home / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    installed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    plain = {name: value for name, value in os.environ.items() if name not in ("ECKART_LIBRARY", "PYTHONPATH")}
    done = subprocess.run([python, "-I", "-c", FIRST_RESULT], env=plain, cwd=tmp_path, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # The promise is a minute; how long a loaded machine and its way to the packages take is no matter of ours.
    print(f"{seconds:.1f} s from nothing to a first result")
    assert abs(found["error"] - found["told"]) <= 1e-6 and found["told"] <= 0.5
    assert found["library"].startswith(str(home)) and found["file"].startswith(str(home)) and not found["torch"]
    ours = ("libeckart", "libopenblas", "libgomp", "libgfortran", "libquadmath", "libjansson", "libcrypto")
    foreign = [path for path in found["mapped"] if os.path.basename(path).startswith(ours) and str(home) not in path]
    # Python's own hashlib may have brought the system's libcrypto.
    assert [path for path in foreign if "libcrypto" not in path] == []
