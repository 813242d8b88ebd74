/**
 * Writing an adapter: one safetensors file, for PEFT in a directory with adapter_config.json and
 * eckart.json beside. Names, types and shapes are laid out before any number; the output appears
 * whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"

enum { CHUNK = 1 << 20 };

/** One tensor of the output; entry >= 0: copied from the source. */
typedef struct slot {
    char *name;
    int64_t entry;
} slot;

struct ecki_adapter_writer {
    const ecki_out_spec *spec;
    ecki_target *target;
    ecki_safetensors_writer *file;
    slot *slots;
    ecki_tensor_spec *tensors;
    int64_t count, room;
    int64_t *first, *last, *bias, *alpha; /**< slot of every module, -1 none */
    int64_t extras; /**< slot of the first extra */
    char **metadata;
    int64_t metadata_count;
};

/* ---- layout -------------------------------------------------------------------------------- */

static eck_status add(int64_t *slot_out, ecki_adapter_writer *w, char *name, int64_t entry,
                      const ecki_tensor_spec *shape, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_HAVE(name);
    if (w->count == w->room) {
        const int64_t room = w->room ? 2 * w->room : 256;
        slot *slots = ecki_realloc(w->slots, room, sizeof *slots);
        if (slots) w->slots = slots;
        ecki_tensor_spec *tensors = ecki_realloc(w->tensors, room, sizeof *tensors);
        if (tensors) w->tensors = tensors;
        ECK_HAVE(slots);
        ECK_HAVE(tensors);
        w->room = room;
    }
    w->slots[w->count] = (slot){ name, entry };
    w->tensors[w->count] = *shape;
    w->tensors[w->count].name = name;
    *slot_out = w->count++;
    name = NULL;
done:
    ecki_free(name);
    return status;
}

static ecki_tensor_spec shape_of_entry(const ecki_entry *e)
{
    ecki_tensor_spec shape = { .dtype = e->dtype, .ndim = e->ndim };
    memcpy(shape.shape, e->shape, sizeof shape.shape);
    return shape;
}

/** first [r,in,k..], last [out,r,1..]. */
static ecki_tensor_spec shape_of_half(const ecki_out_module *m, ecki_part part)
{
    const int32_t spatial = m->dense.kind == ECK_STAGE_CONV ? m->dense.spatial : 0;
    ecki_tensor_spec shape = { .dtype = m->dtype, .ndim = 2 + spatial };

    shape.shape[0] = part == ECKI_PART_FIRST ? m->rank : m->dense.out;
    shape.shape[1] = part == ECKI_PART_FIRST ? m->dense.in : m->rank;
    for (int32_t i = 0; i < spatial; i++)
        shape.shape[2 + i] = part == ECKI_PART_FIRST ? m->dense.kernel[i] : 1;
    return shape;
}

/** The name a source part keeps, or gets in another layout. */
static char *copied_name(const ecki_out_spec *spec, const ecki_out_module *m, int32_t part,
                         int64_t entry)
{
    if (spec->layout == spec->source->layout)
        return ecki_strdup(spec->source->container->entries[entry].name);
    return ecki_part_spell(spec->layout, m->spelling, (ecki_part)part, m->name);
}

/** Every part as it is; in another layout both halves only, the alpha is written anew. */
static eck_status add_copies(ecki_adapter_writer *w, const ecki_out_module *m, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_spec *spec = w->spec;
    const bool same = spec->layout == spec->source->layout;
    const int64_t *parts = spec->source->modules[m->source].parts;
    int64_t at = 0;

    for (int32_t p = 0; p < ECKI_PARTS; p++) {
        if (parts[p] < 0 || (!same && p != ECKI_PART_FIRST && p != ECKI_PART_LAST)) continue;
        const ecki_tensor_spec shape = shape_of_entry(&spec->source->container->entries[parts[p]]);
        ECK_TRY(add(&at, w, copied_name(spec, m, p, parts[p]), parts[p], &shape, err));
    }
done:
    return status;
}

