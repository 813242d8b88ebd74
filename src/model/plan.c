/**
 * From curves and a budget to one point a layer.
 *
 * Limits on size and time bind all layers together and are a knapsack. Rules on quality (rank, energy, error, not slower)
 * bind each layer by itself: they take points away. With rules alone every layer takes its cheapest point left; with a limit on size too,
 * the least total damage among what the rules left.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "eckart/model.h"
#include "model/analysis.h"
#include "model/knapsack_limits.h"
#include "model/timings.h"

/** The promise a plan prints: its total damage is within this of the optimum's bound. */
static const double gap_wanted = 1e-3;

/** Points of one layer that the rules left, as the knapsack sees them. */
typedef struct candidates {
    ecki_offer *options;
    int64_t *points; /**< index in the curve of every option */
    int64_t count;
    const eck_layer *layer;
    const ecki_timed_layer *timed; /**< NULL: it was not, or there are no timings */
} candidates;

/** What planning carries along. */
typedef struct planning {
    const eck_model *model;
    const eck_analysis *analysis;
    const eck_budget *budget;
    const eck_store_options *options;
    candidates *layers;
    ecki_offers *groups;
    int64_t *choice;
    int64_t limits[ECKI_COSTS];
    int64_t parameters_before, bytes_before,
        bytes_fixed; /**< fixed: of everything but the selected weights */
    int64_t macs_before; /**< -1 unknown */
    double gap;
    double ms_scale; /**< of a layer's time: together they cannot take longer than the whole */
    double ms_before,
        ms_fixed; /**< of the whole and of what no choice changes; -1 without timings */
} planning;

static bool has_latency_limit(const eck_budget *b)
{
    return b->latency >= 0 || b->latency_part >= 0;
}

static bool has_macs_limit(const eck_budget *b)
{
    return b->macs >= 0 || b->macs_part >= 0;
}

static bool has_size_limit(const eck_budget *b)
{
    return b->keep >= 0 || b->bytes >= 0 || b->bytes_part >= 0 || has_macs_limit(b) ||
           has_latency_limit(b);
}

static bool has_rule(const eck_budget *b)
{
    return b->rank >= 0 || b->energy >= 0 || b->error >= 0;
}

/** The largest relative error a layer may have under energy and error rules; infinity if there is none. */
static double error_allowed(const eck_budget *b)
{
    double allowed = INFINITY;
    if (b->error >= 0) allowed = b->error;
    if (b->energy >= 0) allowed = fmin(allowed, sqrt(fmax(0, 1 - b->energy)));
    return allowed;
}

static eck_status budget_check(const eck_budget *b, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(has_size_limit(b) || has_rule(b), ECK_E_RANGE, -1,
                "no budget: give keep, size, macs, latency, rank, energy or error");
    ECK_REQUIRE(b->timings || (!has_latency_limit(b) && !b->no_slower), ECK_E_RANGE, -1,
                "latencies are predicted from timings: none are given");
    ECK_REQUIRE(b->latency < 0 || b->latency > 0, ECK_E_RANGE, -1,
                "latency %g: more than 0 is needed", b->latency);
    ECK_REQUIRE(b->latency_part < 0 || b->latency_part > 0, ECK_E_RANGE, -1,
                "latency %g of that before: more than 0 is needed", b->latency_part);
    ECK_REQUIRE(b->keep < 0 || (b->keep > 0 && b->keep <= 1), ECK_E_RANGE, -1,
                "keep %g: a ratio above 0 and at most 1 is allowed", b->keep);
    ECK_REQUIRE(b->bytes_part < 0 || b->bytes_part > 0, ECK_E_RANGE, -1,
                "size %g%%: more than 0 is needed", 100 * b->bytes_part);
    ECK_REQUIRE(b->macs_part < 0 || (b->macs_part > 0 && b->macs_part <= 1), ECK_E_RANGE, -1,
                "macs %g: a ratio above 0 and at most 1 is allowed", b->macs_part);
    ECK_REQUIRE(b->rank < 0 || b->rank >= 1, ECK_E_RANGE, -1, "rank %lld: at least 1 is needed",
                (long long)b->rank);
    ECK_REQUIRE(b->energy < 0 || (b->energy > 0 && b->energy <= 1), ECK_E_RANGE, -1,
                "energy %g: above 0 and at most 1 is allowed", b->energy);
    ECK_REQUIRE(b->error < 0 || b->error < 1, ECK_E_RANGE, -1, "error %g: 0 to below 1 is allowed",
                b->error);
done:
    return status;
}

