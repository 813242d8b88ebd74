"""Factored models as transformers models: the class config.json names, with chains for its factored layers.

    model = eckart.transformers.from_pretrained("OUT")

It generates, trains and moves like any other; `model.save_pretrained(path)` writes our layout again, which no stock
loader mistakes for a dense model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from .checkpoint import Checkpoint
from .errors import FormatError, UnsupportedError
from .torch._load import install, walk
from .torch._meta import parameters_on_meta
from .torch._save import SHARD_BYTES, save

__all__ = ["FactoredModel", "from_pretrained"]

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class FactoredModel:
    """What a loaded model is besides its transformers class."""

    _dense_class: type[Any]

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, torch.Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = SHARD_BYTES,
        **kwargs: Any,
    ) -> None:
        """Writes eckart.safetensors (or shards), eckart.json, config.json and generation_config.json.

        Raises ExistsError if the directory holds stock weights: a stock loader would take those. Other keywords of
        the stock method (safe_serialization, save_function, ...) mean nothing here and are ignored.
        """
        if push_to_hub:
            raise UnsupportedError("push_to_hub is not supported: save to a directory and upload that")
        if not is_main_process:
            return
        model: Any = self
        save(model, save_directory, state_dict=state_dict, max_shard_bytes=_bytes(max_shard_size))
        model.config.architectures = [self._dense_class.__name__]
        model.config.dtype = str(model.dtype).removeprefix("torch.")
        model.config.save_pretrained(save_directory)
        if model.can_generate():
            model.generation_config.save_pretrained(save_directory)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is made at run time: pickle makes it again from the class it stands on.
        return _empty, (self._dense_class,), self.__dict__


def _factored_class(dense: type[Any]) -> type[Any]:
    """The transformers class with our save_pretrained; it keeps the name by which other code knows it."""
    members: dict[str, Any] = {"_dense_class": dense, "__module__": dense.__module__, "__doc__": dense.__doc__}
    return type(dense.__name__, (FactoredModel, dense), members)


def _empty(dense: type[Any]) -> Any:
    cls: Any = _factored_class(dense)
    return cls.__new__(cls)


def from_pretrained(
    directory: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | int | None = None,
    config: Any = None,
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> Any:
    """The model of a directory that `eckart compress` or save_pretrained() wrote, in evaluation mode.

    dtype              floating point type of all tensors; None or "auto": as stored, factors and the rest each
    device             where the tensors go; None: the CPU
    config             in place of the one in the directory
    trust_remote_code  whether Python code in the directory may be run to make the model; off: never
    kwargs             settings of the configuration (attn_implementation, ...) and of the model class, as stock

    Nothing may be missing or left over, but for what the model class itself says may be. Raises MismatchError naming
    the tensors, FormatError if the directory is not ours, UnsupportedError if it cannot be loaded this way.
    """
    directory = Path(directory)
    dtype = kwargs.pop("torch_dtype", dtype)
    home = _device(kwargs.pop("device_map", device))
    if not directory.is_dir():
        raise FormatError(f"{str(directory)!r} is no directory: a factored model on disk is needed, no name of a hub")
    checkpoint = Checkpoint.open(directory)
    if config is None:
        config, kwargs = transformers.AutoConfig.from_pretrained(
            directory, return_unused_kwargs=True, trust_remote_code=trust_remote_code, **kwargs
        )
    if getattr(config, "quantization_config", None) is not None:
        raise UnsupportedError(f"{str(directory)!r} has a quantization_config: quantised models cannot be loaded")
    cls = _model_class(config, directory, trust_remote_code)
    with parameters_on_meta(), _default_dtype(_dtype(dtype) or _stored_dtype(config, checkpoint)):
        model = cls(config, **kwargs)
    names = Names(model)
    _tie_output(model, names.dense(checkpoint))
    install(
        model,
        checkpoint,
        device=home,
        dtype=_dtype(dtype),
        rename=names.rename,
        ignore=ignored(model),
        untie=lambda keys: _untie(model),
    )
    model.__class__ = _factored_class(cls)
    if model.can_generate() and (directory / "generation_config.json").exists():
        model.generation_config = transformers.GenerationConfig.from_pretrained(directory)
    model.config.name_or_path = model.name_or_path = str(directory)
    return model.eval()


def _device(device: Any) -> torch.device | None:
    """One device; what would spread a model over several is refused."""
    if isinstance(device, dict) or device in ("auto", "balanced", "balanced_low_0", "sequential"):
        raise UnsupportedError(f"device is {device!r}: load to one device, then use accelerate.dispatch_model")
    return None if device is None else torch.device(device)


def _model_class(config: Any, directory: Path, trust_remote_code: bool) -> type[Any]:
    """The class config.json names; code in the directory is run only if it may be."""
    name = next(iter(getattr(config, "architectures", None) or []), None)
    auto_map = getattr(config, "auto_map", None) or {}
    remote = next((ref for ref in auto_map.values() if isinstance(ref, str) and ref.endswith(f".{name}")), None)
    if remote is not None and trust_remote_code:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        return get_class_from_dynamic_module(remote, str(directory))  # type: ignore[no-any-return]
    found = getattr(transformers, name, None) if name is not None else None
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    if name is not None:
        raise UnsupportedError(
            f"{str(directory)!r} is a {name!r}, which transformers {transformers.__version__} does not have"
            + (": it comes with code of its own, see trust_remote_code" if remote else "")
        )
    mapping = transformers.AutoModel._model_mapping
    if type(config) not in mapping:
        raise UnsupportedError(f"{str(directory)!r} names no architecture, and {type(config).__name__} has no default")
    return mapping[type(config)]  # type: ignore[no-any-return]


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """A type by itself or by name; None and "auto" are none."""
    if dtype is None or dtype == "auto" or isinstance(dtype, torch.dtype):
        return None if isinstance(dtype, str) else dtype
    found = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise UnsupportedError(f"dtype is {dtype!r}, which torch does not have")
    return found


def _stored_dtype(config: Any, checkpoint: Checkpoint) -> torch.dtype:
    """The type the dense model had: for buffers that are made and not loaded."""
    named = config.dtype if hasattr(config, "dtype") else getattr(config, "torch_dtype", None)
    dtype = _dtype(named)
    return dtype if dtype is not None and dtype.is_floating_point else torch.float32


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Names:
    """From names in the file, which are those of the source, to keys of the model: what transformers itself renames
    while loading, then the base model's prefix added or taken away."""

    def __init__(self, model: Any) -> None:
        self._keys = {slot.key for slot in walk(model)}
        self._prefix = str(getattr(model, "base_model_prefix", "") or "")
        self._renamings, self._converters = _stock_transforms(model)

    def dense(self, checkpoint: Checkpoint) -> set[str]:
        """Keys of the model for which the file has a tensor, or a chain."""
        modules = checkpoint.manifest.modules
        owned = {name for module in modules.values() for name in module.tensors}
        names = [f"{name}.weight" for name in modules] + [name for name in checkpoint.tensors if name not in owned]
        return {self.rename(name) for name in names}

    def rename(self, name: str) -> str:
        if name in self._keys:
            return name
        found, converted = self._renamed(name)
        if converted:
            raise UnsupportedError(f"tensor {name!r} is merged with others by transformers when loaded: not supported")
        inner = found.removeprefix(f"{self._prefix}.")
        outer = f"{self._prefix}.{found}"
        return next((key for key in (found, inner, outer) if key in self._keys), found)

    def _renamed(self, name: str) -> tuple[str, bool]:
        """By the stock tables; the rules of old BERT files where a release has none."""
        found = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        found = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", found)
        for renaming in self._renamings:
            found = renaming(found)
        return found, any(converter(found) != found for converter in self._converters)


