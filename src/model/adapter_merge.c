/**
 * Merging: base + sum_i w_i dW_i, written tensor by tensor as compress writes. A changed weight is
 * an operator, the sum of the file's weight and the products, read in panels of rows in F64 and
 * rounded once; everything else is copied.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "model/adapter_parts.h"
#include "model/model.h"
#include "model/output.h"
#include "tensor/codec.h"

enum { PANEL_NUMBERS = 1 << 19, PER_PART = 4 };

/** One module of one adapter that changes a layer. */
typedef struct part {
    int64_t term, module;
    int64_t next; /**< index of the next part of the same layer, -1 none */
} part;

typedef enum action { COPY, WEIGHT, BIAS, EXTRA } action;

/** What becomes of one item of the output. */
typedef struct step {
    action what;
    int64_t layer; /**< WEIGHT, BIAS */
    int64_t term, extra; /**< EXTRA */
} step;

typedef struct merging {
    const eck_model *base;
    const eck_adapter_sum *sum;
    const eck_adapter_write *options;
    const eck_context *context;
    part *parts;
    int64_t part_count;
    int64_t *head; /**< [layers]: first part, -1 none */
    step *extras; /**< [entries]: what replaces a tensor; COPY: nothing */
    ecki_items items;
    step *steps;
    ecki_carried carried;
    ecki_model_output *output;
} merging;

static const ecki_adapter_module *module_of(const merging *job, const part *p)
{
    return &job->sum->terms[p->term].adapter->modules[p->module];
}

/* ---- which tensor becomes what ------------------------------------------------------------- */

static eck_status check_part(const merging *job, int64_t layer, const part *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_adapter_module *m = module_of(job, p);
    const eck_adapter *adapter = job->sum->terms[p->term].adapter;

    ECK_REQUIRE(!m->view.dora || (job->sum->terms[p->term].weight == 1 && job->head[layer] < 0),
                ECK_E_UNSUPPORTED, -1,
                "module '%s' of '%s' is DoRA: it can be merged with weight 1, alone", m->name,
                adapter->path);
    ECK_REQUIRE(!m->view.dora || m->view.dense.kind != ECK_STAGE_LOOKUP, ECK_E_UNSUPPORTED, -1,
                "module '%s' of '%s' is DoRA of an embedding, which is not merged", m->name,
                adapter->path);
    ECK_REQUIRE(job->head[layer] < 0 || !module_of(job, &job->parts[job->head[layer]])->view.dora,
                ECK_E_UNSUPPORTED, -1,
                "module '%s' is DoRA in another adapter: it can be merged with weight 1, alone",
                m->name);
    ECK_REQUIRE(m->parts[ECKI_PART_BIAS] < 0 || job->base->layers[layer].view.bias >= 0,
                ECK_E_RANGE, -1, "module '%s' of '%s' changes a bias, and the base has none",
                m->name, adapter->path);
done:
    return status;
}

static eck_status parts_find(merging *job, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t most = 0, layer = -1;

    for (int64_t t = 0; t < job->sum->count; t++)
        most += job->sum->terms[t].adapter->module_count;
    ECK_ALLOC(job->parts, most);
    ECK_ALLOC(job->head, job->base->layer_count);
    for (int64_t i = 0; i < job->base->layer_count; i++)
        job->head[i] = -1;
    for (int64_t t = 0; t < job->sum->count; t++)
        for (int64_t m = 0; m < job->sum->terms[t].adapter->module_count; m++) {
            ECK_TRY(ecki_adapter_layer(&layer, job->sum->terms[t].adapter, m, job->base, err));
            part *p = &job->parts[job->part_count];
            *p = (part){ t, m, job->head[layer] };
            ECK_TRY(check_part(job, layer, p, err));
            job->head[layer] = job->part_count++;
        }
done:
    return status;
}

