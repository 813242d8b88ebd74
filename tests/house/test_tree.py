"""The tree: one name for one file, a README in every folder, clang-format's layout, nothing of one machine."""

import collections
import pathlib
import re
import subprocess

import pytest

from rules import ROOT, code, read, report, tracked

# Names that tools want; everything else is unique.
SHARED_NAMES = {"README.md", "meson.build", "__init__.py", "conftest.py", ".gitignore"}
# Folders of data: their parent's README speaks for them.
DATA = re.compile(r"tests/(?:golden|cli|peers|quality)/.+|fuzz/corpus/.+|\.ci|docs/man/.+")
TOP = {
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "meson.build", "meson_options.txt",
    ".clang-format", ".gitignore",
}
# Written so that this file does not find itself.
OF_ONE_MACHINE = re.compile(
    r"/w[o]rk/|/r[o]ot/|/h[o]me/\w|/[o]pt/wheels|/tmp/(?:w[t]|p[v])/|pyth[o]nhosted|pyp[i]\.org|deb\.deb[i]an\.org"
)

# Notes that were read while this was written and are no part of it: say it here, or name the paper.
NOT_HERE = re.compile(
    r"\b(?:(?:NUMERI[C]S|FORMAT[S]|PEER[S]|STYLE-EXAMPL[E]S|API-SKET[C]H)\b|(?:DESIG[N]|INPUT[S])(?: \d|\.md))"
)


def text_files():
    for path in tracked():
        if path.startswith(("tests/golden/", "fuzz/corpus/")):
            continue
        try:
            yield path, read(path)
        except UnicodeDecodeError:
            continue


def test_file_names_are_unique():
    """A layer's private header may have the name of its public one: the folder in the include tells them apart."""
    places = collections.defaultdict(list)
    for path in tracked("*.c", "*.h", "*.py", "scripts/*"):
        if path.startswith("include/") and (ROOT / path.replace("include/eckart", f"src/{pathlib.PurePath(path).stem}")).is_file():
            continue
        places[pathlib.PurePath(path).name].append(path)
    report([
        f"'{name}': {', '.join(paths)}"
        for name, paths in places.items()
        if len(paths) > 1 and name not in SHARED_NAMES
    ])


def test_every_folder_has_a_short_readme():
    folders = {str(parent) for path in tracked() for parent in pathlib.PurePath(path).parents} - {"."}
    violations = []
    for folder in sorted(f for f in folders if not DATA.fullmatch(f)):
        readme = ROOT / folder / "README.md"
        if not readme.is_file():
            violations.append(f"{folder}: no README.md")
        elif len(readme.read_text().splitlines()) > 10:
            violations.append(f"{folder}/README.md: more than ten lines")
    report(violations)


def test_the_root_holds_nothing_else():
    report([path for path in tracked() if "/" not in path and path not in TOP])


def test_nothing_of_one_machine():
    report([
        f"{path}:{text[: match.start()].count(chr(10)) + 1}: '{match.group(0)}'"
        for path, text in text_files()
        for match in OF_ONE_MACHINE.finditer(text)
    ])


def test_nothing_refers_to_notes_that_are_not_here():
    report([
        f"{path}:{text[: match.start()].count(chr(10)) + 1}: '{match.group(0)}'"
        for path, text in text_files()
        if path.endswith((".c", ".h", ".py", ".md", ".build"))
        for match in NOT_HERE.finditer(text)
    ])


def test_text_is_tidy():
    """No tabs in sources, no blanks at line ends, a newline at the end of the file."""
    violations = []
    for path, text in text_files():
        if path.startswith("tests/cli/") or path == "LICENSE":
            continue
        if text and not text.endswith("\n"):
            violations.append(f"{path}: no newline at the end")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip() or ("\t" in line and not path.endswith(("Makefile", ".1", ".tsv", ".csv"))):
                violations.append(f"{path}:{number}: blanks")
    report(violations)


def test_clang_format():
    files = code()
    done = subprocess.run(
        ["clang-format-14", "--dry-run", "--Werror", *files], cwd=ROOT, capture_output=True, text=True
    )
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr, re.M)))
    report([f"{path}: not as clang-format lays it out (make format)" for path in wrong])
    assert done.returncode == 0, done.stderr


def opening(text):
    """The comment a file opens with."""
    match = re.match(r"\s*/\*.*?\*/|(?:\s*//[^\n]*\n)+", text, re.S)
    return match.group(0) if match else ""


def test_sources_have_their_unit_tests():
    """tests/unit mirrors src: every src/<layer>/<file>.c has its test_<file>.c, or is named in what a sister opens with."""
    violations = []
    for layer in sorted({path.split("/")[1] for path in code("src")}):
        tests = [path for path in code(f"tests/unit/{layer}") if pathlib.PurePath(path).name.startswith("test_")]
        named = " ".join([pathlib.PurePath(path).name.removeprefix("test_") for path in tests]
                         + [opening(read(path)) for path in tests])
        for path in code(f"src/{layer}"):
            name = pathlib.PurePath(path).name
            if name.endswith(".c") and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", named):
                violations.append(f"{path}: no test of tests/unit/{layer} is called after it or names it")
    report(violations)


LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.mark.parametrize("path", tracked("*.md"))
def test_links_lead_somewhere(path):
    report([
        f"{path}: '{target}'"
        for target in LINK.findall(read(path))
        if not re.match(r"[a-z]+:", target) and not ((ROOT / path).parent / target).exists()
    ])
