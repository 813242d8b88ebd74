/**
 * Fits of the methods for convolutions: F64 weights of every stage, rounded to their storage type, certified as a chain.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/fit_parts.h"
#include "decompose/kernel.h"

/** F64 weights of the stages, zeros. */
static eck_status weights_init(double **weights, const eck_chain *chain, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t i = 0; i < chain->count; i++)
        ECK_ALLOC(weights[i], eck_stage_parameters(&chain->stages[i]));
done:
    return status;
}

static eck_status fit_weights(double **weights, const ecki_kernel *kernel, const eck_point *point,
                              eck_split split, const eck_context *context, eck_error *err)
{
    switch (point->method) {
    case ECK_METHOD_TUCKER2:
    case ECK_METHOD_TT:
        return ecki_tucker_fit(weights, kernel, point, context, err);
    case ECK_METHOD_CP:
        return ecki_cp_fit_kernel(weights, kernel, point, context, err);
    default:
        return ecki_pairs_fit(weights, kernel, point, split, context, err);
    }
}

eck_status ecki_kernel_chain(eck_chain *chain, const eck_weight *weight, const eck_point *point,
                             const eck_fit_options *options, const eck_context *context,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_kernel kernel = { .data = NULL };
    double *weights[ECKI_STAGES_MAX] = { NULL };
    int64_t shape[ECK_DIMS_MAX];
    const int32_t saved = ecki_blas_enter(ecki_threads(context));

    ECK_TRY(ecki_kernel_init(&kernel, weight->w, weight->dense, context, err));
    ECK_TRY(weights_init(weights, chain, err));
    if (point->method == ECK_METHOD_TT) ECK_TRY(ecki_kernel_find_channels(&kernel, context, err));
    ECK_TRY(fit_weights(weights, &kernel, point, options->split, context, err));
    for (int32_t i = 0; i < chain->count; i++) {
        const int32_t ndim = eck_stage_shape(&chain->stages[i], shape);
        const double factor = i + 1 < chain->count ? 1.0 : 1.0 / kernel.scale;
        ECK_TRY(ecki_store(&chain->stages[i].weight, weights[i], factor, options->store, ndim,
                           shape, err));
    }
done:
    for (int32_t i = 0; i < ECKI_STAGES_MAX; i++)
        ecki_free(weights[i]);
    ecki_kernel_clear(&kernel);
    ecki_blas_leave(saved);
    return status;
}
