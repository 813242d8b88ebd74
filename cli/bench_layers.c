// What bench times. A graph says where its layers stand; of other files --shape does.
#include "bench_layers.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

void bench_clear(bench_layers *layers)
{
    for (int64_t i = 0; i < layers->count; i++) {
        free(layers->list[i].places);
        free(layers->list[i].times);
        eck_curve_clear(&layers->list[i].points);
    }
    free(layers->list);
    *layers = (bench_layers){ NULL, 0 };
}

// ---- places

// Padding that makes of what comes in what goes out; a transposed convolution cuts it off, or adds to its end.
static void pad(eck_place *place, const eck_stage *dense, int32_t d, int64_t output)
{
    const int64_t stride = dense->stride[d] > 0 ? dense->stride[d] : place->stride[d];
    const int64_t dilation = dense->dilation[d] > 0 ? dense->dilation[d] : place->dilation[d];
    const int64_t reach = dilation * (dense->kernel[d] - 1) + 1;
    const int64_t made = (place->input[d] - 1) * stride + reach;
    const bool turned = dense->kind == ECK_STAGE_CONV_TRANSPOSE;
    const int64_t total = turned ? made - output : (output - 1) * stride + reach - place->input[d];
    place->output_padding[d] = turned && total < 0 ? -total : 0;
    place->pad_begin[d] = total > 0 ? total / 2 : 0;
    place->pad_end[d] = total > 0 ? total - total / 2 : 0;
}

// Where a graph runs a layer; how it shares padding between both sides is no matter of time.
static void places_of_uses(bench_layer *out, const eck_layer *layer)
{
    const eck_place usual = ECK_PLACE_INIT;
    out->places = session_alloc((size_t)layer->use_count, sizeof *out->places);
    for (int64_t i = 0; i < layer->use_count; i++) {
        eck_place *const place = &out->places[i];
        const eck_use *const use = &layer->uses[i];
        *place = usual;
        place->batch = use->rows;
        for (int32_t d = 0; d < layer->dense.spatial; d++) {
            place->input[d] = use->input[d];
            pad(place, &layer->dense, d, use->output[d]);
        }
    }
    out->what.place_count = layer->use_count;
}

// True if "GLOB=SIZES" is about this layer: its name matches, and there is a size for every dimension.
static bool shape_fits(int64_t *sizes, const char *text, const eck_layer *layer)
{
    const char *const equals = strrchr(text, '=');
    const int32_t count = equals ? settings_sizes(sizes, equals + 1) : -1;
    if (count != 1 + layer->dense.spatial) return false;
    char *const glob = session_alloc((size_t)(equals - text) + 1, 1);
    memcpy(glob, text, (size_t)(equals - text));
    const bool fits = fnmatch(glob, layer->name, 0) == 0;
    free(glob);
    return fits;
}

// Where --shape says that a layer stands: strides a file does not tell are 1, and padding keeps the sizes.
static eck_status place_of_shape(bench_layer *out, session *run, const bench_wish *wish,
                                 const eck_layer *layer)
{
    const eck_place usual = ECK_PLACE_INIT;
    int64_t sizes[ECK_DIMS_MAX];
    int64_t i = wish->shapes->count - 1;
    while (i >= 0 && !shape_fits(sizes, wish->shapes->items[i], layer))
        i--;
    if (i < 0)
        return session_usage(run,
                             layer->dense.kind == ECK_STAGE_LINEAR
                                 ? "how many rows does '%s' multiply? say --shape '*=128'"
                                 : "on which sizes does '%s' work? say --shape '*=1x56x56', images "
                                   "and sizes",
                             layer->name);
    out->places = session_alloc(1, sizeof *out->places);
    *out->places = usual;
    out->places->batch = sizes[0];
    for (int32_t d = 0; d < layer->dense.spatial; d++) {
        out->places->input[d] = sizes[1 + d];
        pad(out->places, &layer->dense, d, sizes[1 + d]);
    }
    out->what.place_count = 1;
    return ECK_OK;
}

// ---- points

// The point that a chain of the factored model was made at: its inner widths.
static eck_status point_of_chain(bench_layer *out, session *run, const eck_model *after,
                                 int64_t index)
{
    eck_status status = ECK_OK;
    eck_chain chain = { NULL, 0 };
    eck_point *const point = &out->made;

    TRY(eck_model_layer_chain(&chain, after, index, &run->error));
    point->method = eck_model_layer(after, index)->method;
    point->rank_count = chain.count - 1;
    for (int32_t i = 0; i < point->rank_count && i < ECK_RANKS_MAX; i++)
        point->ranks[i] = chain.stages[i].out;
    out->what.points = point;
    out->what.count = 1;
done:
    eck_chain_clear(&chain);
    return status;
}

