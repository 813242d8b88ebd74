"""The ways to break the code. `old` stands once in `file`; `tests` are Meson tests, or pytest paths if they hold a slash.

Each is a mistake that somebody could make: a wrong rounding, a check left out, a sign, an order.
"""

MUTANTS = [
    # ---- base
    {
        "name": "an-empty-dimension-hides-an-overflow",
        "file": "src/base/checked.c",
        "old": "else if (!ecki_mul(product, shape[i], &product))\n            return false;",
        "new": "else if (!empty && !ecki_mul(product, shape[i], &product))\n            return false;",
        "tests": ["checked"],
    },
    {
        "name": "sine-for-cosine-in-the-normal-numbers",
        "file": "src/base/random.c",
        "old": "{ radius * cos(angle), radius * sin(angle) }",
        "new": "{ radius * sin(angle), radius * sin(angle) }",
        "tests": ["random"],
    },
    {
        "name": "any-failure-of-a-parallel-loop-instead-of-the-first",
        "file": "src/base/parallel.c",
        "old": "if (index < crew->failed_index) {",
        "new": "if (crew->failed_index == INT64_MAX || index > crew->failed_index) {",
        "tests": ["parallel"],
    },
    {
        "name": "the-host-does-not-get-its-BLAS-threads-back",
        "file": "src/base/parallel.c",
        "old": "    if (saved > 0) blas_restore(saved);",
        "new": "    if (saved < 0) blas_restore(saved);",
        "tests": ["parallel"],
    },
    {
        "name": "a-block-grows-without-its-last-byte",
        "file": "src/base/memory.c",
        "old": "memmove(begin + before, begin + old.before, (size_t)old_room);",
        "new": "memmove(begin + before, begin + old.before, (size_t)old_room - 1);",
        "tests": ["memory"],
    },
    # ---- tensor
    {
        "name": "bf16-rounds-halves-up-instead-of-to-even",
        "file": "src/tensor/codec.c",
        "old": "const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;",
        "new": "const uint32_t rounded = (bits + 0x8000) >> 16;",
        "tests": ["tests/peers/test_codec.py"],
    },
    {
        "name": "f64-rounds-twice-on-its-way-to-the-small-types",
        "file": "src/tensor/codec.c",
        "old": "    return float_of_bits((bits_of_float(nearest) - beyond) | inexact);",
        "new": "    return float_of_bits(bits_of_float(nearest) | (0 & (beyond + inexact)));",
        "tests": ["tests/peers/test_codec.py"],
    },
    {
        "name": "f16-overflows-one-step-early",
        "file": "src/tensor/codec.c",
        "old": "narrow = rest >= 0x47800000 ? 0x7c00 : narrow;",
        "new": "narrow = rest >= 0x477fe000 ? 0x7c00 : narrow;",
        "tests": ["tests/peers/test_codec.py"],
    },
    {
        "name": "a-block-may-leave-the-view-by-one-row",
        "file": "src/tensor/view.c",
        "old": "out.rows <= rows - row && out.cols",
        "new": "out.rows <= rows - row + 1 && out.cols",
        "tests": ["view"],
    },
    # ---- format
    {
        "name": "half-a-document-for-want-of-memory",
        "file": "src/format/json.c",
        "old": "if (ecki_json_refused() != refused ||",
        "new": "if (refused < 0 ||",
        "tests": ["format_refused"],
    },
    {
        "name": "a-manifest-that-cannot-be-read-is-none",
        "file": "src/format/input.c",
        "old": "if (lstat(path, &here) != 0 && errno == ENOENT) {",
        "new": "if (lstat(path, &here) != 0 || !S_ISREG(here.st_mode)) {",
        "tests": ["input"],
    },
    {
        "name": "a-missing-last-byte-of-a-tensor-is-not-seen",
        "file": "src/format/safetensors_reader.c",
        "old": "if (fields->end > reader->data_bytes)",
        "new": "if (fields->end > reader->data_bytes + 1)",
        "tests": ["safetensors_reader"],
    },
    {
        "name": "tensors-may-overlap",
        "file": "src/format/safetensors_reader.c",
        "old": "if (entry->offset < end) {",
        "new": "if (entry->offset < end && i == 0) {",
        "tests": ["safetensors_reader"],
    },
    {
        "name": "a-foreign-directory-may-be-replaced",
        "file": "src/format/atomic.c",
        "old": "if (target->directory && !has_marker(target->parent, target->name, target->marker))",
        "new": "if (target->directory && !target->marker)",
        "tests": ["atomic"],
    },
    {
        "name": "a-short-file-is-published",
        "file": "src/format/atomic.c",
        "old": "if (output->reserved < 0 || info.st_size == output->reserved) return ECK_OK;",
        "new": "if (output->reserved < 0 || info.st_size <= output->reserved) return ECK_OK;",
        "tests": ["atomic"],
    },
    {
        "name": "the-old-file-goes-before-the-new-one-is-whole",
        "file": "src/format/atomic.c",
        "old": "    ecki_temporary_sweep(target->parent, target->name);\n",
        "new": "    ecki_temporary_sweep(target->parent, target->name);\n"
        "    unlinkat(target->parent, target->name, 0);\n",
        "tests": ["atomic"],
    },
]
