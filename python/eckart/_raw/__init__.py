"""libeckart as it is: one module a header, structs, enums and prototypes under their C names, nothing added.

The modules named like headers are written by `scripts/mirror` and held against the headers by a test. `library()` loads
the shared library, once.
"""

from .library import CLibrary, library

__all__ = ["CLibrary", "library"]
