"""The doctor: what is shown, what is tried in other processes, what is advised."""

import json
import os
import subprocess

from commandline import COMMAND, environment

CORE = "OPENBLAS_CORETYPE"


def doctor(folder, *arguments, **settings):
    """Exit code and document."""
    unset = {key: value for key, value in environment(folder).items() if not key.startswith("OMP_")}
    with_settings = {**unset, **settings}
    done = subprocess.run([COMMAND, "doctor", "--json", *arguments], cwd=folder, env=with_settings, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_products_are_right_and_settings_are_shown(tmp_path):
    code, found = doctor(tmp_path, "--here", "--threads", "1", OMP_NUM_THREADS="7", OMP_PROC_BIND="true")
    assert code == 0 and found["ok"] and found["threads"] == 1
    assert 0 < found["check_f64"] <= 1 and 0 < found["check_f32"] <= 1
    assert found["settings"]["OMP_NUM_THREADS"] == "7" and found["settings"]["OMP_WAIT_POLICY"] is None
    assert found["cores"] == []
    assert any(line.startswith("OMP_NUM_THREADS=7 does not bind eckart") for line in found["advice"])
    assert any(line.startswith("OMP_PROC_BIND=true ties threads") for line in found["advice"])


def test_other_cores_are_tried_in_processes_of_their_own(tmp_path):
    _, found = doctor(tmp_path, "--threads", "1", **{CORE: "Haswell"})
    if "OpenBLAS" not in found["blas"]:
        assert found["cores"] == []
        return
    names = [trial["core"] for trial in found["cores"]]
    assert names[0] == "" and "Haswell" not in names  # not set at all, and not what is set
    assert found["cores"][0]["ran"] and found["cores"][0]["check_f64"] <= 1
    advised = [line for line in found["advice"] if CORE in line]
    rate = found["gemm_f64"] + found["gemm_f32"]
    right = [t for t in found["cores"] if t["ran"] and t["check_f64"] <= 1 and t["check_f32"] <= 1]
    best = max((t["gemm_f64"] + t["gemm_f32"] for t in right), default=0)
    assert bool(advised) == (best > 1.15 * rate)


def test_the_table(tmp_path):
    done = subprocess.run([COMMAND, "doctor", "--here"], cwd=tmp_path, env={**environment(tmp_path), **os.environ},
                          capture_output=True, text=True)
    assert done.returncode == 0
    labels = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    assert labels[:5] == ["processor", "BLAS", "products", "check", "memory"] and "advice" in labels
