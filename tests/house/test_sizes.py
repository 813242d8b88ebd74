"""Functions and files stay small enough to read. Prints median and maximum, so that growth shows."""

import ast
import json
import re
import statistics
import subprocess

from rules import ROOT, SIZES, code, read, report, tracked, uncommented


def c_functions():
    """Tuples (path, name, first line, lines, signature) of every C function."""
    paths = [path for path in code() if path.endswith(".c")]
    output = subprocess.run(
        ["ctags", "--languages=C", "--kinds-C=f", "--fields=+neS", "--output-format=json", "-f", "-", *paths],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    for line in output.splitlines():
        tag = json.loads(line)
        yield tag["path"], tag["name"], tag["line"], tag["end"] - tag["line"] + 1, tag.get("signature", "()")


def python_functions():
    for path in tracked("*.py"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, node.name, node.lineno, node.end_lineno - node.lineno + 1


def show(what, sizes):
    if sizes:
        print(f"{what}: {len(sizes)}, median {statistics.median(sizes):g} lines, longest {max(sizes)}")


def test_functions(capsys):
    functions = [f[:4] for f in c_functions()]
    in_python = list(python_functions())
    with capsys.disabled():
        print()
        show("C functions in src and cli", [f[3] for f in functions if f[0].startswith(("src/", "cli/"))])
        show("C functions in tests", [f[3] for f in functions if f[0].startswith("tests/")])
        show("Python functions", [f[3] for f in in_python])
    report([
        f"{path}:{line}: '{name}' has {size} lines, at most {SIZES['function']}"
        for path, name, line, size in functions + in_python
        if size > SIZES["function"]
    ])


def test_files(capsys):
    sizes = {path: read(path).count("\n") for path in code() + tracked("*.py", "scripts/*", "*.md")}
    with capsys.disabled():
        show("C files", [size for path, size in sizes.items() if path.endswith(".c")])
        show("headers", [size for path, size in sizes.items() if path.endswith(".h")])
    report([f"{path}: {n} lines, at most {SIZES['file']}" for path, n in sizes.items() if n > SIZES["file"]])


def test_parameters():
    """`context` and `err`, which every function that works and can fail takes last, do not count."""
    violations = []
    for path, name, line, _, signature in c_functions():
        inner = re.sub(r"\([^()]*\)", "", signature.strip()[1:-1])
        count = sum(not re.search(r"\*\s*(context|err)\s*$", part) for part in inner.split(","))
        if count > SIZES["parameters"]:
            violations.append(f"{path}:{line}: '{name}' has {count} parameters, at most {SIZES['parameters']}")
    report(violations)


def deepest_block(body):
    """How deep blocks lie in blocks; the braces of initialisers and compound literals do not count."""
    kinds, deepest = [], 0
    for match in re.finditer(r"[{}]", body):
        if match.group(0) == "}":
            kinds.pop()
            continue
        before = body[: match.start()]
        # As clang-format lays it out: a block follows ") ", "else ", "do ", a label or another statement.
        kinds.append(bool(re.search(r"(\)[ \n]+|\belse |\bdo |[;{}:]\s*)$", before)) and not before.endswith("{ "))
        deepest = max(deepest, sum(kinds))
    return deepest


def test_nesting():
    """The body of a function is level 0."""
    violations = []
    for path, name, line, size, _ in c_functions():
        text = uncommented(read(path), strings=False)
        depth = deepest_block("\n".join(text.split("\n")[line - 1 : line - 1 + size])) - 1
        if depth > SIZES["nesting"]:
            violations.append(f"{path}:{line}: '{name}' nests {depth} deep, at most {SIZES['nesting']}")
    report(violations)