static eck_status add_module(ecki_adapter_writer *w, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_module *m = &w->spec->modules[index];
    const eck_adapter_layout layout = w->spec->layout;
    const bool copied = m->source >= 0;
    const bool same = copied && layout == w->spec->source->layout;
    const ecki_tensor_spec first = shape_of_half(m, ECKI_PART_FIRST);
    const ecki_tensor_spec last = shape_of_half(m, ECKI_PART_LAST);
    const ecki_tensor_spec scalar = { .dtype = ECK_DTYPE_F32, .ndim = 0 };
    const ecki_tensor_spec bias = { .dtype = m->dtype, .ndim = 1, .shape = { m->dense.out } };

    w->first[index] = w->last[index] = w->bias[index] = w->alpha[index] = -1;
    if (copied) ECK_TRY(add_copies(w, m, err));
    if (!copied) {
        ECK_TRY(add(&w->first[index], w,
                    ecki_part_spell(layout, m->spelling, ECKI_PART_FIRST, m->name), -1, &first,
                    err));
        ECK_TRY(add(&w->last[index], w,
                    ecki_part_spell(layout, m->spelling, ECKI_PART_LAST, m->name), -1, &last, err));
    }
    if (m->has_alpha && !same)
        ECK_TRY(add(&w->alpha[index], w,
                    ecki_part_spell(layout, m->spelling, ECKI_PART_ALPHA, m->name), -1, &scalar,
                    err));
    if (m->bias && !copied)
        ECK_TRY(add(&w->bias[index], w,
                    ecki_part_spell(layout, m->spelling, ECKI_PART_BIAS, m->name), -1, &bias, err));
done:
    return status;
}

static eck_status add_extras(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t at = 0;

    w->extras = w->count;
    for (int64_t i = 0; i < w->spec->extra_count; i++) {
        const ecki_out_extra *x = &w->spec->extras[i];
        ecki_tensor_spec shape = { .dtype = x->dtype, .ndim = x->ndim };
        memcpy(shape.shape, x->shape, sizeof shape.shape);
        if (x->entry >= 0) shape = shape_of_entry(&w->spec->source->container->entries[x->entry]);
        ECK_TRY(add(&at, w, ecki_strdup(x->name), x->entry, &shape, err));
    }
done:
    return status;
}

int64_t ecki_out_module_bytes(const ecki_out_module *m, eck_adapter_layout layout)
{
    int64_t bytes = 0;
    for (int32_t half = 0; half < 2; half++) {
        const ecki_tensor_spec shape = shape_of_half(m, half ? ECKI_PART_LAST : ECKI_PART_FIRST);
        int64_t product = eck_dtype_bits(shape.dtype) / 8;
        for (int32_t i = 0; i < shape.ndim; i++)
            if (!ecki_mul(product, shape.shape[i], &product)) return INT64_MAX;
        bytes += product;
    }
    return bytes + (layout == ECK_ADAPTER_KOHYA || m->has_alpha ? 4 : 0);
}

/* ---- metadata ------------------------------------------------------------------------------ */

static eck_status meta_add(ecki_adapter_writer *w, const char *key, char *value, eck_error *err)
{
    eck_status status = ECK_OK;
    char **list = ecki_realloc(w->metadata, w->metadata_count + 2, sizeof *list);

    if (list) w->metadata = list;
    ECK_HAVE(list);
    ECK_HAVE(value);
    list[w->metadata_count] = ecki_strdup(key);
    ECK_HAVE(list[w->metadata_count]);
    list[w->metadata_count + 1] = value;
    w->metadata_count += 2;
    value = NULL;
done:
    ecki_free(value);
    return status;
}

/** True for pairs of the source that would be wrong now: hashes, scales, our own record. */
static bool is_stale(const char *key, bool plain)
{
    static const char *const always[] = { "eckart",
                                          "sshs_model_hash",
                                          "sshs_legacy_hash",
                                          "ss_network_dim",
                                          "ss_network_alpha",
                                          "lora_adapter_metadata",
                                          NULL };
    static const char *const other[] = { "ss_network_module", "ss_network_args", NULL };

    for (const char *const *k = always; *k; k++)
        if (strcmp(key, *k) == 0) return true;
    for (const char *const *k = other; !plain && *k; k++)
        if (strcmp(key, *k) == 0) return true;
    return false;
}