/** Extras with a tensor of the base replace it; the others are added behind. */
static eck_status extras_find(merging *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *stem = NULL;
    int64_t entry = -1;

    ECK_ALLOC(job->extras, job->base->container->entry_count);
    for (int64_t t = 0; t < job->sum->count; t++) {
        const eck_adapter *adapter = job->sum->terms[t].adapter;
        ECK_REQUIRE(adapter->extra_count == 0 || job->sum->terms[t].weight == 1, ECK_E_UNSUPPORTED,
                    -1, "'%s' holds whole tensors ('%s'): it can be merged with weight 1 only",
                    adapter->path, adapter->container->entries[adapter->extras[0]].name);
        for (int64_t x = 0; x < adapter->extra_count; x++) {
            ECK_TRY(ecki_adapter_extra_tensor(&entry, &stem, adapter, x, job->base, err));
            ECK_REQUIRE(entry < 0 || job->extras[entry].what == COPY, ECK_E_UNSUPPORTED, -1,
                        "two adapters replace tensor '%s'", stem);
            if (entry >= 0) job->extras[entry] = (step){ EXTRA, -1, t, x };
            ecki_free(stem);
            stem = NULL;
        }
    }
done:
    ecki_free(stem);
    return status;
}

static eck_status add_item(merging *job, const char *name, int64_t entry, step what, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entry *source = NULL;

    if (what.what == EXTRA) {
        const eck_adapter *adapter = job->sum->terms[what.term].adapter;
        source = &adapter->container->entries[adapter->extras[what.extra]];
    }
    job->steps[job->items.count] = what;
    if (source) {
        ecki_tensor_spec spec = { name, source->dtype, source->ndim, { 0 } };
        if (entry >= 0) spec.dtype = job->base->tensors[entry].dtype;
        memcpy(spec.shape, source->shape, sizeof spec.shape);
        ECK_TRY(ecki_items_add(&job->items, job->base, &spec, -1, err));
    } else {
        ECK_TRY(ecki_items_copy(&job->items, job->base, name, entry, err));
    }
done:
    return status;
}

static eck_status add_new_extras(merging *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *stem = NULL;
    int64_t entry = -1;
    bool tied = false;

    for (int64_t t = 0; t < job->sum->count; t++)
        for (int64_t x = 0; x < job->sum->terms[t].adapter->extra_count; x++) {
            ECK_TRY(ecki_adapter_extra_tensor(&entry, &stem, job->sum->terms[t].adapter, x,
                                              job->base, err));
            if (entry < 0)
                ECK_TRY(ecki_extra_is_tied(&tied, job->sum->terms[t].adapter, x, job->base, err));
            if (entry < 0 && !tied)
                ECK_TRY(add_item(job, stem, -1, (step){ EXTRA, -1, t, x }, err));
            ecki_free(stem);
            stem = NULL;
        }
done:
    ecki_free(stem);
    return status;
}

static bool changes_bias(const merging *job, int64_t layer)
{
    for (int64_t p = job->head[layer]; p >= 0; p = job->parts[p].next)
        if (module_of(job, &job->parts[p])->parts[ECKI_PART_BIAS] >= 0) return true;
    return false;
}

static eck_status items_find(merging *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entries = job->base->container->entry_count;
    int64_t room = entries;
    step *what = NULL;

    for (int64_t t = 0; t < job->sum->count; t++)
        room += job->sum->terms[t].adapter->extra_count;
    ECK_ALLOC(job->steps, room);
    ECK_ALLOC(what, entries);
    memcpy(what, job->extras, (size_t)entries * sizeof *what);
    for (int64_t l = 0; l < job->base->layer_count; l++) {
        const eck_layer *layer = &job->base->layers[l].view;
        if (job->head[l] < 0) continue;
        ECK_REQUIRE(what[layer->weight].what != EXTRA, ECK_E_UNSUPPORTED, -1,
                    "layer '%s' is both changed and replaced by an adapter", layer->name);
        what[layer->weight] = (step){ WEIGHT, l, -1, -1 };
        if (changes_bias(job, l)) what[layer->bias] = (step){ BIAS, l, -1, -1 };
    }
    for (int64_t i = 0; i < entries; i++)
        ECK_TRY(add_item(job, job->base->tensors[i].name, i, what[i], err));
    ECK_TRY(add_new_extras(job, err));
    ECK_TRY(ecki_items_finish(
        &job->items, job->base->container->directory ? job->options->shard_bytes : INT64_MAX, err));
done:
    ecki_free(what);
    return status;
}

/* ---- numbers ------------------------------------------------------------------------------- */

/** The changed weight of a layer as an operator, and all it is made of. */
typedef struct change {
    eck_operator *weight, *result, *stored; /**< stored: result as the file lays it out */
    eck_factors *factors;
    eck_operator **operators; /**< of every part: first, last, product, and its transpose or NULL */
    int64_t layer, count;
    double *scale; /**< DoRA: factor of every row or input channel, or NULL */
    int64_t run; /**< columns one factor is for; 0: factors are for rows */
} change;

