/**
 * Combining: one adapter whose change is a weighted sum of those of others, from the stacked
 * factors.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/factored_parts.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"

/** One module of the result and where it comes from: parts[a] is its index in adapter a, or -1. */
typedef struct joint {
    int64_t *parts;
    int64_t width; /**< columns of all factors together */
} joint;

typedef struct combining {
    const eck_weighted_adapter *adapters;
    int64_t adapter_count, rank;
    const eck_adapter_write *options;
    const eck_context *context;
    joint *joints;
    ecki_out_module *modules;
    int64_t count, room;
    eck_adapter_change *changes;
    ecki_adapter_writer *writer;
} combining;

enum { CANCELLED = 64 }; // eps of what is added: sums of a few hundred columns

/* ---- matching ------------------------------------------------------------------------------ */

/** Both lists are sorted by name: index of a name in an adapter, -1 none. */
static int64_t find_module(const eck_adapter *adapter, const char *name)
{
    int64_t low = 0, high = adapter->module_count - 1;
    while (low <= high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(adapter->modules[middle].name, name);
        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}

static const ecki_adapter_module *part_of(const combining *job, const joint *j, int64_t a)
{
    return j->parts[a] < 0 ? NULL : &job->adapters[a].adapter->modules[j->parts[a]];
}

/** All that have the module agree on its shape; none is DoRA. */
static eck_status joint_check(const combining *job, joint *j, const ecki_adapter_module *lead,
                              eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t a = 0; a < job->adapter_count; a++) {
        const ecki_adapter_module *m = part_of(job, j, a);
        if (!m) continue;
        const eck_stage *x = &lead->view.dense, *y = &m->view.dense;
        ECK_TRY(ecki_adapter_plain(job->adapters[a].adapter, j->parts[a], err));
        ECK_REQUIRE(x->out == y->out && ecki_stage_columns(x) == ecki_stage_columns(y), ECK_E_SHAPE,
                    -1, "cannot combine module '%s': it is %lld x %lld in '%s', %lld x %lld before",
                    m->name, (long long)y->out, (long long)ecki_stage_columns(y),
                    job->adapters[a].adapter->path, (long long)x->out,
                    (long long)ecki_stage_columns(x));
        ECK_REQUIRE(m->parts[ECKI_PART_BIAS] < 0, ECK_E_UNSUPPORTED, -1,
                    "cannot combine module '%s' of '%s': it has a bias of its own", m->name,
                    job->adapters[a].adapter->path);
        j->width += m->view.width;
    }
done:
    return status;
}

static eck_status joint_add(combining *job, int64_t lead_adapter, int64_t lead_module,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *source = job->adapters[lead_adapter].adapter;
    const ecki_adapter_module *lead = &source->modules[lead_module];
    joint *j = &job->joints[job->count];

    ECK_ALLOC(j->parts, job->adapter_count);
    job->count++;
    for (int64_t a = 0; a < job->adapter_count; a++)
        j->parts[a] = a < lead_adapter ? -1 : find_module(job->adapters[a].adapter, lead->name);
    ECK_TRY(joint_check(job, j, lead, err));
    const int64_t full = ecki_min(lead->view.dense.out, ecki_stage_columns(&lead->view.dense));
    const int64_t rank = job->rank > 0 ? ecki_min(job->rank, j->width) : j->width;
    const eck_dtype store =
        job->options->store == ECK_DTYPE_NONE ? lead->view.dtype : job->options->store;
    job->modules[job->count - 1] = (ecki_out_module){ lead->name,
                                                      lead->spelling,
                                                      lead->view.dense,
                                                      ecki_min(rank, full),
                                                      0,
                                                      store,
                                                      -1,
                                                      false,
                                                      source->layout == ECK_ADAPTER_KOHYA };
    job->modules[job->count - 1].alpha = (double)job->modules[job->count - 1].rank;
done:
    return status;
}

/** Modules of the first adapter, then what the others have beside. */
static eck_status joints_find(combining *job, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t most = 0;

    for (int64_t a = 0; a < job->adapter_count; a++)
        most += job->adapters[a].adapter->module_count;
    ECK_ALLOC(job->joints, most);
    ECK_ALLOC(job->modules, most);
    for (int64_t a = 0; a < job->adapter_count; a++)
        for (int64_t m = 0; m < job->adapters[a].adapter->module_count; m++) {
            const char *name = job->adapters[a].adapter->modules[m].name;
            bool seen = false;
            for (int64_t b = 0; b < a && !seen; b++)
                seen = find_module(job->adapters[b].adapter, name) >= 0;
            if (!seen) ECK_TRY(joint_add(job, a, m, err));
        }
    bool mixed = false;
    for (int64_t i = 0; i < job->count; i++)
        mixed = mixed || job->modules[i].rank != job->modules[0].rank;
    for (int64_t i = 0; i < job->count; i++)
        if (mixed && job->adapters[0].adapter->layout == ECK_ADAPTER_DIFFUSERS)
            job->modules[i].has_alpha = true;
done:
    return status;
}

