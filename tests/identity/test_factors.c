// Laws of sums of thin products and of adapters on disk: their decomposition is that of the matrix they stand for, full rank
// changes nothing, A - A is nothing, and what was merged into a model comes out of it again.
#include "matrices.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT = 72, IN = 56, RANK = 5, TERMS = 3, LAYERS = 2 };

// ---- sums of products

// TERMS products of RANK thin terms each, with their dense sum; sizes and weights differ.
typedef struct sum {
    int64_t rows, cols;
    double *first[TERMS], *last[TERMS], *dense;
    eck_term terms[TERMS];
    double magnitude; // sum of |weight| |last_p| |first_p|: what may cancel
} sum;

static double *numbers_of(int64_t count, uint64_t stream)
{
    double *const x = test_malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = normal_number(stream, (uint64_t)i);
    return x;
}

static sum sum_make(int64_t rows, int64_t cols, uint64_t stream)
{
    static const double weights[TERMS] = { 0.7, -1.3, 0.05 };
    sum s = { .rows = rows, .cols = cols };
    s.dense = test_calloc((size_t)(rows * cols), sizeof *s.dense);
    for (int t = 0; t < TERMS; t++) {
        s.first[t] = numbers_of(RANK * cols, stream + 2 * (uint64_t)t);
        s.last[t] = numbers_of(rows * RANK, stream + 2 * (uint64_t)t + 1);
        s.terms[t] = (eck_term){ weights[t], eck_view_matrix(s.first[t], ECK_DTYPE_F64, RANK, cols),
                                 eck_view_matrix(s.last[t], ECK_DTYPE_F64, rows, RANK) };
        for (int64_t p = 0; p < RANK; p++) {
            double column = 0;
            for (int64_t i = 0; i < rows; i++) {
                const double x = s.last[t][i * RANK + p];
                column += x * x;
                for (int64_t j = 0; j < cols; j++)
                    s.dense[i * cols + j] += weights[t] * x * s.first[t][p * cols + j];
            }
            s.magnitude += fabs(weights[t]) * sqrt(column) * norm_of(s.first[t] + p * cols, cols);
        }
    }
    return s;
}

static void sum_clear(sum *s)
{
    for (int t = 0; t < TERMS; t++) {
        test_free(s->first[t]);
        test_free(s->last[t]);
    }
    test_free(s->dense);
}

// || dense - last first ||.
static double off_by(const double *dense, const eck_array *first, const eck_array *last)
{
    const int64_t rows = last->shape[0], k = last->shape[1], cols = first->shape[1];
    double *const f = wide_of(first), *const l = wide_of(last), squares = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double x = dense[i * cols + j];
            for (int64_t p = 0; p < k; p++)
                x -= l[i * k + p] * f[p * cols + j];
            squares += x * x;
        }
    test_free(f);
    test_free(l);
    return sqrt(squares);
}

// || dense - the factored sum cut to a rank ||, stored in F64.
static double off_at(const sum *s, const eck_factored *f, int64_t rank)
{
    const eck_truncation cut = { rank, ECK_SPLIT_BALANCED, ECK_DTYPE_F64 };
    eck_error err = ECK_ERROR_INIT;
    eck_array *first = NULL, *last = NULL;
    must(eck_factored_truncate(&first, &last, f, &cut, &err), &err);
    const double off = off_by(s->dense, first, last);
    eck_array_free(first);
    eck_array_free(last);
    return off;
}