/** A rule no stored factor can meet, whatever its rank, is refused with the floor that forbids it. */
static eck_status floor_check(const planning *p, eck_error *err)
{
    const double allowed = error_allowed(p->budget);

    for (int64_t i = 0; i < p->analysis->count; i++) {
        const eck_layer *layer = &p->model->layers[p->analysis->layers[i].view.layer].view;
        const eck_dtype store = ecki_store_dtype(p->model, layer, p->options);
        if (allowed >= eck_storage_floor(store)) continue;
        const bool narrow = eck_storage_floor(store) > eck_storage_floor(ECK_DTYPE_F32);
        return ecki_error(err, ECK_E_RANGE, -1,
                          "an error of %.3g is below what storing factors as %s costs by itself, "
                          "%.3g (layer '%s'): allow more%s",
                          allowed, eck_dtype_name(store), eck_storage_floor(store), layer->name,
                          narrow ? ", or store as F32" : "");
    }
    return ECK_OK;
}

static bool within(const eck_point *point, int64_t rank)
{
    for (int32_t i = 0; i < point->rank_count; i++)
        if (point->ranks[i] > rank) return false;
    return point->method != ECK_METHOD_DENSE;
}

/** The rank rule's point: the least error with no rank above K, which for SVD is the largest rank; dense where there is
 *  none, and where K does not pay for SVD. */
static int64_t point_of_rank(const eck_curve *curve, int64_t rank, int64_t break_even)
{
    int64_t best = curve->count - 1;
    for (int64_t i = 0; i < curve->count; i++) {
        const eck_point *p = &curve->points[i];
        if (!within(p, rank) || (p->method == ECK_METHOD_SVD && rank > break_even)) continue;
        if (best == curve->count - 1 || p->error <= curve->points[best].error) best = i;
    }
    return best;
}

/** Milliseconds of a layer at a point (NULL: dense), inside the whole; -1 not known. */
static double ms_of(const planning *p, const candidates *c, const eck_point *point)
{
    const double ms = ecki_timed_predict(c->timed, c->layer, point);
    return ms < 0 ? -1 : ms * p->ms_scale;
}

/** True unless timings say nothing of this point, or that it is not faster and it has to be. */
static bool fast_enough(const planning *p, const candidates *c, const eck_point *point)
{
    if (!p->budget->timings || point->method == ECK_METHOD_DENSE) return true;
    const double ms = ms_of(p, c, point);
    return ms >= 0 && (!p->budget->no_slower || ms < ms_of(p, c, NULL));
}

static bool point_allowed(const planning *p, const eck_layer_analysis *layer, int64_t index)
{
    const eck_point *point = &layer->curve.points[index];

    if (p->budget->rank >= 0 &&
        index != point_of_rank(&layer->curve, p->budget->rank, layer->break_even_rank))
        return false;
    return point->error <= error_allowed(p->budget);
}

/** Damage to 36 bits: what rounding told apart are equals again, and layers alike are chosen in the order of the file, on
 *  every processor. */
static double compared(double damage)
{
    int exponent;
    const double part = frexp(damage, &exponent);
    return ldexp(rint(ldexp(part, 36)), exponent - 36);
}

/** A point as the knapsack sees it; a layer that was not timed takes no time of its own. */
static ecki_offer offer_of(const planning *p, const candidates *c, const eck_point *point)
{
    const double ms = ms_of(p, c, point);
    const int64_t macs = p->macs_before < 0 ? 0 : eck_layer_macs(c->layer, point);

    return (ecki_offer){ compared(point->damage),
                         { point->parameters, point->bytes, macs,
                           ms < 0 ? 0 : (int64_t)ceil(1e6 * ms) } };
}

static eck_status candidates_find(candidates *out, const planning *p,
                                  const eck_layer_analysis *layer, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(out->options, layer->curve.count);
    ECK_ALLOC(out->points, layer->curve.count);
    for (int64_t i = 0; i < layer->curve.count; i++) {
        const eck_point *point = &layer->curve.points[i];
        if (!point_allowed(p, layer, i) || !fast_enough(p, out, point)) continue;
        out->options[out->count] = offer_of(p, out, point);
        out->points[out->count++] = i;
    }
    // A rank below every rule of quality leaves nothing: dense always keeps its promise.
    if (out->count == 0) {
        out->options[0] = offer_of(p, out, &layer->curve.points[layer->curve.count - 1]);
        out->points[out->count++] = layer->curve.count - 1;
    }
done:
    return status;
}

