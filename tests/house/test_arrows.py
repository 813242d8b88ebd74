"""Who may include whom."""

import re

from rules import FOREIGN, LAYERS, OUTSIDE, PUBLIC, ROOT, code, read, report, uncommented

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def includes(path):
    return INCLUDE.findall(uncommented(read(path)))


def layer_of(name):
    """Layer an include in quotes uses, None if it is no header of ours."""
    folder, _, header = name.partition("/")
    if folder == "eckart":
        return PUBLIC.get(header.removesuffix(".h"))
    return folder if folder in LAYERS else None


def beside(path, name):
    """True if the included header lies in the includer's own folder or in a parent under tests/."""
    folder = (ROOT / path).parent
    return any((place / name).is_file() for place in [folder, *folder.parents] if place.is_relative_to(ROOT))


def test_sources_include_only_layers_to_their_right():
    """A unit test may include what its layer may, every public header, and what lies beside it."""
    violations = []
    for path in code("src", "tests/unit"):
        test = path.startswith("tests/")
        layer = path.split("/")[2 if test else 1]
        for quote, name in includes(path):
            used = layer_of(name)
            if test and (name.startswith("eckart/") or (used is None and beside(path, name))):
                continue
            if quote == '"' and used is None:
                violations.append(f"{path}: '{name}' is no header of a layer")
            elif used is not None and used not in LAYERS[layer]:
                violations.append(f"{path}: {layer} may not use {used} ('{name}')")
            elif used is not None and quote == "<":
                violations.append(f"{path}: '{name}' is ours and wants quotes")
    report(violations)


def test_users_include_public_headers_only():
    violations = []
    for path in code(*OUTSIDE):
        for quote, name in includes(path):
            if layer_of(name) is not None and not name.startswith("eckart/"):
                violations.append(f"{path}: '{name}' is private")
            elif quote == '"' and not name.startswith("eckart/") and not beside(path, name):
                violations.append(f"{path}: '{name}' is neither public nor beside it")
    report(violations)


def test_public_headers_include_little():
    allowed = {"stddef.h", "stdint.h", "stdbool.h"}
    report([
        f"{path}: '{name}'"
        for path in code("include")
        for quote, name in includes(path)
        if not (name in allowed if quote == "<" else name.startswith("eckart/"))
    ])


def test_headers_of_other_projects_are_included_in_one_place():
    violations = []
    for path in code("src"):
        for _, name in includes(path):
            for pattern, places in FOREIGN.items():
                if re.fullmatch(pattern, name) and not path.startswith(places):
                    violations.append(f"{path}: '{name}' belongs to {', '.join(places)}")
    report(violations)


def test_every_layer_has_its_rule():
    folders = {path.split("/")[1] for path in code("src")}
    assert folders <= LAYERS.keys()
    headers = {path.split("/")[-1].removesuffix(".h") for path in code("include")} - {"eckart"}
    assert headers == PUBLIC.keys()


def test_one_header_gives_everything():
    given = {name for _, name in includes("include/eckart/eckart.h")}
    assert given == {f"eckart/{name}.h" for name in PUBLIC}