static eck_status meta_kohya(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_module *largest = &w->spec->modules[0];
    bool known = false;

    for (int64_t i = 0; i < w->spec->count; i++)
        if (w->spec->modules[i].rank > largest->rank) largest = &w->spec->modules[i];
    for (int64_t i = 0; i < w->metadata_count; i += 2)
        known = known || strcmp(w->metadata[i], "ss_network_module") == 0;
    ECK_TRY(meta_add(w, "ss_network_dim", ecki_format("%lld", (long long)largest->rank), err));
    ECK_TRY(meta_add(w, "ss_network_alpha", ecki_format("%.17g", largest->alpha), err));
    if (!known) ECK_TRY(meta_add(w, "ss_network_module", ecki_strdup("networks.lora"), err));
done:
    return status;
}

static eck_status meta_build(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_spec *spec = w->spec;
    const ecki_container *c =
        spec->source && spec->source->layout == spec->layout ? spec->source->container : NULL;
    bool plain = true;
    char *record = NULL;

    for (int64_t i = 0; c && i < spec->source->module_count; i++)
        plain = plain && spec->source->modules[i].view.form == ECK_FORM_LORA;
    for (int64_t i = 0; c && i + 1 < c->metadata_count; i += 2)
        if (!is_stale(c->metadata[i], plain))
            ECK_TRY(meta_add(w, c->metadata[i], ecki_strdup(c->metadata[i + 1]), err));
    if (spec->layout == ECK_ADAPTER_KOHYA) ECK_TRY(meta_kohya(w, err));
    if (spec->layout == ECK_ADAPTER_PEFT) goto done;
    ECK_TRY(ecki_json_print(&record, spec->record, JSON_COMPACT | JSON_SORT_KEYS, err));
    ECK_TRY(meta_add(w, "eckart", record, err)); // takes it over, also on failure
done:
    return status;
}

/* ---- opening ------------------------------------------------------------------------------- */

static eck_status open_target(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool peft = w->spec->layout == ECK_ADAPTER_PEFT;
    ecki_output *file = NULL;
    const ecki_target_options target = { w->spec->path,    peft,
                                         w->spec->replace, "eckart.json",
                                         w->spec->inputs,  w->spec->input_count };

    ECK_TRY(ecki_target_create(&w->target, &target, err));
    ECK_TRY(ecki_target_open(&file, w->target, peft ? "adapter_model.safetensors" : NULL, err));
    const ecki_safetensors_layout layout = { w->tensors, w->count, (const char *const *)w->metadata,
                                             w->metadata_count, 0 };
    ECK_TRY(ecki_safetensors_writer_create(&w->file, file, &layout, err));
done:
    return status;
}

static eck_status write_alphas(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < w->spec->count; i++) {
        const float alpha = (float)w->spec->modules[i].alpha;
        if (w->alpha[i] < 0) continue;
        ECK_TRY(ecki_safetensors_writer_write(w->file, w->alpha[i], 0, &alpha, sizeof alpha, err));
    }
done:
    return status;
}

