/**
 * Factors of one point of the curve of plain SVD: computed in F64, singular values shared out,
 * rounded to the storage type, shaped as stages, and certified as they will lie in the file.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/adjoint.h"
#include "decompose/fit_parts.h"
#include "eckart/decompose.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

#define FAILURE 1e-6 // of a certificate by bound

/** What a fit is about and how it runs. */
struct fit {
    const eck_operator *w;
    const eck_stage *dense;
    const eck_fit_options *options;
    const eck_context *context;
};

/** True where the chain is the SVD of the layer's whole matrix; else its kernel is taken apart. */
static bool by_matrix(const eck_stage *dense, const eck_point *point)
{
    return point->method == ECK_METHOD_SVD && dense->groups == 1;
}

/** Refuses what is no point of this layer. */
static eck_status check_point(const struct fit *fit, const eck_point *point, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_stage *dense = fit->dense;
    const eck_fit_options *options = fit->options;
    const eck_operator_info *info = eck_operator_get_info(fit->w);
    const int64_t parameters = eck_stage_parameters(dense);

    ECK_REQUIRE(options->version == 1, ECK_E_RANGE, -1, "unknown version %u of fit options",
                options->version);
    ECK_REQUIRE(eck_dtype_is_weight(options->store), ECK_E_RANGE, -1,
                "factors cannot be stored as %s", eck_dtype_name(options->store));
    ECK_REQUIRE(options->split == ECK_SPLIT_BALANCED || options->split == ECK_SPLIT_LEFT ||
                    options->split == ECK_SPLIT_RIGHT,
                ECK_E_RANGE, -1, "unknown split %d", (int)options->split);
    ECK_REQUIRE(options->proof == ECK_PROOF_RESIDUAL || options->proof == ECK_PROOF_BOUND,
                ECK_E_RANGE, -1, "a chain is proven by its residual or by a bound of it");
    ECK_REQUIRE(parameters >= 1 && parameters < INT64_MAX && info->rows == dense->out &&
                    info->cols == parameters / dense->out,
                ECK_E_SHAPE, -1, "the matrix [%lld,%lld] is not that of the layer",
                (long long)info->rows, (long long)info->cols);
    if (!by_matrix(dense, point)) goto done;
    ECK_REQUIRE(point->ranks[0] >= 1 && point->ranks[0] <= ecki_min(info->rows, info->cols),
                ECK_E_RANGE, -1, "rank %lld, allowed 1..%lld", (long long)point->ranks[0],
                (long long)ecki_min(info->rows, info->cols));
done:
    return status;
}

/** Two factors in F64, by the spectrum where there can be one. */
static eck_status compute(eck_svd **out, const struct fit *fit, const eck_spectrum *spectrum,
                          int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *own = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;

    options.rank = rank;
    options.want = ECK_WANT_VALUES | ECK_WANT_COMPACT;
    options.proof = ECK_PROOF_TAIL; // the residual of the rounded chain is proven in the end
    options.store = ECK_DTYPE_F64;
    if (!spectrum && eck_operator_get_info(fit->w)->storage == ECK_DTYPE_F64)
        return eck_svd_compute(out, fit->w, &options, fit->context, err);
    if (!spectrum) ECK_TRY(eck_spectrum_create(&own, fit->w, fit->context, err));
    ECK_TRY(eck_spectrum_svd(out, spectrum ? spectrum : own, fit->w, &options, fit->context, err));
done:
    eck_spectrum_free(own);
    return status;
}

/** norms[j] = length of column j of a [rows,cols], scaled by the largest number so that nothing
 * overflows. */
static void column_norms(double *norms, const double *a, int64_t rows, int64_t cols)
{
    double most = 0.0;

    for (int64_t i = 0; i < rows * cols; i++)
        most = fmax(most, fabs(a[i]));
    memset(norms, 0, (size_t)cols * sizeof *norms);
    for (int64_t i = 0; i < rows && most > 0.0; i++)
        for (int64_t j = 0; j < cols; j++)
            norms[j] += (a[i * cols + j] / most) * (a[i * cols + j] / most);
    for (int64_t j = 0; j < cols; j++)
        norms[j] = most * sqrt(norms[j]);
}

