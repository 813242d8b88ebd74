"""The examples of docs/python.md run as they stand, one after the other."""

import re
from pathlib import Path

import numpy as np
import torch
import transformers
from factored_files import ROOT, FactoredFile

import eckart


def make_what_the_examples_load():
    """OUT, a factored Llama, and MODEL.safetensors, two linear layers."""
    config = transformers.LlamaConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=4, intermediate_size=40, vocab_size=64
    )
    torch.manual_seed(1)
    llama = transformers.LlamaForCausalLM(config)
    file = FactoredFile({name: value.numpy().copy() for name, value in llama.state_dict().items()})
    file.svd("model.layers.0.mlp.up_proj", "linear", 6)
    file.write("OUT")
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained("OUT")
    random = np.random.default_rng(2)
    shapes = {"0.weight": (48, 64), "0.bias": (48,), "2.weight": (10, 48), "2.bias": (10,)}
    file = FactoredFile({name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})
    file.svd("0", "linear", 8)
    file.write("MODEL.safetensors")


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECKART_CACHE", str(tmp_path / "cache"))
    transformers.logging.set_verbosity_error()
    make_what_the_examples_load()
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(examples) >= 6
    names = {"ids": torch.arange(10)[None]}
    for number, example in enumerate(examples):
        exec(compile(example, f"docs/python.md, example {number}", "exec"), names)
    assert Path("AGAIN/eckart.safetensors").exists()
    documented = set(re.findall(r"eckart\.torch\.(\w+)", "".join(examples)))
    assert documented - {"load", "save"} <= set(eckart.torch.__all__)
