/**
 * An output being written: one safetensors file, or a directory of them with index, manifest and carried files.
 */
#include "model/graph_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "format/json.h"

enum { CHUNK = 1 << 20 };

/* ---- items ------------------------------------------------------------------------------------------------------ */

/** Room for one more. */
static eck_status items_grow(ecki_items *items, eck_error *err)
{
    const int64_t room = items->room ? 2 * items->room : 64;
    ecki_item *list = NULL;

    if (items->count < items->room) return ECK_OK;
    list = ecki_realloc(items->list, room, sizeof *list);
    if (!list) return ecki_error_memory(err, ecki_bytes_of(room, sizeof *list));
    items->list = list;
    items->room = room;
    return ECK_OK;
}

/** Type, shape and size of an item that is no copy. */
static eck_status item_lay_out(ecki_item *item, const ecki_tensor_spec *spec, eck_error *err)
{
    eck_status status = ECK_OK;

    item->dtype = spec->dtype;
    item->ndim = spec->ndim;
    item->bytes = eck_dtype_bits(spec->dtype) / 8;
    for (int32_t i = 0; i < spec->ndim; i++) {
        item->shape[i] = spec->shape[i];
        ECK_REQUIRE(ecki_mul(item->bytes, spec->shape[i], &item->bytes), ECK_E_SHAPE, -1,
                    "tensor '%s' is too large", spec->name);
    }
done:
    return status;
}

eck_status ecki_items_add(ecki_items *items, const eck_model *model, const ecki_tensor_spec *spec,
                          int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_item item = { .entry = entry };

    ECK_TRY(items_grow(items, err));
    if (entry >= 0) {
        const eck_tensor *source = &model->tensors[entry];
        item.dtype = source->dtype;
        item.ndim = source->ndim;
        item.bytes = source->bytes;
        memcpy(item.shape, source->shape, sizeof item.shape);
    } else {
        ECK_TRY(item_lay_out(&item, spec, err));
    }
    item.name = ecki_strdup(spec->name);
    ECK_HAVE(item.name);
    items->list[items->count++] = item;
    items->bytes += item.bytes;
done:
    return status;
}