static void change_clear(change *c)
{
    eck_operator_free(c->stored);
    eck_operator_free(c->result);
    for (int64_t i = 0; c->operators && i < PER_PART * c->count; i++)
        eck_operator_free(c->operators[PER_PART * c->count - 1 - i]);
    for (int64_t i = 0; c->factors && i < c->count; i++)
        eck_factors_clear(&c->factors[i]);
    eck_operator_free(c->weight);
    ecki_free(c->operators);
    ecki_free(c->factors);
    ecki_free(c->scale);
}

static eck_status check_finite(const eck_array *array, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *wide = NULL;

    ECK_TRY(eck_array_convert(&wide, eck_array_view(array), ECK_DTYPE_F64, err));
    const int64_t bad = ecki_first_nonfinite(wide->data, eck_array_count(wide));
    ECK_REQUIRE(bad < 0, ECK_E_NONFINITE, bad, "a factor holds NaN or infinity");
done:
    eck_array_free(wide);
    return status;
}

/** One product scale last first, as the layer lies: *out is borrowed from the change. */
static eck_status change_add(const eck_operator **out, change *c, int64_t i, const merging *job,
                             const part *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_weighted_adapter *term = &job->sum->terms[p->term];
    eck_operator **four = c->operators + PER_PART * i;

    ECK_TRY(ecki_adapter_factors(&c->factors[i], term->adapter, p->module, err));
    ECK_TRY(check_finite(c->factors[i].first, err));
    ECK_TRY(check_finite(c->factors[i].last, err));
    ECK_TRY(eck_operator_dense(&four[0], eck_array_view(c->factors[i].first), err));
    ECK_TRY(eck_operator_dense(&four[1], eck_array_view(c->factors[i].last), err));
    ECK_TRY(
        eck_operator_product(&four[2], four[1], four[0], term->weight * c->factors[i].scale, err));
    if (ecki_adapter_turned(&module_of(job, p)->view, &job->base->layers[c->layer].view))
        ECK_TRY(eck_operator_transposed(&four[3], four[2], err));
    *out = four[3] ? four[3] : four[2];
done:
    if (status != ECK_OK)
        ecki_error_where(err, status, term->adapter->path, module_of(job, p)->name);
    return status;
}

static eck_status change_init(change *c, const merging *job, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator **terms = NULL;
    double *weights = NULL;
    int64_t i = 0;

    c->layer = layer;
    for (int64_t p = job->head[layer]; p >= 0; p = job->parts[p].next)
        c->count++;
    ECK_ALLOC(c->factors, c->count);
    ECK_ALLOC(c->operators, PER_PART * c->count);
    ECK_ALLOC(terms, c->count + 1);
    ECK_ALLOC(weights, c->count + 1);
    ECK_TRY(eck_model_layer_operator(&c->weight, job->base, layer, err));
    terms[0] = c->weight;
    weights[0] = 1;
    for (int64_t p = job->head[layer]; p >= 0; p = job->parts[p].next, i++) {
        ECK_TRY(change_add(&terms[i + 1], c, i, job, &job->parts[p], err));
        weights[i + 1] = 1;
    }
    ECK_TRY(eck_operator_sum(&c->result, terms, weights, c->count + 1, err));
    if (job->base->layers[layer].view.stored_transposed)
        ECK_TRY(eck_operator_transposed(&c->stored, c->result, err));
done:
    ecki_free(terms);
    ecki_free(weights);
    return status;
}

/** Squares of every row (run 0) or of every input channel, summed over the whole matrix. */
static eck_status sum_squares(double *sums, const eck_operator *v, int64_t run, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(v);
    const int64_t height =
        ecki_max(1, ecki_min(info->rows, PANEL_NUMBERS / ecki_max(1, info->cols)));
    double *panel = NULL;

    ECK_ALLOC_RAW(panel, height * info->cols);
    for (int64_t row = 0; row < info->rows; row += height) {
        const int64_t rows = ecki_min(height, info->rows - row);
        ECK_TRY(
            eck_operator_read(v, row, 0, ecki_panel(panel, ECK_DTYPE_F64, rows, info->cols), err));
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < info->cols; j++) {
                const double x = panel[i * info->cols + j];
                sums[run > 0 ? j / run : row + i] += x * x;
            }
    }