/**
 * Moves the values to where the split wants them. One of u, v is orthonormal and the lengths n of
 * the other's columns are the singular values: u v^T = (u / d) (v d)^T with d = sqrt(n), n or 1 if
 * u carries them, inverted if v does. A column of length 0 stays as it is.
 */
static eck_status share_values(const eck_svd *svd, eck_split split, eck_error *err)
{
    eck_status status = ECK_OK;
    double *norms = NULL, *inverse = NULL;
    const bool in_left = svd->orthonormal == ECK_SIDE_RIGHT;
    double *u = svd->u->data, *v = svd->v->data;

    if (split == (in_left ? ECK_SPLIT_LEFT : ECK_SPLIT_RIGHT)) return ECK_OK;
    ECK_ALLOC_RAW(norms, svd->rank);
    ECK_ALLOC_RAW(inverse, svd->rank);
    column_norms(norms, in_left ? u : v, in_left ? svd->rows : svd->cols, svd->rank);
    for (int64_t j = 0; j < svd->rank; j++) {
        const double d = split == ECK_SPLIT_BALANCED ? sqrt(norms[j]) : norms[j];
        norms[j] = d > 0.0 ? d : 1.0;
        inverse[j] = 1.0 / norms[j];
    }
    ECK_TRY(ecki_tall_scale(u, svd->rows, svd->rank, in_left ? inverse : norms, false, err));
    ECK_TRY(ecki_tall_scale(v, svd->cols, svd->rank, in_left ? norms : inverse, false, err));
done:
    ecki_free(norms);
    ecki_free(inverse);
    return status;
}

/** Rounds `count` numbers to the storage type of `out`; `name` is the factor, for the message. */
static eck_status round_factor(eck_array *out, const double *numbers, const char *name,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = eck_array_count(out);
    double most = 0.0, back;

    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(numbers[i]));
    ecki_round_f64(out->dtype, &most, out->data, 1);
    ecki_widen_f64(out->dtype, out->data, 1, &back, 1);
    ECK_REQUIRE(isfinite(back), ECK_E_RANGE, -1,
                "factor '%s' does not fit %s: its largest value is %.3g", name,
                eck_dtype_name(out->dtype), most);
    ecki_round_f64(out->dtype, numbers, out->data, count);
done:
    return status;
}

/** out [cols,rows] = a [rows,cols]^T, in blocks that stay in cache. */
static void transpose(double *out, const double *a, int64_t rows, int64_t cols)
{
    enum { BLOCK = 32 };

    for (int64_t i = 0; i < rows; i += BLOCK)
        for (int64_t j = 0; j < cols; j += BLOCK)
            for (int64_t k = i; k < ecki_min(i + BLOCK, rows); k++)
                for (int64_t l = j; l < ecki_min(j + BLOCK, cols); l++)
                    out[l * rows + k] = a[k * cols + l];
}

/** The weights of both stages: first = v^T (a lookup keeps v), last = u. */
static eck_status store_factors(eck_chain *chain, const eck_svd *svd, eck_dtype store,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    double *turned = NULL;
    const double *first = svd->v->data;

    for (int32_t i = 0; i < 2; i++) {
        int64_t shape[ECK_DIMS_MAX];
        const int32_t ndim = eck_stage_shape(&chain->stages[i], shape);
        ECK_TRY(eck_array_create(&chain->stages[i].weight, store, ndim, shape, err));
    }
    if (chain->stages[0].kind != ECK_STAGE_LOOKUP) {
        ECK_ALLOC_RAW(turned, svd->cols * svd->rank);
        transpose(turned, first, svd->cols, svd->rank);
        first = turned;
    }
    ECK_TRY(round_factor(chain->stages[0].weight, first, "first", err));
    ECK_TRY(round_factor(chain->stages[1].weight, svd->u->data, "last", err));
done:
    ecki_free(turned);
    return status;
}

