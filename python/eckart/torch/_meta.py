"""Building a module without memory for its parameters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_lock = threading.RLock()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules built inside have their parameters on the meta device and their buffers with values.

    Unlike `torch.device("meta")` this keeps what no file holds: positions, rotary frequencies, masks. A parameter is
    moved as it is registered, before anything is written to it. One thread at a time.
    """
    with _lock:
        original = nn.Module.register_parameter

        def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
            original(self, name, param)
            if param is not None and not param.is_meta:
                if not hasattr(param, "on_meta"):  # kept, so that a parameter used twice stays one
                    param.on_meta = nn.Parameter(param.detach().to("meta"), param.requires_grad)  # type: ignore
                self._parameters[name] = param.on_meta  # type: ignore

        nn.Module.register_parameter = register  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.register_parameter = original  # type: ignore[method-assign]
