"""What the command writes, held against NumPy."""

import csv
import json

import numpy
import pytest

from commandline import hadamard, run

EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}


def factors(folder, *arguments):
    done = run(folder, "svd", *arguments, "-o", "factors.npz", "-f")
    assert done.returncode == 0, done.stderr
    with numpy.load(folder / "factors.npz") as written:
        return {name: written[name].astype(numpy.float64) for name in written}


def close(found, expected, allowed):
    measured = float(numpy.max(numpy.abs(found - expected)))
    print(f"off by {measured:.2g}, allowed {allowed:.2g}")
    assert measured <= allowed


@pytest.fixture
def random(folder):
    a = numpy.random.default_rng(3).standard_normal((40, 24)).astype(numpy.float32)
    numpy.save(folder / "R.npy", a)
    return a.astype(numpy.float64)


# One rounding of every factor to F32 changes the product by at most 3 u of its norm, s_1 at most.
def rounding(a):
    return 3 * EPSILON["float32"] * numpy.linalg.norm(a)


def test_thin(folder, random):
    f = factors(folder, "R.npy")
    assert {name: part.shape for name, part in f.items()} == {"U": (40, 24), "S": (24,), "Vt": (24, 24)}
    close(f["U"] * f["S"] @ f["Vt"], random, rounding(random))
    close(f["S"], numpy.linalg.svd(random, compute_uv=False), EPSILON["float32"] * f["S"][0])


def test_full(folder, random):
    f = factors(folder, "R.npy", "--full")
    assert {name: part.shape for name, part in f.items()} == {"U": (40, 40), "S": (24,), "Vt": (24, 24)}
    # Orthonormal to rounding: 8 sqrt(k) u.
    close(f["U"].T @ f["U"], numpy.eye(40), 8 * 40**0.5 * EPSILON["float32"] / 2)


def test_compact(folder, random):
    f = factors(folder, "R.npy", "--rank", "5", "--compact")
    assert {name: part.shape for name, part in f.items()} == {"first": (5, 24), "last": (40, 5)}
    u, s, vt = numpy.linalg.svd(random, full_matrices=False)
    close(f["last"] @ f["first"], u[:, :5] * s[:5] @ vt[:5], rounding(random))


def test_centered(folder, random):
    f = factors(folder, "R.npy", "--center", "--thin")
    close(f["mean"], random.mean(axis=0), 40 * EPSILON["float64"] * numpy.abs(random).max())
    close(f["U"] * f["S"] @ f["Vt"] + f["mean"], random, rounding(random))


def test_symmetric(folder):
    f = factors(folder, "S.npy", "--symmetric")
    expected = numpy.array([8, -7, 6, 5, -4, 3, 2, 1])
    close(f["values"], expected, 8 * 8 * EPSILON["float64"] * 8)
    columns = hadamard(8)[:, [0, 1, 2, 3, 4, 5, 6, 7]] / 8**0.5
    close(numpy.abs(f["vectors"]), numpy.abs(columns), 8 * 8 * 8 * EPSILON["float64"])


def test_subspaces(folder):
    f = factors(folder, "low.npy", "--subspaces")
    assert {name: part.shape for name, part in f.items()} == {
        "column": (4, 3), "left_null": (4, 1), "row": (4, 3), "null": (4, 1),
    }
    a = numpy.load(folder / "low.npy").astype(numpy.float64)
    # s_1 = 4, and the bases are rounded to F32.
    close(a @ f["null"], 0, 4 * 4 * EPSILON["float32"])
    close(f["left_null"].T @ a, 0, 4 * 4 * EPSILON["float32"])
    close(f["row"].T @ f["null"], 0, 4 * EPSILON["float32"])


def test_curve(folder):
    assert run(folder, "svd", "A.npy", "--curve", "curve.csv").returncode == 0
    with open(folder / "curve.csv", newline="") as source:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(source)]
    assert [row["k"] for row in rows] == list(range(1, 17))
    squares = numpy.arange(16, 0, -1.0) ** 2
    tails = numpy.sqrt((squares.sum() - numpy.cumsum(squares)) / squares.sum())
    # Values of a Gram matrix in F64 carry 16 * 16 u of s_1^2; the last tail is 0.
    close(numpy.array([row["error"] for row in rows])[:-1], tails[:-1], 256 * EPSILON["float64"])
    close(numpy.array([row["energy"] + row["error"] ** 2 for row in rows]), 1, 4 * EPSILON["float64"])


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_storage_types(folder, dtype):
    assert run(folder, "svd", "A.npy", "--rank", "4", "--dtype", dtype, "-o", "x.npz").returncode == 0
    with numpy.load(folder / "x.npz") as written:
        assert written["U"].dtype == {"f16": numpy.float16, "f32": numpy.float32, "f64": numpy.float64}[dtype]


def test_printed_bounds_round_away_from_promises(folder):
    """The printed error is never below the one in the document, the energy never above."""
    for rank in range(1, 16):
        exact = json.loads(run(folder, "svd", "A.npy", "--rank", str(rank), "--json").stdout)
        lines = dict(line.split(None, 1) for line in run(folder, "svd", "A.npy", "--rank", str(rank)).stdout.splitlines())
        assert float(lines["error"].split()[0]) >= exact["error"]
        assert float(lines["energy"]) <= exact["energy"]
        words = lines["bound"].split()
        assert float(words[2]) >= exact["certificate"]["value"]
        assert float(words[6].strip(",")) <= exact["certificate"]["low"]