/** The error of the chain as stored, beside the optimum that the spectrum brackets, if there is one. */
static eck_status certify(eck_certificate *out, const struct fit *fit, const eck_chain *chain,
                          const eck_certificate *computed, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *product = NULL;
    eck_certificate certificate;

    ECK_TRY(eck_operator_chain(&product, chain, fit->dense, err));
    ECK_TRY(eck_certify(&certificate, fit->w, product, fit->options->proof, FAILURE, 0,
                        fit->context, err));
    certificate.stored = fit->options->store;
    // Nothing is known of the best chain of such ranks but that it is no worse.
    certificate.optimum_low = computed ? computed->optimum_low : 0.0;
    certificate.optimum_high = computed ? computed->optimum_high : certificate.error_high;
    certificate.excess_high = certificate.optimum_low > 0.0
                                  ? certificate.error_high / certificate.optimum_low - 1.0
                                  : INFINITY;
    *out = certificate;
done:
    eck_operator_free(product);
    return status;
}

/** Both stages with their weights; the F64 factors live no longer than this. */
static eck_status make_chain(eck_chain *chain, eck_certificate *computed, const struct fit *fit,
                             const eck_spectrum *spectrum, int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;

    ECK_TRY(compute(&svd, fit, spectrum, rank, err));
    ECK_REQUIRE(svd->rank == rank, ECK_E_RANGE, -1, "rank %lld was asked for, the solver gave %lld",
                (long long)rank, (long long)svd->rank);
    ECK_TRY(share_values(svd, fit->options->split, err));
    ECK_TRY(store_factors(chain, svd, fit->options->store, err));
    *computed = svd->certificate;
done:
    eck_svd_free(svd);
    return status;
}

/** The chain of a transposed convolution: that of its mirror, turned around. The error is that of the numbers both share. */
static eck_status fit_adjoint(eck_chain *out, eck_certificate *certificate_out,
                              const struct fit *fit, const eck_weight *weight,
                              const eck_point *point, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_stage mirror = ecki_mirror(fit->dense);
    const eck_weight seen = { weight->w, weight->spectrum, &mirror };
    eck_fit_options options = *fit->options;
    eck_certificate certificate;
    eck_chain chain = { NULL, 0 };
    eck_point turned = *point;

    if (options.split == ECK_SPLIT_LEFT || options.split == ECK_SPLIT_RIGHT)
        options.split = options.split == ECK_SPLIT_LEFT ? ECK_SPLIT_RIGHT : ECK_SPLIT_LEFT;
    ecki_point_turn(&turned);
    ECK_TRY(eck_chain_fit(&chain, &certificate, &seen, &turned, &options, fit->context, err));
    ECK_TRY(ecki_chain_turn(&chain, err));
    *certificate_out = certificate;
    *out = chain;
    chain = (eck_chain){ NULL, 0 };
done:
    eck_chain_clear(&chain);
    return status;
}

eck_status eck_chain_fit(eck_chain *out, eck_certificate *certificate_out, const eck_weight *weight,
                         const eck_point *point, const eck_fit_options *options,
                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const struct fit fit = { weight->w, weight->dense, options, context };
    eck_chain chain = { NULL, 0 };
    eck_certificate computed = { 0 }, certificate = { 0 };

    if (ecki_is_adjoint(fit.dense))
        return fit_adjoint(out, certificate_out, &fit, weight, point, err);
    ECK_TRY(eck_chain_outline(&chain, weight->dense, point, err));
    ECK_TRY(check_point(&fit, point, err));
    if (by_matrix(weight->dense, point))
        ECK_TRY(make_chain(&chain, &computed, &fit, weight->spectrum, point->ranks[0], err));
    else
        ECK_TRY(ecki_kernel_chain(&chain, weight, point, options, context, err));
    ECK_TRY(certify(&certificate, &fit, &chain, by_matrix(weight->dense, point) ? &computed : NULL,
                    err));
    *certificate_out = certificate;
    *out = chain;
    chain = (eck_chain){ NULL, 0 };
done:
    eck_chain_clear(&chain);
    return status;
}
