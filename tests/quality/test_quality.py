"""Size, error and effect of compressing all-MiniLM-L6-v2, against the figures in results.csv.

Sizes and ranks must be the same. Errors may differ by what another BLAS core does to a residual in F64, cosines by what
another kernel of torch does to sentence vectors in F32.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / ".eckart" / "models" / "all-MiniLM-L6-v2"
RESULTS = HERE / "results.csv"
FIELDS = ["model", "keep", "factored", "bytes", "error", "worst", "cosine_mean", "cosine_worst"]
KEEPS = ["0.9", "0.8", "0.6"]
SENTENCES = ["A man is playing a guitar.", "Somebody makes music.", "The train to Berlin leaves at nine.",
             "Water boils at one hundred degrees.", "The museum is closed on Tuesdays.", "Bees pollinate flowers.",
             "Singular values order directions by strength.", "The cat sleeps in the sun."]


def vectors(model):
    import torch
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(MODEL)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model.eval()(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def measure(folder):
    """One row a keep ratio."""
    import transformers

    import eckart.transformers

    transformers.utils.logging.disable_progress_bar()
    before = vectors(transformers.AutoModel.from_pretrained(MODEL))
    rows = []
    for keep in KEEPS:
        out = folder / keep
        done = subprocess.run([os.environ["ECKART_COMMAND"], "compress", MODEL, "-o", out, "--keep", keep, "--json",
                               "--cache", folder / "cache", "-q"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outcome = json.loads(done.stdout)
        assert outcome["verify"]["ok"]
        cosine = (before * vectors(eckart.transformers.from_pretrained(out))).sum(1)
        rows.append({"model": MODEL.name, "keep": keep, "factored": outcome["factored"],
                     "bytes": outcome["bytes_after"], "error": f"{outcome['error']:.8f}",
                     "worst": f"{outcome['worst']:.8f}", "cosine_mean": f"{cosine.mean():.5f}",
                     "cosine_worst": f"{cosine.min():.5f}"})
    return rows


def test_figures_are_those_on_record(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts" / "fetch-model"], check=True, stdout=subprocess.DEVNULL)
    expected = list(csv.DictReader(RESULTS.open()))
    found = measure(tmp_path)
    assert [r["keep"] for r in found] == [r["keep"] for r in expected]
    for old, new in zip(expected, found):
        assert (old["factored"], old["bytes"]) == (str(new["factored"]), str(new["bytes"])), (old, new)
        for field in ("error", "worst"):  # a residual of F32 factors: 8 digits are printed, 7 are the factors'
            assert abs(float(old[field]) - float(new[field])) <= 1e-7 * float(old[field]) + 1e-8, (old, new)
        for field in ("cosine_mean", "cosine_worst"):  # six layers of F32 sums of 384 to 1536 terms
            assert abs(float(old[field]) - float(new[field])) <= 1e-4, (old, new)


if __name__ == "__main__":
    import tempfile

    sys.path.insert(0, str(ROOT / "python"))
    os.environ.setdefault("ECKART_COMMAND", str(ROOT / "build" / "eckart"))
    with tempfile.TemporaryDirectory() as folder, RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(measure(pathlib.Path(folder)))
