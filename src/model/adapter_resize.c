/**
 * Resizing: smaller ranks for the modules of one adapter. Ranks first (from a pass over all spectra
 * where the budget asks for one), then factors, module by module in parallel.
 *
 * Always true: a module keeps its bytes unless it gets smaller, or its scale cannot be stated.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/factored_parts.h"
#include "model/adapter_parts.h"
#include "model/knapsack.h"
#include "tensor/codec.h"

/** What the first pass finds of a module. */
typedef struct spectrum {
    double *tails; /**< [count+1] */
    int64_t count;
    double norm;
} spectrum;

typedef struct resizing {
    const eck_adapter *adapter;
    const eck_adapter_budget *budget;
    const eck_adapter_write *options;
    const eck_context *context;
    spectrum *spectra; /**< NULL: one rank for all */
    int64_t *ranks; /**< 0: keep */
    ecki_out_module *modules;
    ecki_out_extra *extras;
    eck_adapter_change *changes;
    ecki_adapter_writer *writer;
} resizing;

static eck_dtype store_of(const resizing *job, const eck_adapter_module *view)
{
    return job->options->store == ECK_DTYPE_NONE ? view->dtype : job->options->store;
}

/** Largest rank at which a module would be written anew. */
static int64_t largest_rank(const eck_adapter_module *view)
{
    const int64_t full = ecki_min(view->dense.out, ecki_stage_columns(&view->dense));
    return ecki_min(view->width, full);
}

/** True if the module's scale survives in a copy: diffusers states none without an alpha. */
static bool scale_survives(const resizing *job, int64_t index)
{
    const ecki_adapter_module *module = &job->adapter->modules[index];
    return job->adapter->layout != ECK_ADAPTER_DIFFUSERS || module->view.scale == 1 ||
           module->parts[ECKI_PART_ALPHA] >= 0;
}

/* ---- arguments ----------------------------------------------------------------------------- */

static eck_status budget_check(const eck_adapter_budget *b, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool size = b->bytes >= 0 || b->bytes_part >= 0;
    const int32_t rules = (b->energy >= 0) + (b->error >= 0) + size;

    ECK_REQUIRE(rules + (b->rank >= 0) >= 1, ECK_E_RANGE, -1,
                "no budget: give a rank, an energy, an error or a size");
    ECK_REQUIRE(rules <= 1 && (b->rank < 0 || rules == 0 || size), ECK_E_RANGE, -1,
                "more than one of rank, energy, error and size: only a rank may stand beside a "
                "size, as a cap");
    ECK_REQUIRE(b->rank != 0, ECK_E_RANGE, -1, "rank 0: at least 1");
    ECK_REQUIRE(b->energy < 0 || (b->energy > 0 && b->energy <= 1), ECK_E_RANGE, -1,
                "energy %g: above 0, at most 1", b->energy);
    ECK_REQUIRE(b->error < 1, ECK_E_RANGE, -1, "error %g: 0 or more, below 1", b->error);
    ECK_REQUIRE(b->bytes_part <= 1, ECK_E_RANGE, -1, "size %g of what it was: at most 1",
                b->bytes_part);
done:
    return status;
}

/** LoHa and LoKr of convolutions are stored flat: their kernel is not in the file. */
static eck_status check_modules(const eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const signs[] = { "conv",       "in_layers", "out_layers", "skip_connection",
                                         "downsample", "upsample",  NULL };

    for (int64_t i = 0; i < adapter->module_count; i++) {
        const ecki_adapter_module *m = &adapter->modules[i];
        ECK_TRY(ecki_adapter_plain(adapter, i, err));
        if (m->view.form < ECK_FORM_LOHA || m->view.dense.kind == ECK_STAGE_CONV) continue;
        for (const char *const *sign = signs; *sign; sign++)
            ECK_REQUIRE(!strstr(m->name, *sign), ECK_E_UNSUPPORTED, -1,
                        "cannot write module '%s' of '%s' as plain LoRA: it may be a convolution, "
                        "and the file does not say of what kernel",
                        m->name, adapter->path);
    }
done:
    return status;
}

/* ---- ranks --------------------------------------------------------------------------------- */

static eck_status find_spectrum(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    resizing *job = self;
    eck_factors factors = { 0 };
    eck_factored *f = NULL;
    spectrum *s = &job->spectra[index];

    ECK_TRY(ecki_progress(job->context, "spectra", index, job->adapter->module_count, err));
    ECK_TRY(ecki_adapter_factors(&factors, job->adapter, index, err));
    const eck_term term = ecki_factors_term(&factors, 1);
    ECK_TRY(ecki_factored_borrow(&f, &term, 1, 0, err));
    const eck_factored_info *info = eck_factored_get_info(f);
    ECK_ALLOC(s->tails, info->count + 1);
    memcpy(s->tails, info->tails, (size_t)(info->count + 1) * sizeof *s->tails);
    s->count = info->count;
    s->norm = info->norm;
done:
    if (status != ECK_OK)
        ecki_error_where(err, status, job->adapter->path, job->adapter->modules[index].name);
    eck_factored_free(f);
    eck_factors_clear(&factors);
    return status;
}

