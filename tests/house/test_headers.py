"""Public headers compile alone, in both languages, and say what every function does."""

import re
import subprocess

import pytest

from rules import ROOT, code, declared, read, report

STRICT = ["-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", "include"]
LANGUAGES = {"C11": ["cc", "-std=c11", "-x", "c"], "C++": ["c++", "-std=c++11", "-x", "c++"]}


def compiles(command, source):
    done = subprocess.run([*command, "-"], cwd=ROOT, input=source, capture_output=True, text=True)
    return done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("header", [path.removeprefix("include/") for path in code("include")])
def test_public_header_compiles_alone(header, language):
    # Twice, so that the guard is tried too.
    ok, said = compiles(LANGUAGES[language] + STRICT, f'#include "{header}"\n#include "{header}"\nextern int used;\n')
    assert ok, said


@pytest.mark.parametrize("language", LANGUAGES)
def test_initialisers_compile(language):
    """Every *_INIT macro is a plain positional initialiser of its struct, in both languages."""
    lines, names = [], set()
    for header in code("include"):
        names |= set(re.findall(r"^#define (ECK_\w+)_INIT\b", read(header), re.M))
    for name in sorted(names):
        lines.append(f"extern const {name.lower()} {name.lower()}_used; const {name.lower()} {name.lower()}_used = {name}_INIT;")
    assert lines
    ok, said = compiles(LANGUAGES[language] + STRICT, '#include "eckart/eckart.h"\n' + "\n".join(lines) + "\n")
    assert ok, said


@pytest.mark.parametrize("header", [path for path in code("src") if path.endswith(".h")])
def test_private_header_compiles_alone(header):
    command = ["cc", "-std=gnu11", "-x", "c", *STRICT, "-Wno-pedantic", "-D_GNU_SOURCE", "-I", "src"]
    ok, said = compiles(command, f'#include "{header.removeprefix("src/")}"\nextern int used;\n')
    assert ok, said


def documented(text, start):
    """True if the paragraph of declarations around `start` opens with a doc comment."""
    paragraph = text[: start].rsplit("\n\n", 1)[-1]
    return paragraph.lstrip().startswith("/**") or bool(re.search(r"^/\*\*", paragraph, re.M))


def test_every_public_function_has_a_doc_comment():
    violations = []
    for name, (header, start) in sorted(declared().items()):
        text = read(header)
        named = any(name in comment for comment in re.findall(r"/\*\*.*?\*/", text, re.S))
        ending = name.endswith(("_free", "_clear", "_close")) and named
        if not (documented(text, start) or ending):
            violations.append(f"{header}: '{name}' has no doc comment")
    report(violations)


def test_files_open_with_what_they_hold():
    report([f"{path}: the first line is no comment" for path in code() if not read(path).startswith(("/*", "//"))])
