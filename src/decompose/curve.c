/**
 * The curves of several methods together. What a point holds is counted from the stages of its chain; its error is what the
 * method discards together with what rounding its factors adds.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/adjoint.h"
#include "decompose/curve.h"
#include "decompose/kernel.h"

const eck_point *eck_curve_best(const eck_curve *curve, eck_method method, int64_t parameters)
{
    const eck_point *best = NULL;

    for (int64_t i = 0; i < curve->count; i++) {
        const eck_point *p = &curve->points[i];
        if (p->method != method || p->parameters > parameters) continue;
        if (!best || p->error < best->error) best = p;
    }
    return best;
}

static int compare_points(const void *left, const void *right)
{
    const eck_point *a = left, *b = right;

    if (a->parameters != b->parameters) return a->parameters < b->parameters ? -1 : 1;
    if (a->method != b->method) return a->method < b->method ? -1 : 1;
    return memcmp(a->ranks, b->ranks, sizeof a->ranks);
}

eck_status ecki_curve_join(eck_curve *curve, eck_curve *more, eck_error *err)
{
    eck_status status = ECK_OK;
    // The dense point stands at the end of both.
    const int64_t kept = ecki_max(curve->count - 1, 0);
    eck_point *points = NULL;

    ECK_ALLOC_RAW(points, kept + more->count);
    memcpy(points, curve->points, (size_t)kept * sizeof *points);
    memcpy(points + kept, more->points, (size_t)more->count * sizeof *points);
    const int64_t count = kept + more->count;
    qsort(points, (size_t)(count - 1), sizeof *points, compare_points);
    eck_curve_clear(more);
    ecki_free(curve->points);
    curve->points = points;
    curve->count = count;
done:
    return status;
}

// A factor of a chain whose other stages are orthonormal adds u^2 / (8 ln 2) of the squared norm when it is rounded, half of
// what two factors add (eck_storage_floor()); terms that cancel add so much more as their squares exceed that of their sum.
static double floor_of(eck_dtype store, int32_t stages, double degeneracy)
{
    return eck_storage_floor(store) * sqrt(0.5 * stages * fmax(degeneracy, 1.0));
}

static eck_point point_of(const ecki_candidate *c, const ecki_kernel *k, eck_method method,
                          eck_dtype store)
{
    eck_point point = { .method = method, .estimated = c->estimated };
    eck_stage stages[ECKI_STAGES_MAX];

    point.rank_count = ecki_rank_count(method, k->dense);
    memcpy(point.ranks, c->ranks, (size_t)point.rank_count * sizeof *point.ranks);
    const int32_t count = ecki_outline(stages, k->dense, method, point.ranks);
    if (k->norm2 > 0.0)
        point.error =
            hypot(sqrt(fmax(c->error2, 0.0) / k->norm2), floor_of(store, count, c->degeneracy));
    point.damage = point.error * point.error;
    point.parameters = c->parameters;
    point.bytes = c->parameters * (eck_dtype_bits(store) / 8);
    point.macs = ecki_outline_macs(k->dense, method, point.ranks);
    return point;
}

static eck_point dense_point(const eck_stage *dense, eck_dtype original)
{
    eck_point point = { .method = ECK_METHOD_DENSE };

    point.parameters = eck_stage_parameters(dense);
    point.bytes = point.parameters * (eck_dtype_bits(original) / 8);
    point.macs = dense->kind == ECK_STAGE_LOOKUP ? 0 : point.parameters;
    return point;
}

/** Candidates of one method of a convolution. */
static eck_status find_candidates(ecki_candidates *out, ecki_kernel *k, eck_method method,
                                  const eck_context *context, eck_error *err)
{
    const bool wanted =
        method == ECK_METHOD_TUCKER2 || method == ECK_METHOD_TT || method == ECK_METHOD_CP;
    const eck_status status = wanted ? ecki_kernel_find_channels(k, context, err) : ECK_OK;

    if (status != ECK_OK) return status;
    switch (method) {
    case ECK_METHOD_TUCKER2:
    case ECK_METHOD_TT:
        return ecki_tucker_curve(out, k, method, context, err);
    case ECK_METHOD_CP:
        return ecki_cp_curve(out, k, context, err);
    default:
        return ecki_pairs_curve(out, k, method, context, err);
    }
}

/** Points of one method, then dense. */
static eck_status kernel_curve(eck_curve *out, ecki_kernel *k, eck_method method,
                               const eck_curve_options *options, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_candidates candidates = { NULL, 0, 0 };

    ECK_TRY(find_candidates(&candidates, k, method, context, err));
    ECK_ALLOC_RAW(out->points, candidates.count + 1);
    for (int64_t i = 0; i < candidates.count; i++)
        out->points[out->count++] = point_of(&candidates.list[i], k, method, options->store);
    out->points[out->count++] = dense_point(k->dense, options->original);
done:
    ecki_candidates_clear(&candidates);
    return status;
}

