/**
 * The decomposition of a sum of thin products by orthonormal bases of both sides: right to rounding
 * for every value, whatever the factors.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/factored_parts.h"
#include "linalg/gemm.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

/** One side of the sum: x = q r, or r = x where x is not taller than wide. */
typedef struct side {
    double *q, *r;
    int64_t rows, inner; /**< r [inner,width] */
} side;

/** The whole side as x [length,width]. */
static void side_load(double *x, ecki_panels *panels)
{
    const int64_t n = panels->f->info.width;

    panels->largest = 0;
    for (int64_t at = 0; at < panels->length; at += panels->height) {
        const int64_t count = ecki_min(panels->height, panels->length - at);
        const bool left = panels->side == ECK_SIDE_LEFT;
        ecki_panels_read(panels, left ? x + at * n : panels->room, at, count);
        for (int64_t i = 0; !left && i < count; i++)
            for (int64_t j = 0; j < n; j++)
                x[(at + i) * n + j] = panels->room[j * count + i];
    }
}

static eck_status side_reduce(side *out, eck_factored *f, eck_side which, eck_error *err)
{
    eck_status status = ECK_OK;
    double *q = NULL, *r = NULL;
    ecki_panels panels = { 0 };
    bool again = false;

    ECK_TRY(ecki_panels_init(&panels, f, which, err));
    const int64_t rows = panels.length, width = f->info.width;
    const bool tall = rows > width;
    ECK_ALLOC_RAW(q, rows * width);
    side_load(q, &panels);
    ECK_TRY(ecki_panels_judge(&panels, f, &again, err));
    if (again) side_load(q, &panels);
    if (tall) {
        ECK_ALLOC(r, width * width);
        ECK_TRY(ecki_orthonormalize(q, rows, width, r, err));
    }
    *out = (side){ tall ? q : NULL, tall ? r : q, rows, tall ? width : rows };
    q = r = NULL;
done:
    ecki_panels_clear(&panels);
    ecki_free(q);
    ecki_free(r);
    return status;
}

/** The core, n rows of m numbers, as LAPACK's tall [m,n]. */
typedef struct core {
    const double *numbers;
    int64_t count;
} core;

static eck_status core_load(void *self, double *a, eck_error *err)
{
    const core *c = self;
    (void)err;
    memcpy(a, c->numbers, (size_t)c->count * sizeof *a);
    return ECK_OK;
}

/** The vectors of the tall matrix: `tall` [m,n] from LAPACK's columns, `small` [n,n] from V^T. */
static void vectors_place(double *tall, double *small, const ecki_dense_svd *svd)
{
    for (int64_t i = 0; i < svd->m; i++)
        for (int64_t j = 0; j < svd->n; j++)
            tall[i * svd->n + j] = svd->u[j * svd->m + i];
    memcpy(small, svd->vt, (size_t)(svd->n * svd->n) * sizeof *small);
}

/** Rl Rr^T = core_u diag(s) core_v^T; LAPACK gets the tall one of it and its transpose. */
static eck_status core_solve(eck_factored *f, const side *left, const side *right, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool turned = left->inner > right->inner;
    const side *small = turned ? right : left, *tall = turned ? left : right;
    const int64_t n = small->inner, m = tall->inner, width = f->info.width;
    ecki_dense_svd svd = { .m = m, .n = n };
    double *product = NULL;
    const char *solver = NULL;

    ECK_ALLOC_RAW(product, m * n);
    ECK_ALLOC_RAW(svd.a, m * n);
    ECK_ALLOC_RAW(svd.s, n);
    ECK_ALLOC_RAW(svd.u, m * n);
    ECK_ALLOC_RAW(svd.vt, n * n);
    ECK_TRY(ecki_gemm(1, ecki_matrix_of(small->r, n, width),
                      ecki_transposed(ecki_matrix_of(tall->r, m, width)), 0,
                      ecki_panel(product, ECK_DTYPE_F64, n, m), err));
    core source = { product, m * n };
    ECK_TRY(ecki_dense_solve(&svd, ECKI_DGESDD, &solver, core_load, &source, err));
    ECK_ALLOC_RAW(f->core_u, left->inner * n);
    ECK_ALLOC_RAW(f->core_v, right->inner * n);
    vectors_place(turned ? f->core_u : f->core_v, turned ? f->core_v : f->core_u, &svd);
    ECK_TRY(ecki_factored_describe(f, svd.s, n, 0, err));
done:
    ecki_free(svd.vt);
    ecki_free(svd.u);
    ecki_free(svd.s);
    ecki_free(svd.a);
    ecki_free(product);
    return status;
}

/** |column p| of a side, from its r. */
static double column_length(const side *s, int64_t p, int64_t width)
{
    double sum = 0;
    for (int64_t i = 0; i < s->inner; i++)
        sum += s->r[i * width + p] * s->r[i * width + p];
    return sqrt(sum);
}

eck_status ecki_factored_reduce(eck_factored *f, eck_error *err)
{
    eck_status status = ECK_OK;
    side left = { 0 }, right = { 0 };

    ECK_TRY(side_reduce(&right, f, ECK_SIDE_RIGHT, err));
    ECK_TRY(side_reduce(&left, f, ECK_SIDE_LEFT, err));
    ECK_TRY(core_solve(f, &left, &right, err));
    for (int64_t p = 0; p < f->info.width; p++)
        f->info.magnitude += f->unit * column_length(&left, p, f->info.width) *
                             column_length(&right, p, f->info.width);
    f->nl = left.inner;
    f->nr = right.inner;
    f->ql = left.q;
    f->qr = right.q;
    left.q = right.q = NULL;
    f->known = f->info.count;
    f->info.orthogonal = true;
done:
    ecki_free(left.q);
    ecki_free(left.r);
    ecki_free(right.q);
    ecki_free(right.r);
    return status;
}
