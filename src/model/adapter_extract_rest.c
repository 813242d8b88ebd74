/**
 * What changed between two models and no factors can say: norms, biases, tensors of another shape. It is
 * listed, or carried whole beside the factors, as PEFT's modules_to_save.
 *
 * Always true: a module carried whole is carried with all its tensors, changed or not, and under all its
 * names: PEFT takes a module's state as one, and copies a tied weight once for each use.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "model/adapter_extract.h"

enum { CHUNK = 1 << 20 };

bool ecki_extract_same_shape(const eck_tensor *a, const eck_tensor *b)
{
    return a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

static eck_status same_bytes(bool *out, const ecki_extracting *job, int64_t base, int64_t tuned,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_tensor *x = &job->base->tensors[base], *y = &job->tuned->tensors[tuned];
    char *a = NULL, *b = NULL;
    bool same = x->dtype == y->dtype && ecki_extract_same_shape(x, y);

    ECK_ALLOC_RAW(a, CHUNK);
    ECK_ALLOC_RAW(b, CHUNK);
    for (int64_t at = 0; same && at < x->bytes; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, x->bytes - at);
        ECK_TRY(ecki_container_read(job->base->container, base, at, a, count, err));
        ECK_TRY(ecki_container_read(job->tuned->container, tuned, at, b, count, err));
        same = memcmp(a, b, (size_t)count) == 0;
    }
    *out = same;
done:
    ecki_free(a);
    ecki_free(b);
    return status;
}

/** True for the tensors a module of its own can carry: those torch.nn modules call so. */
static bool in_a_module(const char *name)
{
    static const char *const last[] = {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked", NULL
    };
    const char *dot = strrchr(name, '.');
    for (const char *const *l = last; dot && *l; l++)
        if (strcmp(dot + 1, *l) == 0) return true;
    return false;
}

/** The target whose bias a tensor is, or -1. */
static int64_t target_of_bias(const ecki_extracting *job, const char *name)
{
    const size_t length = strlen(name);
    for (int64_t i = 0; i < job->count; i++) {
        const char *layer = job->base->layers[job->targets[i].layer].name;
        const size_t part = strlen(layer);
        if (length == part + 5 && memcmp(name, layer, part) == 0 &&
            strcmp(name + part, ".bias") == 0)
            return i;
    }
    return -1;
}

/** The module a tensor belongs to, owned; NULL when out of memory. */
static char *module_of(const char *tensor)
{
    return ecki_strndup(tensor, strrchr(tensor, '.') - tensor);
}

static bool is_saved(const ecki_extracting *job, const char *module)
{
    for (int64_t i = 0; i < job->saved_count; i++)
        if (strcmp(job->saved[i], module) == 0) return true;
    return false;
}

/** Adds to modules_to_save; takes the name over. */
static void save_module(ecki_extracting *job, char **module)
{
    if (!is_saved(job, *module)) {
        job->saved[job->saved_count++] = *module;
        *module = NULL;
    }
}

/** Plans one extra: a tensor of tuned under `name`, which it takes over. */
static eck_status extra_add(ecki_extracting *job, char *name, int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_tensor *tensor = &job->tuned->tensors[entry];
    ecki_out_extra *x = &job->extras[job->extra_count];

    ECK_HAVE(name);
    *x =
        (ecki_out_extra){ .name = name, .entry = -1, .dtype = tensor->dtype, .ndim = tensor->ndim };
    memcpy(x->shape, tensor->shape, sizeof x->shape);
    job->extra_entries[job->extra_count] = entry;
    job->extra_names[job->extra_count++] = name;
done:
    return status;
}

/** A changed tensor is carried: the bias of an adapted layer, or its module whole. */
static eck_status carry(ecki_extracting *job, int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    const char *tensor = job->tuned->tensors[entry].name;
    char *module = module_of(tensor);

    ECK_HAVE(module);
    if (target_of_bias(job, tensor) >= 0) {
        job->biases = true;
        ECK_TRY(
            extra_add(job, ecki_format("base_model.model.%s.base_layer.bias", module), entry, err));
    } else {
        save_module(job, &module);
    }
done:
    ecki_free(module);
    return status;
}

