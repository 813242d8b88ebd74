"""Every document against its schema, and the rules all of them keep."""

import json

import jsonschema
import pytest
import referencing

from commandline import run
from rules_of_json import ROOT, strict

FOLDER = ROOT / "docs/formats/json"
SCHEMAS = {path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in FOLDER.glob("*.schema.json")}
REGISTRY = referencing.Registry().with_resources(
    (f"{name}.schema.json", referencing.Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)

BUDGET = ["--keep", "0.4"]
DOCUMENTS = {
    "svd": [["svd", "A.npy"], ["svd", "A.npy", "--rank", "3", "--proof", "bound"], ["svd", "low.npy", "--reduced"],
            ["svd", "A.npy", "--full", "--engine", "golub-kahan"], ["svd", "A.csv", "--error", "0", "--proof", "exact"]],
    "als": [["svd", "A.npy", "--rank", "3", "--engine", "als"], ["svd", "A.csv", "--rank", "2", "--engine", "gradient"],
            ["svd", "A.npy", "--rank", "1", "--engine", "als", "--mask", "A.npy", "--iterations", "2"]],
    "eigen": [["svd", "S.npy", "--symmetric"]],
    "inspect": [["inspect", "model"], ["inspect", "two.npz"], ["inspect", "out"]],
    "analyze": [["analyze", "model"], ["analyze", "model", "--spectrum"]],
    "frontier": [["plan", "model"]],
    "plan": [["plan", "model", *BUDGET], ["plan", "model", "--size", "70%", "--dtype", "bf16", "--split", "left"]],
    "outcome": [["compress", "model", "-o", "new", *BUDGET], ["compress", "model", "-o", "new2", *BUDGET, "--dry-run"],
                ["restore", "out", "-o", "dense"]],
    "doctor": [["doctor", "--here"]],
    "adapter": [["lora", "info", "adapter"]],
    "adapter-outcome": [
        ["lora", "resize", "adapter", "-o", "small", "--rank", "1"],
        ["lora", "extract", "model", "residual", "-o", "new", "--rank", "2", "--min-size", "1"],
        ["lora", "merge", "residual", "adapter=1", "-o", "merged"],
        ["lora", "combine", "adapter", "adapter=-0.5", "-o", "new", "--rank", "2"],
        ["lora", "convert", "adapter", "-o", "k.safetensors", "--to", "kohya"],
        ["lora", "init", "model", "-o", "begun"],
    ],
    "adapter-comparison": [["lora", "compare", "adapter", "adapter"]],
    "verify": [["verify", "model", "out"]],
    "tensor": [["tensor", "tucker", "A.npy", "--rank", "2"], ["tensor", "cp", "A.npy", "--rank", "2"],
               ["tensor", "tt", "A.npy", "--error", "0.5"]],
    "timings": [["bench", "model", "--shape", "*=4", "--rounds", "3"],
                ["bench", "model", "out", "--shape", "*=4", "--shape", "*query=2", "--rounds", "3"]],
    "error": [["inspect", "cut.safetensors"], ["svd"]],
}


def check(name, document):
    validator = jsonschema.Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    validator.validate(document)


@pytest.mark.parametrize("name, arguments", [(name, a) for name, every in DOCUMENTS.items() for a in every])
def test_document(folder, name, arguments):
    assert run(folder, "compress", "model", "-o", "out", *BUDGET, "-q").returncode == 0
    if arguments[0] == "lora":
        begin = ["--init", "pissa", "--residual", "residual", "--rank", "2", "--min-size", "1"]
        assert run(folder, "lora", "init", "model", "-o", "adapter", *begin, "-q").returncode == 0
    done = run(folder, *arguments, "--json")
    text = done.stderr if name == "error" else done.stdout
    assert text.endswith("}\n")
    check(name, strict(text))


def test_every_schema_is_used_and_valid():
    assert SCHEMAS.keys() == DOCUMENTS.keys()
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schemas_can_fail():
    with pytest.raises(jsonschema.ValidationError):
        check("verify", {"ok": True, "layers": [], "identical": 0})
    with pytest.raises(jsonschema.ValidationError):
        check("svd", {})


def test_json_means_one_document(folder):
    """The plan written to a file is the document printed; "-" is standard output."""
    printed = run(folder, "plan", "model", *BUDGET, "--json", "-o", "plan.json").stdout
    assert (folder / "plan.json").read_text() == printed
    assert run(folder, "plan", "model", *BUDGET, "-o", "-").stdout == printed


def test_energy_and_error_agree(folder):
    found = strict(run(folder, "svd", "A.npy", "--rank", "5", "--json").stdout)
    # Eigenvalues 16..1: the error is the root of 1^2 + ... + 11^2 over 1^2 + ... + 16^2.
    exact = (506 / 1496) ** 0.5
    # The factors are rounded to F32: at most 3e-7 of the norm beside the tail.
    allowed = (exact**2 + 9e-14) ** 0.5 - exact + 1e-15
    print(f"error off by {abs(found['error'] - exact):.2g}, allowed {allowed:.2g}")
    assert abs(found["error"] - exact) <= allowed
    certificate = found["certificate"]
    assert certificate["low"] <= found["error"] <= certificate["value"]
    assert certificate["optimum"][0] <= exact <= certificate["optimum"][1]
