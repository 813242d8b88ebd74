"""eckart: low-rank compression of neural networks.

`svd`, `svdvals`, `eigh`, `svd_batch` and `TruncatedSVD` take matrices apart; `plan`, `compress`, `verify` and `restore` do whole
models, `lora` adapters. They call libeckart, which is loaded when first needed. `eckart.torch` loads factored models
into PyTorch modules, `eckart.transformers` whole directories. Importing `eckart` needs neither torch nor scikit-learn nor
libeckart.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .checkpoint import Checkpoint, Tensor
from .errors import (
    BudgetError,
    CancelledError,
    Error,
    ExistsError,
    FileError,
    FormatError,
    InputTypeError,
    LibraryError,
    MismatchError,
    NoMemoryError,
    NonFiniteError,
    NothingError,
    PromiseError,
    RangeError,
    ShapeError,
    SolverError,
    UnsupportedError,
)
from .manifest import PRODUCER_VERSION, Manifest, Module, Stage

if TYPE_CHECKING:
    from . import lora
    from .batches import SVDBatch, svd_batch
    from .compression import Choice, Outcome, Plan, Verdict, compress, plan, restore, verify
    from .linalg import SVD, Certificate, Eigen, SpectralProof, eigh, svd, svdvals
    from .sklearn import TruncatedSVD

__version__ = PRODUCER_VERSION

# What is found in a module that is imported at first use.
_LAZY = {
    "batches": ("SVDBatch", "svd_batch"),
    "linalg": ("SVD", "Certificate", "Eigen", "SpectralProof", "eigh", "svd", "svdvals"),
    "compression": ("Choice", "Outcome", "Plan", "Verdict", "compress", "plan", "restore", "verify"),
    "sklearn": ("TruncatedSVD",),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "lora":
        return importlib.import_module(".lora", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'eckart' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "lora"})


__all__ = [
    "SVD",
    "SVDBatch",
    "BudgetError",
    "CancelledError",
    "Certificate",
    "Checkpoint",
    "Choice",
    "Eigen",
    "Error",
    "ExistsError",
    "FileError",
    "FormatError",
    "InputTypeError",
    "LibraryError",
    "Manifest",
    "MismatchError",
    "Module",
    "NoMemoryError",
    "NonFiniteError",
    "NothingError",
    "Outcome",
    "Plan",
    "PromiseError",
    "RangeError",
    "ShapeError",
    "SolverError",
    "Stage",
    "Tensor",
    "TruncatedSVD",
    "UnsupportedError",
    "Verdict",
    "__version__",
    "compress",
    "eigh",
    "lora",
    "plan",
    "restore",
    "svd",
    "svd_batch",
    "svdvals",
    "verify",
]
