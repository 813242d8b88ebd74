/**
 * Reading timings, a JSON file that was made on another machine, and what they predict.
 *
 * A file says for every layer: its shape, the sizes at which it runs, and milliseconds of some ways to store it, dense among
 * them. Always true of parsed timings: numbers are finite and above 0, ranks fit their method's number as far as that does
 * not depend on the layer.
 */
#include "model/timings.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "decompose/outline.h"
#include "format/json.h"

/** What reading carries along. */
typedef struct reading {
    const char *file;
    const char *layer; /**< escaped; "" outside of layers */
    eck_error *err;
} reading;

static eck_status bad(const reading *r, const char *what)
{
    ecki_error(r->err, ECK_E_FORMAT, -1, "cannot use timings '%s': %s%s%s%s", r->file,
               r->layer[0] ? "layer '" : "", r->layer, r->layer[0] ? "': " : "", what);
    return ecki_error_where(r->err, ECK_E_FORMAT, r->file, r->layer[0] ? r->layer : NULL);
}

/** Whole numbers of at least `least`, at most `room` of them; their count in *count_out. */
static bool read_sizes(int64_t *out, int32_t *count_out, const json_t *list, int32_t room,
                       int64_t least)
{
    const size_t count = json_array_size(list);

    if (!json_is_array(list) || count > (size_t)room) return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *size = json_array_get(list, i);
        if (!json_is_integer(size) || json_integer_value(size) < least) return false;
        out[i] = json_integer_value(size);
    }
    *count_out = (int32_t)count;
    return true;
}

/** A time of "milliseconds". */
static bool read_ms(double *out, const json_t *object)
{
    const json_t *value = json_object_get(object, "milliseconds");

    if (!json_is_number(value)) return false;
    *out = json_number_value(value);
    return isfinite(*out) && *out > 0;
}

static eck_status point_read(ecki_timed_point *out, const json_t *object, const reading *r)
{
    const char *method = json_string_value(json_object_get(object, "method"));

    if (!method || eck_method_parse(&out->point.method, method, NULL) != ECK_OK)
        return bad(r, "a point has no known method");
    if (!read_sizes(out->point.ranks, &out->point.rank_count, json_object_get(object, "ranks"),
                    ECK_RANKS_MAX, 1) ||
        (out->point.method == ECK_METHOD_DENSE) != (out->point.rank_count == 0))
        return bad(r, "ranks: up to 4 positive integers are needed, none for dense");
    if (!read_ms(&out->ms, object)) return bad(r, "milliseconds: a number above 0 is needed");
    return ECK_OK;
}

static eck_status points_read(ecki_timed_layer *out, const json_t *list, const reading *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;

    if (!json_is_array(list)) return bad(r, "points: a list is needed");
    ECK_ALLOC(out->points, (int64_t)json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        ecki_timed_point *point = &out->points[out->count];
        ECK_TRY(point_read(point, json_array_get(list, i), r));
        if (point->point.method == ECK_METHOD_DENSE)
            out->dense = point->ms;
        else
            out->count++;
    }
    if (out->dense <= 0) return bad(r, "no point of method dense");
done:
    return status;
}

static eck_status uses_read(ecki_timed_layer *out, const json_t *list, const reading *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return bad(r, "uses: a list of at least one is needed");
    ECK_ALLOC(out->uses, (int64_t)json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        ecki_timed_use *use = &out->uses[i];
        const json_t *object = json_array_get(list, i);
        const json_t *rows = json_object_get(object, "rows");
        int32_t in = 0, made = 0;
        const bool known =
            json_is_integer(rows) && json_integer_value(rows) >= 1 &&
            read_sizes(use->input, &in, json_object_get(object, "input"), ECK_SPATIAL_MAX, 1) &&
            read_sizes(use->output, &made, json_object_get(object, "output"), ECK_SPATIAL_MAX, 1);
        // One for every dimension of the kernel, and none for a matrix.
        if (!known || in != made || in != out->ndim - 2)
            return bad(r, "uses: rows, input and output sizes are needed");
        use->rows = json_integer_value(rows);
        out->use_count++;
    }
done:
    return status;
}

static eck_status layer_read(ecki_timed_layer *out, const json_t *object, reading *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    const char *name = json_string_value(json_object_get(object, "name"));
    char shown[200];

    if (!name) return bad(r, "a layer has no name");
    ecki_name_escape(shown, sizeof shown, name);
    r->layer = shown;
    out->name = ecki_strdup(name);
    ECK_HAVE(out->name);
    if (!read_sizes(out->shape, &out->ndim, json_object_get(object, "shape"), ECK_DIMS_MAX, 1) ||
        out->ndim < 2)
        ECK_TRY(bad(r, "shape: at least two positive integers are needed"));
    ECK_TRY(uses_read(out, json_object_get(object, "uses"), r));
    ECK_TRY(points_read(out, json_object_get(object, "points"), r));
done:
    r->layer = "";
    return status;
}

static eck_status header_read(eck_timings *out, const json_t *root, const reading *r)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *version = json_object_get(root, "version");
    const json_t *whole = json_object_get(root, "whole");

    if (!format || strcmp(format, "eckart-timings") != 0)
        return bad(r, "its format is not \"eckart-timings\"");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        ecki_error(r->err, ECK_E_UNSUPPORTED, -1,
                   "cannot use timings '%s': its version is not 1, the one this release reads",
                   r->file);
        return ecki_error_where(r->err, ECK_E_UNSUPPORTED, r->file, NULL);
    }
    out->whole = -1;
    if (whole && !json_is_null(whole) && !read_ms(&out->whole, whole))
        return bad(r, "whole: milliseconds above 0 are needed, or null");
    return ECK_OK;
}

