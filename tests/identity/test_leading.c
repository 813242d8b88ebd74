// Engine krylov against the complete spectrum of the exact lane: what its certificate claims is true, and what was asked for
// is reached, for every kind of matrix and many seeds. The argument is the number of seeds: 2 here, 200 in the long run.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t seeds = 2;

enum { M = 160, N = 260, LEAST = 160 };

typedef struct kind {
    const char *name;
    double (*value)(int64_t i); // singular value i
} kind;

static double slow(int64_t i)
{
    return pow((double)(i + 1), -0.35);
}

static double medium(int64_t i)
{
    return pow((double)(i + 1), -0.8);
}

static double steep(int64_t i)
{
    return pow((double)(i + 1), -2.0);
}

static double outliers(int64_t i)
{
    const double large[] = { 50.0, 30.0, 20.0, 10.0 };
    return i < 4 ? large[i] : pow((double)(i - 3), -0.3);
}

static double far_outliers(int64_t i)
{
    return i < 4 ? 1000.0 / (double)(i + 1) : pow((double)(i - 3), -0.3);
}

static double cluster_at_rank(int64_t i)
{
    return i < 4 ? 2.0 : i < 40 ? 1.0 : 0.1;
}

static double near_cluster(int64_t i)
{
    return i < 50 ? 1.0 + 1e-4 * (double)(50 - i) : 0.5;
}

static double equal(int64_t i)
{
    (void)i;
    return 1.0;
}

static double deficient(int64_t i)
{
    return i < 20 ? pow((double)(i + 1), -0.5) : 0.0;
}

static double step(int64_t i)
{
    return i < 8 ? 1.0 : 1e-3;
}

static const kind KINDS[] = {
    { "i^-0.35", slow },
    { "i^-0.8", medium },
    { "i^-2", steep },
    { "outliers x50", outliers },
    { "outliers x1000", far_outliers },
    { "cluster at k", cluster_at_rank },
    { "near cluster", near_cluster },
    { "all equal", equal },
    { "rank 20", deficient },
    { "step of 1000", step },
};

// a = H_u diag(s) H_v, H products of three Householder reflectors of random vectors; row-major [M,N].
static void reflect_rows(double *a, uint64_t stream)
{
    double v[M], norm2 = 0.0;
    for (int64_t i = 0; i < M; i++) {
        v[i] = normal_number(stream, (uint64_t)i);
        norm2 += v[i] * v[i];
    }
    for (int64_t j = 0; j < N; j++) {
        double dot = 0.0;
        for (int64_t i = 0; i < M; i++)
            dot += v[i] * a[i * N + j];
        for (int64_t i = 0; i < M; i++)
            a[i * N + j] -= 2.0 / norm2 * dot * v[i];
    }
}

static void reflect_columns(double *a, uint64_t stream)
{
    double v[N], norm2 = 0.0;
    for (int64_t j = 0; j < N; j++) {
        v[j] = normal_number(stream, (uint64_t)j);
        norm2 += v[j] * v[j];
    }
    for (int64_t i = 0; i < M; i++) {
        double dot = 0.0;
        for (int64_t j = 0; j < N; j++)
            dot += v[j] * a[i * N + j];
        for (int64_t j = 0; j < N; j++)
            a[i * N + j] -= 2.0 / norm2 * dot * v[j];
    }
}

static void make(double *a, const kind *k, uint64_t stream)
{
    memset(a, 0, M * N * sizeof *a);
    for (int64_t i = 0; i < LEAST; i++)
        a[i * N + i] = k->value(i);
    for (uint64_t r = 0; r < 3; r++) {
        reflect_rows(a, stream * 16 + r);
        reflect_columns(a, stream * 16 + 8 + r);
    }
}

// Two kinds without a spectrum of their own: a spike in one coordinate, and rows that tower over the rest.
static void make_coherent(double *a, bool spike, uint64_t stream)
{
    for (int64_t i = 0; i < M * N; i++)
        a[i] = 0.01 * normal_number(stream, (uint64_t)i);
    if (spike) a[7 * N + 11] = 50.0;
    for (int64_t j = 0; !spike && j < N; j++) {
        a[3 * N + j] *= 500.0;
        a[4 * N + j] *= 200.0;
    }
}

// One matrix, one rank: claims against the truth.
static void check(const char *name, const subject *a, int64_t rank, uint64_t seed)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = rank;
    options.seed = seed;
    options.engine = ECK_ENGINE_EXACT;
    eck_svd *const exact = svd_of(a->op, &options);
    options.engine = ECK_ENGINE_KRYLOV;
    eck_svd *const found = svd_of(a->op, &options);
    const eck_certificate *const c = &found->certificate, *const e = &exact->certificate;
    const double *const s = found->s->data, *const t = exact->s->data;
    const double truth = residual_norm(a, found->u, s, found->v, rank) / sqrt(e->norm2);
    // residual_norm() rounds: a few hundred u of the norms of both sides.
    if (truth < c->error_low - 1e-13 || truth > c->error_high + 1e-13)
        fail_msg("%s seed %llu: error %.17g outside [%.17g, %.17g]", name, (unsigned long long)seed,
                 truth, c->error_low, c->error_high);
    if (c->optimum_low > e->optimum_high)
        fail_msg("%s seed %llu: optimum %.17g said to be above %.17g", name,
                 (unsigned long long)seed, e->optimum_high, c->optimum_low);
    if (found->engine == ECK_ENGINE_KRYLOV) {
        // Kept above the floor of the lane: an error of 3e-5, whose square is a part in 10^9.
        if (truth > 3.2e-5) hold("excess / asked", name, c->excess_high / options.excess, 1.0);
        for (int64_t i = 0; i < rank;
             i++) // Ritz values, F64, of exact products: below but for rounding
            assert_true(s[i] <= t[i] * (1.0 + 1e-12) + 2e-8 * t[0]);
        hold("orthogonality", name, loss_of_orthogonality(found->v), 4.0 * 0x1p-24);
        hold("orthogonality", name, loss_of_orthogonality(found->u), 4.0 * 0x1p-24);
    }
    eck_svd_free(found);
    eck_svd_free(exact);
}

static void certificates(void **state)
{
    (void)state;
    const int64_t kinds = (int64_t)(sizeof KINDS / sizeof KINDS[0]);
    double *const a = test_malloc(M * N * sizeof *a);
    for (int64_t i = 0; i < kinds + 2; i++) {
        subject s;
        if (i < kinds)
            make(a, &KINDS[i], (uint64_t)i);
        else
            make_coherent(a, i == kinds, (uint64_t)i);
        assert_true(subject_of(&s, a, M, N, i % 4 == 3 ? ECK_DTYPE_BF16 : ECK_DTYPE_F32));
        for (uint64_t seed = 0; seed < (uint64_t)seeds; seed++)
            check(i < kinds    ? KINDS[i].name
                  : i == kinds ? "spike"
                               : "coherent rows",
                  &s, seed % 2 ? 20 : 9, seed);
        subject_clear(&s);
    }
    test_free(a);
    report_worst();
}

int main(int count, char **arguments)
{
    if (count > 1) seeds = strtoll(arguments[1], NULL, 10);
    const struct CMUnitTest tests[] = { cmocka_unit_test(certificates) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
