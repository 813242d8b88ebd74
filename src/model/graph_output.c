/**
 * Writing and checking outputs that are graphs. The layout is an edit of the source (graph_edit.c); items find their
 * places in it by name. The manifest is a field of the model, the outermost message, which has no length: it goes to
 * the end, after everything that is said in it has been measured.
 */
#include "model/graph_output.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/atomic.h"
#include "format/input.h"

enum { METADATA = 14 };

struct ecki_graph_output {
    const eck_model *model;
    ecki_graph_edit edit;
    eck_dtype *dtypes; /**< by module */
    int64_t *places; /**< by item: index of the edit's tensors, or -1 */
    char *location, *data_path; /**< of the data file, by name and by path */
    ecki_target *targets[2]; /**< graph, data */
    ecki_output *files[2];
};

/* ---- items -------------------------------------------------------------------------------------------------------- */

/** A name beside its index. */
typedef struct named {
    const char *name;
    int64_t index;
} named;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/** Index of a name in a sorted list, -1 none. */
static int64_t find_named(const named *list, int64_t count, const char *name)
{
    const named wanted = { name, 0 };
    const named *found =
        count > 0 ? bsearch(&wanted, list, (size_t)count, sizeof *list, by_name) : NULL;
    return found ? found->index : -1;
}

/** The items, sorted by name; owned. */
static eck_status sort_items(named **out, const ecki_items *items, eck_error *err)
{
    eck_status status = ECK_OK;
    named *list = NULL;

    ECK_ALLOC(list, items->count);
    for (int64_t i = 0; i < items->count; i++)
        list[i] = (named){ items->list[i].name, i };
    if (items->count > 0) qsort(list, (size_t)items->count, sizeof *list, by_name);
    *out = list;
done:
    return status;
}

/** Types of the modules' tensors, from the items of their names. */
static eck_status find_dtypes(ecki_graph_output *output, const ecki_items *items,
                              const ecki_output_options *options, const named *sorted,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_manifest *manifest = options->manifest;

    ECK_ALLOC(output->dtypes, manifest->module_count);
    for (int64_t i = 0; i < manifest->module_count; i++) {
        const ecki_module *module = &manifest->modules[i];
        const char *name = options->restore ? module->tensor : module->stages[0].weight;
        const int64_t item = name ? find_named(sorted, items->count, name) : -1;
        ECK_REQUIRE(item >= 0, ECK_E_FORMAT, -1,
                    "the graph around '%s' is not as the manifest says", module->name);
        output->dtypes[i] = items->list[item].dtype;
    }
done:
    return status;
}