def _stock_transforms(model: Any) -> tuple[list[Callable[[str], str]], list[Callable[[str], str]]]:
    """The tables by which this release of transformers renames (and merges) tensors; none in older ones."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:
        return [], []
    transforms = get_model_conversion_mapping(model)
    renamings = [item for item in transforms if isinstance(item, WeightRenaming)]
    converters = [item for item in transforms if not isinstance(item, WeightRenaming)]

    def by(transform: Any) -> Callable[[str], str]:
        return lambda name: str(transform.rename_source_key(name)[0])

    return [by(item) for item in renamings], [by(item) for item in converters]


def _tie_output(model: Any, present: set[str]) -> None:
    """An output embedding that is absent while the input embedding is there is tied, whatever the config says."""
    try:
        output, table = model.get_output_embeddings(), model.get_input_embeddings()
    except NotImplementedError:  # models without words
        return
    if output is None or table is None or output.weight is table.weight:
        return
    keys = {id(slot.value): slot.key for slot in walk(model)}
    shapes = output.weight.shape == table.weight.shape
    if shapes and keys.get(id(output.weight)) not in present and keys.get(id(table.weight)) in present:
        output.weight = table.weight
        model.config.tie_word_embeddings = True


def _untie(model: Any) -> bool:
    """The file has different numbers for weights the config ties: the file is right."""
    model.config.tie_word_embeddings = False
    return True


def ignored(model: Any) -> Callable[[str], bool]:
    """What may be left over: what the class says, and buffers that older releases stored."""
    patterns = list(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or [])
    patterns += [r"rotary_emb\.inv_freq$", r"(^|\.)position_ids$"]
    compiled = [re.compile(pattern) for pattern in patterns]
    return lambda key: any(pattern.search(key) for pattern in compiled)


def _bytes(size: int | str) -> int:
    """ "5GB" as a number."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B)", size, re.IGNORECASE)
    if match is None:
        raise UnsupportedError(f"max_shard_size is {size!r}: a number of bytes or '5GB' is needed")
    return int(float(match[1]) * _UNITS[match[2].upper()])