/* ---- factors ------------------------------------------------------------------------------- */

/** The factors side by side, weights split evenly between both sides of each. */
static eck_status concatenate(eck_array **first_out, eck_array **last_out, const eck_term *terms,
                              int64_t count, eck_dtype store, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = terms[0].last.shape[0], cols = terms[0].first.shape[1];
    int64_t width = 0, at = 0;
    eck_array *first = NULL, *last = NULL;

    for (int64_t i = 0; i < count; i++)
        width += terms[i].first.shape[0];
    ECK_TRY(eck_array_create(&first, ECK_DTYPE_F64, 2, (int64_t[]){ width, cols }, err));
    ECK_TRY(eck_array_create(&last, ECK_DTYPE_F64, 2, (int64_t[]){ rows, width }, err));
    for (int64_t i = 0; i < count; i++) {
        const int64_t r = terms[i].first.shape[0];
        const double root = sqrt(fabs(terms[i].weight));
        double *top = (double *)first->data + at * cols, *side = (double *)last->data + at;
        const eck_panel left = { side, ECK_DTYPE_F64, rows, r, width };
        ECK_TRY(eck_view_read(&terms[i].first, 0, 0, ecki_panel(top, ECK_DTYPE_F64, r, cols), err));
        ECK_TRY(eck_view_read(&terms[i].last, 0, 0, left, err));
        for (int64_t x = 0; x < r * cols; x++)
            top[x] *= root;
        for (int64_t x = 0; x < rows; x++)
            for (int64_t y = 0; y < r; y++)
                side[x * width + y] *= terms[i].weight < 0 ? -root : root;
        at += r;
    }
    ECK_TRY(eck_array_convert(first_out, eck_array_view(first), store, err));
    ECK_TRY(eck_array_convert(last_out, eck_array_view(last), store, err));
done:
    eck_array_free(first);
    eck_array_free(last);
    return status;
}

static eck_status check_finite(const eck_array *array, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *wide = NULL;

    ECK_TRY(eck_array_convert(&wide, eck_array_view(array), ECK_DTYPE_F64, err));
    const int64_t bad = ecki_first_nonfinite(wide->data, eck_array_count(wide));
    ECK_REQUIRE(bad < 0, ECK_E_RANGE, bad, "a factor leaves the range of %s",
                eck_dtype_name(array->dtype));
done:
    eck_array_free(wide);
    return status;
}

/** The result of one module from its terms. */
static eck_status combine_terms(combining *job, int64_t index, const eck_term *terms, int64_t count,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_module *m = &job->modules[index];
    eck_adapter_change *change = &job->changes[index];
    eck_factored *f = NULL;
    eck_array *first = NULL, *last = NULL;
    double distance = 0;

    const bool cut = m->rank < job->joints[index].width;
    const eck_truncation truncation = { m->rank, job->options->split, m->dtype };

    ECK_TRY(ecki_factored_borrow(&f, terms, count, cut ? m->rank : 1, err));
    change->norm = eck_factored_get_info(f)->norm;
    if (cut) {
        ECK_TRY(ecki_factored_store(&first, &last, &distance, f, &truncation, err));
    } else {
        ECK_TRY(concatenate(&first, &last, terms, count, m->dtype, err));
        ECK_TRY(check_finite(first, err));
        ECK_TRY(check_finite(last, err));
        const eck_term stored = { 1, eck_array_view(first), eck_array_view(last) };
        ECK_TRY(eck_factored_distance(&distance, f, &stored, err));
    }
    // what cancelled to rounding is nothing, and has no error
    if (change->norm <= CANCELLED * DBL_EPSILON * eck_factored_get_info(f)->magnitude)
        change->norm = 0;
    change->error = change->norm > 0 ? distance / change->norm : 0;
    if (job->writer) ECK_TRY(ecki_adapter_writer_put(job->writer, index, first, last, err));
done:
    eck_factored_free(f);
    eck_array_free(first);
    eck_array_free(last);
    return status;
}

