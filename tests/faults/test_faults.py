"""A full disk, a kill at any moment, a changing input, spoiled weights, outputs that may not be written."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import made
import numpy as np
import pytest
from halting import go_on, stopped, with_halt

ECKART = os.environ["ECKART_COMMAND"]


def run(*arguments, **keywords):
    return subprocess.run([ECKART, *map(str, arguments)], capture_output=True, text=True, timeout=600, **keywords)


def compress(source, out, *more):
    return run("compress", source, "-o", out, "--keep", "0.5", "--no-cache", "--threads", "2", *more)


def leftovers(folder):
    return [p.name for p in pathlib.Path(folder).iterdir() if ".eckart-" in p.name]


def test_full_disk_leaves_nothing(tmp_path):
    """A file system with room for half the output. Mounting needs root, as CI and containers have it."""
    source = made.model(tmp_path / "in")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", small], check=True)
    try:
        done = compress(source, small / "out")
        assert done.returncode == 1
        assert "No space left" in done.stderr and str(small / "out") in done.stderr
        assert done.stdout == ""
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_full_disk_keeps_the_old_output(tmp_path):
    source = made.model(tmp_path / "in")
    small = tmp_path / "small"
    small.mkdir()
    size = sum(p.stat().st_size for p in source.iterdir())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size * 9 // 10}", "tmpfs", small], check=True)
    try:
        assert compress(source, small / "out").returncode == 0
        before = made.digest(small / "out")
        done = compress(source, small / "out", "--force")
        assert done.returncode == 1 and "No space left" in done.stderr
        assert made.digest(small / "out") == before
        assert leftovers(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def kill_everywhere(command, after):
    """SIGKILL before every call that changes the disk, and in the middle of every write; `after` looks each time.

    Between two such calls the disk does not change, so these are all the moments there are. Returns how many.
    """
    for moment in itertools.count(1):
        done = subprocess.run(command, env=with_halt(f"kill change {moment}"), capture_output=True, timeout=600)
        if done.returncode == 0:
            return moment - 1
        assert done.returncode == -signal.SIGKILL, done.stderr
        after()


def test_kill_at_every_moment(tmp_path):
    """No output, or the whole one; and the same command then gives the bytes of an undisturbed run."""
    source = made.model(tmp_path / "in", layers=16, width=64)
    assert compress(source, tmp_path / "good").returncode == 0
    expected = made.digest(tmp_path / "good")
    out = tmp_path / "out"
    left = []

    def look():
        left.append(len(leftovers(tmp_path)))
        if out.exists():
            assert made.digest(out) == expected
            shutil.rmtree(out)

    moments = kill_everywhere([ECKART, "compress", source, "-o", out, "--keep", "0.5", "--no-cache", "-q"], look)
    print(f"killed at {moments} moments")
    assert moments >= 100
    # Each run swept up what the one before had left.
    assert max(left) == 1
    assert made.digest(out) == expected
    assert leftovers(tmp_path) == []


def test_kill_while_replacing(tmp_path):
    """With --force the old output stays whole until the new one is."""
    source = made.model(tmp_path / "in", layers=2, width=64)
    out = tmp_path / "out"
    assert compress(source, out, "--dtype", "f16").returncode == 0
    old = made.digest(out)
    assert compress(source, tmp_path / "good").returncode == 0
    new = made.digest(tmp_path / "good")

    def look():
        assert made.digest(out) in (old, new)

    kill_everywhere([ECKART, "compress", source, "-o", out, "--keep", "0.5", "--no-cache", "-qf"], look)
    assert made.digest(out) == new
    assert leftovers(tmp_path) == []


def test_interrupt_removes_what_was_written(tmp_path):
    source = made.model(tmp_path / "in")
    command = [ECKART, "compress", source, "-o", tmp_path / "out", "--keep", "0.5", "--no-cache"]
    # The 6th change of the disk writes a tensor: the temporary and a part of its content are there.
    process = stopped(command, "change 6", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert leftovers(tmp_path) != []
    go_on(process, signal.SIGINT)
    assert process.wait(timeout=600) == -signal.SIGINT
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def test_killed_run_goes_on_from_the_cache(tmp_path):
    """What was fitted before the kill is not computed again: the second run finds it."""
    source = made.model(tmp_path / "in", layers=6, width=320)
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = [ECKART, "compress", source, "-o", out, "--keep", "0.5", "--cache", cache, "-q"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(cache.glob("factors/*/*")):
        assert process.poll() is None or list(cache.glob("factors/*/*")), "ended without storing a factor"
        time.sleep(0.002)
    process.kill()
    process.wait()
    kept = {p: p.stat().st_ino for p in cache.glob("*/*/*") if len(p.name) == 64}
    shutil.rmtree(out, ignore_errors=True)
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    assert all(p.stat().st_ino == inode for p, inode in kept.items()), "a blob was written again"
    assert compress(source, tmp_path / "fresh").returncode == 0
    assert made.digest(out) == made.digest(tmp_path / "fresh")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(tmp_path, value):
    def spoil(tensors):
        tensors["layers.1.down.weight"][3, 7] = value

    source = made.model(tmp_path / "in", change=spoil)
    done = compress(source, tmp_path / "out", "--json")
    assert done.returncode == 1 and done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["status"] == "nonfinite"
    assert "layers.1.down" in error["tensor"]
    assert error["offset"] == 3 * 320 + 7
    assert not (tmp_path / "out").exists()
    # Left out, the rest can be done, and the bad tensor is copied as it is.
    done = compress(source, tmp_path / "out", "--exclude", "layers.1.down")
    assert done.returncode == 0, done.stderr


def test_output_equal_to_input(tmp_path):
    source = made.model(tmp_path / "in")
    before = made.digest(source)
    link = tmp_path / "link"
    link.symlink_to(source)
    for out in (source, link, source / "inside"):
        done = compress(source, out, "--force")
        assert done.returncode == 1, out
        assert made.digest(source) == before


def test_existing_output_is_not_touched_without_force(tmp_path):
    source = made.model(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("kept")
    assert compress(source, out).returncode == 1
    # Not even with --force: it holds no manifest of ours.
    assert compress(source, out, "--force").returncode == 1
    assert (out / "precious").read_text() == "kept"


def test_input_cut_while_read(tmp_path):
    """The file loses its tail while it is read: an error, no output."""
    source = made.model(tmp_path / "in")
    command = [ECKART, "compress", source, "-o", tmp_path / "out", "--keep", "0.5", "--no-cache"]
    # The header is read by then, and the first of the weights.
    process = stopped(command, "read 5", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    file = source / "model.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    go_on(process)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "model.safetensors" in stderr
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def test_unreadable_places(tmp_path):
    assert run("inspect", tmp_path / "nothing").returncode == 1
    (tmp_path / "empty").mkdir()
    done = run("inspect", tmp_path / "empty")
    assert done.returncode == 1 and "empty" in done.stderr
    source = made.model(tmp_path / "in")
    done = compress(source, tmp_path / "no" / "such" / "folder")
    assert done.returncode == 1 and "no/such" in done.stderr