/** Where each item lies. */
static eck_status find_places(ecki_graph_output *output, const ecki_items *items,
                              const named *sorted, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(output->places, items->count);
    for (int64_t i = 0; i < items->count; i++)
        output->places[i] = -1;
    for (int64_t i = 0; i < output->edit.tensor_count; i++) {
        const ecki_graph_tensor *tensor = &output->edit.tensors[i];
        const int64_t item = find_named(sorted, items->count, tensor->name);
        ECK_REQUIRE(item >= 0 && items->list[item].bytes == tensor->bytes, ECK_E_FORMAT, -1,
                    "the graph around '%s' is not as the manifest says", tensor->name);
        output->places[item] = i;
    }
    for (int64_t i = 0; i < items->count; i++)
        ECK_REQUIRE(output->places[i] >= 0 || items->list[i].entry >= 0, ECK_E_FORMAT, -1,
                    "the graph around '%s' is not as the manifest says", items->list[i].name);
done:
    return status;
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

/** One of the output's files: 0 the graph, 1 the data. */
static eck_status open_target(ecki_graph_output *output, int32_t which, const char *path,
                              bool replace, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *c = output->model->container;
    const char **inputs = NULL;

    ECK_ALLOC(inputs, c->file_count);
    for (int32_t i = 0; i < c->file_count; i++)
        inputs[i] = c->files[i].path;
    const ecki_target_options options = {
        path, false, replace, "eckart.json", inputs, c->file_count
    };
    ECK_TRY(ecki_target_create(&output->targets[which], &options, err));
    ECK_TRY(ecki_target_open(&output->files[which], output->targets[which], NULL, err));
done:
    ecki_free(inputs);
    return status;
}

/** Names of the data file that goes with a path. */
static eck_status name_data(ecki_graph_output *output, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    const char *slash = strrchr(path, '/');

    output->data_path = ecki_format("%s.data", path);
    ECK_HAVE(output->data_path);
    output->location = ecki_format("%s.data", slash ? slash + 1 : path);
    ECK_HAVE(output->location);
done:
    return status;
}

eck_status ecki_graph_output_create(ecki_graph_output **out, const eck_model *model,
                                    const ecki_items *items, const ecki_output_options *options,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_graph_output *output = NULL;
    named *sorted = NULL;

    ECK_REQUIRE(options->manifest, ECK_E_UNSUPPORTED, -1,
                "cannot write '%s': a graph is compressed or restored, nothing else",
                options->path);
    ECK_ALLOC(output, 1);
    output->model = model;
    ECK_TRY(name_data(output, options->path, err));
    ECK_TRY(sort_items(&sorted, items, err));
    ECK_TRY(find_dtypes(output, items, options, sorted, err));
    const ecki_graph_request request = { options->manifest, output->dtypes, options->restore,
                                         output->location };
    ECK_TRY(ecki_graph_edit_make(&output->edit, model, &request, err));
    ECK_TRY(find_places(output, items, sorted, err));
    ECK_TRY(open_target(output, 0, options->path, options->replace, err));
    if (output->edit.location)
        ECK_TRY(open_target(output, 1, output->data_path, options->replace, err));
    if (output->edit.location)
        ECK_TRY(ecki_output_reserve(output->files[1], output->edit.data_size, err));
    *out = output;
    output = NULL;
done:
    ecki_free(sorted);
    ecki_graph_output_free(output);
    return status;
}

void ecki_graph_output_free(ecki_graph_output *output)
{
    if (!output) return;
    ecki_target_free(output->targets[0]);
    ecki_target_free(output->targets[1]);
    ecki_graph_edit_clear(&output->edit);
    ecki_free(output->dtypes);
    ecki_free(output->places);
    ecki_free(output->location);
    ecki_free(output->data_path);
    ecki_free(output);
}

bool ecki_graph_output_holds(const ecki_graph_output *output, int64_t item)
{
    return output->places[item] >= 0;
}

eck_status ecki_graph_output_write(ecki_graph_output *output, int64_t item, int64_t offset,
                                   const void *bytes, int64_t count, eck_error *err)
{
    const ecki_graph_tensor *tensor = &output->edit.tensors[output->places[item]];
    if (tensor->hole < 0)
        return ecki_output_write(output->files[1], tensor->offset + offset, bytes, count, err);
    return ecki_output_write(output->files[0],
                             ecki_splice_place(output->edit.splice, tensor->hole) + offset, bytes,
                             count, err);
}

/** A piece of the output that is known. */
static eck_status take_piece(void *self, int64_t offset, const void *bytes, int64_t count,
                             eck_error *err)
{
    return ecki_output_write(((ecki_graph_output *)self)->files[0], offset, bytes, count, err);
}

/** The manifest as a field of the model. */
static eck_status manifest_field(ecki_text *out, const ecki_manifest *manifest, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text pair = { 0 };
    char *text = NULL;

    ECK_TRY(ecki_manifest_print(&text, manifest, 0, err));
    ecki_put_string(&pair, 1, "eckart");
    ecki_put_string(&pair, 2, text);
    ecki_put_bytes(out, METADATA, pair.data, pair.length);
    ECK_REQUIRE(!pair.failed && !out->failed, ECK_E_NOMEM, -1, "not enough memory");
done:
    ecki_text_clear(&pair);
    ecki_free(text);
    return status;
}

eck_status ecki_graph_output_publish(ecki_graph_output *output, const ecki_manifest *manifest,
                                     eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text field = { 0 };

    if (manifest) ECK_TRY(manifest_field(&field, manifest, err));
    ECK_TRY(ecki_output_reserve(output->files[0], output->edit.size + field.length, err));
    ECK_TRY(ecki_splice_emit(output->edit.splice, take_piece, output, err));
    ECK_TRY(ecki_output_write(output->files[0], output->edit.size, field.data, field.length, err));
    if (output->targets[1]) ECK_TRY(ecki_target_publish(output->targets[1], err));
    ECK_TRY(ecki_target_publish(output->targets[0], err));
done:
    ecki_text_clear(&field);
    return status;
}

/* ---- checking ----------------------------------------------------------------------------------------------------- */

/** The output, held against what it must be. */
typedef struct checking {
    const ecki_file *file;
    int64_t differs; /**< first byte that is not as it must be; -1 none */
} checking;

static eck_status compare_piece(void *self, int64_t offset, const void *bytes, int64_t count,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    checking *job = self;
    char *found = NULL;

    if (job->differs >= 0) return ECK_OK;
    if (offset > job->file->size || count > job->file->size - offset) {
        job->differs = job->file->size;
        return ECK_OK;
    }
    ECK_ALLOC_RAW(found, ecki_max(1, count));
    ECK_TRY(ecki_input_read(job->file, NULL, offset, found, count, err));
    for (int64_t i = 0; i < count && job->differs < 0; i++)
        if (found[i] != ((const char *)bytes)[i]) job->differs = offset + i;
done:
    ecki_free(found);
    return status;
}

/** Types of the factors as the output has them; NONE where one is missing. */
static eck_status dtypes_of(eck_dtype **out, const eck_model *after, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_manifest *manifest = after->manifest;

    ECK_ALLOC(*out, manifest->module_count);
    for (int64_t i = 0; i < manifest->module_count; i++) {
        const int64_t entry =
            ecki_container_find(after->container, manifest->modules[i].stages[0].weight);
        (*out)[i] = after->container->entries[entry].dtype;
    }
done:
    return status;
}

/** The name of the output's data file, as its tensors have it. */
static const char *location_of(const eck_model *after)
{
    const ecki_onnx *onnx = after->container->onnx;
    for (int64_t i = 0; i < onnx->tensor_count; i++)
        if (onnx->tensors[i].external && onnx->tensors[i].entry >= 0)
            return after->container->files[after->container->entries[onnx->tensors[i].entry].file]
                .name;
    return "";
}

static bool same_strings(const ecki_strings *a, const ecki_strings *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; same && i < a->count; i++)
        same = strcmp(a->list[i], b->list[i]) == 0;
    return same;
}