/** SVD of the whole matrix, by its spectrum. */
static eck_status matrix_curve(eck_curve *out, const eck_weight *weight,
                               const eck_curve_options *options, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *own = NULL;
    eck_svd *svd = NULL;
    eck_svd_options all = ECK_SVD_OPTIONS_INIT;
    ecki_spectrum_numbers numbers = { 0 };
    const eck_spectrum *spectrum = weight->spectrum;

    if (!spectrum && eck_operator_get_info(weight->w)->storage != ECK_DTYPE_F64) {
        ECK_TRY(eck_spectrum_create(&own, weight->w, context, err));
        spectrum = own;
    }
    if (spectrum) {
        status = eck_curve_svd(out, weight->dense, eck_spectrum_get_info(spectrum),
                               options->original, options->store, err);
        goto done;
    }
    all.engine = ECK_ENGINE_EXACT;
    all.rule = ECK_RULE_THIN;
    all.want = ECK_WANT_VALUES;
    all.proof = ECK_PROOF_TAIL;
    ECK_TRY(eck_svd_compute(&svd, weight->w, &all, context, err));
    ECK_TRY(ecki_spectrum_numbers_init(&numbers, svd, err));
    ECK_TRY(
        eck_curve_svd(out, weight->dense, &numbers.info, options->original, options->store, err));
done:
    ecki_free(numbers.tails);
    eck_svd_free(svd);
    eck_spectrum_free(own);
    return status;
}

eck_status ecki_spectrum_numbers_init(ecki_spectrum_numbers *out, const eck_svd *svd,
                                      eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = eck_array_count(svd->s);
    const double *s = svd->s->data;
    double sum = 0.0;

    ECK_ALLOC(out->tails, count + 1);
    for (int64_t i = count - 1; i >= 0; i--) {
        const double part = s[0] > 0.0 ? s[i] / s[0] : 0.0;
        sum += part * part;
        out->tails[i] = sum;
    }
    for (int64_t i = 0; i < count; i++)
        out->tails[i] = sum > 0.0 ? sqrt(out->tails[i] / sum) : 0.0;
    out->info = (eck_spectrum_info){
        .rows = svd->rows, .cols = svd->cols, .count = count, .values = s, .tails = out->tails
    };
done:
    return status;
}

static eck_status check_options(const eck_curve_options *o, const eck_stage *dense, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t parameters = eck_stage_parameters(dense);

    ECK_REQUIRE(o->version == 1, ECK_E_RANGE, -1, "unknown version %u of curve options",
                o->version);
    ECK_REQUIRE(dense->out >= 1 && parameters >= 1 && parameters <= INT64_MAX / 8, ECK_E_SHAPE, -1,
                "a layer of %lld parameters has no curve", (long long)parameters);
    ECK_REQUIRE(eck_dtype_is_weight(o->store), ECK_E_RANGE, -1, "factors cannot be stored as %s",
                eck_dtype_name(o->store));
    ECK_REQUIRE(eck_dtype_bits(o->original) >= 8, ECK_E_RANGE, -1, "a layer cannot be stored as %s",
                eck_dtype_name(o->original));
done:
    return status;
}

/** One method's curve into the whole. The kernel is read once, when the first method wants it. */
static eck_status add_method(eck_curve *curve, ecki_kernel *kernel, eck_method method,
                             const eck_weight *weight, const eck_curve_options *options,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_curve next = { NULL, 0 };

    if (method == ECK_METHOD_SVD && weight->dense->groups == 1) {
        ECK_TRY(matrix_curve(&next, weight, options, context, err));
    } else {
        if (!kernel->data)
            ECK_TRY(ecki_kernel_init(kernel, weight->w, weight->dense, context, err));
        kernel->multiple = options->rank_multiple;
        ECK_TRY(kernel_curve(&next, kernel, method, options, context, err));
    }
    ECK_TRY(ecki_curve_join(curve, &next, err));
done:
    eck_curve_clear(&next);
    return status;
}

/** The curve of a transposed convolution: that of its mirror, ranks the other way round. */
static eck_status adjoint_curve(eck_curve *out, const eck_weight *weight,
                                const eck_curve_options *options, const eck_context *context,
                                eck_error *err)
{
    const eck_stage mirror = ecki_mirror(weight->dense);
    const eck_weight seen = { weight->w, weight->spectrum, &mirror };
    const eck_status status = eck_curve_compute(out, &seen, options, context, err);

    for (int64_t i = 0; status == ECK_OK && i < out->count; i++)
        ecki_point_turn(&out->points[i]);
    return status;
}

eck_status eck_curve_compute(eck_curve *out, const eck_weight *weight,
                             const eck_curve_options *options, const eck_context *context,
                             eck_error *err)
{
    if (ecki_is_adjoint(weight->dense)) return adjoint_curve(out, weight, options, context, err);
    eck_status status = ECK_OK;
    const eck_curve_options defaults = ECK_CURVE_OPTIONS_INIT;
    const eck_curve_options *o = options ? options : &defaults;
    ecki_kernel kernel = { .data = NULL };
    eck_curve curve = { NULL, 0 };
    const int32_t saved = ecki_blas_enter(ecki_threads(context));

    ECK_TRY(check_options(o, weight->dense, err));
    ECK_ALLOC(curve.points, 1);
    curve.points[curve.count++] = dense_point(weight->dense, o->original);
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++)
        if (o->methods >> m & 1u && eck_method_applies((eck_method)m, weight->dense))
            ECK_TRY(add_method(&curve, &kernel, (eck_method)m, weight, o, context, err));
    *out = curve;
    curve.points = NULL;
done:
    eck_curve_clear(&curve);
    ecki_kernel_clear(&kernel);
    ecki_blas_leave(saved);
    return status;
}
