"""Matrix Market: coordinates and arrays, every symmetry, and what the format's description does not allow."""

import struct

from .case import Case, entry

HEAD = "%%MatrixMarket matrix coordinate real general\n"


def table(rows, kind="d", column_major=False):
    """A dense matrix as it is read, F64 or F32; an array's bytes lie by columns."""
    lines = list(zip(*rows)) if column_major else rows
    data = b"".join(struct.pack("<" + kind, x) for line in lines for x in line)
    return entry("", "F64" if kind == "d" else "F32", [len(rows), len(rows[0])], data, " F" if column_major else "")


def good(name, content, text, warning=""):
    path = f"mtx/{name}.mtx"
    return Case(path, {path: content.encode()}, text=text, warning=warning)


def bad(name, content, offset, text, status="format"):
    path = f"mtx/{name}.mtx"
    return Case(path, {path: content.encode()}, status, offset, text)


def header(words, rest):
    return f"%%MatrixMarket matrix {words}\n{rest}"


def good_cases():
    rows = [[2.5, 0, 0], [0, 0, -1e-3]]
    yield good("general", HEAD + "2 3 2\n1 1 2.5\n2 3 -1e-3\n", table(rows))
    yield good("any-order", HEAD + "2 3 2\n2 3 -1e-3\n1 1 2.5\n", table(rows))
    yield good("no-newline-at-end", HEAD + "2 3 2\n1 1 2.5\n2 3 -1e-3", table(rows))
    yield good("crlf", (HEAD + "2 3 2\n1 1 2.5\n2 3 -1e-3\n").replace("\n", "\r\n"), table(rows))
    yield good("remarks", HEAD + "% made by hand\n\n%\n 2\t3  2\n\n1 1 2.5\n% more\n2 3 -1e-3\n\n", table(rows))
    yield good("case", "%%matrixmarket MATRIX Coordinate Double GENERAL\n2 3 2\n1 1 +2.5\n2 3 -.001\n", table(rows))
    yield good("duplicates", HEAD + "2 3 3\n1 1 2\n2 3 -1e-3\n1 1 .5\n", table(rows),
               "1 entries of 'mtx/duplicates.mtx' are at the place of another")
    yield good("no-entries", HEAD + "2 3 0\n", table([[0.0] * 3] * 2))
    yield good("integer", header("coordinate integer general", "2 2 2\n1 2 -3\n2 1 16777216\n"),
               table([[0, -3], [16777216, 0]], "f"))
    yield good("integer-beyond-f32", header("coordinate integer general", "2 2 2\n1 2 -3\n2 1 16777217\n"),
               table([[0, -3], [16777217, 0]]))
    yield good("pattern", header("coordinate pattern general", "2 2 3\n1 1\n1 2\n2 2\n"), table([[1, 1], [0, 1]], "f"))
    yield good("symmetric", header("coordinate real symmetric", "3 3 3\n1 1 2.5\n3 1 4\n3 2 .5\n"),
               table([[2.5, 0, 4], [0, 0, 0.5], [4, 0.5, 0]]))
    yield good("symmetric-pattern", header("coordinate pattern symmetric", "2 2 2\n1 1\n2 1\n"),
               table([[1, 1], [1, 0]], "f"))
    yield good("skew", header("coordinate real skew-symmetric", "3 3 2\n2 1 2.5\n3 1 4\n"),
               table([[0, -2.5, -4], [2.5, 0, 0], [4, 0, 0]]))
    yield good("array", header("array real general", "2 3\n1\n2\n3\n4\n5\n6.5\n"),
               table([[1, 3, 5], [2, 4, 6.5]], "d", True))
    yield good("array-integer", header("array integer general", "% by columns\n2 1\n-1\n\n7\n"),
               table([[-1], [7]], "f", True))
    yield good("array-symmetric", header("array real symmetric", "3 3\n1\n2\n3\n4\n5\n6.5\n"),
               table([[1, 2, 3], [2, 4, 5], [3, 5, 6.5]], "d", True))
    yield good("array-skew", header("array real skew-symmetric", "3 3\n2\n3\n5\n"),
               table([[0, -2, -3], [2, 0, -5], [3, 5, 0]], "d", True))


def banner_cases():
    yield bad("no-banner", "2 3 2\n1 1 2.5\n", 0, "line 1 is not '%%MatrixMarket matrix' and three words more")
    yield bad("banner-short", "%%MatrixMarket matrix coordinate real\n1 1 0\n", 0, "line 1 is not")
    yield bad("banner-long", "%%MatrixMarket matrix coordinate real general x\n1 1 0\n", 0, "line 1 is not")
    yield bad("vector", "%%MatrixMarket vector coordinate real general\n1 1 0\n", 0,
              "'vector' where matrix must stand", "unsupported")
    yield bad("layout", header("sparse real general", "1 1 0\n"), 0, "'sparse' where coordinate or array must stand")
    yield bad("complex", header("coordinate complex general", "1 1 0\n"), 0,
              "'complex' where real, integer or pattern must stand", "unsupported")
    yield bad("field", header("coordinate reel general", "1 1 0\n"), 0, "'reel' where real, integer or pattern")
    yield bad("array-pattern", header("array pattern general", "1 1\n"), 0, "'pattern' where real or integer must stand")
    yield bad("hermitian", header("coordinate real hermitian", "1 1 0\n"), 0, "'hermitian' where general", "unsupported")
    yield bad("symmetry", header("coordinate real upper", "1 1 0\n"), 0, "'upper' where general, symmetric or skew")
    yield bad("skew-pattern", header("coordinate pattern skew-symmetric", "1 1 0\n"), 0,
              "'skew-symmetric' where general or symmetric must stand")