/** Milliseconds that all limits on latency allow to the layers; -1 none. */
static double latency_allowed(const planning *p)
{
    const eck_budget *b = p->budget;
    double allowed = b->latency;

    if (b->latency_part >= 0) {
        const double part = b->latency_part * p->ms_before;
        allowed = allowed >= 0 ? fmin(allowed, part) : part;
    }
    return allowed < 0 ? -1 : fmax(0, allowed - p->ms_fixed);
}

static void limits_find(planning *p)
{
    const eck_budget *b = p->budget;
    const double ms = latency_allowed(p);

    p->limits[ECKI_MACS] = b->macs;
    if (b->macs_part >= 0) {
        const int64_t part = (int64_t)floor(b->macs_part * (double)p->macs_before + 1e-9);
        p->limits[ECKI_MACS] = b->macs >= 0 ? ecki_min(part, b->macs) : part;
    }
    p->limits[ECKI_NANOSECONDS] = ms < 0 ? -1 : (int64_t)floor(1e6 * ms + 1e-3);
    p->limits[0] =
        b->keep >= 0 ? (int64_t)floor(b->keep * (double)p->parameters_before + 1e-9) : -1;
    p->limits[1] = -1;
    if (b->bytes >= 0) p->limits[1] = ecki_max(0, b->bytes - p->bytes_fixed);
    if (b->bytes_part >= 0) {
        const int64_t part = (int64_t)floor(b->bytes_part * (double)p->bytes_before + 1e-9);
        const int64_t limit = ecki_max(0, part - p->bytes_fixed);
        p->limits[1] = p->limits[1] >= 0 ? ecki_min(limit, p->limits[1]) : limit;
    }
}

static void totals_before(planning *p)
{
    for (int64_t i = 0; i < p->model->container->entry_count; i++)
        p->bytes_before += p->model->tensors[i].bytes;
    p->bytes_fixed = p->bytes_before;
    for (int64_t i = 0; i < p->analysis->count; i++) {
        const eck_layer *layer = &p->model->layers[p->analysis->layers[i].view.layer].view;
        p->parameters_before += eck_stage_parameters(&layer->dense);
        p->bytes_fixed -= p->model->tensors[layer->weight].bytes;
    }
}

/** A limit on multiply-adds needs those of every selected layer. */
static eck_status macs_before(planning *p, eck_error *err)
{
    for (int64_t i = 0; i < p->analysis->count && p->macs_before >= 0; i++) {
        const eck_layer *layer = &p->model->layers[p->analysis->layers[i].view.layer].view;
        if (layer->macs >= 0 && ecki_add(p->macs_before, layer->macs, &p->macs_before)) continue;
        p->macs_before = -1;
        if (has_macs_limit(p->budget))
            return ecki_error(err, ECK_E_UNSUPPORTED, -1,
                              "no plan for multiply-adds: those of layer '%s' are not known: %s",
                              layer->name, layer->macs < 0 ? layer->macs_unknown : "too many");
    }
    return ECK_OK;
}

/** What the timings say of the model before: of all layers that were timed, and of those that are planned. */
static eck_status times_before(planning *p, eck_error *err)
{
    const eck_timings *timings = p->budget->timings;
    double all = 0, planned = 0;

    p->ms_scale = 1;
    p->ms_before = p->ms_fixed = -1;
    if (!timings) return ECK_OK;
    for (int64_t i = 0; i < p->model->layer_count; i++)
        all += fmax(0, eck_timings_predict(timings, &p->model->layers[i].view, NULL));
    for (int64_t i = 0; i < p->analysis->count; i++)
        planned += fmax(0, ms_of(p, &p->layers[i], NULL));
    if (planned <= 0)
        return ecki_error(
            err, ECK_E_RANGE, -1,
            "timings '%s' are of another model: they hold no layer of '%s' that is to "
            "be factored, by name and shape",
            timings->file, p->model->path);
    if (timings->whole > 0 && all > timings->whole) p->ms_scale = timings->whole / all;
    p->ms_before = timings->whole > 0 ? timings->whole : planned;
    p->ms_fixed = p->ms_before - planned * p->ms_scale;
    return ECK_OK;
}

static void choose_cheapest(planning *p)
{
    for (int64_t i = 0; i < p->analysis->count; i++) {
        const candidates *c = &p->layers[i];
        int64_t best = 0;
        for (int64_t j = 1; j < c->count; j++) {
            const ecki_offer *a = &c->options[j], *b = &c->options[best];
            if (a->cost[0] < b->cost[0] || (a->cost[0] == b->cost[0] && a->damage < b->damage))
                best = j;
        }
        p->choice[i] = best;
    }
}

