"""Tables: rows that differ in their number alone are one, names stay readable, nothing harms a terminal."""

import numpy
import pytest
import safetensors.numpy

from commandline import run


def inspect(folder, names, *options):
    """The rows of `inspect` for layers of these names, all alike."""
    weight = numpy.eye(64, 80, dtype=numpy.float32)
    safetensors.numpy.save_file({f"{name}.weight": weight for name in names}, folder / "names.safetensors")
    done = run(folder, "inspect", "names.safetensors", *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n\n")[1].splitlines()
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
    return lines[1:]


@pytest.mark.parametrize(
    "names, folded",
    [
        ([f"h.{i}.q" for i in range(12)], ["h.{0..11}.q x12"]),
        ([f"h.{i}.q" for i in (0, 1, 2, 5, 7, 8)], ["h.{0..2,5,7..8}.q x6"]),
        ([f"h.{i}.experts.{j}.up" for i in range(3) for j in range(4)], ["h.{0..2}.experts.{0..3}.up x12"]),
        # No full product: the experts of each layer share a row.
        (["h.0.e.0", "h.0.e.1", "h.1.e.0", "h.1.e.1", "h.1.e.2"], ["h.0.e.{0..1} x2", "h.1.e.{0..2} x3"]),
        (["h.0.q", "h.0.k", "h.1.q", "h.1.k"], ["h.{0..1}.k x2", "h.{0..1}.q x2"]),
        (["only"], ["only"]),
        (["7", "8", "9"], ["{7..9} x3"]),
        # Parts that are no plain numbers stay themselves.
        (["a01", "a02"], ["a01", "a02"]),
        (["h.01", "h.02"], ["h.01", "h.02"]),
        ([f"h.{10**12}", f"h.{10**12 + 1}"], [f"h.{10**12}", f"h.{10**12 + 1}"]),
    ],
)
def test_folding(folder, names, folded):
    rows = [line.split("  linear")[0].split() for line in inspect(folder, names)]
    assert sorted(" ".join(row) for row in rows) == sorted(folded)


def test_nothing_is_folded_with_verbose(folder):
    assert len(inspect(folder, [f"h.{i}.q" for i in range(12)], "-v")) == 12


def test_long_names_keep_their_end(folder):
    rows = inspect(folder, ["a" * 200 + ".query"])
    assert all(len(row) <= 100 for row in rows)
    assert rows[0].startswith("...aaa") and "a.query  linear" in rows[0]
    assert inspect(folder, ["a" * 200 + ".query"], "-v")[0].startswith("a" * 200 + ".query  ")


def test_letters_of_any_script_line_up(folder):
    rows = inspect(folder, ["größe", "schicht", "слой"])
    assert len({row.index("linear") for row in rows}) == 1
    assert {row.split()[0] for row in rows} == {"größe", "schicht", "слой"}


@pytest.mark.parametrize("mark", ["\u202e", "\u200b", "\u2066", "\u2028"])
def test_marks_that_deceive_are_not_printed(folder, mark):
    """Names are the file's; a mark that turns the direction of writing makes one look like another."""
    rows = inspect(folder, [f"left{mark}right"])
    assert mark not in rows[0] and rows[0].startswith("left?right")


def test_columns_line_up(folder):
    lines = run(folder, "analyze", "model", "--no-cache").stdout.split("\n\n")[0].splitlines()
    assert len({len(line) for line in lines}) == 1
    assert all(len(line) <= 100 for line in lines)
