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
    violations = []
    for path, name, line, _, signature in c_functions():
        inner = re.sub(r"\([^()]*\)", "", signature.strip()[1:-1])
        count = inner.count(",") + 1
        if count > SIZES["parameters"]:
            violations.append(f"{path}:{line}: '{name}' has {count} parameters, at most {SIZES['parameters']}")
    report(violations)


def test_nesting():
    """Braces within braces: the body of a function is level 0."""
    violations = []
    for path, name, line, size, _ in c_functions():
        text = re.sub(r"'(?:\\.|[^'\\])'" + r'|"(?:\\.|[^"\\])*"', "", uncommented(read(path)))
        body = "\n".join(text.split("\n")[line - 1 : line - 1 + size])
        depth = deepest = 0
        for brace in re.findall(r"[{}]", body):
            depth += 1 if brace == "{" else -1
            deepest = max(deepest, depth)
        if deepest - 1 > SIZES["nesting"]:
            violations.append(f"{path}:{line}: '{name}' nests {deepest - 1} deep, at most {SIZES['nesting']}")
    report(violations)
