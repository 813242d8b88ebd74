"""An adapter through its life: begun here, trained by PEFT, extracted, resized and merged here.

    python examples/train_adapter.py MODEL FOLDER

MODEL is a sentence encoder on disk (BERT's architecture, such as all-MiniLM-L6-v2); outputs go to FOLDER, which is made.
The model is fine-tuned whole, then a LoRA adapter is trained towards it, layer by layer. Its inputs are the rows of a random
orthogonal matrix, so that the loss is || dW - s B A ||_F^2 itself: what PEFT can learn at best is then the truncated SVD
of dW (Eckart-Young), which `eckart lora extract` computes in one step. Printed as JSON: how near training came.
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from transformers import AutoModel

import eckart.lora

RANK = 8
LAYERS = "encoder.layer.[01].attention.self.[qv]*"


def names(model):
    return [f"encoder.layer.{i}.attention.self.{what}" for i in (0, 1) for what in ("query", "value")]


def fine_tune(model, steps=12):
    """Whole weights of the chosen layers, to tell two kinds of sentences apart."""
    tokens = torch.randint(1000, 20000, (16, 12))
    wanted = torch.arange(16) % 2
    weights = [model.get_submodule(name).weight for name in names(model)]
    head = torch.randn(2, model.config.hidden_size)
    optimiser = torch.optim.SGD(weights, lr=0.01, momentum=0.9)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(tokens).last_hidden_state.mean(1) @ head.T, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def train(model, tuned, steps=500):
    """The adapter alone learns what the tuned layers answer."""
    pairs = [(model.base_model.model.get_submodule(name), tuned.get_submodule(name)) for name in names(tuned)]
    inputs = torch.linalg.qr(torch.randn(tuned.config.hidden_size, tuned.config.hidden_size))[0]
    with torch.no_grad():
        wanted = [layer(inputs) - module.base_layer(inputs) for module, layer in pairs]
        scale = max(change.norm().item() for change in wanted) ** 0.5
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02 * scale)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = 0
        for (module, _), change in zip(pairs, wanted):
            learned = module(inputs) - module.base_layer(inputs)
            loss = loss + (learned - change).square().sum() / change.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def error(first, last, scale, change):
    return ((change - scale * torch.as_tensor(last) @ torch.as_tensor(first)).norm() / change.norm()).item()


def main(base, folder):
    torch.manual_seed(0)
    folder.mkdir()
    tuned = AutoModel.from_pretrained(base)
    fine_tune(tuned)
    tuned.save_pretrained(folder / "tuned")
    eckart.lora.init(base, folder / "begun", rank=RANK, include=LAYERS)
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder / "begun", is_trainable=True)
    train(model, tuned)
    model.save_pretrained(folder / "trained")
    eckart.lora.extract(base, folder / "tuned", folder / "best", rank=RANK, include=LAYERS)
    halved = eckart.lora.resize(folder / "trained", folder / "half", rank=RANK // 2)
    eckart.lora.merge(base, [folder / "trained"], folder / "merged")
    learned, best = eckart.lora.load(folder / "trained"), eckart.lora.load(folder / "best")
    original = AutoModel.from_pretrained(base)
    rows = []
    for name in names(tuned):
        change = (tuned.get_submodule(name).weight - original.get_submodule(name).weight).detach()
        tail = torch.linalg.svdvals(change.double())[RANK:].norm() / change.double().norm()
        rows.append({"layer": name, "learned": error(*learned[name], change), "extracted": error(*best[name], change),
                     "optimum": tail.item()})
    print(json.dumps({"layers": rows, "error of half the rank": halved.error}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
