// A sparse matrix and the dense one of its numbers have the same values to 10 eps s_1, and their factors the same errors:
// with empty rows, entries out of order and twice in a place, one dense row, blocks with repeated values, parts that do
// not touch.
#include "matrices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M = 90, N = 60, ROOM = M * N };

// Entries in the order they are listed, and their sums written out.
typedef struct list {
    int64_t row[ROOM], col[ROOM], count;
    double value[ROOM], dense[M * N];
} list;

static void add(list *l, int64_t row, int64_t col, double value)
{
    l->row[l->count] = row;
    l->col[l->count] = col;
    l->value[l->count++] = value;
    l->dense[row * N + col] += value;
}

// Numbers of 20 bits, so that sums of two at a place are exact in F32.
static double entry(uint64_t stream, uint64_t i)
{
    return rint(ldexp(normal_number(stream, i), 16)) * 0x1p-16;
}

static void scattered(list *l)
{
    for (uint64_t i = 0; i < 700; i++) {
        const int64_t row = (int64_t)(uniform_number(1, 2 * i) * M);
        if (row % 7 != 3) add(l, row, (int64_t)(uniform_number(1, 2 * i + 1) * N), entry(2, i));
    }
}

static void backwards_and_twice(list *l)
{
    for (int64_t i = 0; i < 400; i++)
        for (int twice = 0; twice < 2; twice++)
            add(l, (i * 37) % M, N - 1 - (i * 11) % N, entry(3, (uint64_t)(2 * i + twice)));
}

static void dense_row(list *l)
{
    scattered(l);
    for (int64_t j = 0; j < N; j++)
        add(l, 40, j, entry(4, (uint64_t)j));
}

// K_{3,2} blocks of ones: the value sqrt(6) many times over, and no others.
static void bipartite(list *l)
{
    for (int64_t b = 0; b < M / 3; b++)
        for (int64_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < 2; j++)
                add(l, 3 * b + i, 2 * b + j, 1.0);
}

static void parts(list *l)
{
    for (uint64_t i = 0; i < 500; i++) {
        const int64_t part = (int64_t)(i % 2);
        const double size = part ? 0x1p-10 : 1.0;
        add(l, part * 45 + (int64_t)(uniform_number(5, 2 * i) * 45),
            part * 30 + (int64_t)(uniform_number(5, 2 * i + 1) * 30), entry(6, i) * size);
    }
}

static const struct {
    const char *name;
    void (*fill)(list *);
} classes[] = { { "scattered, empty rows", scattered },
                { "backwards, twice in a place", backwards_and_twice },
                { "one dense row", dense_row },
                { "bipartite blocks", bipartite },
                { "two parts", parts } };

// Lines of the list, in its order.
typedef struct compressed {
    int64_t starts[M + 1], indices[ROOM];
    double wide[ROOM];
    float narrow[ROOM];
} compressed;

static void compress(compressed *c, const list *l, bool rows)
{
    const int64_t lines = rows ? M : N;
    int64_t at = 0;
    for (int64_t i = 0; i < lines; i++) {
        c->starts[i] = at;
        for (int64_t e = 0; e < l->count; e++) {
            if ((rows ? l->row[e] : l->col[e]) != i) continue;
            c->indices[at] = rows ? l->col[e] : l->row[e];
            c->wide[at] = l->value[e];
            c->narrow[at++] = (float)l->value[e];
        }
    }
    c->starts[lines] = at;
}

// Values of both to 10 eps s_1; the factors of the sparse one meet the dense matrix with the error they claim.
static void compare(const char *name, const eck_operator *a, const subject *dense)
{
    const double eps = eck_dtype_epsilon(dense->array->dtype);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 20;
    eck_svd *const sparse = svd_of(a, &options), *const full = svd_of(dense->op, &options);
    const double *const s = sparse->s->data, *const t = full->s->data;
    double apart = 0.0;
    for (int64_t i = 0; i < N; i++)
        apart = fmax(apart, fabs(s[i] - t[i]));
    hold("sparse values against dense ones", name, apart, 10.0 * eps * t[0]);
    const double norm = norm_of(dense->wide, M * N);
    const double error = residual_norm(dense, sparse->u, s, sparse->v, 20) / norm;
    hold("the error is not above its bound", name, error - sparse->certificate.error_high,
         16.0 * (M + N) * 0x1p-53);
    hold("the error is not below its bound", name, sparse->certificate.error_low - error,
         16.0 * (M + N) * 0x1p-53);
    eck_svd_free(full);
    eck_svd_free(sparse);
}

static void same_as_dense(void **state)
{
    (void)state;
    list *const l = test_malloc(sizeof *l);
    compressed *const c = test_malloc(sizeof *c);
    for (size_t k = 0; k < sizeof classes / sizeof classes[0]; k++)
        for (int t = 0; t < 4; t++) {
            const bool rows = t / 2 == 0, narrow = t % 2 == 0;
            const eck_dtype dtype = narrow ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
            subject dense;
            eck_operator *a = NULL;
            eck_error err = ECK_ERROR_INIT;
            memset(l, 0, sizeof *l);
            classes[k].fill(l);
            compress(c, l, rows);
            const eck_sparse_view view = {
                rows ? ECK_SPARSE_ROWS : ECK_SPARSE_COLS,  dtype, M, N, c->starts, c->indices,
                narrow ? (const void *)c->narrow : c->wide
            };
            assert_true(subject_of(&dense, l->dense, M, N, dtype));
            must(eck_operator_sparse(&a, &view, &err), &err);
            compare(classes[k].name, a, &dense);
            eck_operator_free(a);
            subject_clear(&dense);
        }
    test_free(c);
    test_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_dense) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    report_worst();
    return failed;
}
