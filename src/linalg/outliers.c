// Directions that stand out of a symmetric matrix, and the matrix without them. F32 resolves eigenvalues to about
// u32 times the largest: without the few that are far above all others, that is far below the others. Found by subspace
// iteration, which converges at once exactly where they stand out.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "linalg/deflated.h"
#include "linalg/gemm.h"
#include "linalg/orthonormal.h"
#include "tensor/codec.h"

enum { WIDTH = ECKI_OUTLIERS_MOST + 8, ROUNDS = 4, ROWS = 256 };

// A direction stands out when its value is this many times the mean of all, and counts as found when its residual is
// this share of its value.
static const double FACTOR = 16.0, FOUND = 0x1p-8;

void ecki_outliers_clear(ecki_outliers *o)
{
    ecki_free(o->vectors);
    ecki_free(o->images);
    ecki_free(o->values);
    memset(o, 0, sizeof *o);
}

// out = G x, a portion of rows at a time.
typedef struct product_job {
    const double *gram, *x;
    double *out;
    int64_t n, columns;
} product_job;

static eck_status product_task(void *self, int64_t index, eck_error *err)
{
    const product_job *const job = self;
    const int64_t row = index * ROWS, rows = ecki_min(ROWS, job->n - row);
    return ecki_gemm(1.0, ecki_matrix_of(job->gram + row * job->n, rows, job->n),
                     ecki_matrix_of(job->x, job->n, job->columns), 0.0,
                     ecki_panel(job->out + row * job->columns, ECK_DTYPE_F64, rows, job->columns),
                     err);
}

static eck_status multiply(product_job *job, const eck_context *context, eck_error *err)
{
    return ecki_parallel_for((job->n + ROWS - 1) / ROWS, ecki_threads(context), product_task, job,
                             err);
}

// Rayleigh-Ritz on x [n,w] with image y = G x: the leading `count` vectors and images that stand out.
static eck_status keep_outliers(ecki_outliers *out, const product_job *job, double mean,
                                int64_t most, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = job->n, w = job->columns;
    double t[WIDTH * WIDTH], turn[WIDTH * WIDTH], values[WIDTH];
    double *vectors = NULL, *images = NULL;
    const ecki_matrix x = ecki_matrix_of(job->x, n, w), y = ecki_matrix_of(job->out, n, w);
    ECK_TRY(ecki_gemm(1.0, ecki_transposed(x), y, 0.0, ecki_panel(t, ECK_DTYPE_F64, w, w), err));
    ECK_TRY(ecki_small_eigen(values, turn, t, w, w, err));
    int64_t count = 0;
    while (count < ecki_min(w, most) && values[count] >= FACTOR * mean)
        count++;
    const ecki_matrix leading = { turn, w, count, w, false };
    ECK_ALLOC_RAW(vectors, n * count);
    ECK_ALLOC_RAW(images, n * count);
    ECK_ALLOC_RAW(out->values, WIDTH);
    ECK_TRY(ecki_gemm(1.0, x, leading, 0.0, ecki_panel(vectors, ECK_DTYPE_F64, n, count), err));
    ECK_TRY(ecki_gemm(1.0, y, leading, 0.0, ecki_panel(images, ECK_DTYPE_F64, n, count), err));
    for (int64_t j = 0; j < count && out->count == j; j++) {
        double residual2 = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const double r = images[i * count + j] - values[j] * vectors[i * count + j];
            residual2 += r * r;
        }
        if (sqrt(residual2) <= FOUND * values[j]) out->count = j + 1;
    }
    ECK_ALLOC_RAW(out->vectors, n * out->count);
    ECK_ALLOC_RAW(out->images, n * out->count);
    memcpy(out->values, values, (size_t)out->count * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        const size_t row = (size_t)out->count * sizeof *vectors;
        memcpy(out->vectors + i * out->count, vectors + i * count, row);
        memcpy(out->images + i * out->count, images + i * count, row);
    }
