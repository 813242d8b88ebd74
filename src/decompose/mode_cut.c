/**
 * One truncated SVD as the tensor decompositions want it: an orthonormal basis of the columns, and what is left of the
 * matrix in it, its rows moved to the end.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/spectrum.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

void ecki_truncated_clear(ecki_truncated *truncated)
{
    ecki_free(truncated->basis);
    ecki_free(truncated->core);
    memset(truncated, 0, sizeof *truncated);
}

/** Tail of the k largest of n values, relative, from the small end. */
static double tail_of(const double *values, int64_t n, int64_t k)
{
    double tail = 0.0, all = 0.0;

    if (n == 0 || !(values[0] > 0.0)) return 0.0;
    for (int64_t i = n - 1; i >= 0; i--) {
        const double s = values[i] / values[0];
        all += s * s;
        if (i == k) tail = all;
    }
    return sqrt(tail / all);
}

/** Factors u v^T of scale A, and what of A they leave. */
struct halved {
    int64_t rank;
    eck_side orthonormal;
    double *u, *v; /**< [rows,rank], [cols,rank]; owned */
    double scale, tail;
};

static void halved_clear(struct halved *h)
{
    ecki_free(h->u);
    ecki_free(h->v);
    h->u = h->v = NULL;
}

static eck_svd_options options_of(const eck_operator_info *info, const ecki_cut *cut)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const int64_t least = ecki_min(info->rows, info->cols);

    options.engine = ECK_ENGINE_EXACT; // the tail is wanted, which other lanes do not know
    options.rule = cut->rule;
    options.target = cut->target;
    options.rank = cut->rank > 0 ? ecki_min(cut->rank, least) : 0;
    if (cut->rule == ECK_RULE_RANK && cut->rank <= 0) options.rank = least;
    options.want = ECK_WANT_VALUES | ECK_WANT_COMPACT;
    options.proof = ECK_PROOF_TAIL;
    options.store = ECK_DTYPE_F64;
    return options;
}

/** By the Gram matrix. Neither signs nor a certificate: what becomes of the tensor is certified as a whole. */
static eck_status by_gram(struct halved *out, const eck_operator *a, const ecki_cut *cut,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    const eck_context fit = ecki_fit_context(context, &a->info);
    ecki_svd_job job = { .a = a, .context = &fit, .captured = -1.0 };
    const int32_t saved = ecki_blas_enter(ecki_threads(&fit));

    job.options = options_of(&a->info, cut);
    const int64_t leading = cut->rule == ECK_RULE_RANK ? job.options.rank : 0;
    ECK_TRY(ecki_spectrum_leading(&spectrum, a, leading, &fit, err));
    job.spectrum = spectrum;
    const eck_spectrum_info *const info = &spectrum->info;
    ECK_TRY(eck_rule_rank(&job.rank, info, cut->rule, cut->target, job.options.rank, err));
    // A rule that keeps nothing keeps one term here: a mode of rank 0 would be no tensor any more.
    job.rank = ecki_max(job.rank, 1);
    ECK_TRY(ecki_svd_require_memory(&job, job.rank, err));
    ECK_TRY(ecki_factor_exact(&job, err));
    *out = (struct halved){ .rank = job.rank,
                            .orthonormal = job.orthonormal,
                            .u = job.u,
                            .v = job.v,
                            .scale = spectrum->scale,
                            .tail = tail_of(info->values, info->count, job.rank) };
    job.u = job.v = NULL;
done:
    ecki_svd_job_clear(&job);
    eck_spectrum_free(spectrum);
    ecki_blas_leave(saved);
    return status;
}

/** The numbers of an F64 array, moved out of it. */
static double *taken(eck_array *array)
{
    double *numbers = array->data;

    array->data = NULL;
    return numbers;
}

/** F64 numbers: by the dense lane. */
static eck_status by_dense(struct halved *out, const eck_operator *a, const ecki_cut *cut,
                           const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_options options = options_of(&a->info, cut);
    eck_svd *svd = NULL;

    ECK_TRY(eck_svd_compute(&svd, a, &options, context, err));
    if (svd->rank == 0) {
        eck_svd_free(svd);
        svd = NULL;
        options.rule = ECK_RULE_RANK;
        options.rank = 1;
        ECK_TRY(eck_svd_compute(&svd, a, &options, context, err));
    }
    *out = (struct halved){ .rank = svd->rank,
                            .orthonormal = svd->orthonormal,
                            .u = taken(svd->u),
                            .v = taken(svd->v),
                            .scale = 1.0,
                            .tail = tail_of(svd->s->data, eck_array_count(svd->s), svd->rank) };
done:
    eck_svd_free(svd);
    return status;
}

/** Where the right side is orthonormal: A ~ u v^T with u = Q R, so basis Q and core v R^T. */
static eck_status turn_over(ecki_truncated *t, struct halved *h, const eck_operator_info *info,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    double *r = NULL;
    const int64_t k = h->rank;

    ECK_ALLOC(r, k * k);
    ECK_ALLOC_RAW(t->core, info->cols * k);
    t->basis = h->u;
    h->u = NULL;
    ECK_TRY(ecki_orthonormalize(t->basis, info->rows, k, r, err));
    ECK_TRY(ecki_gemm(1.0 / h->scale, ecki_matrix_of(h->v, info->cols, k),
                      ecki_transposed(ecki_matrix_of(r, k, k)), 0.0,
                      ecki_panel(t->core, ECK_DTYPE_F64, info->cols, k), err));
done:
    ecki_free(r);
    return status;
}

eck_status ecki_truncate(ecki_truncated *out, const eck_operator *a, const ecki_cut *cut,
                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_truncated t = { 0 };
    struct halved h = { 0 };
    const eck_operator_info *const info = &a->info;

    ECK_TRY(info->storage == ECK_DTYPE_F64 ? by_dense(&h, a, cut, context, err)
                                           : by_gram(&h, a, cut, context, err));
    t.rank = h.rank;
    t.tail = h.tail;
    if (h.orthonormal == ECK_SIDE_LEFT) {
        t.basis = h.u;
        t.core = h.v;
        h.u = h.v = NULL;
        for (int64_t i = 0; i < info->cols * t.rank && h.scale != 1.0; i++)
            t.core[i] /= h.scale;
    } else {
        ECK_TRY(turn_over(&t, &h, info, err));
    }
    *out = t;
    memset(&t, 0, sizeof t);
done:
    ecki_truncated_clear(&t);
    halved_clear(&h);
    return status;
}
