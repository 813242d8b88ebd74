/**
 * The same adapter under the names of another layout. Names with dots become names with underscores
 * by rule; the way back goes through the module names of a base model, since '_' is ambiguous.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/text.h"
#include "model/adapter_parts.h"
#include "model/model.h"
#include "tensor/codec.h"

enum { LISTED = 5 };

typedef struct converting {
    const eck_adapter *adapter;
    const eck_convert_options *options;
    const char *component; /**< what PEFT's names are put under */
    bool several; /**< more than one text encoder */
    char **names;
    int64_t *sources; /**< module of every output module */
    ecki_out_module *modules;
    int64_t count;
    eck_adapter_change *changes;
    ecki_adapter_writer *writer;
} converting;

/* ---- names --------------------------------------------------------------------------------- */

/** The only layer of the bases whose name says the same as `stem`; NULL: none or several. */
static const char *resolve(const converting *job, const char *stem, const char *component)
{
    const char *found = NULL;

    for (int64_t b = 0; b < job->options->base_count; b++) {
        const eck_adapter_base *base = &job->options->bases[b];
        if (base->component && component && strcmp(base->component, component) != 0 &&
            !(strcmp(base->component, "transformer") == 0 && strcmp(component, "unet") == 0))
            continue;
        for (int64_t i = 0; i < base->model->layer_count; i++) {
            const char *name = base->model->layers[i].name;
            const char *a = stem, *c = name;
            while (*a && *c && (*a == *c || ((*a == '.' || *a == '_') && (*c == '.' || *c == '_'))))
                a++, c++;
            if (*a || *c) continue;
            if (found && strcmp(found, name) != 0) return NULL;
            found = name;
        }
    }
    return found;
}

/** The path with dots of a source module, without component, owned; NULL with ECK_OK: does not resolve. */
static eck_status path_of(char **out, const converting *job, const ecki_adapter_module *m,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = ecki_adapter_path(job->adapter, m);

    ECK_HAVE(path);
    if (job->adapter->layout == ECK_ADAPTER_KOHYA) {
        const char *found = resolve(job, path, ecki_module_component(m->name));
        ecki_free(path);
        path = found ? ecki_strdup(found) : NULL;
        if (found) ECK_HAVE(path);
    }
    *out = path;
done:
    return status;
}

/** The name in the new layout, owned; NULL when out of memory. */
static char *name_of(const converting *job, const char *path, const char *component)
{
    if (job->options->layout == ECK_ADAPTER_PEFT) return ecki_strdup(path);
    if (job->options->layout == ECK_ADAPTER_DIFFUSERS) return ecki_format("%s.%s", component, path);
    const char *prefix = ecki_kohya_prefix(component, job->several);
    char *name = ecki_format("%s_%s", prefix ? prefix : component, path);
    for (char *at = name ? name + strlen(prefix ? prefix : component) : NULL; at && *at; at++)
        if (*at == '.') *at = '_';
    return name;
}

/* ---- modules ------------------------------------------------------------------------------- */

static eck_status check_module(const converting *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_adapter_module *m = &job->adapter->modules[index];

    ECK_TRY(ecki_adapter_plain(job->adapter, index, err));
    ECK_REQUIRE(m->parts[ECKI_PART_BIAS] < 0, ECK_E_UNSUPPORTED, -1,
                "cannot convert module '%s' of '%s': %s has no place for its bias", m->name,
                job->adapter->path, eck_adapter_layout_name(job->options->layout));
    ECK_REQUIRE(m->view.dense.kind != ECK_STAGE_LOOKUP, ECK_E_UNSUPPORTED, -1,
                "cannot convert module '%s' of '%s': %s has no place for embeddings", m->name,
                job->adapter->path, eck_adapter_layout_name(job->options->layout));
done:
    return status;
}

/** Copied where the scale can be stated, else new factors of the same change. */
static ecki_out_module module_of(const converting *job, int64_t index, const char *name)
{
    const ecki_adapter_module *m = &job->adapter->modules[index];
    const eck_adapter_layout to = job->options->layout;
    const eck_dtype store =
        job->options->write.store == ECK_DTYPE_NONE ? m->view.dtype : job->options->write.store;
    const bool copied = m->view.form == ECK_FORM_LORA && store == m->view.dtype &&
                        (to != ECK_ADAPTER_DIFFUSERS || m->view.scale == 1);
    const int64_t full = ecki_min(m->view.dense.out, ecki_stage_columns(&m->view.dense));
    const int64_t rank =
        m->view.form == ECK_FORM_LORA ? m->view.rank : ecki_min(m->view.width, full);

    return (ecki_out_module){ name,
                              to == ECK_ADAPTER_KOHYA ? ECKI_SPELLING_KOHYA : ECKI_SPELLING_AB,
                              m->view.dense,
                              rank,
                              copied ? m->view.scale * (double)rank : (double)rank,
                              store,
                              copied ? index : -1,
                              false,
                              to == ECK_ADAPTER_KOHYA };
}

