/**
 * Points worth timing: of every method a few, from much smaller than the layer to nearly as large. Nothing is known of errors
 * here: shapes decide what a chain costs.
 *
 * Ranks grow together, each as a part f of the largest it can be, and f is bisected until the parameters are the part of the
 * layer's that is wanted.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/adjoint.h"
#include "decompose/outline.h"

static const double parts[] = { 0.1, 0.25, 0.5, 0.75, 0.9 };

enum { PARTS = sizeof parts / sizeof *parts, METHODS = 7, STEPS = 50 };

/** A method of a layer, with what its ranks can be. */
typedef struct family {
    const eck_stage *dense;
    eck_method method;
    int32_t count;
    int64_t most[ECK_RANKS_MAX], unit[ECK_RANKS_MAX]; /**< ranks are multiples of unit */
} family;

static int64_t taps_of(const eck_stage *dense, int32_t first, int32_t last)
{
    int64_t taps = 1;
    for (int32_t d = first; d < last; d++)
        taps *= dense->kernel[d];
    return taps;
}

/** The largest rank between the first wide dimensions and the rest; sizes are those of a layer that is there. */
static int64_t cut_rank(const eck_stage *dense, int32_t wide)
{
    int32_t axes[ECK_SPATIAL_MAX];
    const int32_t count = ecki_wide_axes(axes, dense);
    const int32_t end = count > 0 ? axes[ecki_min(wide, count - 1)] + 1 : 0;
    const int64_t in = dense->in / dense->groups, out = dense->out / dense->groups;
    const int64_t before = in * taps_of(dense, 0, end);
    const int64_t behind = out * taps_of(dense, end, dense->spatial);
    return dense->groups * ecki_min(before, behind);
}

static void family_most(family *f)
{
    const eck_stage *d = f->dense;
    const int64_t size = eck_stage_parameters(d);

    for (int32_t i = 0; i < f->count; i++)
        f->most[i] = i == 0 ? d->in : i + 1 == f->count ? d->out : cut_rank(d, i - 1);
    switch (f->method) {
    case ECK_METHOD_SVD:
        f->most[0] = d->groups * ecki_min(d->out / d->groups, size / d->out);
        break;
    case ECK_METHOD_SPATIAL:
        f->most[0] = cut_rank(d, 0);
        break;
    case ECK_METHOD_CP:
        for (int32_t i = 0; i < f->count; i++)
            f->most[i] = ecki_max(1, size / (d->in + d->out)) * d->groups;
        break;
    case ECK_METHOD_DEPTHWISE:
        f->most[0] = d->in * taps_of(d, 0, d->spatial);
        break;
    default:
        break;
    }
}

static family family_of(const eck_stage *dense, eck_method method, int64_t multiple)
{
    family f = { dense, method, ecki_rank_count(method, dense), { 0 }, { 0 } };

    for (int32_t i = 0; i < f.count; i++)
        f.unit[i] = dense->groups > 1 ? dense->groups : multiple;
    if (method == ECK_METHOD_DEPTHWISE) f.unit[0] = dense->in;
    family_most(&f);
    return f;
}

/** The ranks at a part f of the largest, each a multiple of its unit. */
static void ranks_at(int64_t *ranks, const family *f, double part)
{
    for (int32_t i = 0; i < f->count; i++) {
        const double wanted = part * (double)f->most[i] / (double)f->unit[i];
        ranks[i] = ecki_max(1, (int64_t)floor(wanted + 0.5)) * f->unit[i];
    }
    // Terms of CP have one number in common, also where its dimensions would round differently.
    for (int32_t i = 1; i < f->count && f->method == ECK_METHOD_CP; i++)
        ranks[i] = ranks[0];
}

/** The largest ranks with at most so many parameters; the least there are if none has. */
static eck_point point_at(const family *f, double parameters)
{
    eck_point point = { .method = f->method, .rank_count = f->count, .error = NAN, .damage = NAN };
    double low = 0, high = 1;

    for (int step = 0; step < STEPS; step++) {
        const double middle = 0.5 * (low + high);
        ranks_at(point.ranks, f, middle);
        if ((double)ecki_outline_parameters(f->dense, f->method, point.ranks) <= parameters)
            low = middle;
        else
            high = middle;
    }
    ranks_at(point.ranks, f, low);
    point.parameters = ecki_outline_parameters(f->dense, f->method, point.ranks);
    point.macs = ecki_outline_macs(f->dense, f->method, point.ranks);
    return point;
}

/** Adds the points of one method that are smaller than the layer; none twice. Returns how many there are then. */
static int64_t add_points(eck_point *points, int64_t count, const eck_stage *dense, const family *f)
{
    const int64_t size = eck_stage_parameters(dense);

    for (int i = 0; i < PARTS; i++) {
        const eck_point point = point_at(f, parts[i] * (double)size);
        const eck_point *last = count > 0 ? &points[count - 1] : NULL;
        const bool twice = last && last->method == point.method &&
                           memcmp(last->ranks, point.ranks, sizeof point.ranks) == 0;
        if (point.parameters < size && !twice) points[count++] = point;
    }
    return count;
}

eck_status eck_trial_points(eck_curve *out, const eck_stage *dense, uint32_t methods,
                            int64_t multiple, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_point *points = NULL;
    int64_t count = 0;

    ECK_REQUIRE(multiple >= 1 && multiple <= INT32_MAX, ECK_E_RANGE, -1,
                "rank multiple %lld: at least 1 is needed", (long long)multiple);
    if (ecki_is_adjoint(dense)) {
        const eck_stage mirror = ecki_mirror(dense);
        ECK_TRY(eck_trial_points(out, &mirror, methods, multiple, err));
        for (int64_t i = 0; i < out->count; i++)
            ecki_point_turn(&out->points[i]);
        goto done;
    }
    ECK_ALLOC(points, METHODS * PARTS);
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++) {
        if (!(methods >> m & 1u) || !eck_method_applies((eck_method)m, dense)) continue;
        const int64_t before = count;
        family f = family_of(dense, (eck_method)m, multiple);
        count = add_points(points, count, dense, &f);
        if (count > before) continue;
        // No multiple pays: ranks as they are.
        f = family_of(dense, (eck_method)m, 1);
        count = add_points(points, count, dense, &f);
    }
    out->points = points;
    out->count = count;
    points = NULL;
done:
    ecki_free(points);
    return status;
}
