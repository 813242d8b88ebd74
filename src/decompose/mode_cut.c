/**
 * One truncated SVD as the tensor decompositions want it: an orthonormal basis of the columns, and what is left of the
 * matrix in it, its rows moved to the end.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "linalg/orthonormal.h"
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

/** Both factors in F64, by the lane the storage asks for. */
static eck_status compute(eck_svd **out, const eck_operator *a, const ecki_cut *cut,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const eck_operator_info *info = eck_operator_get_info(a);
    const int64_t least = ecki_min(info->rows, info->cols);

    options.engine = ECK_ENGINE_EXACT; // every value is wanted, for the tail
    options.rule = cut->rule;
    options.target = cut->target;
    options.rank = cut->rank > 0 ? ecki_min(cut->rank, least) : 0;
    if (cut->rule == ECK_RULE_RANK && cut->rank <= 0) options.rank = least;
    options.want = ECK_WANT_VALUES | ECK_WANT_COMPACT;
    options.proof = ECK_PROOF_TAIL;
    options.store = ECK_DTYPE_F64;
    if (info->storage == ECK_DTYPE_F64) {
        ECK_TRY(eck_svd_compute(out, a, &options, context, err));
    } else {
        ECK_TRY(eck_spectrum_create(&spectrum, a, context, err));
        ECK_TRY(eck_spectrum_svd(out, spectrum, a, &options, context, err));
    }
    if ((*out)->rank > 0) goto done;
    // A rule that keeps nothing keeps one term here: a mode of rank 0 would be no tensor any more.
    eck_svd_free(*out);
    *out = NULL;
    options.rule = ECK_RULE_RANK;
    options.rank = 1;
    if (spectrum)
        ECK_TRY(eck_spectrum_svd(out, spectrum, a, &options, context, err));
    else
        ECK_TRY(eck_svd_compute(out, a, &options, context, err));
done:
    eck_spectrum_free(spectrum);
    return status;
}

/** The numbers of an F64 array, moved out of it. */
static double *taken(eck_array *array)
{
    double *numbers = array->data;

    array->data = NULL;
    return numbers;
}

/** Where the right side is orthonormal: A ~ u v^T with u = Q R, so basis Q and core v R^T. */
static eck_status turn_over(ecki_truncated *t, eck_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    double *r = NULL;
    const int64_t k = svd->rank;

    ECK_ALLOC(r, k * k);
    ECK_ALLOC_RAW(t->core, svd->cols * k);
    t->basis = taken(svd->u);
    ECK_TRY(ecki_orthonormalize(t->basis, svd->rows, k, r, err));
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(svd->v->data, svd->cols, k),
                      ecki_transposed(ecki_matrix_of(r, k, k)), 0.0,
                      ecki_panel(t->core, ECK_DTYPE_F64, svd->cols, k), err));
done:
    ecki_free(r);
    return status;
}

eck_status ecki_truncate(ecki_truncated *out, const eck_operator *a, const ecki_cut *cut,
                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_truncated t = { 0 };
    eck_svd *svd = NULL;

    ECK_TRY(compute(&svd, a, cut, context, err));
    t.rank = svd->rank;
    t.tail = tail_of(svd->s->data, eck_array_count(svd->s), svd->rank);
    if (svd->orthonormal == ECK_SIDE_LEFT) {
        t.basis = taken(svd->u);
        t.core = taken(svd->v);
    } else {
        ECK_TRY(turn_over(&t, svd, err));
    }
    *out = t;
    memset(&t, 0, sizeof t);
done:
    ecki_truncated_clear(&t);
    eck_svd_free(svd);
    return status;
}