def size_cases():
    at = len(HEAD)
    yield bad("no-sizes", HEAD + "% nothing\n", at, "the file ends before its sizes")
    yield bad("two-sizes", HEAD + "2 3\n1 1 2.5\n", at, "line 2 has 2 fields where rows, columns and entries stand")
    yield bad("three-sizes", header("array real general", "2 3 1\n1\n"), 41, "line 2 has 3 fields where rows and columns")
    yield bad("size-no-number", HEAD + "2 x 1\n1 1 2.5\n", at, "line 2: 'x' is no size from 0 to 2^53")
    yield bad("size-negative", HEAD + "2 -3 1\n1 1 2.5\n", at, "line 2: '-3' is no size from 0 to 2^53")
    yield bad("size-huge", HEAD + "2 99999999999999999999 1\n1 1 2.5\n", at, "is no size from 0 to 2^53")
    yield bad("rows-without-a-file", HEAD + "2000000000 3 1\n1 1 2.5\n", at,
              "2000000000 x 3, at most 1048852 rows and columns in a file of 69 bytes", "unsupported")
    yield bad("entries-without-a-file", HEAD + "2 3 1000000000\n1 1 2.5\n", at,
              "line 2: 1000000000 entries, 8 bytes of the file are left")
    yield bad("array-without-a-file", header("array real general", "1000000 1000000\n1\n"), 41,
              "line 2: 1000000000000 entries, 2 bytes of the file are left")
    yield bad("symmetric-not-square", header("coordinate real symmetric", "2 3 0\n"), 48,
              "line 2: 2 x 3 is not square, as a symmetric matrix is")
    yield bad("skew-not-square", header("array real skew-symmetric", "2 3\n1\n"), 48, "as a skew-symmetric matrix is")


def entry_cases():
    at = len(HEAD) + len("2 3 2\n1 1 2.5\n")

    def second(name, line, text, offset=at):
        return bad(name, HEAD + "2 3 2\n1 1 2.5\n" + line, offset, text)

    yield second("row-zero", "0 1 1\n", "line 4, entry 2: row '0', 1 to 2 are allowed")
    yield second("row-beyond", "3 1 1\n", "line 4, entry 2: row '3', 1 to 2 are allowed")
    yield second("column-beyond", "2 4 1\n", "line 4, entry 2: column '4', 1 to 3 are allowed")
    yield second("row-negative", "-1 1 1\n", "line 4, entry 2: row '-1', 1 to 2 are allowed")
    yield second("row-no-number", "1.5 1 1\n", "line 4, entry 2: row '1.5', 1 to 2 are allowed")
    yield second("value-missing", "2 1\n", "line 4 has 2 fields where row, column and value stand")
    yield second("value-twice", "2 1 1 1\n", "line 4 has 4 fields where row, column and value stand")
    yield second("many-fields", "2 1 1 1 1 1 1 1 1\n", "line 4 has 6 fields and more where row, column and value stand")
    yield second("value-no-number", "2 1 one\n", "line 4: 'one' is not a number")
    yield second("value-nan", "2 1 nan\n", "line 4: 'nan' is not finite")
    yield second("value-overflows", "2 1 1e999\n", "line 4: '1e999' is not finite")
    yield second("too-few", "", "1 entries, 2 were stated")
    yield second("too-many", "2 1 1\n% ...\n2 2 1\n", "line 6: more than the 2 entries that were stated", at + 12)
    yield second("long-line", "2 1 1" + 3500 * " " + 600 * "\t" + "\n", "line 4 is longer than 4096 bytes")
    yield bad("integer-not-whole", header("coordinate integer general", "2 2 1\n1 2 1.5\n"), 55,
              "line 3: '1.5' is no whole number up to 2^53")
    yield bad("pattern-with-value", header("coordinate pattern general", "2 2 1\n1 2 1\n"), 55,
              "line 3 has 3 fields where row and column stand")
    yield bad("symmetric-above", header("coordinate real symmetric", "2 2 1\n1 2 1\n"), 54,
              "line 3, entry 1: (1,2) is not below the diagonal or on it, which is all a symmetric matrix lists")
    yield bad("skew-diagonal", header("coordinate real skew-symmetric", "2 2 1\n2 2 1\n"), 59,
              "line 3, entry 1: (2,2) is not below the diagonal, which is all a skew-symmetric matrix lists")
    yield bad("array-too-few", header("array real general", "2 2\n1\n2\n3\n"), 51, "3 entries, 4 were stated")
    yield bad("array-two-a-line", header("array real general", "2 2\n1 2\n3 4\n"), 45, "line 3 has 2 fields where one value")
    yield bad("array-too-many", header("array real general", "1 1\n1\n2\n"), 47, "line 4: more than the 1 entries")


def cases():
    yield from good_cases()
    yield from banner_cases()
    yield from size_cases()
    yield from entry_cases()