// The factored layer of that name; -1 if there is none.
static int64_t find_factored(const eck_model *after, const char *name)
{
    for (int64_t i = 0; i < eck_model_layer_count(after); i++) {
        const eck_layer *const layer = eck_model_layer(after, i);
        if (layer->factored && strcmp(layer->name, name) == 0) return i;
    }
    return -1;
}

static bool can_run(const eck_layer *layer)
{
    return layer->dense.kind == ECK_STAGE_LINEAR || layer->dense.kind == ECK_STAGE_CONV ||
           layer->dense.kind == ECK_STAGE_CONV_TRANSPOSE;
}

// Fills one layer; *wanted_out false: it is not to be timed.
static eck_status find_one(bench_layer *out, bool *wanted_out, session *run, const bench_wish *wish,
                           const eck_layer *layer)
{
    eck_status status = ECK_OK;
    const int64_t made = wish->after ? find_factored(wish->after, layer->name) : -1;

    *wanted_out = can_run(layer) && (wish->after ? made >= 0 : !layer->skipped);
    if (!*wanted_out) return ECK_OK;
    out->what.name = layer->name;
    out->what.dense = &layer->dense;
    if (made >= 0) {
        TRY(point_of_chain(out, run, wish->after, made));
    } else {
        TRY(eck_trial_points(&out->points, &layer->dense, wish->methods, wish->multiple,
                             &run->error));
        out->what.points = out->points.points;
        out->what.count = out->points.count;
    }
    if (layer->use_count > 0) {
        places_of_uses(out, layer);
    } else if (layer->macs_unknown && wish->graph) {
        TRY(session_fail(run, ECK_E_RANGE, "cannot time '%s': its sizes are not known, %s",
                         layer->name, layer->macs_unknown));
    } else {
        TRY(place_of_shape(out, run, wish, layer));
    }
    out->what.places = out->places;
done:
    return status;
}

eck_status bench_find(bench_layers *out, session *run, const bench_wish *wish)
{
    eck_status status = ECK_OK;
    const int64_t count = eck_model_layer_count(wish->model);

    out->list = session_alloc((size_t)count + 1, sizeof *out->list);
    for (int64_t i = 0; i < count; i++) {
        bool wanted = false;
        out->count++; // before it is filled, so that it is cleared if that fails
        TRY(find_one(&out->list[out->count - 1], &wanted, run, wish,
                     eck_model_layer(wish->model, i)));
        if (!wanted) out->count--;
    }
    if (out->count == 0)
        TRY(session_fail(run, ECK_E_NOTHING, "nothing to time in '%s': %s",
                         eck_model_path(wish->model),
                         wish->after ? "the other model has none of its layers factored"
                                     : "no linear layer or convolution is selected"));
done:
    return status;
}

// ---- times

static bool same_places(const bench_layer *a, const bench_layer *b)
{
    return a->what.place_count == b->what.place_count &&
           memcmp(a->places, b->places, (size_t)a->what.place_count * sizeof *a->places) == 0;
}

static bool same_points(const bench_layer *a, const bench_layer *b)
{
    if (a->what.count != b->what.count) return false;
    for (int64_t i = 0; i < a->what.count; i++) {
        const eck_point *const p = &a->what.points[i];
        const eck_point *const q = &b->what.points[i];
        if (p->method != q->method || memcmp(p->ranks, q->ranks, sizeof p->ranks) != 0)
            return false;
    }
    return true;
}

static bool same_stage(const eck_stage *a, const eck_stage *b)
{
    if (a->kind != b->kind || a->spatial != b->spatial || a->in != b->in || a->out != b->out ||
        a->groups != b->groups)
        return false;
    for (int32_t d = 0; d < a->spatial; d++)
        if (a->kernel[d] != b->kernel[d] || a->stride[d] != b->stride[d] ||
            a->dilation[d] != b->dilation[d])
            return false;
    return true;
}

// A layer before this one that takes the same time; NULL if there is none.
static const bench_layer *find_alike(const bench_layers *layers, int64_t index)
{
    const bench_layer *const now = &layers->list[index];
    for (int64_t i = 0; i < index; i++) {
        const bench_layer *const other = &layers->list[i];
        if (same_stage(other->what.dense, now->what.dense) && same_places(other, now) &&
            same_points(other, now))
            return other;
    }
    return NULL;
}

eck_status bench_time(bench_layers *layers, session *run, const bench_wish *wish)
{
    eck_status status = ECK_OK;
    for (int64_t i = 0; i < layers->count; i++) {
        bench_layer *const now = &layers->list[i];
        const bench_layer *const alike = find_alike(layers, i);
        const size_t count = (size_t)now->what.count + 1;
        now->times = session_alloc(count, sizeof *now->times);
        if (alike)
            memcpy(now->times, alike->times, count * sizeof *now->times);
        else
            TRY(eck_bench_run(now->times, &now->what, &wish->timing, &run->context, &run->error));
    }
done:
    return status;
}
