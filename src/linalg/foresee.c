// Memory before the fact: for every phase of a decomposition what is alive in it, and the largest
// phase. Always true: eck_svd_compute() holds no more than this (tests/unit/linalg/test_svd.c holds
// it against the allocator's own count).
#include <math.h>

#include "base/checked.h"
#include "base/parallel.h"
#include "eckart/svd.h"
#include "linalg/lapack.h"
#include "linalg/op.h"
#include "linalg/svd_job.h"

// Sizes of one decomposition; doubles, so that absurd shapes saturate instead of wrapping.
typedef struct sizes {
    double rows, cols, m, n, k; // m = max, n = min
    double tile; // numbers in the panels of all threads
    double store; // bytes of a stored number
    bool compact, full, factors;
} sizes;

static double largest(double a, double b)
{
    return a > b ? a : b;
}

// Numbers held while values are found: the Gram, and a panel of it or LAPACK's blocks.
static double gram_phase(const sizes *s)
{
    const double width = (double)ecki_gram_width((int64_t)s->n);
    const double panel = s->n * (width < s->m ? width : s->m);
    return s->n * s->n + 12.0 * s->n + largest(largest(panel, 400.0 * s->n), 0.0);
}

// Numbers held while vectors are found: half a square of reflectors, the near factor, the solver.
static double vectors_phase(const sizes *s)
{
    const bool few = s->k <= s->n / 4.0;
    const double solver = few ? s->n * s->k + 36.0 * s->n : 2.0 * s->n * s->n + 16.0 * s->n;
    const double apply = (few ? s->n * s->k : s->n * s->n) + 256.0 * s->n + 64.0 * s->k;
    return 0.5 * s->n * s->n + 12.0 * s->n + s->n * s->k + largest(solver, apply);
}

// Numbers held while the far factor is made, and made orthonormal.
static double far_phase(const sizes *s)
{
    const double held = 0.5 * s->n * s->n + 12.0 * s->n + (s->n + s->m) * s->k;
    const double orthonormal =
        s->compact ? 0.0 : 3.0 * s->k * s->k + largest(s->m * s->k, 5.0 * s->k * s->k);
    return held + largest(s->tile, orthonormal);
}

// Bytes held while factors are rounded and checked.
static double finish_phase(const sizes *s)
{
    const double factors = 8.0 * ((s->n + s->m) * s->k + 16.0 * s->n);
    const double u = s->full ? s->rows * s->rows : s->rows * s->k;
    const double v = s->full ? s->cols * s->cols : s->cols * s->k;
    const double square = s->full ? 2.0 * s->m * s->m : 0.0;
    const double strips = 512.0 * (s->k < 256.0 ? s->k : 256.0) + 256.0 * s->k;
    return factors + s->store * (u + v) +
           8.0 * largest(square, 2.0 * s->tile + 4096.0 * strips / 256.0);
}

// Numbers held by LAPACK on the whole matrix: the matrix, U, V^T, workspace; or the same after a
// QR.
static double dense_phase(const sizes *s, bool by_qr)
{
    const int64_t m = by_qr ? (int64_t)s->n : (int64_t)s->m, n = (int64_t)s->n;
    const double work = (double)ecki_dgesvx_work(m, n, s->factors, ECKI_DGESDD) + 4.0 * s->n;
    const double inside =
        (double)m * s->n * (s->factors ? 2.0 : 1.0) + (s->factors ? s->n * s->n : 0.0);
    const double lifted = s->factors ? s->m * s->k + (s->m + s->n) * s->k : 0.0;
    return inside + largest(work, lifted) + (by_qr ? s->m * s->n : 0.0) + 64.0 * s->cols;
}

static sizes sizes_of(const eck_operator_info *info, const eck_svd_options *o, int64_t rank)
{
    sizes s = { .rows = (double)info->rows, .cols = (double)info->cols };
    eck_dtype store = o->store;
    if (store == ECK_DTYPE_NONE)
        store = info->storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    s.m = largest(s.rows, s.cols);
    s.n = s.rows + s.cols - s.m;
    s.factors = rank >= 0 && ecki_wants_factors(o);
    s.k = s.factors ? ((double)rank < s.n ? (double)rank : s.n) : 0.0;
    s.store = eck_dtype_bits(store) / 8;
    s.compact = (o->want & ECK_WANT_COMPACT) != 0;
    s.full = s.factors && (o->want & ECK_WANT_FULL) && !s.compact;
    const double tile = (s.rows < ECKI_PANEL_ROWS ? s.rows : ECKI_PANEL_ROWS) *
                        (s.cols < ECKI_PANEL_COLS ? s.cols : ECKI_PANEL_COLS);
    s.tile = tile * ecki_threads(NULL);
    return s;
}

int64_t eck_svd_memory(const eck_operator_info *info, const eck_svd_options *options, int64_t rank)
{
    const eck_svd_options defaults = ECK_SVD_OPTIONS_INIT;
    const eck_svd_options *const o = options ? options : &defaults;
    const sizes s = sizes_of(info, o, rank);
    const bool dense = info->storage == ECK_DTYPE_F64 || o->engine == ECK_ENGINE_GOLUB_KAHAN;
    double bytes = 8.0 * s.tile;
    if (dense) {
        const bool by_qr = o->engine != ECK_ENGINE_GOLUB_KAHAN && 6.0 * (s.m - s.n) >= 5.0 * s.n;
        bytes = largest(bytes, 8.0 * dense_phase(&s, by_qr));
    } else {
        bytes = largest(bytes, 8.0 * gram_phase(&s));
        if (s.factors) bytes = largest(bytes, 8.0 * largest(vectors_phase(&s), far_phase(&s)));
    }
    if (s.factors) bytes = largest(bytes, finish_phase(&s));
    bytes += 65536.0;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}