done:
    ecki_free(images);
    ecki_free(vectors);
    return status;
}

eck_status ecki_outliers_find(ecki_outliers *out, const double *gram, int64_t n, int64_t most,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t width = ecki_min(WIDTH, n);
    double *x = NULL, *y = NULL;
    double trace = 0.0;
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < n; i++)
        trace += gram[i * n + i];
    ECK_ALLOC_RAW(x, n * width);
    ECK_ALLOC_RAW(y, n * width);
    ecki_random_fill_normal(x, n * width, 0, 77, 0);
    product_job job = { gram, x, y, n, width };
    for (int round = 0; round < ROUNDS; round++) {
        ECK_TRY(ecki_orthonormalize(x, n, width, NULL, err));
        ECK_TRY(multiply(&job, context, err));
        if (round + 1 < ROUNDS) memcpy(x, y, (size_t)(n * width) * sizeof *x);
    }
    ECK_TRY(keep_outliers(out, &job, trace / (double)n, most, err));
done:
    if (status != ECK_OK) ecki_outliers_clear(out);
    ecki_free(y);
    ecki_free(x);
    return status;
}

// Some rows of G -= X Z^T + Z X^T.
typedef struct removal {
    double *gram;
    const double *x, *z;
    int64_t n, count;
} removal;

static eck_status removal_task(void *self, int64_t index, eck_error *err)
{
    const removal *const job = self;
    eck_status status = ECK_OK;
    const int64_t row = index * ROWS, rows = ecki_min(ROWS, job->n - row), d = job->count;
    const eck_panel out = ecki_panel(job->gram + row * job->n, ECK_DTYPE_F64, rows, job->n);
    ECK_TRY(ecki_gemm(-1.0, ecki_matrix_of(job->x + row * d, rows, d),
                      ecki_transposed(ecki_matrix_of(job->z, job->n, d)), 1.0, out, err));
    ECK_TRY(ecki_gemm(-1.0, ecki_matrix_of(job->z + row * d, rows, d),
                      ecki_transposed(ecki_matrix_of(job->x, job->n, d)), 1.0, out, err));
done:
    return status;
}

// P G P = G - X Z^T - Z X^T with Z = Y - 1/2 X (X^T Y), Y = G X; and P Y = Y - X (X^T Y).
eck_status ecki_outliers_remove(double *coupling_out, double *gram, const ecki_outliers *outliers,
                                int64_t n, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t d = outliers->count;
    double inner[ECKI_OUTLIERS_MOST * ECKI_OUTLIERS_MOST], *z = NULL;
    double coupling2 = 0.0;
    *coupling_out = 0.0;
    if (d == 0) return ECK_OK;
    const ecki_matrix x = ecki_matrix_of(outliers->vectors, n, d),
                      y = ecki_matrix_of(outliers->images, n, d), c = ecki_matrix_of(inner, d, d);
    ECK_ALLOC_RAW(z, n * d);
    const eck_panel place = ecki_panel(z, ECK_DTYPE_F64, n, d);
    ECK_TRY(
        ecki_gemm(1.0, ecki_transposed(x), y, 0.0, ecki_panel(inner, ECK_DTYPE_F64, d, d), err));
    memcpy(z, outliers->images, (size_t)(n * d) * sizeof *z);
    ECK_TRY(ecki_gemm(-1.0, x, c, 1.0, place, err));
    for (int64_t i = 0; i < n * d; i++)
        coupling2 += z[i] * z[i];
    ECK_TRY(ecki_gemm(0.5, x, c, 1.0, place, err));
    removal job = { gram, outliers->vectors, z, n, d };
    ECK_TRY(
        ecki_parallel_for((n + ROWS - 1) / ROWS, ecki_threads(context), removal_task, &job, err));
    *coupling_out = sqrt(coupling2);
done:
    ecki_free(z);
    return status;
}