/** What the least of every cost is, for a budget that is below one of them. */
static eck_status too_little(const planning *p, const ecki_bargain *least, eck_error *err)
{
    const double keep =
        (double)least->cost[ECKI_PARAMETERS] / (double)ecki_max(1, p->parameters_before);
    const long long bytes = (long long)(least->cost[ECKI_BYTES] + p->bytes_fixed);

    if (has_macs_limit(p->budget))
        return ecki_error(err, ECK_E_RANGE, -1,
                          "the budget cannot be met: '%s' needs at least keep %.4f of the selected "
                          "parameters, %lld bytes in all and %lld multiply-adds of the selected "
                          "layers under the rules given",
                          p->model->path, keep, bytes, (long long)least->cost[ECKI_MACS]);
    if (!p->budget->timings)
        return ecki_error(err, ECK_E_RANGE, -1,
                          "the budget cannot be met: '%s' needs at least keep %.4f of the selected "
                          "parameters and %lld bytes in all under the rules given",
                          p->model->path, keep, bytes);
    return ecki_error(err, ECK_E_RANGE, -1,
                      "the budget cannot be met: '%s' needs at least keep %.4f of the selected "
                      "parameters, %lld bytes in all and %.4g ms under the rules given",
                      p->model->path, keep, bytes,
                      1e-6 * (double)least->cost[ECKI_NANOSECONDS] + p->ms_fixed);
}

static eck_status choose_packed(planning *p, eck_error *err)
{
    ecki_bargain bargain = { 0 };
    eck_error reason = ECK_ERROR_INIT;
    const eck_status status = ecki_knapsack_limits(
        p->choice, &bargain, p->groups, p->analysis->count, p->limits, gap_wanted, &reason);

    if (status == ECK_E_RANGE && bargain.cost[ECKI_PARAMETERS] > 0)
        return too_little(p, &bargain, err);
    if (status == ECK_E_RANGE)
        return ecki_error(err, status, -1, "the budget cannot be met: '%s': %s", p->model->path,
                          reason.message);
    if (status != ECK_OK && err) *err = reason;
    p->gap = bargain.bound > 0 ? fmax(0, (bargain.damage - bargain.bound) / bargain.bound) : 0;
    return status;
}

static void planning_clear(planning *p)
{
    for (int64_t i = 0; p->layers && i < p->analysis->count; i++) {
        ecki_free(p->layers[i].options);
        ecki_free(p->layers[i].points);
    }
    ecki_free(p->layers);
    ecki_free(p->groups);
    ecki_free(p->choice);
}

static eck_status planning_prepare(planning *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = p->analysis->count;

    ECK_ALLOC(p->layers, count);
    ECK_ALLOC(p->groups, count);
    ECK_ALLOC(p->choice, count);
    for (int64_t i = 0; i < count; i++) {
        candidates *c = &p->layers[i];
        c->layer = &p->model->layers[p->analysis->layers[i].view.layer].view;
        if (p->budget->timings) c->timed = ecki_timings_find(p->budget->timings, c->layer);
    }
    ECK_TRY(times_before(p, err));
    ECK_TRY(macs_before(p, err));
    for (int64_t i = 0; i < count; i++) {
        ECK_TRY(candidates_find(&p->layers[i], p, &p->analysis->layers[i].view, err));
        p->groups[i] = (ecki_offers){ p->layers[i].options, p->layers[i].count };
    }
    totals_before(p);
    limits_find(p);
done:
    return status;
}

/** Where the best-compressing layer is, for a refusal that helps. */
static eck_status nothing_pays(const planning *p, eck_error *err)
{
    const eck_layer_analysis *nearest = NULL;
    double least = INFINITY;

    for (int64_t i = 0; i < p->analysis->count; i++) {
        const eck_layer_analysis *a = &p->analysis->layers[i].view;
        const double error =
            a->curve.count > 1 ? a->curve.points[a->curve.count - 2].error : INFINITY;
        if (error < least) {
            least = error;
            nearest = a;
        }
    }
    if (!nearest)
        return ecki_error(err, ECK_E_NOTHING, -1,
                          "nothing to factor in '%s': no layer is selected (inspect tells why)",
                          p->model->path);
    if (has_size_limit(p->budget) && !has_rule(p->budget))
        return ecki_error(err, ECK_E_NOTHING, -1,
                          "nothing to do for '%s': dense, with all its %lld bytes, it meets the "
                          "budget",
                          p->model->path, (long long)p->bytes_before);
    return ecki_error(err, ECK_E_NOTHING, -1,
                      "nothing pays in '%s': under these rules no layer gets smaller; the "
                      "nearest is '%s', smaller only up to rank %lld, where its error is %.4g",
                      p->model->path, p->model->layers[nearest->layer].name,
                      (long long)nearest->break_even_rank, least);
}

