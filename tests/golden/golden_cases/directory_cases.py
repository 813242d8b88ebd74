"""Directories: shards, indexes that lie, caches of the hub, clones without their large files."""

import json

from .case import Case, entry, index
from .safetensors_cases import raw, tensor

A, B = b"\1\2\3\4", b"\5\6\7\x08"
SHARD_A = raw("{" + tensor("a", "U8", [4], 0, 4) + "}", A)
SHARD_B = raw("{" + tensor("b", "U8", [4], 0, 4) + "}", B)
BOTH = raw("{" + tensor("a", "U8", [4], 0, 4) + "," + tensor("b", "U8", [4], 4, 8) + "}", A + B)
ENTRY_A, ENTRY_B = entry("a", "U8", [4], A), entry("b", "U8", [4], B)
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
MAP = {"a": ONE, "b": TWO}


def weight_map(entries, total=8):
    return json.dumps({"metadata": {"total_size": total}, "weight_map": entries}).encode()


def case(name, files, **expected):
    path = f"directory/{name}"
    return Case(expected.pop("path", path), {f"{path}/{file}": content for file, content in files.items()}, **expected)


def good_cases():
    shards = {ONE: SHARD_A, TWO: SHARD_B, INDEX: weight_map(MAP)}
    yield case("single", {"model.safetensors": BOTH, "config.json": b"{}"}, text=index(ENTRY_A, ENTRY_B))
    yield case("sharded", shards, text=index(ENTRY_A, ENTRY_B))
    yield case("index-named", shards, path=f"directory/index-named/{INDEX}", text=index(ENTRY_A, ENTRY_B))
    yield case("both-one-named", {**shards, "model.safetensors": SHARD_A}, text=ENTRY_A,
               path="directory/both-one-named/model.safetensors")
    yield case("ours-first", {"eckart.safetensors": SHARD_B, "model.safetensors": SHARD_A}, text=ENTRY_B)
    ours = {"a": "eckart-00001-of-00002.safetensors", "b": "eckart-00002-of-00002.safetensors"}
    yield case("ours-sharded", {ours["a"]: SHARD_A, ours["b"]: SHARD_B,
               "eckart.safetensors.index.json": weight_map(ours)}, text=index(ENTRY_A, ENTRY_B))
    yield case("total-differs", {**shards, INDEX: weight_map(MAP, 9)}, text=index(ENTRY_A, ENTRY_B),
               warning=f"'{INDEX}' states 9 bytes of tensors, the shards hold 8")
    yield case("no-total", {**shards, INDEX: json.dumps({"weight_map": MAP}).encode()}, text=index(ENTRY_A, ENTRY_B))
    yield case("not-mapped", {ONE: BOTH, INDEX: weight_map({"a": ONE})}, text=index(ENTRY_A, ENTRY_B),
               warning=f"1 tensors of the shards are not in '{INDEX}' ('b')")


