"""eckart: low-rank compression of neural networks.

`eckart.torch` loads factored models into PyTorch modules, `eckart.transformers` loads whole directories; importing
`eckart` itself needs neither.
"""

from .checkpoint import Checkpoint, Tensor
from .errors import Error, ExistsError, FormatError, MismatchError, RangeError, ShapeError, UnsupportedError
from .manifest import Manifest, Module, Stage

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Error",
    "ExistsError",
    "FormatError",
    "Manifest",
    "MismatchError",
    "Module",
    "RangeError",
    "ShapeError",
    "Stage",
    "Tensor",
    "UnsupportedError",
    "__version__",
]