static eck_status plan_fill(eck_plan *plan, const planning *p, eck_error *err)
{
    eck_status status = ECK_OK;
    double damage = 0;

    memcpy(plan->source, p->analysis->source, sizeof plan->source);
    plan->store = p->options->store;
    plan->split = p->options->split;
    plan->bytes_before = p->bytes_before;
    plan->bytes_after = p->bytes_fixed;
    plan->parameters_before = p->parameters_before;
    plan->gap = p->gap;
    plan->macs_before = p->macs_before;
    plan->macs_after = p->macs_before < 0 ? -1 : 0;
    plan->ms_before = p->ms_before;
    plan->ms_after = p->ms_fixed;
    ECK_ALLOC(plan->choices, p->analysis->count);
    for (int64_t i = 0; i < p->analysis->count; i++) {
        const eck_layer_analysis *a = &p->analysis->layers[i].view;
        const eck_layer *layer = &p->model->layers[a->layer].view;
        eck_choice *choice = &plan->choices[i];
        choice->point = a->curve.points[p->layers[i].points[p->choice[i]]];
        choice->parameters_before = eck_stage_parameters(&layer->dense);
        choice->groups = layer->dense.groups;
        choice->layer = ecki_strdup(layer->name);
        ECK_HAVE(choice->layer);
        plan->count++;
        plan->parameters_after += choice->point.parameters;
        plan->bytes_after += choice->point.bytes;
        plan->factored += choice->point.method != ECK_METHOD_DENSE;
        plan->worst = fmax(plan->worst, choice->point.error);
        plan->mean += choice->point.error;
        damage += choice->point.damage;
        choice->macs_before = layer->macs;
        choice->macs_after = eck_layer_macs(layer, &choice->point);
        if (plan->macs_after >= 0) plan->macs_after += choice->macs_after;
        choice->ms_before = ms_of(p, &p->layers[i], NULL);
        choice->ms_after = ms_of(p, &p->layers[i], &choice->point);
        plan->ms_after += fmax(0, choice->ms_after);
    }
    plan->error = sqrt(damage);
    plan->mean /= (double)ecki_max(1, plan->factored);
done:
    return status;
}

eck_status eck_plan_optimize(eck_plan **out, const eck_model *model, const eck_analysis *analysis,
                             const eck_budget *budget, const eck_store_options *options,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_store_options defaults = ECK_STORE_OPTIONS_INIT;
    planning p = { .model = model,
                   .analysis = analysis,
                   .budget = budget,
                   .options = options ? options : &defaults };
    eck_plan *plan = NULL;

    ECK_TRY(budget_check(budget, err));
    ECK_TRY(floor_check(&p, err));
    ECK_TRY(planning_prepare(&p, err));
    if (has_size_limit(budget))
        ECK_TRY(choose_packed(&p, err));
    else
        choose_cheapest(&p);
    ECK_ALLOC(plan, 1);
    ECK_TRY(plan_fill(plan, &p, err));
    if (plan->factored == 0 && !budget->allow_dense) ECK_TRY(nothing_pays(&p, err));
    *out = plan;
    plan = NULL;
done:
    planning_clear(&p);
    eck_plan_free(plan);
    return status;
}

void eck_plan_free(eck_plan *plan)
{
    if (!plan) return;
    for (int64_t i = 0; i < plan->count; i++)
        ecki_free(plan->choices[i].layer);
    ecki_free(plan->choices);
    ecki_free(plan);
}

eck_status eck_plan_frontier(eck_frontier_row *rows, int64_t count, const eck_model *model,
                             const eck_analysis *analysis, const eck_store_options *options,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    static const double keeps[] = { 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1 };
    enum { KEEPS = sizeof keeps / sizeof *keeps };
    eck_plan *plan = NULL;

    ECK_REQUIRE(count >= 1 && count <= KEEPS, ECK_E_RANGE, -1, "%lld rows: 1 to %d are allowed",
                (long long)count, KEEPS);
    for (int64_t i = 0; i < count; i++) {
        eck_budget budget = ECK_BUDGET_INIT;
        budget.keep = keeps[i];
        budget.allow_dense = true;
        ECK_TRY(eck_plan_optimize(&plan, model, analysis, &budget, options, err));
        rows[i] = (eck_frontier_row){ keeps[i],          plan->factored,  plan->parameters_after,
                                      plan->bytes_after, plan->error,     plan->mean,
                                      plan->worst,       plan->macs_after };
        eck_plan_free(plan);
        plan = NULL;
    }
done:
    eck_plan_free(plan);
    return status;
}
