"""Who may name which symbol: read from the objects, where no macro hides anything."""

import re
import subprocess

import pytest

from rules import BUILD, GLOBALS, LAYERS, PUBLIC, SYMBOLS, code, declared, objects, report


@pytest.fixture(scope="module")
def tables():
    found = dict(objects())
    assert found, "libeckart.a has no objects"
    return found


def undefined(table):
    return {name.split("@")[0] for name in re.findall(r"^.*\*UND\*\s+\S+\s+(?:\.hidden )?(\S+)$", table, re.M)}


def defined_functions(table):
    return set(re.findall(r"^\S+ g +F \.text\S*\s+\S+\s+(?:\.hidden )?(\S+)$", table, re.M))


@pytest.mark.parametrize("what", SYMBOLS)
def test_symbols_are_named_where_they_may_be(tables, what):
    pattern, places = SYMBOLS[what]
    violations = []
    for source, table in tables.items():
        if not source.startswith(places or ("\0",)):
            named = sorted(name for name in undefined(table) if re.fullmatch(pattern, name))
            if named:
                violations.append(f"{source}: {what}: {', '.join(named)}")
    report(violations)


def test_every_source_is_in_the_library(tables):
    sources = {path for path in code("src") if path.endswith(".c") and not path.endswith("_tmpl.c")}
    report(sorted(f"{path}: not compiled" for path in sources - tables.keys()))


def test_globals_do_not_change(tables):
    changing = re.compile(r"^\S+ [lgu!] +O (\.t?(?:data|bss)(?!\.rel\.ro)\S*|\*COM\*)\s+\S+\s+(?:\.hidden )?(\S+)$", re.M)
    compiler = re.compile(r"__(?:PRETTY_)?(?:func|FUNCTION)__")
    violations = []
    for source, table in tables.items():
        names = [name for _, name in changing.findall(table) if not compiler.match(name)]
        if names and source not in GLOBALS:
            violations.append(f"{source}: {', '.join(names)}")
    report(violations)


def test_prefixes(tables):
    """What leaves a file begins with eck_ (public) or ecki_ (shared inside)."""
    violations = []
    for source, table in tables.items():
        for name in sorted(defined_functions(table)):
            if not re.match(r"ecki?_", name):
                violations.append(f"{source}: '{name}' is seen from outside its file")
    report(violations)


def exported():
    output = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", str(BUILD / "libeckart.so")],
        check=True, capture_output=True, text=True,
    ).stdout
    return {line.split()[0].split("@")[0] for line in output.splitlines()}


def test_exported_is_declared_and_declared_is_exported():
    public, library = set(declared()), exported()
    report(
        [f"'{name}' is exported and not declared in include/" for name in sorted(library - public)]
        + [f"'{name}' is declared and not exported" for name in sorted(public - library)]
    )


def test_public_functions_are_defined_by_the_layer_that_answers_for_them(tables):
    owner = {}
    for source, table in tables.items():
        for name in defined_functions(table):
            owner[name] = source.split("/")[1]
    violations = []
    for name, (header, _) in declared().items():
        layer = PUBLIC[header.split("/")[-1].removesuffix(".h")]
        if name in owner and owner[name] != layer:
            violations.append(f"'{name}' of {header} belongs to {layer} and lies in {owner[name]}")
    report(violations)
    assert set(owner.values()) <= LAYERS.keys()
