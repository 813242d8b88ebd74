// The two stages (two_stage.c, and of band_tmpl.c, chase_tmpl.c, chase_apply_tmpl.c and two_stage_tmpl.c the builds
// band_f64.c, chase_f64.c, chase_apply_f64.c, two_stage_f64.c, band_f32.c, chase_f32.c, chase_apply_f32.c and
// two_stage_f32.c): the law is A = Q T Q^T with Q orthogonal, for sizes around the borders of bands, tiles and groups, and
// for matrices that have little or nothing to reduce; the bits are those of any number of threads.
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "linalg/two_stage.h"
#include "memory/failing_allocator.h"

// A reduced matrix and what it was.
typedef struct reduction {
    int64_t n;
    double *a, *store, *diagonal, *off_diagonal;
} reduction;

typedef double entry(int64_t i, int64_t j);

static double normal_entry(int64_t i, int64_t j)
{
    return ecki_random_normal(11, 5, (uint64_t)(i * 5000 + j));
}

static double zero_entry(int64_t i, int64_t j)
{
    (void)i;
    (void)j;
    return 0.0;
}

static double diagonal_entry(int64_t i, int64_t j)
{
    return i == j ? 2.385 - 0.01 * (double)i : 0.0;
}

static double tridiagonal_entry(int64_t i, int64_t j)
{
    return i - j > 1 ? 0.0 : i == j ? 2.385 : 1.17;
}

static double rank_one_entry(int64_t i, int64_t j)
{
    return sin((double)i + 1.0) * sin((double)j + 1.0);
}

// Columns of zeros between others: panels and sweeps with nothing to annihilate.
static double holes_entry(int64_t i, int64_t j)
{
    return i % 3 == 1 || j % 3 == 1 ? 0.0 : normal_entry(i, j);
}

static reduction reduce(int64_t n, entry *of, int32_t threads)
{
    reduction r = { n, NULL, NULL, NULL, NULL };
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    int64_t room = 0;
    assert_true(ecki_two_stage_count(n, &room));
    room = room > n * n ? room : n * n;
    double *gram = ecki_malloc(room, sizeof *gram);
    r.a = test_malloc((size_t)(n * n + 1) * sizeof *r.a);
    r.diagonal = test_malloc((size_t)(n + 1) * sizeof *r.a);
    r.off_diagonal = test_malloc((size_t)(n + 1) * sizeof *r.a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            r.a[i * n + j] = r.a[j * n + i] = of(i, j);
            gram[i * n + j] = r.a[i * n + j];
            gram[j * n + i] = i == j ? gram[i * n + j] : NAN; // not to be read
        }
    ecki_tridiagonal t = { n, r.diagonal, r.off_diagonal, NULL };
    context.threads = threads;
    expect_ok(ecki_two_stage_reduce_f64(&t, &gram, &r.store, &context, &err), &err);
    assert_null(gram);
    return r;
}

static void reduction_free(reduction *r)
{
    ecki_free(r->store);
    test_free(r->off_diagonal);
    test_free(r->diagonal);
    test_free(r->a);
}

// Rows of the identity, brought back: row j is column j of Q^T .. that is, z = Q^T as rows of vectors.
static double *make_q(const reduction *r, int32_t threads)
{
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    context.threads = threads;
    double *const z = test_calloc((size_t)(r->n * r->n + 1), sizeof *z);
    for (int64_t i = 0; i < r->n; i++)
        z[i * r->n + i] = 1.0;
    expect_ok(ecki_two_stage_apply_f64(z, r->n, r->store, r->n, &context, &err), &err);
    return z;
}