/** All tensors of the modules to save. */
static eck_status modules_fill(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *module = NULL;

    for (int64_t i = 0; i < job->tuned->container->entry_count; i++) {
        const char *tensor = job->tuned->tensors[i].name;
        if (!in_a_module(tensor)) continue;
        module = module_of(tensor);
        ECK_HAVE(module);
        if (is_saved(job, module))
            ECK_TRY(extra_add(job, ecki_format("base_model.model.%s", tensor), i, err));
        ecki_free(module);
        module = NULL;
    }
done:
    ecki_free(module);
    return status;
}

/** A weight two modules share is saved for both: each gets a copy of its own in PEFT. */
static eck_status modules_tied(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *module = NULL;

    for (int64_t i = 0; i < job->base->layer_count; i++) {
        const eck_layer *l = &job->base->layers[i].view;
        const int64_t entry =
            ecki_container_find(job->tuned->container, job->base->tensors[l->weight].name);
        if (!l->tied_to || entry < 0 || !is_saved(job, l->name) || is_saved(job, l->tied_to))
            continue;
        module = ecki_strdup(l->tied_to);
        ECK_HAVE(module);
        ECK_TRY(extra_add(job, ecki_format("base_model.model.%s.weight", module), entry, err));
        save_module(job, &module);
        ECK_TRY(ecki_outcome_remark(job->outcome, err, "carried whole '%s.weight': tied to '%s'",
                                    l->tied_to, l->name));
    }
done:
    ecki_free(module);
    return status;
}

/** Why a changed tensor is not in the factors. */
static const char *reason_for(const ecki_extracting *job, int64_t base_entry,
                              const eck_tensor *tuned)
{
    if (base_entry < 0) return "not in the base";
    if (!ecki_extract_same_shape(&job->base->tensors[base_entry], tuned)) return "of another shape";
    if (tuned->ndim < 2) return "of one dimension";
    for (int64_t i = 0; i < job->base->layer_count; i++)
        if (job->base->layers[i].view.weight == base_entry)
            return job->base->layers[i].view.skipped ? job->base->layers[i].view.skipped
                                                     : "not selected";
    return "no layer";
}

eck_status ecki_extract_rest(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entries = job->tuned->container->entry_count;
    bool same = false;

    // each tensor at most once under its own name and once under that of a tied module
    ECK_ALLOC(job->extras, 2 * entries);
    ECK_ALLOC(job->extra_entries, 2 * entries);
    ECK_ALLOC(job->extra_names, 2 * entries);
    ECK_ALLOC(job->saved, 2 * entries);
    for (int64_t i = 0; i < entries; i++) {
        const eck_tensor *tensor = &job->tuned->tensors[i];
        const int64_t other = ecki_container_find(job->base->container, tensor->name);
        if (job->expressed[i]) continue;
        same = false;
        if (other >= 0) ECK_TRY(same_bytes(&same, job, other, i, err));
        if (same) continue;
        const bool carried = job->options->full_modules && in_a_module(tensor->name);
        if (carried) ECK_TRY(carry(job, i, err));
        ECK_TRY(ecki_outcome_remark(job->outcome, err, "%s '%s': %s",
                                    carried ? "carried whole" : "left out", tensor->name,
                                    reason_for(job, other, tensor)));
    }
    ECK_TRY(modules_fill(job, err));
    ECK_TRY(modules_tied(job, err));
    for (int64_t i = 0; i < job->base->container->entry_count; i++)
        if (ecki_container_find(job->tuned->container, job->base->tensors[i].name) < 0)
            ECK_TRY(ecki_outcome_remark(job->outcome, err, "left out '%s': not in the tuned model",
                                        job->base->tensors[i].name));
done:
    return status;
}

eck_status ecki_extract_write_extras(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *chunk = NULL;

    ECK_ALLOC_RAW(chunk, CHUNK);
    for (int64_t i = 0; job->writer && i < job->extra_count; i++) {
        const int64_t entry = job->extra_entries[i], bytes = job->tuned->tensors[entry].bytes;
        for (int64_t at = 0; at < bytes; at += CHUNK) {
            const int64_t count = ecki_min(CHUNK, bytes - at);
            ECK_TRY(ecki_container_read(job->tuned->container, entry, at, chunk, count, err));
            ECK_TRY(ecki_adapter_writer_extra(job->writer, i, at, chunk, count, err));
        }
    }
done:
    ecki_free(chunk);
    return status;
}
