"""`eckart._raw` says what the headers say: written from them, and measured against what a C compiler makes of them."""

import ctypes
import enum
import importlib
import os
import re
import subprocess

import eckart
import pytest
from eckart._raw.library import HEADERS, CLibrary
from factored_files import ROOT

INCLUDE = ROOT / "include"
MODULES = {name: importlib.import_module(f"eckart._raw.{name}") for name in HEADERS}


def own(kind):
    """Pairs of name and class defined in the mirror, of a kind."""
    for module in MODULES.values():
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__:
                yield name, value


STRUCTS = {name: value for name, value in own(ctypes.Structure) if hasattr(value, "_fields_")}
ENUMS = dict(own(enum.IntEnum))
INITS = {name: value for module in MODULES.values() for name, value in vars(module).items() if name.endswith("_INIT")}
CONSTANTS = {
    name: value
    for module in MODULES.values()
    for name, value in vars(module).items()
    if name.startswith("ECK_") and isinstance(value, int)
}


def test_every_header_has_its_module():
    headers = {path.stem for path in (INCLUDE / "eckart").glob("*.h")} - {"eckart", "export"}
    assert headers == set(HEADERS)


def test_modules_are_as_the_script_writes_them():
    done = subprocess.run([str(ROOT / "scripts" / "mirror"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def c_lines():
    """C statements, each printing one number per line, and beside each its name and the mirror's number."""
    for name, struct in STRUCTS.items():
        yield f"sizeof({name})", ctypes.sizeof(struct)
        for field, _ in struct._fields_:
            yield f"offsetof({name}, {field})", getattr(struct, field).offset
            yield f"sizeof((({name} *)0)->{field})", getattr(struct, field).size
    for members in ENUMS.values():
        yield from ((member.name, member.value) for member in members)
    yield from CONSTANTS.items()


@pytest.fixture(scope="module")
def run_c(tmp_path_factory):
    """Compiles and runs the body of a main(); its standard output as bytes."""
    directory = tmp_path_factory.mktemp("mirror")

    def run(body):
        source = directory / "print.c"
        source.write_text(
            "#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n#include <eckart/eckart.h>\n"
            f"int main(void)\n{{\n{body}\nreturn 0;\n}}\n"
        )
        program = directory / "print"
        subprocess.run(["cc", "-std=c11", f"-I{INCLUDE}", str(source), "-o", str(program)], check=True)
        return subprocess.run([str(program)], check=True, capture_output=True).stdout

    return run


def test_sizes_offsets_and_values_are_those_of_the_compiler(run_c):
    expected = list(c_lines())
    assert len(STRUCTS) >= 30 and len(ENUMS) >= 10 and len(expected) >= 500
    output = run_c("\n".join(f'printf("%lld\\n", (long long)({text}));' for text, _ in expected))
    wrong = [
        f"{text}: C says {found.decode()}, the mirror {value}"
        for (text, value), found in zip(expected, output.split(), strict=True)
        if int(found) != value
    ]
    assert not wrong, "\n".join(wrong)


def test_initialisers_give_the_same_bytes(run_c):
    """Member by member: padding holds anything."""
    assert len(INITS) >= 8
    for macro, make in INITS.items():
        made = make()
        name = type(made).__name__
        output = run_c(
            f"static {name} made = {macro}; {name} zero; memset(&zero, 0, sizeof zero);\n"
            + "\n".join(
                f"memcpy((char *)&zero + offsetof({name}, {f}), &made.{f}, sizeof made.{f});" for f, _ in made._fields_
            )
            + "\nfwrite(&zero, 1, sizeof zero, stdout);"
        )
        found = type(made).from_buffer_copy(output)
        assert plain(found) == plain(made), macro


def plain(value):
    """A struct as nested tuples."""
    if isinstance(value, ctypes.Structure):
        return tuple(plain(getattr(value, name)) for name, _ in value._fields_)
    if isinstance(value, ctypes.Array):
        return tuple(value)
    return None if isinstance(value, (ctypes._CFuncPtr, ctypes._Pointer)) and not value else value


def test_every_exported_function_has_a_prototype():
    output = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", os.environ["ECKART_LIBRARY"]],
        check=True, capture_output=True, text=True,
    ).stdout
    exported = {line.split()[0].split("@")[0] for line in output.splitlines()}
    exported = {name for name in exported if name.startswith("eck_")}
    assert len(exported) > 80
    assert exported <= {name for module in MODULES.values() for name in module.FUNCTIONS}


def test_functions_have_as_many_parameters_as_in_the_header():
    """Counted another way than the script reads them."""
    count = 0
    for header, module in MODULES.items():
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (INCLUDE / "eckart" / f"{header}.h").read_text(), flags=re.S)
        for name, parameters in re.findall(r"ECK_API[^;(]*?(eck_\w+)\s*\(([^;]*)\);", text):
            wanted = 0 if parameters.strip() == "void" else parameters.count(",") + 1
            assert len(module.FUNCTIONS[name][1]) == wanted, name
            count += 1
    assert count == sum(len(module.FUNCTIONS) for module in MODULES.values())


def test_a_library_that_is_not_there_is_said(tmp_path):
    code = "import eckart\ntry:\n    eckart.svdvals([[1.0]])\nexcept eckart.LibraryError as error:\n    print(error)"
    environment = {**os.environ, "ECKART_LIBRARY": str(tmp_path / "none.so"), "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run([os.sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "cannot load libeckart" in done.stdout and "none.so" in done.stdout


def test_unknown_functions_are_refused():
    library = CLibrary(os.environ["ECKART_LIBRARY"])
    assert library.eck_version().decode() == eckart.__version__
    with pytest.raises(AttributeError, match="eck_nothing"):
        library.eck_nothing()


def test_importing_needs_neither_torch_nor_scikit_learn_nor_the_library(tmp_path):
    code = "import eckart, sys; print({'torch', 'sklearn', 'eckart._raw', 'eckart.linalg'} & set(sys.modules))"
    environment = {**os.environ, "ECKART_LIBRARY": str(tmp_path / "none.so"), "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run([os.sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