/** The component a module goes under; to PEFT: false for modules of components not asked for. */
static bool component_of(const char **out, const converting *job, const char *name)
{
    const char *own = ecki_module_component(name);

    *out = own ? own : job->component;
    return job->options->layout != ECK_ADAPTER_PEFT || !job->options->component || !own ||
           strcmp(own, job->options->component) == 0;
}

static eck_status modules_find(converting *job, ecki_text *missing, int64_t *missing_count,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;
    const char *component, *seen = NULL;
    char shown[200], *path = NULL;

    for (int64_t i = 0; i < adapter->module_count; i++) {
        const char *name = adapter->modules[i].name;
        if (!component_of(&component, job, name)) continue;
        ECK_REQUIRE(job->options->layout != ECK_ADAPTER_PEFT || !seen ||
                        strcmp(seen, component) == 0,
                    ECK_E_RANGE, -1,
                    "'%s' is for both '%s' and '%s', and a PEFT adapter is for one model: name the "
                    "component to take",
                    adapter->path, seen, component);
        seen = component;
        ECK_TRY(check_module(job, i, err));
        ECK_TRY(path_of(&path, job, &adapter->modules[i], err));
        if (!path) {
            ecki_name_escape(shown, sizeof shown, name);
            if (++*missing_count <= LISTED)
                ecki_text_printf(missing, "%s'%s'", *missing_count > 1 ? ", " : "", shown);
            continue;
        }
        job->names[job->count] = name_of(job, path, component);
        ecki_free(path);
        ECK_HAVE(job->names[job->count]);
        job->sources[job->count] = i;
        job->modules[job->count] = module_of(job, i, job->names[job->count]);
        job->count++;
    }
done:
    return status;
}

static eck_status modules_build(converting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t most = job->adapter->module_count;
    ecki_text missing = { 0 };
    int64_t missing_count = 0;
    bool mixed = false;

    ECK_ALLOC(job->names, most);
    ECK_ALLOC(job->sources, most);
    ECK_ALLOC(job->modules, most);
    ECK_TRY(modules_find(job, &missing, &missing_count, err));
    ECK_REQUIRE(missing_count == 0, ECK_E_RANGE, -1,
                "cannot tell where dots belong in %lld names of '%s': %s%s; %s",
                (long long)missing_count, job->adapter->path, missing.data ? missing.data : "",
                missing_count > LISTED ? ", ..." : "",
                job->options->base_count ? "the base has no such modules, or more than one"
                                         : "give the base model they belong to");
    ECK_REQUIRE(job->count > 0, ECK_E_RANGE, -1, "'%s' has no modules of component '%s'",
                job->adapter->path, job->options->component ? job->options->component : "");
    for (int64_t i = 0; i < job->count; i++)
        mixed = mixed || job->modules[i].rank != job->modules[0].rank;
    for (int64_t i = 0; i < job->count; i++)
        if (mixed && job->options->layout == ECK_ADAPTER_DIFFUSERS)
            job->modules[i].has_alpha = true;
done:
    ecki_text_clear(&missing);
    return status;
}

/* ---- factors ------------------------------------------------------------------------------- */

