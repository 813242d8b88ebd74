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
        "tests": ["codec"],
    },
    {
        "name": "f64-rounds-twice-on-its-way-to-the-small-types",
        "file": "src/tensor/codec.c",
        "old": "    return float_of_bits((bits_of_float(nearest) - beyond) | inexact);",
        "new": "    return float_of_bits(bits_of_float(nearest) | (0 & (beyond + inexact)));",
        "tests": ["codec"],
    },
    {
        "name": "f16-overflows-one-step-early",
        "file": "src/tensor/codec.c",
        "old": "narrow = rest >= 0x47800000 ? 0x7c00 : narrow;",
        "new": "narrow = rest >= 0x477fe000 ? 0x7c00 : narrow;",
        "tests": ["codec"],
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
        "tests": ["golden"],
    },
    {
        "name": "tensors-may-overlap",
        "file": "src/format/safetensors_reader.c",
        "old": "if (entry->offset < end) {",
        "new": "if (entry->offset < end && i == 0) {",
        "tests": ["golden"],
    },
    {
        "name": "a-foreign-directory-may-be-replaced",
        "file": "src/format/atomic.c",
        "old": "if (target->directory && !has_marker(target->parent, target->name, target->marker))",
        "new": "if (target->directory && !target->marker)",
        "tests": ["atomic"],
    },
    {
        "name": "a-file-of-the-wrong-size-is-published",
        "file": "src/format/output_file.c",
        "old": "if (output->reserved < 0 || info.st_size == output->reserved) return ECK_OK;",
        "new": "if (output->reserved < 0 || info.st_size >= output->reserved) return ECK_OK;",
        "tests": ["output_file", "atomic"],
    },
    {
        "name": "the-old-file-goes-before-the-new-one-is-whole",
        "file": "src/format/atomic.c",
        "old": "    ecki_temporary_sweep(target->parent, target->name);\n",
        "new": "    ecki_temporary_sweep(target->parent, target->name);\n"
        "    unlinkat(target->parent, target->name, 0);\n",
        "tests": ["atomic"],
    },
    # ---- linalg
    {
        "name": "the-tail-is-a-sum-instead-of-a-root-of-squares",
        "file": "src/linalg/exact.c",
        "old": "fmin(1.0, sqrt(sum / norm2_scaled))",
        "new": "fmin(1.0, sum / norm2_scaled)",
        "tests": ["svd"],
    },
    {
        "name": "the-scale-is-not-taken-off-the-values",
        "file": "src/linalg/exact.c",
        "old": "spectrum->values[i] = sqrt(fmax(d[n - 1 - i], 0.0)) / spectrum->scale;",
        "new": "spectrum->values[i] = sqrt(fmax(d[n - 1 - i], 0.0));",
        "tests": ["svd"],
    },
    {
        "name": "the-numerical-rank-counts-values-at-zero",
        "file": "src/linalg/exact.c",
        "old": "spectrum->values[info->numerical_rank] > info->tolerance)",
        "new": "spectrum->values[info->numerical_rank] >= 0.0 * info->tolerance)",
        "tests": ["svd", "classes"],
    },
    {
        "name": "the-gram-is-kept-in-f32",
        "file": "src/linalg/derive.c",
        "old": "at > 0 ? 1.0 : 0.0, out, err));\n    }\ndone:\n    ecki_free(panel);",
        "new": "at > 0 ? 1.0 : 0.0, out, err));\n"
        "        for (int64_t i = 0; i < order; i++)\n"
        "            for (int64_t j = 0; j <= i; j++) {\n"
        "                double *const x = (double *)out.data + i * out.ld + j;\n"
        "                *x = (float)*x;\n"
        "            }\n"
        "    }\ndone:\n    ecki_free(panel);",
        "tests": ["svd", "classes"],
    },
    {
        "name": "vectors-in-rising-order",
        "file": "src/linalg/vectors.c",
        "old": "z[(k - 1 - j) * n + i];",
        "new": "z[j * n + i];",
        "tests": ["svd"],
    },
    {
        "name": "no-second-orthogonalisation",
        "file": "src/linalg/cholesky_qr.c",
        "old": "    ECK_TRY(cholesky_round(x, m, k, second, &again, err));\n",
        "new": "    memset(second, 0, (size_t)(k * k) * sizeof *second);\n"
        "    for (int64_t i = 0; i < k; i++)\n"
        "        second[i * k + i] = 1.0;\n"
        "    again = true;\n",
        "tests": ["svd", "classes"],
    },
    {
        "name": "a-nan-is-reported-in-the-wrong-place",
        "file": "src/linalg/derive.c",
        "old": "scan->first_nonfinite = origin + i * stride + j;",
        "new": "scan->first_nonfinite = origin + i * shape.cols + j + 1;",
        "tests": ["svd"],
    },
    {
        "name": "the-residual-adds-where-it-should-subtract",
        "file": "src/linalg/certificate.c",
        "old": "r = x - b[j + l];",
        "new": "r = x + b[j + l];",
        "tests": ["svd"],
    },
    {
        "name": "the-upper-bound-of-the-residual-forgets-rounding",
        "file": "src/linalg/certificate.c",
        "old": "out->high = out->residual * (1.0 + 2.0 * relative) + error;",
        "new": "out->high = out->residual * (1.0 - 2.0 * relative) - error;",
        "tests": ["svd"],
    },
    {
        "name": "signs-follow-the-smallest-element",
        "file": "src/linalg/finish.c",
        "old": "flip[j] = x < 0.0 ? -1.0 : 1.0;",
        "new": "flip[j] = x < 0.0 ? 1.0 : -1.0;",
        "tests": ["svd", "classes", "tests/cli/test_numbers.py"],
    },
    # ---- decompose
    {
        "name": "the-error-of-a-point-forgets-storage",
        "file": "src/decompose/svd_curve.c",
        "old": "hypot(spectrum->tails[rank], eck_storage_floor(store))",
        "new": "hypot(spectrum->tails[rank], 0.0 * eck_storage_floor(store))",
        "tests": ["svd_curve"],
    },
    {
        "name": "values-are-not-shared-out-evenly",
        "file": "src/decompose/svd_fit.c",
        "old": "split == ECK_SPLIT_BALANCED ? sqrt(norms[j]) : norms[j];",
        "new": "split == ECK_SPLIT_BALANCED ? norms[j] : norms[j];",
        "tests": ["svd_fit"],
    },
    # ---- model
    {
        "name": "verify-does-not-read-copied-tensors",
        "file": "src/model/verify.c",
        "old": "        same = memcmp(first, second, (size_t)count) == 0;",
        "new": "        same = same && count > 0;",
        "tests": ["tests/cli/test_behaviour.py"],
    },
    {
        "name": "verify-believes-the-manifest",
        "file": "src/model/verify.c",
        "old": "if (!(c.error_low <= module->error_high && c.error_low <= widest * module->error))",
        "new": "if (!(module->error_high <= module->error_high && widest > 0))",
        "tests": ["compress"],
    },
    {
        "name": "a-budget-in-bytes-forgets-what-is-copied",
        "file": "src/model/plan.c",
        "old": "p->limits[1] = ecki_max(0, b->bytes - p->bytes_fixed);",
        "new": "p->limits[1] = ecki_max(0, b->bytes);",
        "tests": ["tests/cli/test_cases.py", "tests/cli/test_behaviour.py"],
    },
    {
        "name": "the-knapsack-ignores-one-limit",
        "file": "src/model/plan.c",
        "old": "p->limits[1] = p->limits[1] >= 0 ? ecki_min(limit, p->limits[1]) : limit;",
        "new": "p->limits[1] = p->limits[1] >= 0 ? p->limits[1] : limit;",
        "tests": ["tests/cli/test_cases.py", "tests/cli/test_behaviour.py"],
    },
    {
        "name": "a-conv1d-of-gpt2-is-taken-for-a-linear-layer",
        "file": "src/model/layers.c",
        "old": "layer->view.stored_transposed = s.conv1d || layer->view.dense.kind == ECK_STAGE_LOOKUP;",
        "new": "layer->view.stored_transposed = layer->view.dense.kind == ECK_STAGE_LOOKUP;",
        "tests": ["layers", "compress"],
    },
    # ---- python
    {
        "name": "arrays-are-taken-for-contiguous",
        "file": "python/eckart/_arrays.py",
        "old": "strides = tuple(stride // size for stride in array.strides)",
        "new": "strides = (array.shape[1], 1)",
        "tests": ["tests/peers/test_bindings_svd.py"],
    },
    {
        "name": "no-result-is-ever-freed",
        "file": "python/eckart/_arrays.py",
        "old": "        self._free(ctypes.cast(self._pointer, self._free.argtypes[0]))",
        "new": "        pass",
        "tests": ["tests/peers/test_bindings_run.py"],
    },
    {
        "name": "a-call-keeps-the-main-thread",
        "file": "python/eckart/linalg.py",
        "old": "return job() if matrix.work < _QUICK else interruptible(run, job)",
        "new": "return job()",
        "tests": ["tests/peers/test_bindings_run.py"],
    },
    {
        "name": "one-status-for-another",
        "file": "python/eckart/_run.py",
        "old": "eck_status.ECK_E_NONFINITE: errors.NonFiniteError",
        "new": "eck_status.ECK_E_NONFINITE: errors.RangeError",
        "tests": ["tests/peers/test_bindings_inputs.py"],
    },
    {
        "name": "a-field-out-of-its-place",
        "file": "python/eckart/_raw/svd.py",
        "old": '        ("rule", c_int),\n        ("target", c_double),',
        "new": '        ("target", c_double),\n        ("rule", c_int),',
        "tests": ["tests/peers/test_bindings_raw.py"],
    },
]
