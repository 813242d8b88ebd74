"""What the documents name exists."""

import re

from rules import ROOT, read, report, tracked


def test_targets_named_in_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
    report([
        f"{path}: 'make {name}'"
        for path in tracked("*.md")
        for name in re.findall(r"`make ([a-z-]+)", read(path))
        if name not in targets
    ])


def test_files_named_in_documents_exist():
    pattern = r"`((?:src|include|tests|docs|bench|scripts|cli|python|examples|fuzz)/[\w./-]+)`"
    report([
        f"{path}: '{name}'"
        for path in tracked("*.md")
        for name in re.findall(pattern, read(path))
        if not (ROOT / name).exists() and not name.startswith(("docs/results",))
    ])
