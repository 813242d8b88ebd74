// What must be the same to the last bit: results under powers of two, from every way to lay the same
// numbers out, and from run to run.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static eck_svd_options options_of(uint32_t want, int64_t rank, eck_dtype store)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.want = want;
    options.rank = rank;
    options.store = store;
    return options;
}

// Fails unless two arrays hold the same bytes.
static void same_bytes(const eck_array *a, const eck_array *b)
{
    assert_int_equal(eck_array_count(a), eck_array_count(b));
    assert_int_equal(a->dtype, b->dtype);
    const size_t bytes = (size_t)eck_array_count(a) * (size_t)eck_dtype_bits(a->dtype) / 8;
    if (bytes) assert_memory_equal(a->data, b->data, bytes);
}

static void same_result(const eck_svd *a, const eck_svd *b)
{
    same_bytes(a->u, b->u);
    same_bytes(a->s, b->s);
    same_bytes(a->v, b->v);
    assert_true(a->certificate.error == b->certificate.error);
    assert_true(a->certificate.error_high == b->certificate.error_high);
}

// b = 2^e a, number by number.
static void scaled_bytes(const eck_array *a, const eck_array *b, int e)
{
    double *const x = wide_of(a), *const y = wide_of(b);
    for (int64_t i = 0; i < eck_array_count(a); i++)
        assert_true(ldexp(x[i], e) == y[i]);
    test_free(y);
    test_free(x);
}

static void powers_of_two(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F64 };
    const int exponents[] = { 1, -1, 20, -40, 60, -60 };
    for (int t = 0; t < 3; t++)
        for (int wide = 0; wide < 2; wide++) {
            const int64_t m = wide ? 70 : 130, n = 200 - m;
            subject a = subject_of_class(&MATRIX_CLASSES[6], m, n, types[t], 3);
            const eck_svd_options expanded =
                options_of(ECK_WANT_LEFT | ECK_WANT_RIGHT, 12, types[t]);
            const eck_svd_options compact = options_of(ECK_WANT_COMPACT, 60, types[t]);
            eck_svd *const one = svd_of(a.op, &expanded), *const two = svd_of(a.op, &compact);
            for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
                double *const b = test_malloc((size_t)(m * n) * sizeof *b);
                for (int64_t i = 0; i < m * n; i++)
                    b[i] = ldexp(a.wide[i], exponents[e]);
                subject s;
                assert_true(subject_of(&s, b, m, n, types[t]));
                eck_svd *svd = svd_of(s.op, &expanded);
                same_bytes(one->u, svd->u);
                same_bytes(one->v, svd->v);
                scaled_bytes(one->s, svd->s, exponents[e]);
                assert_true(one->certificate.error == svd->certificate.error);
                eck_svd_free(svd);
                svd = svd_of(s.op, &compact);
                const bool right = two->orthonormal == ECK_SIDE_RIGHT;
                same_bytes(right ? two->v : two->u, right ? svd->v : svd->u);
                scaled_bytes(right ? two->u : two->v, right ? svd->u : svd->v, exponents[e]);
                assert_true(two->certificate.error_high == svd->certificate.error_high);
                eck_svd_free(svd);
                subject_clear(&s);
                test_free(b);
            }
            eck_svd_free(two);
            eck_svd_free(one);
            subject_clear(&a);
        }
}

// The numbers of a [m,n] subject laid out with the given strides (in elements) in memory of their
// own, its first byte not aligned.
static eck_view laid_out(unsigned char *memory, const subject *a, int64_t row_stride,
                         int64_t col_stride)
{
    const int64_t bytes = eck_dtype_bits(a->array->dtype) / 8;
    int64_t start = 0;
    if (row_stride < 0) start -= row_stride * (a->m - 1);
    if (col_stride < 0) start -= col_stride * (a->n - 1);
    unsigned char *const first = memory + 1 + start * bytes;
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++)
            memcpy(first + (i * row_stride + j * col_stride) * bytes,
                   (const unsigned char *)a->array->data + (i * a->n + j) * bytes, (size_t)bytes);
    eck_view view = eck_view_matrix(first, a->array->dtype, a->m, a->n);
    view.stride[0] = row_stride;
    view.stride[1] = col_stride;
    return view;
}