static eck_status find_spectra(resizing *job, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(job->spectra, job->adapter->module_count);
    ECK_TRY(ecki_parallel_for(job->adapter->module_count, ecki_threads(job->context), find_spectrum,
                              job, err));
done:
    return status;
}

/** Fewest terms with hypot(tail, storage floor) <= error; 0 (keep) where no rank does. */
static void ranks_by_error(resizing *job)
{
    const double target =
        job->budget->error >= 0 ? job->budget->error : sqrt(1 - job->budget->energy);

    for (int64_t i = 0; i < job->adapter->module_count; i++) {
        const spectrum *s = &job->spectra[i];
        const double floor = eck_storage_floor(store_of(job, &job->adapter->modules[i].view));
        int64_t k = 1;
        while (k <= s->count && hypot(s->tails[k], floor) > target)
            k++;
        job->ranks[i] = k <= s->count ? k : 0;
    }
}

static ecki_out_module module_of(const resizing *job, int64_t index, int64_t rank)
{
    const ecki_adapter_module *m = &job->adapter->modules[index];
    const bool keep = rank == 0;
    const bool peft = job->adapter->layout == ECK_ADAPTER_PEFT;
    const bool alpha =
        job->adapter->layout == ECK_ADAPTER_KOHYA || (keep && m->parts[ECKI_PART_ALPHA] >= 0);

    return (ecki_out_module){ m->name,
                              m->spelling,
                              m->view.dense,
                              keep ? m->view.rank : rank,
                              keep ? m->view.scale * (double)m->view.rank : (double)rank,
                              store_of(job, &m->view),
                              keep ? index : -1,
                              m->parts[ECKI_PART_BIAS] >= 0,
                              alpha && !peft };
}

/** Every rank below the stored one, and staying as it is. */
static eck_status options_of(ecki_group *group, const resizing *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const spectrum *s = &job->spectra[index];
    const eck_adapter_module *view = &job->adapter->modules[index].view;
    const int64_t cap = job->budget->rank > 0 ? job->budget->rank : INT64_MAX;
    const int64_t most = ecki_min(s->count, cap);
    ecki_option *options = NULL;

    ECK_ALLOC(options, most + 1);
    for (int64_t k = 1; k <= most; k++) {
        const ecki_out_module m = module_of(job, index, k);
        const double error = s->tails[k] * s->norm;
        options[k - 1] =
            (ecki_option){ error * error, { ecki_out_module_bytes(&m, job->adapter->layout), 0 } };
    }
    // option `most` is to keep it, where the cap allows
    options[most] = options[most - 1];
    if (view->width <= cap) options[most] = (ecki_option){ 0, { view->bytes, 0 } };
    group->options = options;
    group->count = most + 1;
done:
    return status;
}

static int64_t bytes_of(const eck_adapter *adapter, bool extras)
{
    int64_t bytes = 0;
    for (int64_t i = 0; extras && i < adapter->extra_count; i++)
        bytes += adapter->container->entries[adapter->extras[i]].bytes;
    for (int64_t i = 0; !extras && i < adapter->module_count; i++)
        bytes += adapter->modules[i].view.bytes;
    return bytes;
}

/** One rank a module, least error within the bytes. */
static eck_status ranks_by_size(resizing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;
    const int64_t count = adapter->module_count, extra = bytes_of(adapter, true);
    const int64_t limit =
        job->budget->bytes >= 0
            ? job->budget->bytes
            : (int64_t)(job->budget->bytes_part * (double)(extra + bytes_of(adapter, false)));
    const int64_t limits[] = { limit - extra, -1 };
    ecki_group *groups = NULL;
    int64_t *choice = NULL;
    ecki_packing packing = { 0 };

    ECK_ALLOC(groups, count);
    ECK_ALLOC(choice, count);
    for (int64_t i = 0; i < count; i++)
        ECK_TRY(options_of(&groups[i], job, i, err));
    status = limits[0] < 0 ? ECK_E_RANGE
                           : ecki_knapsack(choice, &packing, groups, count, limits, 1e-3, err);
    ECK_REQUIRE(status != ECK_E_RANGE, ECK_E_RANGE, -1,
                "cannot resize '%s' to %lld bytes of tensors: at rank 1 it has %lld", adapter->path,
                (long long)limit, (long long)(packing.cost[0] + extra));
    if (status != ECK_OK) goto done;
    for (int64_t i = 0; i < count; i++)
        job->ranks[i] = choice[i] == groups[i].count - 1 ? 0 : choice[i] + 1;
done:
    for (int64_t i = 0; groups && i < count; i++)
        ecki_free((void *)(uintptr_t)groups[i].options);
    ecki_free(groups);
    ecki_free(choice);
    return status;
}