done:
    ecki_free(panel);
    return status;
}

/**
 * DoRA: W' = m * V / || V ||, norms over every output (m [out] or [out,1..]), or, where LyCORIS
 * stores m as [1,in,1..], over every input channel. LyCORIS adds eps(F32) to the norm.
 */
static eck_status dora_scales(change *c, const merging *job, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    const part *p = &job->parts[job->head[layer]];
    const ecki_adapter_module *m = module_of(job, p);
    const eck_adapter *adapter = job->sum->terms[p->term].adapter;
    const bool peft = adapter->layout == ECK_ADAPTER_PEFT;
    const eck_stage *dense = &job->base->layers[layer].view.dense;
    const ecki_entry *e;
    eck_array *stored = NULL, *wide = NULL;
    double *sums = NULL;

    if (!m->view.dora) return ECK_OK;
    e = &adapter->container->entries[m->parts[ECKI_PART_MAGNITUDE]];
    ECK_TRY(ecki_adapter_tensor(&stored, adapter, m->parts[ECKI_PART_MAGNITUDE], err));
    ECK_TRY(eck_array_convert(&wide, eck_array_view(stored), ECK_DTYPE_F64, err));
    const int64_t count = eck_array_count(wide);
    const bool inputs = !peft && e->ndim > 1 && e->shape[0] == 1 && e->shape[1] == dense->in;
    ECK_REQUIRE(count == (inputs ? dense->in : dense->out), ECK_E_SHAPE, -1,
                "the magnitude of module '%s' of '%s' has %lld numbers", m->name, adapter->path,
                (long long)count);
    c->run = inputs ? ecki_stage_columns(dense) / dense->in : 0;
    ECK_ALLOC(sums, count);
    ECK_TRY(sum_squares(sums, c->result, c->run, err));
    for (int64_t i = 0; i < count; i++) {
        const double norm = sqrt(sums[i]) + (peft ? 0 : eck_dtype_epsilon(ECK_DTYPE_F32));
        sums[i] = norm > 0 ? ((double *)wide->data)[i] / norm : 0;
    }
    c->scale = sums;
    sums = NULL;
done:
    ecki_free(sums);
    eck_array_free(stored);
    eck_array_free(wide);
    return status;
}

/** Rows of the stored weight times their DoRA factors; (row + i, j) is (out, column) or turned. */
static void apply_scales(const change *c, double *panel, int64_t row, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; c->scale && i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const int64_t out = c->stored ? j : row + i, column = c->stored ? row + i : j;
            panel[i * cols + j] *= c->scale[c->run > 0 ? column / c->run : out];
        }
}

/** Rounds a panel and writes it; a finite number that becomes infinite is an error. */
static eck_status write_panel(const merging *job, int64_t item, int64_t first, const double *panel,
                              int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_item *it = &job->items.list[item];
    const int64_t element = eck_dtype_bits(it->dtype) / 8;
    char *bytes = NULL;
    double *back = NULL;

    int64_t bad = ecki_first_nonfinite(panel, count);
    ECK_REQUIRE(bad < 0, ECK_E_NONFINITE, first + bad,
                "cannot merge into '%s': the base holds NaN or infinity", it->name);
    ECK_ALLOC_RAW(bytes, count * element);
    ECK_ALLOC_RAW(back, count);
    ecki_round_f64(it->dtype, panel, bytes, count);
    ecki_widen_f64(it->dtype, bytes, 1, back, count);
    bad = ecki_first_nonfinite(back, count);
    ECK_REQUIRE(bad < 0, ECK_E_RANGE, first + bad, "merged weight '%s' leaves the range of %s: %g",
                it->name, eck_dtype_name(it->dtype), panel[ecki_max(bad, 0)]);
    if (job->output)
        ECK_TRY(ecki_model_output_write(job->output, item, first * element, bytes, count * element,
                                        err));
done:
    ecki_free(bytes);
    ecki_free(back);
    return status;
}

