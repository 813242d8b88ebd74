"""eckart: low-rank compression of neural networks.

`eckart.torch` loads factored models into PyTorch modules, `eckart.transformers` loads whole directories; importing
`eckart` itself needs neither.
"""

from .checkpoint import Checkpoint, Tensor
from .errors import Error, ExistsError, FormatError, MismatchError, RangeError, ShapeError, UnsupportedError
from .manifest import PRODUCER_VERSION, Manifest, Module, Stage

__version__ = PRODUCER_VERSION

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
