"""One case: what to open, the files it needs, what must come of it."""

import zlib
from dataclasses import dataclass, field


@dataclass
class Case:
    path: str  # to open
    files: dict = field(default_factory=dict)  # name: bytes, or text for the target of a symbolic link
    status: str = "ok"
    offset: int = -1
    text: str = ""
    warning: str = ""


def entry(name, dtype, shape, data, flags=""):
    """An entry of the index as the replay prints it."""
    dims = ",".join(str(d) for d in shape)
    return f"{name} {dtype} [{dims}]{flags} {zlib.crc32(data):08x}"


def index(*entries):
    return "; ".join(entries)