/** A copy of a tensor of the source, under a name. */
eck_status ecki_items_copy(ecki_items *items, const eck_model *model, const char *name,
                           int64_t entry, eck_error *err)
{
    const ecki_tensor_spec spec = { .name = name };
    return ecki_items_add(items, model, &spec, entry, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static eck_status check_unique(const ecki_items *items, eck_error *err)
{
    eck_status status = ECK_OK;
    const char **names = NULL;

    ECK_ALLOC(names, items->count);
    for (int64_t i = 0; i < items->count; i++)
        names[i] = items->list[i].name;
    qsort(names, (size_t)items->count, sizeof *names, by_name);
    for (int64_t i = 1; i < items->count; i++)
        ECK_REQUIRE(strcmp(names[i - 1], names[i]) != 0, ECK_E_RANGE, -1,
                    "cannot write tensor '%s' twice: the source has one of that name already",
                    names[i]);
done:
    ecki_free(names);
    return status;
}

eck_status ecki_items_finish(ecki_items *items, int64_t shard_bytes, eck_error *err)
{
    int64_t used = 0, slot = 0;
    int32_t shard = 0;

    for (int64_t i = 0; i < items->count; i++) {
        ecki_item *item = &items->list[i];
        if (slot > 0 && used + item->bytes > shard_bytes) {
            shard++;
            used = slot = 0;
        }
        item->shard = shard;
        item->slot = slot++;
        used += item->bytes;
    }
    items->shards = shard + 1;
    return check_unique(items, err);
}

void ecki_items_clear(ecki_items *items)
{
    for (int64_t i = 0; i < items->count; i++)
        ecki_free(items->list[i].name);
    ecki_free(items->list);
    memset(items, 0, sizeof *items);
}

/* ---- carried files ---------------------------------------------------------------------------- */

eck_status ecki_output_carried(ecki_carried *out, const eck_model *model, eck_error *err)
{
    static const char *const indexes[] = { "model.safetensors.index.json",
                                           "eckart.safetensors.index.json", "eckart.json" };
    const ecki_container *c = model->container;
    eck_status status = ECK_OK;

    if (!c->directory) return ECK_OK;
    ECK_TRY(ecki_carried_find(out, model->path, err));
    for (int32_t i = 0; i < c->file_count; i++)
        ecki_carried_forget(out, c->files[i].name);
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++)
        ecki_carried_forget(out, indexes[i]);
done:
    return status;
}

/* ---- output ----------------------------------------------------------------------------------------------------- */

struct ecki_model_output {
    ecki_graph_output *graph; /**< an output that is a graph; the rest is then unused */
    const eck_model *model;
    const ecki_items *items;
    const char *prefix;
    ecki_target *target;
    ecki_safetensors_writer **writers; /**< one a shard */
};

static void shard_name(char *out, size_t room, const ecki_model_output *output, int32_t shard)
{
    if (output->items->shards == 1)
        snprintf(out, room, "%s.safetensors", output->prefix);
    else
        snprintf(out, room, "%s-%05d-of-%05d.safetensors", output->prefix, shard + 1,
                 output->items->shards);
}

/** The source's metadata without our own key; keys and values alternate. */
static eck_status metadata_copy(const char ***out, int64_t *count_out, const eck_model *model,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *c = model->container;

    ECK_ALLOC(*out, c->metadata_count);
    for (int64_t i = 0; i + 1 < c->metadata_count; i += 2) {
        if (strcmp(c->metadata[i], "eckart") == 0) continue;
        (*out)[(*count_out)++] = c->metadata[i];
        (*out)[(*count_out)++] = c->metadata[i + 1];
    }
done:
    return status;
}

static eck_status shard_open(ecki_model_output *output, int32_t shard, const char *const *metadata,
                             int64_t metadata_count, int64_t reserved, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_tensor_spec *specs = NULL;
    ecki_output *file = NULL;
    char name[64];
    int64_t count = 0;

    ECK_ALLOC(specs, output->items->count);
    for (int64_t i = 0; i < output->items->count; i++) {
        const ecki_item *item = &output->items->list[i];
        if (item->shard != shard) continue;
        ecki_tensor_spec *spec = &specs[count++];
        spec->name = item->name;
        spec->dtype = item->dtype;
        spec->ndim = item->ndim;
        memcpy(spec->shape, item->shape, sizeof spec->shape);
    }
    shard_name(name, sizeof name, output, shard);
    ECK_TRY(ecki_target_open(&file, output->target,
                             output->model->container->directory ? name : NULL, err));
    const ecki_safetensors_layout layout = { specs, count, metadata, metadata_count, reserved };
    ECK_TRY(ecki_safetensors_writer_create(&output->writers[shard], file, &layout, err));
done:
    ecki_free(specs);
    return status;
}

static eck_status target_open(ecki_target **out, const eck_model *model,
                              const ecki_output_options *options, eck_error *err)
{
    eck_status status = ECK_OK;
    const char **inputs = NULL;
    const ecki_container *c = model->container;

    ECK_ALLOC(inputs, c->file_count + 1);
    inputs[0] = model->path;
    for (int32_t i = 0; i < c->file_count; i++)
        inputs[i + 1] = c->files[i].path;
    const ecki_target_options target = { options->path, c->directory, options->replace,
                                         "eckart.json", inputs,       c->file_count + 1 };
    ECK_TRY(ecki_target_create(out, &target, err));
done:
    ecki_free(inputs);
    return status;
}

eck_status ecki_model_output_create(ecki_model_output **out, const eck_model *model,
                                    const ecki_items *items, const ecki_output_options *options,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_model_output *output = NULL;
    const char **metadata = NULL;
    int64_t metadata_count = 0;

    ECK_ALLOC(output, 1);
    output->model = model;
    output->items = items;
    output->prefix = options->prefix;
    if (model->container->onnx) {
        ECK_TRY(ecki_graph_output_create(&output->graph, model, items, options, err));
        *out = output;
        return ECK_OK;
    }
    ECK_TRY(target_open(&output->target, model, options, err));
    ECK_TRY(metadata_copy(&metadata, &metadata_count, model, err));
    ECK_ALLOC(output->writers, items->shards);
    for (int32_t i = 0; i < items->shards; i++)
        ECK_TRY(shard_open(output, i, metadata, metadata_count, options->reserved, err));
    *out = output;
    output = NULL;
done:
    ecki_free(metadata);
    ecki_model_output_free(output);
    return status;
}

eck_status ecki_model_output_write(ecki_model_output *output, int64_t item, int64_t offset,
                                   const void *bytes, int64_t count, eck_error *err)
{
    const ecki_item *it = &output->items->list[item];
    if (output->graph)
        return ecki_graph_output_write(output->graph, item, offset, bytes, count, err);
    return ecki_safetensors_writer_write(output->writers[it->shard], it->slot, offset, bytes, count,
                                         err);
}

eck_status ecki_model_output_copy(ecki_model_output *output, int64_t item, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_item *it = &output->items->list[item];
    char *chunk = NULL;

    // what lies in a graph's own file is copied with it
    if (output->graph && !ecki_graph_output_holds(output->graph, item)) return ECK_OK;
    ECK_ALLOC_RAW(chunk, CHUNK);
    for (int64_t at = 0; at < it->bytes; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, it->bytes - at);
        ECK_TRY(ecki_container_read(output->model->container, it->entry, at, chunk, count, err));
        ECK_TRY(ecki_model_output_write(output, item, at, chunk, count, err));
    }
done:
    ecki_free(chunk);
    return status;
}