/** Ranks that make nothing smaller become 0: keep; where a copy cannot be, the stored rank. */
static void ranks_settle(resizing *job)
{
    for (int64_t i = 0; i < job->adapter->module_count; i++) {
        const eck_adapter_module *view = &job->adapter->modules[i].view;
        const int64_t most = largest_rank(view);
        const ecki_out_module m = module_of(job, i, ecki_max(job->ranks[i], 1));
        const bool wide = view->form != ECK_FORM_LORA &&
                          view->bytes <= ecki_out_module_bytes(&m, job->adapter->layout);
        if (wide || (view->form <= ECK_FORM_TUCKER && job->ranks[i] >= view->width))
            job->ranks[i] = 0;
        if (job->ranks[i] == 0 && !scale_survives(job, i)) job->ranks[i] = most;
    }
}

static eck_status ranks_find(resizing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_budget *b = job->budget;
    const int64_t count = job->adapter->module_count;

    ECK_ALLOC(job->ranks, count);
    if (b->energy < 0 && b->error < 0 && b->bytes < 0 && b->bytes_part < 0) {
        for (int64_t i = 0; i < count; i++) {
            const int64_t most = largest_rank(&job->adapter->modules[i].view);
            job->ranks[i] = b->rank >= most && job->adapter->modules[i].view.width <= b->rank
                                ? 0
                                : ecki_min(b->rank, most);
        }
    } else {
        ECK_TRY(find_spectra(job, err));
        if (b->energy >= 0 || b->error >= 0)
            ranks_by_error(job);
        else
            ECK_TRY(ranks_by_size(job, err));
    }
    ranks_settle(job);
done:
    return status;
}

/* ---- factors ------------------------------------------------------------------------------- */

/** lora_B.bias times the scale that the factors now hold. */
static eck_status write_bias(const resizing *job, int64_t index, double scale, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entry = job->adapter->modules[index].parts[ECKI_PART_BIAS];
    eck_array *stored = NULL, *wide = NULL, *scaled = NULL;

    if (entry < 0 || !job->writer) return ECK_OK;
    ECK_TRY(ecki_adapter_tensor(&stored, job->adapter, entry, err));
    ECK_TRY(eck_array_convert(&wide, eck_array_view(stored), ECK_DTYPE_F64, err));
    for (int64_t i = 0; i < eck_array_count(wide); i++)
        ((double *)wide->data)[i] *= scale;
    ECK_TRY(eck_array_convert(&scaled, eck_array_view(wide), job->modules[index].dtype, err));
    ECK_TRY(ecki_adapter_writer_bias(job->writer, index, scaled, err));
done:
    eck_array_free(stored);
    eck_array_free(wide);
    eck_array_free(scaled);
    return status;
}

