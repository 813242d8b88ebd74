"""Reading JSON as strictly as the strictest reader."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def strict(text):
    """Parses; NaN, Infinity and keys given twice are refused."""

    def constant(name):
        raise ValueError(f"'{name}' is no JSON")

    def members(pairs):
        assert len({key for key, _ in pairs}) == len(pairs), f"a key twice among {[key for key, _ in pairs]}"
        return dict(pairs)

    return json.loads(text, parse_constant=constant, object_pairs_hook=members)