/** The scale into the last factor; of other forms than LoRA the exact factors, thinned. */
static eck_status convert_module(converting *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_module *m = &job->modules[index];
    const int64_t source = job->sources[index];
    eck_factors factors = { 0 };
    eck_factored *f = NULL;
    eck_array *first = NULL, *last = NULL, *wide = NULL;
    const eck_truncation cut = { m->rank, job->options->write.split, m->dtype };
    double distance = 0;

    if (m->source >= 0) return ECK_OK;
    ECK_TRY(ecki_adapter_factors(&factors, job->adapter, source, err));
    const eck_term term = ecki_factors_term(&factors, 1);
    const bool lora = job->adapter->modules[source].view.form == ECK_FORM_LORA;
    ECK_TRY(eck_factored_create(&f, &term, 1, lora ? 1 : 0, err));
    if (lora) {
        ECK_TRY(eck_array_convert(&wide, term.last, ECK_DTYPE_F64, err));
        for (int64_t i = 0; i < eck_array_count(wide); i++)
            ((double *)wide->data)[i] *= factors.scale;
        ECK_TRY(eck_array_convert(&last, eck_array_view(wide), m->dtype, err));
        ECK_TRY(eck_array_convert(&first, term.first, m->dtype, err));
    } else {
        ECK_TRY(eck_factored_truncate(&first, &last, f, &cut, err));
    }
    const eck_term stored = { 1, eck_array_view(first), eck_array_view(last) };
    ECK_TRY(eck_factored_distance(&distance, f, &stored, err));
    job->changes[index].norm = eck_factored_get_info(f)->norm;
    job->changes[index].error =
        job->changes[index].norm > 0 ? distance / job->changes[index].norm : 0;
    ECK_REQUIRE(isfinite(distance), ECK_E_RANGE, -1, "a factor leaves the range of %s",
                eck_dtype_name(m->dtype));
    if (job->writer) ECK_TRY(ecki_adapter_writer_put(job->writer, index, first, last, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, job->adapter->path, m->name);
    eck_factors_clear(&factors);
    eck_factored_free(f);
    eck_array_free(first);
    eck_array_free(last);
    eck_array_free(wide);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static eck_status describe(converting *job, eck_adapter_outcome *outcome, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;

    ECK_ALLOC(outcome->changes, job->count);
    outcome->count = job->count;
    job->changes = outcome->changes;
    for (int64_t i = 0; i < job->count; i++) {
        eck_adapter_change *change = &outcome->changes[i];
        const eck_adapter_module *view = &adapter->modules[job->sources[i]].view;
        ECK_TRY(ecki_outcome_change(change, job->names[i], err));
        change->rank_before = view->rank;
        change->rank = job->modules[i].rank;
        change->kept = job->modules[i].source >= 0;
        outcome->bytes_before += view->bytes;
        outcome->bytes_after += ecki_out_module_bytes(&job->modules[i], outcome->layout);
    }
    if (job->count < adapter->module_count)
        ECK_TRY(ecki_outcome_remark(outcome, err, "%lld modules of other components are left out",
                                    (long long)(adapter->module_count - job->count)));
    if (adapter->extra_count > 0)
        ECK_TRY(ecki_outcome_remark(outcome, err,
                                    "%lld whole tensors have no place in %s and are left out, "
                                    "among them '%s'",
                                    (long long)adapter->extra_count,
                                    eck_adapter_layout_name(outcome->layout),
                                    adapter->container->entries[adapter->extras[0]].name));
done:
    return status;
}

static eck_status write_all(converting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter *adapter = job->adapter;
    const char *inputs[] = { adapter->path, adapter->container->files[0].path };
    ecki_out_spec spec = { .layout = job->options->layout,
                           .path = job->options->write.path,
                           .replace = job->options->write.replace,
                           .source = adapter,
                           .inputs = inputs,
                           .input_count = 2,
                           .modules = job->modules,
                           .count = job->count,
                           .config = { .base_name = adapter->base_name } };

    spec.record = json_pack("{s:s, s:i, s:s, s:s, s:s}", "format", "eckart-adapter", "version", 1,
                            "made_by", "convert", "eckart", eck_version(), "from",
                            eck_adapter_layout_name(adapter->layout));
    ECK_HAVE(spec.record);
    if (!job->options->write.dry_run) ECK_TRY(ecki_adapter_writer_create(&job->writer, &spec, err));
    for (int64_t i = 0; i < job->count; i++)
        ECK_TRY(convert_module(job, i, err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_publish(job->writer, err));
done:
    ecki_adapter_writer_free(job->writer);
    json_decref(spec.record);
    return status;
}

eck_status eck_adapter_convert(eck_adapter_outcome *out, const eck_adapter *adapter,
                               const eck_convert_options *options, eck_error *err)
{
    eck_status status = ECK_OK;
    converting job = { .adapter = adapter,
                       .options = options,
                       .component = options->component ? options->component : "unet" };
    eck_adapter_outcome outcome = { .layout = options->layout, .energy = -1, .energy_clean = -1 };
    const double start = ecki_clock();

    ECK_REQUIRE(options->layout >= ECK_ADAPTER_PEFT && options->layout <= ECK_ADAPTER_DIFFUSERS,
                ECK_E_RANGE, -1, "no layout to convert to: peft, kohya or diffusers");
    ECK_REQUIRE(options->layout != adapter->layout, ECK_E_RANGE, -1, "'%s' is a %s adapter already",
                adapter->path, eck_adapter_layout_name(adapter->layout));
    for (int64_t i = 0; i < adapter->module_count; i++) {
        const char *component = ecki_module_component(adapter->modules[i].name);
        job.several = job.several || (component && strcmp(component, "text_encoder_2") == 0);
    }
    ECK_TRY(modules_build(&job, err));
    ECK_TRY(describe(&job, &outcome, err));
    ECK_TRY(write_all(&job, err));
    ecki_outcome_total(&outcome);
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    for (int64_t i = 0; job.names && i < adapter->module_count; i++)
        ecki_free(job.names[i]);
    ecki_free(job.names);
    ecki_free(job.sources);
    ecki_free(job.modules);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