static eck_status resize_module(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    resizing *job = self;
    eck_factors factors = { 0 };
    eck_factored *f = NULL;
    eck_array *first = NULL, *last = NULL;
    eck_adapter_change *change = &job->changes[index];
    const int64_t rank = job->ranks[index];
    double distance = 0;

    ECK_TRY(ecki_progress(job->context, "resizing", index, job->adapter->module_count, err));
    ECK_TRY(ecki_adapter_factors(&factors, job->adapter, index, err));
    const eck_term term = ecki_factors_term(&factors, 1);
    ECK_TRY(ecki_factored_borrow(&f, &term, 1, ecki_max(rank, 1), err));
    change->norm = eck_factored_get_info(f)->norm;
    change->error = 0;
    if (rank == 0) goto done;
    const eck_truncation cut = { rank, job->options->split, job->modules[index].dtype };
    ECK_TRY(ecki_factored_store(&first, &last, &distance, f, &cut, err));
    change->error = change->norm > 0 ? distance / change->norm : 0;
    if (job->writer) ECK_TRY(ecki_adapter_writer_put(job->writer, index, first, last, err));
    ECK_TRY(write_bias(job, index, factors.scale, err));
done:
    if (status != ECK_OK)
        ecki_error_where(err, status, job->adapter->path, job->adapter->modules[index].name);
    eck_array_free(first);
    eck_array_free(last);
    eck_factored_free(f);
    eck_factors_clear(&factors);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/** Out modules, changes, extras, from the ranks. */
static eck_status describe(resizing *job, eck_adapter_outcome *outcome, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;
    bool mixed = false;

    ECK_ALLOC(job->modules, adapter->module_count);
    ECK_ALLOC(job->extras, adapter->extra_count);
    ECK_ALLOC(outcome->changes, adapter->module_count);
    outcome->count = adapter->module_count;
    job->changes = outcome->changes;
    for (int64_t i = 0; i < adapter->module_count; i++) {
        eck_adapter_change *change = &outcome->changes[i];
        job->modules[i] = module_of(job, i, job->ranks[i]);
        mixed = mixed || job->modules[i].rank != job->modules[0].rank;
        ECK_TRY(ecki_outcome_change(change, adapter->modules[i].name, err));
        change->rank_before = adapter->modules[i].view.rank;
        change->rank = job->modules[i].rank;
        change->kept = job->ranks[i] == 0;
    }
    // without an alpha, some readers of diffusers files take the first rank for all
    for (int64_t i = 0; i < adapter->module_count; i++)
        if (adapter->layout == ECK_ADAPTER_DIFFUSERS && mixed && !job->modules[i].has_alpha)
            job->modules[i].has_alpha = true;
    for (int64_t i = 0; i < adapter->extra_count; i++)
        job->extras[i] = (ecki_out_extra){
            .name = adapter->container->entries[adapter->extras[i]].name,
            .entry = adapter->extras[i],
        };
done:
    return status;
}

static void sum_bytes(const resizing *job, eck_adapter_outcome *outcome)
{
    const eck_adapter *adapter = job->adapter;
    outcome->bytes_before = bytes_of(adapter, false) + bytes_of(adapter, true);
    outcome->bytes_after = bytes_of(adapter, true);
    for (int64_t i = 0; i < adapter->module_count; i++)
        outcome->bytes_after += job->ranks[i] == 0
                                    ? adapter->modules[i].view.bytes
                                    : ecki_out_module_bytes(&job->modules[i], adapter->layout);
}

/** Runs the second pass, with or without a file. */
static eck_status resize_all(resizing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;
    const char *inputs[] = { adapter->path, adapter->container->files[0].path };
    ecki_out_spec spec = { .layout = adapter->layout,
                           .path = job->options->path,
                           .replace = job->options->replace,
                           .source = adapter,
                           .inputs = inputs,
                           .input_count = 2,
                           .modules = job->modules,
                           .count = adapter->module_count,
                           .extras = job->extras,
                           .extra_count = adapter->extra_count,
                           .config = { .source = adapter->config, .modules_to_save_count = -1 } };

    spec.record = json_pack("{s:s, s:i, s:s, s:s}", "format", "eckart-adapter", "version", 1,
                            "made_by", "resize", "eckart", eck_version());
    ECK_HAVE(spec.record);
    if (!job->options->dry_run) ECK_TRY(ecki_adapter_writer_create(&job->writer, &spec, err));
    ECK_TRY(ecki_parallel_for(adapter->module_count, ecki_threads(job->context), resize_module, job,
                              err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_publish(job->writer, err));
done:
    ecki_adapter_writer_free(job->writer);
    job->writer = NULL;
    json_decref(spec.record);
    return status;
}

static void resizing_clear(resizing *job)
{
    for (int64_t i = 0; job->spectra && i < job->adapter->module_count; i++)
        ecki_free(job->spectra[i].tails);
    ecki_free(job->spectra);
    ecki_free(job->ranks);
    ecki_free(job->modules);
    ecki_free(job->extras);
}

eck_status eck_adapter_resize(eck_adapter_outcome *out, const eck_adapter *adapter,
                              const eck_adapter_budget *budget, const eck_adapter_write *options,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_write defaults = ECK_ADAPTER_WRITE_INIT;
    resizing job = { .adapter = adapter,
                     .budget = budget,
                     .options = options ? options : &defaults,
                     .context = context };
    eck_adapter_outcome outcome = { .layout = adapter->layout, .energy = -1, .energy_clean = -1 };
    const double start = ecki_clock();

    ECK_TRY(budget_check(budget, err));
    ECK_TRY(check_modules(adapter, err));
    ECK_TRY(ranks_find(&job, err));
    ECK_TRY(describe(&job, &outcome, err));
    ECK_TRY(resize_all(&job, err));
    sum_bytes(&job, &outcome);
    ecki_outcome_total(&outcome);
    if (outcome.kept > 0)
        ECK_TRY(ecki_outcome_remark(&outcome, err,
                                    "%lld of %lld modules are small enough already and stay as "
                                    "they are",
                                    (long long)outcome.kept, (long long)outcome.count));
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    resizing_clear(&job);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
