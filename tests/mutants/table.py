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
    # ---- decompose
    {
        "name": "offsets-of-kernels-overlap-instead-of-adding",
        "file": "src/decompose/compose.c",
        "old": "(a + at[0]) * kernel[1] + b + at[1]",
        "new": "(a + at[0]) * kernel[1] + b + 0 * at[1]",
        "tests": ["chain"],
    },
    {
        "name": "blocks-of-a-grouped-map-land-where-the-first-does",
        "file": "src/decompose/compose.c",
        "old": "piece.input = c / run * map->width - input;",
        "new": "piece.input = 0 * input;",
        "tests": ["chain"],
    },
    {
        "name": "the-values-are-shared-out-the-wrong-way-round",
        "file": "src/decompose/svd_fit.c",
        "old": "split == (in_left ? ECK_SPLIT_LEFT : ECK_SPLIT_RIGHT)",
        "new": "split == (in_left ? ECK_SPLIT_RIGHT : ECK_SPLIT_LEFT)",
        "tests": ["svd_fit"],
    },
    {
        "name": "a-factor-may-overflow-its-type",
        "file": "src/decompose/svd_fit.c",
        "old": "ECK_REQUIRE(isfinite(back), ECK_E_RANGE",
        "new": "ECK_REQUIRE(!isnan(back), ECK_E_RANGE",
        "tests": ["svd_fit"],
    },
    {
        "name": "break-even-is-where-nothing-is-gained",
        "file": "src/decompose/svd_curve.c",
        "old": "return (parameters - 1) / parameters_per_rank(dense);",
        "new": "return parameters / parameters_per_rank(dense);",
        "tests": ["svd_curve"],
    },
    # ---- model
    {
        "name": "what-was-given-up-is-forgotten-by-the-bound",
        "file": "src/model/knapsack_search.c",
        "old": "const double low = fmin(standing->damage, search.pruned) - search.loss;",
        "new": "const double low = standing->damage - search.loss;",
        "tests": ["knapsack"],
    },
    {
        "name": "cells-cost-nothing",
        "file": "src/model/knapsack_search.c",
        "old": "search->loss += search->cell;",
        "new": "search->loss += 0.0 * search->cell;",
        "tests": ["knapsack_search"],
    },
    {
        "name": "hulls-are-concave",
        "file": "src/model/knapsack.c",
        "old": "steepness(shelf, &vertices[kept - 1], &next) >=",
        "new": "steepness(shelf, &vertices[kept - 1], &next) <=",
        "tests": ["knapsack"],
    },
    # ---- format
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