eck_status eck_timings_parse(eck_timings **out, const char *text, int64_t length, const char *file,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    reading r = { file, "", err };
    json_t *root = NULL;
    eck_timings *timings = NULL;

    ECK_TRY(ecki_json_parse(&root, text, length, &ecki_json_config, file, err));
    ECK_ALLOC(timings, 1);
    ECK_TRY(header_read(timings, root, &r));
    timings->file = ecki_strdup(file);
    ECK_HAVE(timings->file);
    const json_t *layers = json_object_get(root, "layers");
    if (!json_is_array(layers)) ECK_TRY(bad(&r, "no layers"));
    ECK_ALLOC(timings->layers, (int64_t)json_array_size(layers));
    for (size_t i = 0; i < json_array_size(layers); i++)
        ECK_TRY(layer_read(&timings->layers[timings->count++], json_array_get(layers, i), &r));
    *out = timings;
    timings = NULL;
done:
    eck_timings_free(timings);
    json_decref(root);
    return status;
}

void eck_timings_free(eck_timings *timings)
{
    if (!timings) return;
    for (int64_t i = 0; i < timings->count; i++) {
        ecki_free(timings->layers[i].name);
        ecki_free(timings->layers[i].uses);
        ecki_free(timings->layers[i].points);
    }
    ecki_free(timings->layers);
    ecki_free(timings->file);
    ecki_free(timings);
}

double eck_timings_whole(const eck_timings *timings)
{
    return timings->whole;
}

const ecki_timed_layer *ecki_timings_find(const eck_timings *timings, const eck_layer *layer)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(&layer->dense, shape);

    for (int64_t i = 0; i < timings->count; i++) {
        const ecki_timed_layer *timed = &timings->layers[i];
        if (strcmp(timed->name, layer->name) == 0)
            return timed->ndim == ndim &&
                           memcmp(timed->shape, shape, (size_t)ndim * sizeof *shape) == 0
                       ? timed
                       : NULL;
    }
    return NULL;
}

/** Multiply-adds over all uses; -1 if the point is none of this layer. */
static double work_of(const ecki_timed_layer *timed, const eck_layer *layer, const eck_point *point)
{
    eck_stage stages[ECKI_STAGES_MAX];
    const eck_stage *dense = &layer->dense;
    double sum = 0;

    if (!eck_method_applies(point->method, dense) ||
        point->rank_count != ecki_rank_count(point->method, dense))
        return -1;
    const eck_chain chain = { stages, ecki_outline(stages, dense, point->method, point->ranks) };
    for (int64_t i = 0; i < timed->use_count; i++)
        sum += (double)timed->uses[i].rows *
               (double)eck_chain_macs(&chain, timed->uses[i].input, timed->uses[i].output);
    return sum;
}

static bool same_point(const eck_point *a, const eck_point *b)
{
    return a->method == b->method && a->rank_count == b->rank_count &&
           memcmp(a->ranks, b->ranks, (size_t)a->rank_count * sizeof *a->ranks) == 0;
}

/** Work and time of a timed point. */
typedef struct mark {
    double work, ms;
} mark;

/** The line through two marks. */
static double line(const mark *a, const mark *b, double work)
{
    if (b->work <= a->work) return fmax(a->ms, b->ms);
    return a->ms + (b->ms - a->ms) * (work - a->work) / (b->work - a->work);
}

/** Time at a work between, above or below marks that are near it; -1 without any. */
static double read_off(const mark *below, const mark *lower, const mark *above, double work)
{
    if (!below->ms && !above->ms) return -1;
    if (!below->ms) return above->ms;
    if (above->ms) return line(below, above, work);
    // Beyond the last: never less than that took.
    if (lower->ms) return fmax(below->ms, line(lower, below, work));
    return below->ms * work / below->work;
}

double ecki_timed_predict(const ecki_timed_layer *timed, const eck_layer *layer,
                          const eck_point *point)
{
    mark below = { 0, 0 }, lower = { 0, 0 }, above = { 0, 0 }; // ms 0: none

    if (!timed) return -1;
    if (!point || point->method == ECK_METHOD_DENSE) return timed->dense;
    const double work = work_of(timed, layer, point);
    if (work < 0) return -1;
    for (int64_t i = 0; i < timed->count; i++) {
        const ecki_timed_point *t = &timed->points[i];
        if (t->point.method != point->method) continue;
        if (same_point(&t->point, point)) return t->ms;
        const mark now = { work_of(timed, layer, &t->point), t->ms };
        if (now.work < 0) continue;
        if (now.work > work) {
            if (!above.ms || now.work < above.work) above = now;
        } else if (!below.ms || now.work >= below.work) {
            lower = below;
            below = now;
        } else if (!lower.ms || now.work > lower.work) {
            lower = now;
        }
    }
    return read_off(&below, &lower, &above, work);
}

double eck_timings_predict(const eck_timings *timings, const eck_layer *layer,
                           const eck_point *point)
{
    return ecki_timed_predict(ecki_timings_find(timings, layer), layer, point);
}