static eck_status merge_weight(const merging *job, int64_t item, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    change c = { 0 };
    double *panel = NULL;

    ECK_REQUIRE(eck_dtype_is_weight(job->items.list[item].dtype), ECK_E_UNSUPPORTED, -1,
                "cannot merge into '%s': it is stored as %s", job->items.list[item].name,
                eck_dtype_name(job->items.list[item].dtype));
    ECK_TRY(change_init(&c, job, layer, err));
    ECK_TRY(dora_scales(&c, job, layer, err));
    const eck_operator *stored = c.stored ? c.stored : c.result;
    const int64_t rows = eck_operator_get_info(stored)->rows;
    const int64_t cols = eck_operator_get_info(stored)->cols;
    const int64_t height = ecki_max(1, ecki_min(rows, PANEL_NUMBERS / ecki_max(1, cols)));
    ECK_ALLOC_RAW(panel, height * cols);
    for (int64_t row = 0; row < rows; row += height) {
        const int64_t some = ecki_min(height, rows - row);
        ECK_TRY(
            eck_operator_read(stored, row, 0, ecki_panel(panel, ECK_DTYPE_F64, some, cols), err));
        apply_scales(&c, panel, row, some, cols);
        ECK_TRY(write_panel(job, item, row * cols, panel, some * cols, err));
    }
done:
    ecki_free(panel);
    change_clear(&c);
    return status;
}

/** bias + sum_i w_i s_i b_i. */
static eck_status merge_bias(const merging *job, int64_t item, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *base = NULL, *wide = NULL, *stored = NULL, *more = NULL;

    ECK_TRY(ecki_tensor_load(&base, job->base, job->base->layers[layer].view.bias, err));
    ECK_TRY(eck_array_convert(&wide, eck_array_view(base), ECK_DTYPE_F64, err));
    const int64_t count = eck_array_count(wide);
    double *sum = wide->data;
    for (int64_t p = job->head[layer]; p >= 0; p = job->parts[p].next) {
        const ecki_adapter_module *m = module_of(job, &job->parts[p]);
        const eck_weighted_adapter *term = &job->sum->terms[job->parts[p].term];
        if (m->parts[ECKI_PART_BIAS] < 0) continue;
        ECK_TRY(ecki_adapter_tensor(&stored, term->adapter, m->parts[ECKI_PART_BIAS], err));
        ECK_TRY(eck_array_convert(&more, eck_array_view(stored), ECK_DTYPE_F64, err));
        ECK_REQUIRE(eck_array_count(more) == count, ECK_E_SHAPE, -1,
                    "the bias of module '%s' of '%s' has %lld numbers, the base's %lld", m->name,
                    term->adapter->path, (long long)eck_array_count(more), (long long)count);
        for (int64_t i = 0; i < count; i++)
            sum[i] += term->weight * m->view.scale * ((double *)more->data)[i];
        eck_array_free(stored);
        eck_array_free(more);
        stored = more = NULL;
    }
    ECK_TRY(write_panel(job, item, 0, sum, count, err));
done:
    eck_array_free(base);
    eck_array_free(wide);
    eck_array_free(stored);
    eck_array_free(more);
    return status;
}

/** A whole tensor of an adapter in the base's type. */
static eck_status write_extra(const merging *job, int64_t item, const step *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->sum->terms[s->term].adapter;
    eck_array *stored = NULL, *converted = NULL;

    ECK_TRY(ecki_adapter_tensor(&stored, adapter, adapter->extras[s->extra], err));
    if (stored->dtype != job->items.list[item].dtype)
        ECK_TRY(eck_array_convert(&converted, eck_array_view(stored), job->items.list[item].dtype,
                                  err));
    if (job->output)
        ECK_TRY(ecki_model_output_write(job->output, item, 0,
                                        converted ? converted->data : stored->data,
                                        job->items.list[item].bytes, err));
done:
    eck_array_free(stored);
    eck_array_free(converted);
    return status;
}