// max |Q^T Q - I| and max |Q^T A Q - T|, with vectors as rows of z.
static void check_law(const reduction *r, const double *z, double unit)
{
    const int64_t n = r->n;
    double *const image = test_malloc((size_t)(n + 1) * sizeof *image);
    double off = 0.0, wrong = 0.0, norm2 = 0.0;
    for (int64_t i = 0; i < n * n; i++)
        norm2 += r->a[i] * r->a[i];
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < n; i++) {
            image[i] = 0.0;
            for (int64_t t = 0; t < n; t++)
                image[i] += r->a[i * n + t] * z[j * n + t];
        }
        for (int64_t l = 0; l < n; l++) {
            double orthogonal = l == j ? -1.0 : 0.0, reduced = 0.0;
            for (int64_t t = 0; t < n; t++) {
                orthogonal += z[l * n + t] * z[j * n + t];
                reduced += z[l * n + t] * image[t];
            }
            if (l == j) reduced -= r->diagonal[j];
            if (l == j + 1) reduced -= r->off_diagonal[j];
            if (l == j - 1) reduced -= r->off_diagonal[l];
            off = fmax(off, fabs(orthogonal));
            wrong = fmax(wrong, fabs(reduced));
        }
    }
    // A product of n reflectors: roundings of sums, which add up like sqrt n. The error of the reduction has the
    // Frobenius norm of A times a few units, and lies in few elements where A has low rank.
    expect_at_most("Q^T Q - I", off, 4.0 * (2.0 + sqrt((double)n)) * unit);
    expect_at_most("Q^T A Q - T", wrong, 16.0 * unit * sqrt(norm2));
    test_free(image);
}

static void check_size(int64_t n, entry *of)
{
    reduction r = reduce(n, of, 2);
    double *const z = make_q(&r, 2);
    check_law(&r, z, 0x1p-53);
    test_free(z);
    reduction_free(&r);
}