/** What the manifest keeps for restoring is what the source has. */
static eck_status check_kept(bool *same_out, const eck_model *before, const ecki_module *module,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_module fresh = { .name = module->name, .stages = module->stages, .stage_count = 0 };
    const int64_t layer = ecki_layer_find(before, module->name);

    *same_out = false;
    if (layer < 0 || !module->tensor) return ECK_OK;
    ECK_TRY(ecki_graph_outline(&fresh, before, &before->layers[layer], err));
    *same_out = strcmp(fresh.tensor, module->tensor) == 0 &&
                same_strings(&fresh.nodes, &module->nodes) &&
                same_strings(&fresh.between, &module->between);
done:
    fresh.name = NULL; // borrowed
    fresh.stages = NULL;
    ecki_module_clear(&fresh);
    return status;
}

/** The bytes of the graph's file but factors and manifest, which must be its last field. */
static eck_status check_bytes(char **reason_out, const eck_model *after,
                              const ecki_graph_edit *edit, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_file *file = &after->container->files[0];
    const ecki_span manifest = after->container->onnx->manifest;
    checking job = { file, -1 };

    ECK_TRY(ecki_splice_emit(edit->splice, compare_piece, &job, err));
    if (job.differs < 0 && (manifest.begin != edit->size || manifest.end != file->size))
        job.differs = ecki_min(manifest.begin, edit->size);
    if (job.differs < 0) goto done;
    *reason_out = ecki_format("byte %lld is not what its source makes it", (long long)job.differs);
    ECK_HAVE(*reason_out);
done:
    return status;
}

eck_status ecki_graph_output_check(char **reason_out, const eck_model *before,
                                   const eck_model *after, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_graph_edit edit = { 0 };
    eck_dtype *dtypes = NULL;
    eck_error reason = ECK_ERROR_INIT;
    bool kept = true;

    ECK_TRY(dtypes_of(&dtypes, after, err));
    for (int64_t i = 0; kept && i < after->manifest->module_count; i++)
        ECK_TRY(check_kept(&kept, before, &after->manifest->modules[i], err));
    const ecki_graph_request request = { after->manifest, dtypes, false, location_of(after) };
    status = kept ? ecki_graph_edit_make(&edit, before, &request, &reason) : ECK_E_FORMAT;
    if (status == ECK_E_NOMEM || status == ECK_E_IO) {
        if (err) *err = reason;
        goto done;
    }
    if (status == ECK_OK) {
        ECK_TRY(check_bytes(reason_out, after, &edit, err));
        goto done;
    }
    status = ECK_OK;
    *reason_out =
        ecki_strdup(kept ? reason.message : "its manifest keeps other nodes than its source has");
    ECK_HAVE(*reason_out);
done:
    ecki_graph_edit_clear(&edit);
    ecki_free(dtypes);
    return status;
}