static const int64_t sizes[][2] = { { 90, 60 }, { 40, 130 }, { 64, 64 }, { 20, 15 }, { 12, 70 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

// The SVD of the sum is that of the matrix written out, to c eps mu; by Grams too, where these numbers let them serve.
static void decomposition(void **state)
{
    (void)state;
    for (int c = 0; c < SIZES; c++) {
        sum s = sum_make(sizes[c][0], sizes[c][1], 700 + 10 * (uint64_t)c);
        subject a = { 0 };
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.engine = ECK_ENGINE_GOLUB_KAHAN;
        options.rule = ECK_RULE_THIN;
        options.store = ECK_DTYPE_F64;
        assert_true(subject_of(&a, s.dense, s.rows, s.cols, ECK_DTYPE_F64));
        eck_svd *const svd = svd_of(a.op, &options);
        const double *const wanted = svd->s->data;
        for (int64_t rank = 0; rank <= RANK; rank += RANK) {
            eck_error err = ECK_ERROR_INIT;
            eck_factored *f = NULL;
            must(eck_factored_create(&f, s.terms, TERMS, rank, &err), &err);
            const eck_factored_info *const info = eck_factored_get_info(f);
            const double allowed = 16 * DBL_EPSILON * s.magnitude;
            const bool qr = info->orthogonal;
            double tail = 0;
            for (int64_t i = 0; i < RANK; i++)
                hold(qr ? "values by QR" : "values by Grams", "of a sum",
                     fabs(info->values[i] - wanted[i]), allowed);
            for (int64_t i = RANK; i < eck_array_count(svd->s); i++)
                tail += wanted[i] * wanted[i];
            // Eckart and Young: no rank does better, this one as well
            hold(qr ? "cut by QR" : "cut by Grams", "of a sum",
                 fabs(off_at(&s, f, RANK) - sqrt(tail)), allowed);
            eck_factored_free(f);
        }
        eck_svd_free(svd);
        subject_clear(&a);
        sum_clear(&s);
    }
}

// All terms together are the sum.
static void full_rank(void **state)
{
    (void)state;
    for (int c = 0; c < SIZES; c++) {
        sum s = sum_make(sizes[c][0], sizes[c][1], 800 + 10 * (uint64_t)c);
        const int64_t least = s.rows < s.cols ? s.rows : s.cols;
        const int64_t all = least < TERMS * RANK ? least : TERMS * RANK;
        eck_error err = ECK_ERROR_INIT;
        eck_factored *f = NULL;
        must(eck_factored_create(&f, s.terms, TERMS, 0, &err), &err);
        hold("full rank", "changes nothing", off_at(&s, f, all), 16 * DBL_EPSILON * s.magnitude);
        eck_factored_free(f);
        sum_clear(&s);
    }
}

// A - A = 0, to what cancels: the values are rounding, and so is the product.
static void nothing_is_left(void **state)
{
    (void)state;
    for (int c = 0; c < SIZES; c++) {
        sum s = sum_make(sizes[c][0], sizes[c][1], 900 + 10 * (uint64_t)c);
        eck_term terms[2 * TERMS];
        eck_error err = ECK_ERROR_INIT;
        eck_factored *f = NULL;
        for (int t = 0; t < 2 * TERMS; t++) {
            terms[t] = s.terms[t % TERMS];
            terms[t].weight *= t < TERMS ? 1 : -1;
        }
        memset(s.dense, 0, (size_t)(s.rows * s.cols) * sizeof *s.dense);
        must(eck_factored_create(&f, terms, 2 * TERMS, RANK, &err), &err);
        hold("A - A", "norm", eck_factored_get_info(f)->norm, 16 * DBL_EPSILON * s.magnitude);
        // both halves count: what is added, not what is left
        hold("A - A", "magnitude", fabs(eck_factored_get_info(f)->magnitude - 2 * s.magnitude),
             1e-13 * s.magnitude);
        hold("A - A", "product", off_at(&s, f, RANK), 16 * DBL_EPSILON * s.magnitude);
        eck_factored_free(f);
        sum_clear(&s);
    }
}

// ---- adapters on disk

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/eckart-identity-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

// "<directory>/<name>", valid until the fourth call after.
static const char *place(const char *name)
{
    static char paths[4][120];
    static int next;
    char *const path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static eck_array *array_of(int64_t rows, int64_t cols, uint64_t stream, double size)
{
    eck_error err = ECK_ERROR_INIT;
    eck_array *array = NULL;
    double *const x = numbers_of(rows * cols, stream);
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] *= size;
    must(eck_array_convert(&array, eck_view_matrix(x, ECK_DTYPE_F64, rows, cols), ECK_DTYPE_F32,
                           &err),
         &err);
    test_free(x);
    return array;
}

// A kohya file that changes both layers, and another with other numbers.
static void write_adapter(const char *path, uint64_t stream)
{
    static const char *const names[] = { "lora_unet_up.lora_down.weight",
                                         "lora_unet_up.lora_up.weight",
                                         "lora_unet_side.lora_down.weight",
                                         "lora_unet_side.lora_up.weight" };
    eck_array *arrays[4];
    eck_named_array named[4];
    eck_error err = ECK_ERROR_INIT;
    for (int i = 0; i < 4; i++) {
        const bool first = i % 2 == 0;
        arrays[i] = array_of(first ? RANK : OUT, first ? IN : RANK, stream + (uint64_t)i, 0.1);
        named[i] = (eck_named_array){ names[i], arrays[i] };
    }
    must(eck_file_write_arrays(path, named, 4, false, &err), &err);
    for (int i = 0; i < 4; i++)
        eck_array_free(arrays[i]);
}

static eck_adapter *open_adapter(const char *path)
{
    eck_error err = ECK_ERROR_INIT;
    eck_adapter *adapter = NULL;
    must(eck_adapter_open(&adapter, path, &err), &err);
    assert_int_equal(eck_adapter_module_count(adapter), LAYERS);
    return adapter;
}

// || a - factor b || / || a || over all modules.
static double apart(const char *a, const char *b, double factor)
{
    eck_error err = ECK_ERROR_INIT;
    eck_adapter *adapters[2] = { open_adapter(a), open_adapter(b) };
    double squares = 0, norm = 0;
    for (int64_t i = 0; i < LAYERS; i++) {
        double *const dense = test_calloc(OUT * IN, sizeof *dense);
        for (int side = 0; side < 2; side++) {
            eck_factors f = { NULL, NULL, 0 };
            must(eck_adapter_load(&f, adapters[side], i, &err), &err);
            double *const first = wide_of(f.first), *const last = wide_of(f.last);
            const double weight = f.scale * (side == 0 ? 1 : -factor);
            const int64_t width = f.first->shape[0];
            for (int64_t x = 0; x < OUT; x++)
                for (int64_t p = 0; p < width; p++)
                    for (int64_t y = 0; y < IN; y++)
                        dense[x * IN + y] += weight * last[x * width + p] * first[p * IN + y];
            if (side == 0) norm += pow(norm_of(dense, OUT * IN), 2);
            test_free(first);
            test_free(last);
            eck_factors_clear(&f);
        }
        squares += pow(norm_of(dense, OUT * IN), 2);
        test_free(dense);
    }
    eck_adapter_close(adapters[0]);
    eck_adapter_close(adapters[1]);
    return sqrt(squares / norm);
}

// Combined in full and taken away again, and resized to the rank there is: each rounds both factors to F32 once, and an
// element of a product of RANK terms then moves by at most 2 u of the sum of their sizes; 4 u sqrt(RANK) covers sums of two.
static void combined_and_resized(void **state)
{
    (void)state;
    const double allowed = 4 * 0x1p-24 * sqrt(RANK);
    eck_error err = ECK_ERROR_INIT;
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    eck_adapter_budget budget = ECK_ADAPTER_BUDGET_INIT;

    write_adapter(place("a.safetensors"), 1000);
    write_adapter(place("b.safetensors"), 1010);
    eck_adapter *const a = open_adapter(place("a.safetensors"));
    eck_adapter *const b = open_adapter(place("b.safetensors"));
    const eck_weighted_adapter both[] = { { a, 1 }, { b, 0.5 } };
    const eck_adapter_sum sum_of_both = { both, 2 };
    write.path = place("sum.safetensors");
    must(eck_adapter_combine(&outcome, &sum_of_both, 0, &write, NULL, &err), &err);
    eck_adapter_outcome_clear(&outcome);

    eck_adapter *const together = open_adapter(place("sum.safetensors"));
    const eck_weighted_adapter back[] = { { together, 1 }, { b, -0.5 } };
    const eck_adapter_sum difference = { back, 2 };
    write.path = place("back.safetensors");
    must(eck_adapter_combine(&outcome, &difference, RANK, &write, NULL, &err), &err);
    eck_adapter_outcome_clear(&outcome);
    hold("A + B - B", "A", apart(place("a.safetensors"), place("back.safetensors"), 1), allowed);

    budget.rank = 2 * RANK;
    write.path = place("same.safetensors");
    must(eck_adapter_resize(&outcome, together, &budget, &write, NULL, &err), &err);
    assert_int_equal(outcome.kept, LAYERS); // small enough already: its very bytes
    eck_adapter_outcome_clear(&outcome);
    hold("resized to the rank it has", "the same",
         apart(place("sum.safetensors"), place("same.safetensors"), 1), 1e-15);
    eck_adapter_close(together);
    eck_adapter_close(a);
    eck_adapter_close(b);
}

// Merged with a weight and taken out again at its rank. Weights near 1 are rounded to F32, which leaves u / sqrt(12) of each,
// against a change of about weight * 0.01 sqrt(RANK) an element: 1e-6, of which rank RANK keeps a tenth; with the rounding of
// both factors 2e-6 covers it.
static void merged_and_extracted(void **state)
{
    (void)state;
    const double weight = 0.75;
    eck_error err = ECK_ERROR_INIT;
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    eck_extract_options extract = ECK_EXTRACT_OPTIONS_INIT;
    eck_convert_options convert = ECK_CONVERT_OPTIONS_INIT;
    eck_model *base = NULL, *tuned = NULL;
    eck_array *const up = array_of(OUT, IN, 1100, 1), *const side = array_of(OUT, IN, 1101, 1);
    const eck_named_array layers[] = { { "up.weight", up }, { "side.weight", side } };
    eck_selection all = ECK_SELECTION_INIT;
    all.min_size = 1;

    must(eck_file_write_arrays(place("base.safetensors"), layers, LAYERS, false, &err), &err);
    must(eck_model_open(&base, place("base.safetensors"), &err), &err);
    must(eck_model_select(base, &all, &err), &err);
    write_adapter(place("c.safetensors"), 1020);
    eck_adapter *const kohya = open_adapter(place("c.safetensors"));
    const eck_adapter_base bases[] = { { NULL, base } };
    convert.bases = bases;
    convert.base_count = 1;
    convert.write.path = place("peft");
    must(eck_adapter_convert(&outcome, kohya, &convert, &err), &err);
    eck_adapter_outcome_clear(&outcome);
    hold("kohya and PEFT", "the same", apart(place("c.safetensors"), place("peft"), 1), 1e-15);

    eck_adapter *const peft = open_adapter(place("peft"));
    const eck_weighted_adapter term = { peft, weight };
    const eck_adapter_sum merged = { &term, 1 };
    write.path = place("tuned.safetensors");
    must(eck_adapter_merge(&outcome, base, &merged, &write, NULL, &err), &err);
    eck_adapter_outcome_clear(&outcome);
    must(eck_model_open(&tuned, place("tuned.safetensors"), &err), &err);
    extract.budget.rank = RANK;
    extract.write.path = place("extracted");
    must(eck_adapter_extract(&outcome, base, tuned, &extract, NULL, &err), &err);
    eck_adapter_outcome_clear(&outcome);
    hold("merged and extracted", "the same", apart(place("extracted"), place("peft"), weight),
         2e-6);
    eck_adapter_close(peft);
    eck_adapter_close(kohya);
    eck_model_close(tuned);
    eck_model_close(base);
    eck_array_free(up);
    eck_array_free(side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decomposition),        cmocka_unit_test(full_rank),
        cmocka_unit_test(nothing_is_left),      cmocka_unit_test(combined_and_resized),
        cmocka_unit_test(merged_and_extracted),
    };
    const int failed = cmocka_run_group_tests(tests, make_directory, remove_directory);
    report_worst();
    return failed;
}