// Borders of a band (64), of diamonds (32 sweeps), of tiles (256), and a size with every kind of rest.
static void law(void **state)
{
    (void)state;
    const int64_t sizes[] = {
        0, 1, 2, 3, 31, 63, 64, 65, 66, 97, 127, 128, 129, 200, 256, 257, 331
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_size(sizes[i], normal_entry);
}

static void little_to_reduce(void **state)
{
    (void)state;
    entry *const entries[] = { zero_entry, diagonal_entry, tridiagonal_entry, rank_one_entry,
                               holes_entry };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        check_size(150, entries[i]);
}

// In F32: the law with that unit, in numbers of F64.
static void law_in_f32(int64_t n, entry *of, int32_t threads)
{
    reduction r = reduce(n, of, 1);
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    int64_t room = 0;
    context.threads = threads;
    ecki_two_stage_count(n, &room);
    float *matrix = ecki_malloc(room > n * n ? room : n * n, sizeof *matrix), *store = NULL;
    float *const z = test_calloc((size_t)(n * n + 1), sizeof *z);
    double *const wide = test_malloc((size_t)(n * n + 1) * sizeof *wide);
    for (int64_t i = 0; i < n * n; i++)
        r.a[i] = matrix[i] = (float)r.a[i];
    for (int64_t i = 0; i < n; i++)
        z[i * n + i] = 1.0F;
    ecki_tridiagonal t = { n, r.diagonal, r.off_diagonal, NULL };
    expect_ok(ecki_two_stage_reduce_f32(&t, &matrix, &store, &context, &err), &err);
    assert_null(matrix);
    expect_ok(ecki_two_stage_apply_f32(z, n, store, n, &context, &err), &err);
    for (int64_t i = 0; i < n * n; i++)
        wide[i] = z[i];
    check_law(&r, wide, 0x1p-24);
    test_free(wide);
    test_free(z);
    ecki_free(store);
    reduction_free(&r);
}

static void in_f32(void **state)
{
    (void)state;
    const int64_t sizes[] = { 1, 3, 64, 65, 97, 129, 257, 331 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        law_in_f32(sizes[i], normal_entry, 2);
    law_in_f32(150, holes_entry, 5);
    law_in_f32(150, rank_one_entry, 1);
}

// What is tridiagonal already stays as it is, bit for bit.
static void tridiagonal_stays(void **state)
{
    (void)state;
    reduction r = reduce(140, tridiagonal_entry, 1);
    for (int64_t i = 0; i < r.n; i++) {
        assert_true(r.diagonal[i] == 2.385);
        assert_true(i + 1 == r.n || r.off_diagonal[i] == 1.17);
    }
    reduction_free(&r);
}

static void same_bits_for_any_threads(void **state)
{
    (void)state;
    reduction one = reduce(389, normal_entry, 1);
    double *const z = make_q(&one, 1);
    const int32_t threads[] = { 2, 3, 4, 7 };
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        reduction many = reduce(389, normal_entry, threads[i]);
        double *const y = make_q(&many, threads[i]);
        assert_memory_equal(one.diagonal, many.diagonal, 389 * sizeof(double));
        assert_memory_equal(one.off_diagonal, many.off_diagonal, 389 * sizeof(double));
        assert_memory_equal(one.store, many.store,
                            (size_t)ecki_two_stage_layout_of(389).count * sizeof(double));
        assert_memory_equal(z, y, 389 * 389 * sizeof(double));
        test_free(y);
        reduction_free(&many);
    }
    test_free(z);
    reduction_free(&one);
}

// Values alone: the same tridiagonal matrix.
static void without_a_store(void **state)
{
    (void)state;
    enum { N = 170 };
    eck_error err = ECK_ERROR_INIT;
    reduction r = reduce(N, normal_entry, 1);
    double diagonal[N], off_diagonal[N];
    ecki_tridiagonal t = { N, diagonal, off_diagonal, NULL };
    double *gram = ecki_malloc(N * N, sizeof *gram);
    memcpy(gram, r.a, N * N * sizeof *gram);
    expect_ok(ecki_two_stage_reduce_f64(&t, &gram, NULL, NULL, &err), &err);
    assert_null(gram);
    assert_memory_equal(diagonal, r.diagonal, sizeof diagonal);
    assert_memory_equal(off_diagonal, r.off_diagonal, sizeof off_diagonal);
    reduction_free(&r);
}

static void sizes(void **state)
{
    (void)state;
    int64_t count = 7;
    assert_true(ecki_two_stage_count(4096, &count));
    assert_true(count > (int64_t)4096 * 4096 && count < (int64_t)4096 * 4096 * 21 / 20);
    assert_false(ecki_two_stage_count(-1, &count));
    assert_false(ecki_two_stage_count((int64_t)1 << 31, &count));
    assert_int_equal(ecki_chase_blocks(64), 1);
    assert_int_equal(ecki_chase_blocks(65), 2);
}

// T of two reflectors by hand: I - V T V^T = H_0 H_1.
static void triangle(void **state)
{
    (void)state;
    const double gram[4] = { 5.0, 0.3, 0.3, 7.0 }, tau[2] = { 0.4, 1.25 };
    double t[4];
    ecki_reflector_triangle_f64(t, gram, tau, 2);
    assert_true(t[0] == 0.4 && t[3] == 1.25 && t[2] == 0.0);
    assert_true(fabs(t[1] + 0.4 * 0.3 * 1.25) < 1e-16);
}

// Reduces and applies with every request for memory refused in turn.
static eck_status refused_scenario(void *self, eck_error *err)
{
    (void)self;
    enum { N = 130 };
    eck_status status = ECK_OK;
    double diagonal[N], off_diagonal[N], *gram = NULL, *store = UNTOUCHED;
    ecki_tridiagonal t = { N, diagonal, off_diagonal, NULL };
    int64_t room = 0;
    ecki_two_stage_count(N, &room);
    ECK_ALLOC(gram, room);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j <= i; j++)
            gram[i * N + j] = normal_entry(i, j);
    status = ecki_two_stage_reduce_f64(&t, &gram, &store, NULL, err);
    assert_untouched(status, store);
    if (status == ECK_OK) status = ecki_two_stage_apply_f64(off_diagonal, 1, store, N, NULL, err);
done:
    if (store != UNTOUCHED) ecki_free(store);
    ecki_free(gram);
    return status;
}

static void refused(void **state)
{
    (void)state;
    fail_every_allocation("two stages", refused_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(law),
        cmocka_unit_test(little_to_reduce),
        cmocka_unit_test(in_f32),
        cmocka_unit_test(tridiagonal_stays),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(without_a_store),
        cmocka_unit_test(sizes),
        cmocka_unit_test(triangle),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
