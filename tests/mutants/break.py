"""Breaks a copy of the tree in every way of table.py and wants the named tests red each time.

    python3 tests/mutants/break.py [--only PART] [--junitxml FILE]

The copy lives in build/mutants and is built once; a mutant costs one file's compilation and its tests. First all tests
are run on the unbroken copy: a mutant with a test that is red there already is a failure, since it proves nothing.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import table

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build/mutants"


def run(command, **options):
    return subprocess.run(
        command, cwd=COPY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def copy_tree():
    """The files git knows, as they are now; unchanged ones keep their times, so that a second run builds little."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    for name in sorted(filter(None, names)):
        target = COPY / name
        if (ROOT / name).is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(os.readlink(ROOT / name))
            continue
        if not (ROOT / name).is_file():
            continue
        if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
            shutil.copymode(ROOT / name, target)


def build():
    if not (COPY / "build/build.ninja").exists():
        # Broken code may warn; it is the tests that must notice.
        done = run(["meson", "setup", "build", "-Dwerror=false"])
        if done.returncode != 0:
            return done
    return run(["ninja", "-C", "build"])


def red(tests):
    """True if any of the tests fails, and what it said. A name with a slash is a pytest path, any other a Meson test."""
    meson = [name for name in tests if "/" not in name]
    pytest = [name for name in tests if "/" in name]
    said = ""
    if meson:
        done = run(["meson", "test", "-C", "build", "--no-rebuild", "--num-processes", "2", *meson])
        said += done.stdout
        if done.returncode != 0:
            return True, said
    if pytest:
        python = ROOT / ".eckart/venv/bin/python"
        environment = {**os.environ, "ECKART_BUILD": str(COPY / "build"), "PYTHONPATH": str(COPY / "python")}
        command = [str(python), "-m", "pytest", "-c", "tests/pytest.ini", "-x", "-m", "not long", *pytest]
        done = run(command, env=environment)
        said += done.stdout
        # 0 green, 1 red; anything else means that pytest itself could not run them.
        assert done.returncode in (0, 1), said
        return done.returncode == 1, said
    return False, said


def red_already(tests):
    """The tests that fail on the unbroken copy: what they say of a mutant means nothing."""
    if not red(tests)[0]:
        return set()
    return {test for test in tests if red([test])[0]}


def attempt(mutant):
    """What is wrong with the mutant, or None if the tests noticed it. The file is put back in any case."""
    path = COPY / mutant["file"]
    text = path.read_text()
    if text.count(mutant["old"]) != 1:
        return f"does not apply: the text stands {text.count(mutant['old'])} times in {mutant['file']}"
    try:
        path.write_text(text.replace(mutant["old"], mutant["new"]))
        built = build()
        if built.returncode != 0:
            return "does not compile:\n" + built.stdout[-2000:]
        noticed, said = red(mutant["tests"])
        return None if noticed else f"lives: {', '.join(mutant['tests'])} stayed green\n" + said[-2000:]
    finally:
        path.write_text(text)


def write_junit(path, results):
    suite = xml.Element("testsuite", name="mutants", tests=str(len(results)))
    for name, fault, seconds in results:
        case = xml.SubElement(suite, "testcase", classname="mutants", name=name, time=f"{seconds:.2f}")
        if fault:
            xml.SubElement(case, "failure", message=fault.splitlines()[0]).text = fault
    xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="mutants whose file or name holds this")
    parser.add_argument("--junitxml")
    options = parser.parse_args()
    mutants = [mutant for mutant in table.MUTANTS if options.only in f"{mutant['file']} {mutant['name']}"]
    copy_tree()
    built = build()
    if built.returncode != 0:
        sys.exit("mutants: the unbroken copy does not build:\n" + built.stdout[-4000:])
    unsound = red_already(sorted({test for mutant in mutants for test in mutant["tests"]}))
    results = []
    for mutant in mutants:
        start = time.monotonic()
        useless = unsound.intersection(mutant["tests"])
        fault = f"red without it: {', '.join(sorted(useless))}" if useless else attempt(mutant)
        results.append((mutant["name"], fault, time.monotonic() - start))
        print(f"{'LIVES ' if fault else 'killed'} {mutant['name']}{': ' + fault if fault else ''}", flush=True)
    build()
    if options.junitxml:
        write_junit(options.junitxml, results)
    lived = sum(1 for _, fault, _ in results if fault)
    print(f"mutants: {len(results) - lived} of {len(results)} killed")
    sys.exit(1 if lived or not results else 0)


if __name__ == "__main__":
    main()