/** A small text file of the directory. */
static eck_status write_text(ecki_model_output *output, const char *name, const char *text,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_output *file = NULL;

    ECK_TRY(ecki_target_open(&file, output->target, name, err));
    ECK_TRY(ecki_output_write(file, 0, text, (int64_t)strlen(text), err));
done:
    return status;
}

/** {"metadata":{"total_size":n},"weight_map":{name:file}}, names sorted. */
static eck_status write_index(ecki_model_output *output, eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *map = json_object(), *root = NULL;
    char *text = NULL, *line = NULL;
    char name[80];

    for (int64_t i = 0; i < output->items->count; i++) {
        shard_name(name, sizeof name, output, output->items->list[i].shard);
        json_object_set_new(map, output->items->list[i].name, json_string(name));
    }
    root = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)output->items->bytes,
                     "weight_map", map);
    ECK_TRY(ecki_json_print(&text, root, JSON_INDENT(2) | JSON_SORT_KEYS, err));
    line = ecki_format("%s\n", text);
    ECK_HAVE(line);
    snprintf(name, sizeof name, "%s.safetensors.index.json", output->prefix);
    ECK_TRY(write_text(output, name, line, err));
done:
    ecki_free(line);
    ecki_free(text);
    json_decref(root);
    return status;
}

/** Into the directory as eckart.json, or into the header of the one file. */
static eck_status write_manifest(ecki_model_output *output, const ecki_manifest *manifest,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    const bool directory = output->model->container->directory;
    char *text = NULL, *line = NULL;

    ECK_TRY(ecki_manifest_print(&text, manifest, directory ? 2 : 0, err));
    if (!directory) {
        ECK_TRY(ecki_safetensors_writer_metadata(output->writers[0], "eckart", text, err));
        goto done;
    }
    line = ecki_format("%s\n", text);
    ECK_HAVE(line);
    ECK_TRY(write_text(output, "eckart.json", line, err));
done:
    ecki_free(line);
    ecki_free(text);
    return status;
}

static eck_status copy_carried(ecki_model_output *output, const ecki_carried *carried,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL;

    for (int64_t i = 0; i < carried->file_count; i++) {
        if (carried->config && strcmp(carried->files[i], "config.json") == 0) {
            ECK_TRY(write_text(output, "config.json", carried->config, err));
            continue;
        }
        path = ecki_format("%s/%s", output->model->path, carried->files[i]);
        ECK_HAVE(path);
        ECK_TRY(ecki_target_copy(output->target, carried->files[i], path, err));
        ecki_free(path);
        path = NULL;
    }
done:
    ecki_free(path);
    return status;
}

eck_status ecki_model_output_publish(ecki_model_output *output, const ecki_manifest *manifest,
                                     const ecki_carried *carried, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool directory = output->model->container->directory;

    ECK_TRY(ecki_container_unchanged(output->model->container, err));
    if (output->graph) return ecki_graph_output_publish(output->graph, manifest, err);
    if (manifest && !directory) ECK_TRY(write_manifest(output, manifest, err));
    for (int32_t i = 0; i < output->items->shards; i++)
        ECK_TRY(ecki_safetensors_writer_finish(output->writers[i], err));
    if (directory) {
        ECK_TRY(copy_carried(output, carried, err));
        if (output->items->shards > 1) ECK_TRY(write_index(output, err));
        if (manifest) ECK_TRY(write_manifest(output, manifest, err));
    }
    ECK_TRY(ecki_target_publish(output->target, err));
done:
    return status;
}

void ecki_model_output_free(ecki_model_output *output)
{
    if (!output) return;
    ecki_graph_output_free(output->graph);
    for (int32_t i = 0; output->writers && i < output->items->shards; i++)
        ecki_safetensors_writer_free(output->writers[i]);
    ecki_free(output->writers);
    ecki_target_free(output->target);
    ecki_free(output);
}