static eck_status merge_item(void *self, int64_t index, eck_error *err)
{
    const merging *job = self;
    const step *s = &job->steps[index];
    const eck_status status = ecki_progress(job->context, "merging", index, job->items.count, err);

    if (status != ECK_OK) return status;
    if (s->what == WEIGHT) return merge_weight(job, index, s->layer, err);
    if (s->what == BIAS) return merge_bias(job, index, s->layer, err);
    if (s->what == EXTRA) return write_extra(job, index, s, err);
    return job->output ? ecki_model_output_copy(job->output, index, err) : ECK_OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/** An extra of another shape than the base's tensor; a vocabulary is told to config.json. */
static eck_status reshaped(merging *job, const ecki_item *item, eck_adapter_outcome *outcome,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entry = ecki_container_find(job->base->container, item->name);
    const eck_tensor *before = entry < 0 ? NULL : &job->base->tensors[entry];
    char *config = NULL;

    if (!before || item->ndim != 2 || before->ndim != 2) return ECK_OK;
    if (memcmp(before->shape, item->shape, 2 * sizeof *item->shape) == 0) return ECK_OK;
    if (job->base->container->directory && before->shape[1] == item->shape[1])
        ECK_TRY(ecki_vocabulary_config(&config, job->base, before->shape[0], item->shape[0], err));
    ECK_TRY(ecki_outcome_remark(outcome, err, "'%s' has %lld rows now, %lld before%s", item->name,
                                (long long)item->shape[0], (long long)before->shape[0],
                                config ? "; config.json says so, the tokenizer is the base's"
                                       : ": the base's configuration may not fit it"));
    if (!config) return ECK_OK;
    ecki_free(job->carried.config);
    job->carried.config = config;
done:
    return status;
}

static eck_status describe(merging *job, eck_adapter_outcome *outcome, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(outcome->changes, job->part_count);
    for (int64_t p = 0; p < job->part_count; p++) {
        const ecki_adapter_module *m = module_of(job, &job->parts[p]);
        ECK_TRY(ecki_outcome_change(&outcome->changes[p], m->name, err));
        outcome->count++;
        outcome->changes[p].rank_before = outcome->changes[p].rank = m->view.rank;
    }
    for (int64_t i = 0; i < job->base->container->entry_count; i++)
        outcome->bytes_before += job->base->tensors[i].bytes;
    outcome->bytes_after = job->items.bytes;
    for (int64_t l = 0; l < job->base->layer_count; l++)
        if (job->head[l] >= 0 && job->base->layers[l].view.tied_to)
            ECK_TRY(ecki_outcome_remark(outcome, err, "layer '%s' is tied to '%s'",
                                        job->base->layers[l].name,
                                        job->base->layers[l].view.tied_to));
    for (int64_t i = 0; i < job->items.count; i++) {
        if (job->steps[i].what != EXTRA) continue;
        ECK_TRY(ecki_outcome_remark(outcome, err, "tensor '%s' is the adapter's own",
                                    job->items.list[i].name));
        ECK_TRY(reshaped(job, &job->items.list[i], outcome, err));
    }
done:
    return status;
}

static eck_status check_inputs(const eck_adapter_sum *sum, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(sum->count > 0, ECK_E_RANGE, -1, "no adapter to merge");
    for (int64_t t = 0; t < sum->count; t++)
        ECK_REQUIRE(isfinite(sum->terms[t].weight), ECK_E_RANGE, -1,
                    "the weight of adapter '%s' is no number", sum->terms[t].adapter->path);
done:
    return status;
}

eck_status eck_adapter_merge(eck_adapter_outcome *out, const eck_model *base,
                             const eck_adapter_sum *sum, const eck_adapter_write *options,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_write defaults = ECK_ADAPTER_WRITE_INIT;
    merging job = {
        .base = base, .sum = sum, .options = options ? options : &defaults, .context = context
    };
    eck_adapter_outcome outcome = { .energy = -1, .energy_clean = -1 };
    const ecki_output_options output = { .path = job.options->path,
                                         .prefix = "model",
                                         .replace = job.options->replace };
    const double start = ecki_clock();

    ECK_TRY(check_inputs(sum, err));
    ECK_TRY(parts_find(&job, err));
    ECK_TRY(extras_find(&job, err));
    ECK_TRY(items_find(&job, err));
    ECK_TRY(ecki_output_carried(&job.carried, base, err));
    if (!job.options->dry_run)
        ECK_TRY(ecki_model_output_create(&job.output, base, &job.items, &output, err));
    ECK_TRY(ecki_parallel_for(job.items.count, ecki_threads(context), merge_item, &job, err));
    for (int64_t t = 0; t < sum->count; t++)
        ECK_TRY(ecki_container_unchanged(sum->terms[t].adapter->container, err));
    ECK_TRY(describe(&job, &outcome, err));
    if (job.output) ECK_TRY(ecki_model_output_publish(job.output, NULL, &job.carried, err));
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    ecki_model_output_free(job.output);
    ecki_carried_clear(&job.carried);
    ecki_items_clear(&job.items);
    ecki_free(job.steps);
    ecki_free(job.parts);
    ecki_free(job.head);
    ecki_free(job.extras);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