static eck_status combine_module(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    combining *job = self;
    const joint *j = &job->joints[index];
    eck_factors *factors = NULL;
    eck_term *terms = NULL;
    int64_t count = 0;

    ECK_TRY(ecki_progress(job->context, "combining", index, job->count, err));
    ECK_ALLOC(factors, job->adapter_count);
    ECK_ALLOC(terms, job->adapter_count);
    for (int64_t a = 0; a < job->adapter_count; a++) {
        if (j->parts[a] < 0) continue;
        ECK_TRY(ecki_adapter_factors(&factors[count], job->adapters[a].adapter, j->parts[a], err));
        terms[count] = ecki_factors_term(&factors[count], job->adapters[a].weight);
        count++;
    }
    ECK_TRY(combine_terms(job, index, terms, count, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, NULL, job->modules[index].name);
    for (int64_t i = 0; factors && i < count; i++)
        eck_factors_clear(&factors[i]);
    ecki_free(terms);
    ecki_free(factors);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static eck_status check_arguments(const eck_weighted_adapter *adapters, int64_t count, int64_t rank,
                                  eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(count > 0, ECK_E_RANGE, -1, "no adapters to combine");
    ECK_REQUIRE(rank >= 0, ECK_E_RANGE, -1, "rank %lld: at least 1, or 0 for all of them",
                (long long)rank);
    for (int64_t a = 0; a < count; a++) {
        ECK_REQUIRE(isfinite(adapters[a].weight), ECK_E_RANGE, -1,
                    "the weight of adapter '%s' is no number", adapters[a].adapter->path);
        ECK_REQUIRE(adapters[a].adapter->layout == adapters[0].adapter->layout, ECK_E_UNSUPPORTED,
                    -1, "'%s' is %s, '%s' is %s: convert one of them first",
                    adapters[0].adapter->path, eck_adapter_layout_name(adapters[0].adapter->layout),
                    adapters[a].adapter->path,
                    eck_adapter_layout_name(adapters[a].adapter->layout));
    }
done:
    return status;
}

static eck_status describe(combining *job, eck_adapter_outcome *outcome, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(outcome->changes, job->count);
    outcome->count = job->count;
    job->changes = outcome->changes;
    for (int64_t i = 0; i < job->count; i++) {
        ECK_TRY(ecki_outcome_change(&outcome->changes[i], job->modules[i].name, err));
        outcome->changes[i].rank_before = job->joints[i].width;
        outcome->changes[i].rank = job->modules[i].rank;
        outcome->bytes_after += ecki_out_module_bytes(&job->modules[i], outcome->layout);
    }
    for (int64_t a = 0; a < job->adapter_count; a++) {
        const eck_adapter *adapter = job->adapters[a].adapter;
        for (int64_t m = 0; m < adapter->module_count; m++)
            outcome->bytes_before += adapter->modules[m].view.bytes;
        if (adapter->extra_count > 0)
            ECK_TRY(ecki_outcome_remark(
                outcome, err, "%lld whole tensors of '%s' are not combined, among them '%s'",
                (long long)adapter->extra_count, adapter->path,
                adapter->container->entries[adapter->extras[0]].name));
    }
done:
    return status;
}

static eck_status combine_all(combining *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *lead = job->adapters[0].adapter;
    const char **inputs = NULL;
    ecki_out_spec spec = { .layout = lead->layout,
                           .path = job->options->path,
                           .replace = job->options->replace,
                           .input_count = 2 * job->adapter_count,
                           .modules = job->modules,
                           .count = job->count,
                           .config = { .base_name = lead->base_name,
                                       .fan_in_fan_out = json_is_true(
                                           json_object_get(lead->config, "fan_in_fan_out")) } };

    ECK_ALLOC(inputs, 2 * job->adapter_count);
    spec.inputs = inputs;
    spec.record = json_pack("{s:s, s:i, s:s, s:s, s:[]}", "format", "eckart-adapter", "version", 1,
                            "made_by", "combine", "eckart", eck_version(), "weights");
    ECK_HAVE(spec.record);
    for (int64_t a = 0; a < job->adapter_count; a++) {
        inputs[2 * a] = job->adapters[a].adapter->path;
        inputs[2 * a + 1] = job->adapters[a].adapter->container->files[0].path;
        json_array_append_new(json_object_get(spec.record, "weights"),
                              json_real(job->adapters[a].weight));
    }
    if (!job->options->dry_run) ECK_TRY(ecki_adapter_writer_create(&job->writer, &spec, err));
    ECK_TRY(ecki_parallel_for(job->count, ecki_threads(job->context), combine_module, job, err));
    for (int64_t a = 0; a < job->adapter_count; a++)
        ECK_TRY(ecki_container_unchanged(job->adapters[a].adapter->container, err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_publish(job->writer, err));
done:
    ecki_adapter_writer_free(job->writer);
    json_decref(spec.record);
    ecki_free(inputs);
    return status;
}

eck_status eck_adapter_combine(eck_adapter_outcome *out, const eck_adapter_sum *sum, int64_t rank,
                               const eck_adapter_write *options, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_write defaults = ECK_ADAPTER_WRITE_INIT;
    combining job = { .adapters = sum->terms,
                      .adapter_count = sum->count,
                      .rank = rank,
                      .options = options ? options : &defaults,
                      .context = context };
    eck_adapter_outcome outcome = { .energy = -1, .energy_clean = -1 };
    const double start = ecki_clock();

    ECK_TRY(check_arguments(sum->terms, sum->count, rank, err));
    outcome.layout = sum->terms[0].adapter->layout;
    ECK_TRY(joints_find(&job, err));
    ECK_TRY(describe(&job, &outcome, err));
    ECK_TRY(combine_all(&job, err));
    ecki_outcome_total(&outcome);
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    for (int64_t i = 0; job.joints && i < job.count; i++)
        ecki_free(job.joints[i].parts);
    ecki_free(job.joints);
    ecki_free(job.modules);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