eck_status ecki_adapter_writer_create(ecki_adapter_writer **out, const ecki_out_spec *spec,
                                      eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_adapter_writer *w = NULL;

    ECK_ALLOC(w, 1);
    w->spec = spec;
    ECK_ALLOC(w->first, spec->count);
    ECK_ALLOC(w->last, spec->count);
    ECK_ALLOC(w->bias, spec->count);
    ECK_ALLOC(w->alpha, spec->count);
    for (int64_t i = 0; i < spec->count; i++)
        ECK_TRY(add_module(w, i, err));
    ECK_TRY(add_extras(w, err));
    ECK_TRY(meta_build(w, err));
    ECK_TRY(open_target(w, err));
    ECK_TRY(write_alphas(w, err));
    *out = w;
    w = NULL;
done:
    ecki_adapter_writer_free(w);
    return status;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static eck_status put_array(ecki_adapter_writer *w, int64_t at, const eck_array *array,
                            eck_error *err)
{
    int64_t bytes = 0;
    if (!ecki_dtype_bytes(array->dtype, eck_array_count(array), &bytes))
        return ecki_error(err, ECK_E_SHAPE, -1, "tensor '%s' is too large", w->slots[at].name);
    return ecki_safetensors_writer_write(w->file, at, 0, array->data, bytes, err);
}

eck_status ecki_adapter_writer_put(ecki_adapter_writer *w, int64_t index, const eck_array *first,
                                   const eck_array *last, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(put_array(w, w->first[index], first, err));
    ECK_TRY(put_array(w, w->last[index], last, err));
done:
    return status;
}

eck_status ecki_adapter_writer_bias(ecki_adapter_writer *w, int64_t index, const eck_array *bias,
                                    eck_error *err)
{
    return put_array(w, w->bias[index], bias, err);
}

eck_status ecki_adapter_writer_extra(ecki_adapter_writer *w, int64_t index, int64_t offset,
                                     const void *bytes, int64_t count, eck_error *err)
{
    return ecki_safetensors_writer_write(w->file, w->extras + index, offset, bytes, count, err);
}

static eck_status copy_slots(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    char *chunk = NULL;

    ECK_ALLOC_RAW(chunk, CHUNK);
    for (int64_t i = 0; i < w->count; i++) {
        if (w->slots[i].entry < 0) continue;
        const ecki_container *c = w->spec->source->container;
        const int64_t bytes = c->entries[w->slots[i].entry].bytes;
        for (int64_t at = 0; at < bytes; at += CHUNK) {
            const int64_t count = ecki_min(CHUNK, bytes - at);
            ECK_TRY(ecki_container_read(c, w->slots[i].entry, at, chunk, count, err));
            ECK_TRY(ecki_safetensors_writer_write(w->file, i, at, chunk, count, err));
        }
    }
done:
    ecki_free(chunk);
    return status;
}

static eck_status write_text(ecki_adapter_writer *w, const char *name, const char *text,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_output *file = NULL;

    ECK_TRY(ecki_target_open(&file, w->target, name, err));
    ECK_TRY(ecki_output_write(file, 0, text, (int64_t)strlen(text), err));
done:
    return status;
}

/** adapter_config.json and eckart.json. */
static eck_status write_config(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_config_spec config = w->spec->config;
    ecki_config_module *modules = NULL;
    char *text = NULL, *record = NULL, *line = NULL;

    ECK_ALLOC(modules, w->spec->count);
    for (int64_t i = 0; i < w->spec->count; i++)
        modules[i] = (ecki_config_module){ w->spec->modules[i].name, w->spec->modules[i].rank,
                                           w->spec->modules[i].alpha };
    config.modules = modules;
    config.count = w->spec->count;
    ECK_TRY(ecki_adapter_config_print(&text, &config, err));
    ECK_TRY(write_text(w, "adapter_config.json", text, err));
    ECK_TRY(ecki_json_print(&record, w->spec->record, JSON_INDENT(2) | JSON_SORT_KEYS, err));
    line = ecki_format("%s\n", record);
    ECK_HAVE(line);
    ECK_TRY(write_text(w, "eckart.json", line, err));
done:
    ecki_free(line);
    ecki_free(record);
    ecki_free(text);
    ecki_free(modules);
    return status;
}

eck_status ecki_adapter_writer_publish(ecki_adapter_writer *w, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(copy_slots(w, err));
    if (w->spec->source) ECK_TRY(ecki_container_unchanged(w->spec->source->container, err));
    ECK_TRY(ecki_safetensors_writer_finish(w->file, err));
    if (w->spec->layout == ECK_ADAPTER_PEFT) ECK_TRY(write_config(w, err));
    ECK_TRY(ecki_target_publish(w->target, err));
done:
    return status;
}

void ecki_adapter_writer_free(ecki_adapter_writer *w)
{
    if (!w) return;
    ecki_safetensors_writer_free(w->file);
    ecki_target_free(w->target);
    for (int64_t i = 0; i < w->count; i++)
        ecki_free(w->slots[i].name);
    for (int64_t i = 0; i < w->metadata_count; i++)
        ecki_free(w->metadata[i]);
    ecki_free(w->metadata);
    ecki_free(w->slots);
    ecki_free(w->tensors);
    ecki_free(w->first);
    ecki_free(w->last);
    ecki_free(w->bias);
    ecki_free(w->alpha);
    ecki_free(w);
}