static void layouts(void **state)
{
    (void)state;
    const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16, ECK_DTYPE_F64 };
    for (int t = 0; t < 4; t++) {
        const int64_t m = 90, n = 70;
        subject a = subject_of_class(&MATRIX_CLASSES[6], m, n, types[t], 5);
        const eck_svd_options options = options_of(ECK_WANT_LEFT | ECK_WANT_RIGHT, 9, types[t]);
        eck_svd *const one = svd_of(a.op, &options);
        const int64_t strides[][2] = { { n + 13, 1 }, { 1, m },       { 2, 3 * m }, { -n, 1 },
                                       { n, -1 },     { -3 * n, -2 }, { -1, -m } };
        unsigned char *const memory = test_calloc((size_t)(8 * m * n * 8), 1);
        for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
            eck_operator *op = NULL;
            eck_error err = ECK_ERROR_INIT;
            must(eck_operator_dense(&op, laid_out(memory, &a, strides[i][0], strides[i][1]), &err),
                 &err);
            eck_svd *const two = svd_of(op, &options);
            same_result(one, two);
            eck_svd_free(two);
            eck_operator_free(op);
        }
        test_free(memory);
        eck_svd_free(one);
        subject_clear(&a);
    }
}

// Run after run on the same number of threads; and on any number for matrices too small to share.
static void repeated_runs(void **state)
{
    (void)state;
    const int64_t sizes[][2] = { { 60, 50 }, { 300, 200 } };
    for (int t = 0; t < 2; t++) {
        subject a =
            subject_of_class(&MATRIX_CLASSES[6], sizes[t][0], sizes[t][1], ECK_DTYPE_F32, 11);
        const eck_svd_options options =
            options_of(ECK_WANT_LEFT | ECK_WANT_RIGHT, 20, ECK_DTYPE_F32);
        for (int32_t threads = 1; threads <= 3; threads++) {
            eck_svd *svd[2] = { NULL, NULL };
            for (int run = 0; run < 2; run++) {
                eck_context context = ECK_CONTEXT_INIT;
                eck_error err = ECK_ERROR_INIT;
                context.threads = t == 0 && run == 0 ? 1 : threads;
                must(eck_svd_compute(&svd[run], a.op, &options, &context, &err), &err);
                assert_int_equal(svd[run]->reproducible, t == 0 || threads == 1);
            }
            same_result(svd[0], svd[1]);
            eck_svd_free(svd[0]);
            eck_svd_free(svd[1]);
        }
        subject_clear(&a);
    }
}

// A spectrum kept, saved and loaded gives what computing at once gives.
static void saved_spectra(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 80, 60 }, { 60, 80 }, { 1, 9 }, { 40, 40 }, { 0, 3 } };
    for (int t = 0; t < 5; t++) {
        subject a =
            subject_of_class(&MATRIX_CLASSES[6], shapes[t][0], shapes[t][1], ECK_DTYPE_BF16, 2);
        const int64_t ranks[] = { 0, 1, 5, 33 };
        eck_spectrum *kept = NULL, *loaded = NULL;
        char *bytes = NULL;
        int64_t count = 0;
        eck_error err = ECK_ERROR_INIT;
        must(eck_spectrum_create(&kept, a.op, NULL, &err), &err);
        must(eck_spectrum_save(&bytes, &count, kept, &err), &err);
        must(eck_spectrum_load(&loaded, bytes, count, &err), &err);
        for (int i = 0; i < 4; i++) {
            const eck_svd_options options = options_of(ECK_WANT_COMPACT, ranks[i], ECK_DTYPE_BF16);
            eck_svd *const at_once = svd_of(a.op, &options);
            eck_svd *from[2] = { NULL, NULL };
            must(eck_spectrum_svd(&from[0], kept, a.op, &options, NULL, &err), &err);
            must(eck_spectrum_svd(&from[1], loaded, a.op, &options, NULL, &err), &err);
            same_result(at_once, from[0]);
            same_result(at_once, from[1]);
            eck_svd_free(from[0]);
            eck_svd_free(from[1]);
            eck_svd_free(at_once);
        }
        eck_text_free(bytes);
        eck_spectrum_free(loaded);
        eck_spectrum_free(kept);
        subject_clear(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_of_two),
        cmocka_unit_test(layouts),
        cmocka_unit_test(repeated_runs),
        cmocka_unit_test(saved_spectra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
