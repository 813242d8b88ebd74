"""csv: tables people have."""

import struct

from .case import Case, entry


def table(rows):
    data = b"".join(struct.pack("<d", x) for row in rows for x in row)
    return entry("", "F64", [len(rows), len(rows[0])], data)


def good(name, content, rows, ending="csv"):
    path = f"csv/{name}.{ending}"
    return Case(path, {path: content.encode() if isinstance(content, str) else content}, text=table(rows))


def bad(name, content, offset, text, status="format"):
    path = f"csv/{name}.csv"
    return Case(path, {path: content.encode() if isinstance(content, str) else content}, status, offset, text)


def cases():
    rows = [[1, -2.5], [3e10, 0.1]]
    yield good("comma", "1,-2.5\n3e10,0.1\n", rows)
    yield good("no-newline-at-end", "1,-2.5\n3e10,0.1", rows)
    yield good("crlf", "1,-2.5\r\n3e10,0.1\r\n", rows)
    yield good("semicolon", "1;-2.5\n3e10;0.1\n", rows)
    yield good("tab", "1\t-2.5\n3e10\t0.1\n", rows, "tsv")
    yield good("blanks", "  1   -2.5 \n3e10 \t 0.1\n", rows, "txt")
    yield good("blanks-around-commas", " 1 , -2.5\n3e10,\t0.1\n", rows)
    yield good("header", "width,height\n1,-2.5\n3e10,0.1\n", rows)
    yield good("quotes", '"width, in m","height"\n"1",-2.5\n3e10,"0.1"\n', rows)
    yield good("remarks", "# made by hand\n\n1,-2.5 # first\n   \n#3,4\n3e10,0.1\n", rows)
    yield good("byte-order-mark", "\ufeff1,-2.5\n3e10,0.1\n", rows)
    yield good("one-number", "2.385\n", [[2.385]])
    yield good("one-column", "x\n1\n2\n3\n", [[1], [2], [3]])
    yield good("infinite", "inf,-inf\n1,2\n", [[float("inf"), -float("inf")], [1, 2]])
    yield good("rounding", "0.1,1e-320,179769313486231580793e289\n", [[0.1, 1e-320, 179769313486231580793e289]])
    yield bad("empty", "", 0, "the file is empty")
    yield bad("remarks-only", "# nothing\n\n", 11, "it holds no numbers")
    yield bad("header-only", "a,b\n", 4, "it holds no numbers")
    yield bad("word", "1,2\n3,four\n", 6, "line 2, column 2: 'four' is not a number")
    yield bad("word-first", "1,two\n3,4\n", 2, "line 1, column 2: 'two' is not a number")
    yield bad("second-header", "a,b\nc,d\n1,2\n", 4, "line 2, column 1: 'c' is not a number")
    yield bad("decimal-comma", "1;2\n3;4,5\n", 6, "line 2, column 2: '4,5' is not a number")
    yield bad("too-few", "1,2\n# x\n3\n", 8, "line 3 has 1 numbers, line 1 has 2")
    yield bad("too-many", "a,b\n1,2\n3,4,5\n", 8, "line 3 has 3 numbers, line 2 has 2")
    yield bad("field-empty", "1,,3\n", 2, "line 1, column 2: '' is not a number")
    yield bad("comma-at-end", "1,2,\n", 4, "line 1, column 3: '' is not a number")
    yield bad("nul", b"1,2\n3,4\0\n", 6, "line 2, column 2: '4' is not a number")
    yield bad("hexadecimal", "1,0x10\n", 2, "'0x10' is not a number")
    yield bad("two-points", "1,1.2.3\n", 2, "'1.2.3' is not a number")
