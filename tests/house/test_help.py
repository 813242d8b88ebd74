"""Every command's help agrees with its page: the same options, the same arguments, the same one-line descriptions."""

import re
import subprocess

import pytest

from rules import BUILD, ROOT, report

HEADINGS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
OPTION = re.compile(r"  (?:-(\w), |    )--([a-z-]+)(?: ([^ ]+))?(?:  +(.*))?")


def help_of(*command):
    done = subprocess.run([BUILD / "eckart", *command, "--help"], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def commands():
    listed = re.search(r"^Commands\n(.*?)\n\n", help_of(), re.M | re.S).group(1)
    return dict(re.match(r"  ([a-z]+) +(.*)", line).groups() for line in listed.splitlines())


def page_of(command):
    name = f"eckart-{command}" if command else "eckart"
    return (ROOT / "docs/man" / f"{name}.1").read_text()


def sentence(text):
    return text[0].upper() + text[1:] + "."


def options_in_help(text):
    """Option -> (letter, argument, description); a long option has its description on the line below."""
    found, lines = {}, text.splitlines()
    for line, below in zip(lines, lines[1:] + [""]):
        match = OPTION.fullmatch(line)
        if match:
            letter, name, argument, said = match.groups()
            found[name] = (letter, argument, sentence((said or below).strip()))
    return found


def options_in_page(text):
    found = {}
    section = re.search(r"^\.Sh OPTIONS\n(.*?)^\.Sh ", text, re.M | re.S).group(1)
    for item, said in re.findall(r"^\.It (.*)\n(.*)$", section, re.M):
        match = re.fullmatch(r"(?:Fl (\w) , )?Fl -([a-z-]+)(?: Ar (\S+))?", item)
        assert match, f"'.It {item}' is no option"
        found[match.group(2)] = (match.group(1), match.group(3), said)
    return found


@pytest.mark.parametrize("command", commands())
def test_options_agree(command):
    in_help, in_page = options_in_help(help_of(command)), options_in_page(page_of(command))
    assert len(in_help) > 5
    assert list(in_help) == list(in_page)
    report([f"--{name}: help {in_help[name]}, page {in_page[name]}" for name in in_help if in_help[name] != in_page[name]])


@pytest.mark.parametrize("command, summary", commands().items())
def test_summaries_agree(command, summary):
    assert f"\n.Nd {summary}\n" in page_of(command)
    assert f"\n{summary}\n" in help_of(command)
    assert f".It Cm {command}\n{sentence(summary)}\n" in page_of("")


@pytest.mark.parametrize("command", commands())
def test_examples_agree(command):
    in_help = help_of(command).split("\nExamples\n")[1]
    in_page = re.search(r"^\.Sh EXAMPLES\n\.Bd -literal\n(.*?)^\.Ed$", page_of(command), re.M | re.S).group(1)
    assert [line.strip() for line in in_help.splitlines()] == in_page.splitlines()


@pytest.mark.parametrize("command", ["", *commands()])
def test_page_has_its_parts(command):
    headings = re.findall(r"^\.Sh (.*)$", page_of(command), re.M)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS


@pytest.mark.parametrize("command", ["", *commands()])
def test_page_renders(command):
    """Every option of the help is in the rendered page; warnings of the formatter fail."""
    name = f"eckart-{command}.1" if command else "eckart.1"
    pages = ROOT / "docs/man"
    lint = subprocess.run(["mandoc", "-Tlint", name], cwd=pages, capture_output=True, text=True)
    assert lint.stdout + lint.stderr == ""
    environment = {"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["man", "--warnings", "-l", name], cwd=pages, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == ""
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    options = options_in_help(help_of(command)) if command else ["version"]
    report([f"--{option} is not shown" for option in options if f"--{option}" not in plain])


def test_help_fits_the_width():
    texts = {command: help_of(command) for command in commands()} | {"": help_of()}
    report([
        f"{command}: {len(line)} columns: {line}"
        for command, text in texts.items()
        for line in text.splitlines()
        if len(line) > 100
    ])