def index_cases():
    shards = {ONE: SHARD_A, TWO: SHARD_B}

    def bad(name, content, text, offset=-1, files=shards, status="format"):
        return case(name, {**files, INDEX: content}, status=status, offset=offset, text=text)

    yield bad("both", weight_map(MAP), "it holds both 'model.safetensors' and 'model.safetensors.index.json'",
              files={**shards, "model.safetensors": BOTH})
    yield bad("no-map", b'{"metadata":{}}', "a 'weight_map' of tensors is missing")
    yield bad("map-empty", b'{"weight_map":{}}', "a 'weight_map' of tensors is missing")
    yield bad("map-array", b'{"weight_map":["a"]}', "a 'weight_map' of tensors is missing")
    yield bad("index-array", b"[]", "a 'weight_map' of tensors is missing")
    yield bad("index-number", b"7", "a 'weight_map' of tensors is missing")
    yield bad("index-broken", b'{"weight_map":{"a":}}', "a value is missing at byte 19", 19)
    yield bad("index-empty", b"", "a value is missing at byte 0", 0)
    yield bad("index-key-twice", b'{"weight_map":{"a":"' + ONE.encode() + b'","a":"' + TWO.encode() + b'"}}',
              "duplicate object key", 57)  # behind the second key
    yield bad("index-too-deep", b'{"weight_map":' + b"[" * 64 + b"]" * 64 + b"}", "too deep a nesting", 14 + 63)
    yield bad("index-big-number", b'{"metadata":{"total_size":99999999999999999999}}', "too big integer", 46)
    yield bad("index-git-lfs", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer", 0)
    yield bad("shard-number", weight_map({"a": 1}), f"cannot read tensor 'a' of '{INDEX}': no name of a shard")
    yield bad("shard-missing", weight_map(MAP), "No such file or directory", files={ONE: SHARD_A}, status="io")
    yield bad("shard-git-lfs", weight_map(MAP), f"cannot read '{TWO}': it is a git-lfs pointer", 0,
              {ONE: SHARD_A, TWO: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"})
    yield bad("shard-empty", weight_map(MAP), f"cannot read '{TWO}': 0 bytes, a header needs 8", 0,
              {ONE: SHARD_A, TWO: b""})
    yield bad("shard-lacks", weight_map({"a": ONE, "b": ONE}), f"cannot read tensor 'b' of '{INDEX}': shard '{ONE}' does")
    yield bad("shard-other", weight_map({"a": TWO, "b": ONE}), f"it lies in '{ONE}', not in '{TWO}'")
    yield bad("tensor-in-two", weight_map(MAP), f"cannot read tensor 'a' of '{TWO}': the name is in '{ONE}' too", len(BOTH) - 8,
              {ONE: SHARD_A, TWO: BOTH})
    for number, name in enumerate(["../x.safetensors", "a/../../x.safetensors", "/x.safetensors", "a/x.safetensors",
                                   "C:x.safetensors", "..\\x.safetensors", ".x.safetensors", "x.bin", "",
                                   ".safetensors", "x.safetensors\n", "x\u00e4.safetensors", "x y.safetensors",
                                   "n" * 250 + ".safetensors"]):
        yield bad(f"shard-name-{number}", weight_map({"a": name}), "is no name of a shard in this directory")


def place_cases():
    nothing = "neither 'eckart.safetensors' nor 'model.safetensors' nor an index of shards in it"
    yield case("nothing", {"config.json": b"{}"}, status="io", text=nothing)
    yield case("adapter", {"adapter_model.safetensors": BOTH}, status="io",
               text=nothing + "; name a file, such as 'adapter_model.safetensors'")
    yield case("pickles", {"pytorch_model.bin": b"PK"}, status="io", text=nothing + "; name a file, such as 'pytorch_model.bin'")
    yield case("llamas", {"model.gguf": b"GGUF"}, status="unsupported",
               text=nothing + "; 'model.gguf' is of a format that is not read")
    yield case("link-inside", {"real.safetensors": BOTH, "model.safetensors": "real.safetensors"},
               text=index(ENTRY_A, ENTRY_B))
    yield case("link-outside", {"model.safetensors": "../single/model.safetensors"}, status="io",
               text="it is a symbolic link that leaves its directory; name the file itself")
    yield case("link-shard-outside", {ONE: SHARD_A, TWO: "../sharded/" + TWO, INDEX: weight_map(MAP)}, status="io",
               text="it is a symbolic link that leaves its directory")
    yield case("link-named", {"any.safetensors": "../single/model.safetensors"}, text=index(ENTRY_A, ENTRY_B),
               path="directory/link-named/any.safetensors")
    yield case("link-loop", {"model.safetensors": "model.safetensors"}, status="io", text="symbolic links")
    yield case("link-dangling", {"model.safetensors": "gone"}, status="io", text="No such file or directory")
    commit = "0123456789abcdef0123456789abcdef01234567"
    model, blob = "models--org--name", "../../blobs/"
    cache = {f"{model}/blobs/aa": SHARD_A, f"{model}/blobs/bb": SHARD_B, f"{model}/blobs/cc": weight_map(MAP),
             f"{model}/refs/main": commit.encode(), f"{model}/snapshots/{commit}/{ONE}": blob + "aa",
             f"{model}/snapshots/{commit}/{TWO}": blob + "bb", f"{model}/snapshots/{commit}/{INDEX}": blob + "cc"}
    snapshot = f"directory/cache/{model}/snapshots/{commit}"
    yield case("cache", cache, path=snapshot, text=index(ENTRY_A, ENTRY_B))
    yield Case(f"directory/cache/{model}", {}, "io", -1, f"it is a cache of the hub; pass a snapshot in it: '{snapshot}'")
    yield Case("directory/cache", {}, "io", -1, f"it is a cache of the hub; pass a snapshot in it: '{snapshot}'")
    yield case("cache-of-nothing", {f"{model}/blobs/aa": SHARD_A}, status="io",
               text="it is a cache of the hub; pass a directory '<model>/snapshots/<commit>' of it")
    yield Case("directory/gone.safetensors", {}, "io", -1, "No such file or directory")
    yield Case("no-such-organisation/model", {}, "io", -1, "a model of the hub is downloaded first")


def cases():
    for make in (good_cases, index_cases, place_cases):
        yield from make()
