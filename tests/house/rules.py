"""The rules of the house as data, and the few ways to look at the tree. Each table has its one home here."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ECKART_BUILD", ROOT / "build"))

# What the sources of a layer may include: itself and every layer to its right (docs/design.md).
LAYERS = {
    "base": {"base"},
    "tensor": {"tensor", "base"},
    "linalg": {"linalg", "tensor", "base"},
    "decompose": {"decompose", "linalg", "tensor", "base"},
    "runtime": {"runtime", "linalg", "tensor", "base"},
    "format": {"format", "tensor", "base"},
    "model": {"model", "decompose", "runtime", "linalg", "format", "tensor", "base"},
    "report": {"report", "model", "decompose", "runtime", "linalg", "format", "tensor", "base"},
}

# The layer that answers for a public header; including the header is using the layer.
PUBLIC = {
    "export": "base",
    "status": "base",
    "context": "base",
    "array": "tensor",
    "sparse": "tensor",
    "stage": "tensor",
    "machine": "linalg",
    "operator": "linalg",
    "svd": "linalg",
    "batch": "linalg",
    "decompose": "decompose",
    "factored": "decompose",
    "als": "decompose",
    "multilinear": "decompose",
    "runtime": "runtime",
    "bench": "model",
    "adapter": "model",
    "file": "format",
    "model": "model",
    "report": "report",
}

# Folders that see what a user sees. A file may still include headers that lie beside it.
OUTSIDE = ("cli", "python", "examples", "bench", "tests/identity", "tests/memory", "tests/cli", "tests/golden")

# Headers of other projects, and the places that may include them.
FOREIGN = {
    r"(cblas|lapack|lapacke|f77blas|openblas_config)\.h": ("src/linalg/lapack.c", "src/linalg/gemm.c"),
    r"(omp|pthread|threads)\.h": ("src/base/",),
    r"Random123/.*": ("src/base/",),
    r"jansson\.h": ("src/base/", "src/format/", "src/model/", "src/report/"),
    r"zlib\.h": ("src/format/",),
    r"openssl/.*": ("src/base/",),
    r"(oneapi/dnnl/)?dnnl.*\.h": ("src/runtime/onednn.c",),
}

# Undefined symbols of an object of the library, and the objects that may have them: a source file or a folder.
SYMBOLS = {
    "BLAS and LAPACK": (
        r"cblas_\w+|LAPACKE_\w+|(?:[sdcz]|i[sd])[a-z][a-z0-9]{2,6}_",
        ("src/linalg/lapack.c", "src/linalg/gemm.c"),
    ),
    "oneDNN": (r"dnnl_\w+", ("src/runtime/onednn.c",)),
    "memory": (
        r"(?:c|re)?alloc|malloc|free|reallocarray|posix_memalign|aligned_alloc|memalign|strn?dup|v?asprintf"
        r"|__v?asprintf_chk|getline|getdelim|open_memstream|realpath|__realpath_chk|m(?:un|re)?map(?:64)?",
        ("src/base/",),
    ),
    "threads": (r"pthread_\w+|omp_\w+|GOMP_\w+|thrd_\w+|__kmpc_\w+|fork|clone", ("src/base/",)),
    "files": (
        r"(?:f|fd|fre)?open(?:64|at|at64|dir)?|__open(?:64|at|at64)?_2|fdopendir|creat(?:64)?|mkdir(?:at)?|mkd?o?s?temps?"
        r"|rename(?:at2?)?|unlink(?:at)?|remove|rmdir|link(?:at)?|symlink(?:at)?|chdir|truncate(?:64)?",
        ("src/format/",),
    ),
    "printing and ending": (
        r"v?f?printf|__v?f?printf_chk|v?dprintf|__v?dprintf_chk|f?puts|f?putc|putchar|perror|stdout|stderr|stdin"
        r"|_?[eE]xit|quick_exit|abort|signal|sigaction|setlocale|setenv|putenv|raise|kill|dup2",
        (),
    ),
    "random numbers that are not ours": (r"s?rand(?:_r|om|om_r)?|[dejlmn]rand48|getrandom|arc4random\w*", ()),
    "functions without a bound": (r"gets|strcpy|strcat|sprintf|vsprintf|__v?sprintf_chk|strtok|alloca", ()),
}

# Globals that change, and why they may.
GLOBALS = {
    "src/base/cpu.c": "what the processor can do, asked once",
    "src/base/memory.c": "the allocator, set once before first use",
    "src/base/parallel.c": "the host's BLAS threads while they are lent, and the locks around that",
    "src/base/text.c": "the C locale, made once",
}

SIZES = {"function": 80, "file": 800, "parameters": 6, "nesting": 3}


def tracked(*patterns):
    """Paths git knows and that are there, relative to the root, matching any of the globs (all without one)."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def code(*folders):
    """C sources and headers under the folders."""
    return [p for p in tracked("*.c", "*.h") if not folders or p.startswith(tuple(f + "/" for f in folders))]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])+'", re.S)


def uncommented(text, strings=True):
    """C text with comments blanked, and without `strings` also literals; line structure is kept."""

    def blank(match):
        keep = strings and match.group(0)[0] in "\"'"
        return match.group(0) if keep else re.sub(r"[^\n]", " ", match.group(0))

    return TOKEN.sub(blank, text)


def declared():
    """Public functions by name, each with its header and the offset of its declaration."""
    found = {}
    for header in code("include"):
        for match in re.finditer(r"^ECK_API\b[^;(]*?\b(eck_\w+)\s*\(", uncommented(read(header)), re.M):
            found[match.group(1)] = (header, match.start())
    return found


def member_source(member):
    """Source file of an object of the static library: Meson calls it src_<layer>_<file>.c.o."""
    for source in code("src"):
        if member == source.replace("/", "_") + ".o":
            return source
    raise AssertionError(f"object '{member}' of libeckart.a belongs to no source file")


def objects():
    """Pairs of source file and output of objdump -t for every object of the static library."""
    output = subprocess.run(
        ["objdump", "-t", str(BUILD / "libeckart.a")], check=True, capture_output=True, text=True
    ).stdout
    for part in re.split(r"^(?=\S+\.o:\s+file format)", output, flags=re.M)[1:]:
        yield member_source(part.split(":", 1)[0]), part


def report(violations):
    """Fails with one line a violation."""
    if violations:
        pytest.fail("\n".join(violations), pytrace=False)
