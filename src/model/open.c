/**
 * Opening a model: container, configuration, manifest, layers, in that order. Nothing but indexes and small JSON files
 * is read here.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "eckart/model.h"
#include "format/json.h"
#include "model/model.h"

/** Mirrors the container's entries as what callers see. */
static eck_status tensors_describe(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *container = model->container;

    ECK_ALLOC(model->tensors, container->entry_count);
    for (int64_t i = 0; i < container->entry_count; i++) {
        const ecki_entry *entry = &container->entries[i];
        eck_tensor *tensor = &model->tensors[i];
        tensor->name = entry->name;
        tensor->file = container->files[entry->file].name;
        tensor->dtype = entry->dtype;
        tensor->ndim = entry->ndim;
        memcpy(tensor->shape, entry->shape, sizeof tensor->shape);
        tensor->bytes = entry->bytes;
    }
done:
    return status;
}

/** Keeps what typing needs of config.json: model_type, whether it is causal, whether embeddings are tied. */
static eck_status config_use(eck_model *model, const json_t *config, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const headed[] = {
        "CausalLM", "LMHead", "ForMaskedLM", "ForPreTraining", "ForConditionalGeneration", NULL
    };
    const json_t *type = json_object_get(config, "model_type");
    const json_t *names = json_object_get(config, "architectures");
    const json_t *tie = json_object_get(config, "tie_word_embeddings");
    const json_t *text = json_object_get(config, "text_config");
    const char *first = json_string_value(json_array_get(names, 0));

    if (json_is_string(type)) {
        model->model_type = ecki_strdup(json_string_value(type));
        ECK_HAVE(model->model_type);
    }
    for (const char *const *end = headed; first && *end; end++)
        model->has_head = model->has_head || strstr(first, *end);
    model->causal = first && (strstr(first, "CausalLM") || strstr(first, "LMHeadModel"));
    if (!json_is_boolean(tie)) tie = json_object_get(text, "tie_word_embeddings");
    model->ties_known = json_is_boolean(tie);
    model->ties_embeddings = json_is_true(tie);
done:
    return status;
}

/** A missing config.json is fine; a broken one is not. */
static eck_status config_read(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL, *text = NULL;
    int64_t length = 0;
    json_t *config = NULL;

    if (!model->container->directory) return ECK_OK;
    path = ecki_format("%s/config.json", model->path);
    ECK_HAVE(path);
    ECK_TRY(ecki_read_file_if_there(&text, &length, path, ecki_json_config.bytes, err));
    if (!text) goto done;
    ECK_TRY(ecki_json_parse(&config, text, length, &ecki_json_config, path, err));
    if (json_is_object(config)) ECK_TRY(config_use(model, config, err));
done:
    json_decref(config);
    ecki_free(text);
    ecki_free(path);
    return status;
}

/** The manifest is the file eckart.json of a directory, or a metadata value of a single file. */
static eck_status manifest_read(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL, *text = NULL;
    const char *inline_text = NULL;
    int64_t length = 0;

    if (!model->container->directory) {
        inline_text = ecki_container_metadata(model->container, "eckart");
        if (inline_text) {
            ECK_TRY(ecki_manifest_parse(&model->manifest, inline_text, (int64_t)strlen(inline_text),
                                        model->container, err));
        }
        goto done;
    }
    path = ecki_format("%s/eckart.json", model->path);
    ECK_HAVE(path);
    ECK_TRY(ecki_read_file_if_there(&text, &length, path, ecki_json_config.bytes, err));
    if (!text) goto done;
    ECK_TRY(ecki_manifest_parse(&model->manifest, text, length, model->container, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, path ? path : model->path, NULL);
    ecki_free(text);
    ecki_free(path);
    return status;
}

eck_status eck_model_open(eck_model **out, const char *path, eck_error *err)
{
    return eck_model_open_key(out, path, NULL, err);
}

eck_status eck_model_open_key(eck_model **out, const char *path, const char *key, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_model *model = NULL;

    ECK_REQUIRE(path && path[0], ECK_E_RANGE, -1,
                "no model given: a directory or a file is needed");
    ECK_ALLOC(model, 1);
    model->path = ecki_strdup(path);
    ECK_HAVE(model->path);
    ECK_TRY(ecki_container_open_key(&model->container, path, key, err));
    ECK_TRY(tensors_describe(model, err));
    ECK_TRY(config_read(model, err));
    ECK_TRY(manifest_read(model, err));
    ECK_TRY(ecki_layers_find(model, err));
    ECK_TRY(ecki_shapes_find(model, err));
    *out = model;
    model = NULL;
done:
    eck_model_close(model);
    return status;
}

void eck_model_close(eck_model *model)
{
    if (!model) return;
    ecki_layers_clear(model);
    for (int64_t i = 0; i < model->given_count; i++)
        ecki_free(model->given[i].name);
    ecki_free(model->given);
    ecki_manifest_free(model->manifest);
    ecki_free(model->tensors);
    ecki_container_close(model->container);
    ecki_free(model->model_type);
    ecki_free(model->path);
    ecki_free(model);
}

int64_t eck_model_bytes_read(const eck_model *model)
{
    return atomic_load(&model->container->tally->bytes);
}

const char *eck_model_path(const eck_model *model)
{
    return model->path;
}

int64_t eck_model_tensor_count(const eck_model *model)
{
    return model->container->entry_count;
}

const eck_tensor *eck_model_tensor(const eck_model *model, int64_t index)
{
    return index >= 0 && index < model->container->entry_count ? &model->tensors[index] : NULL;
}

int64_t eck_model_layer_count(const eck_model *model)
{
    return model->layer_count;
}

const eck_layer *eck_model_layer(const eck_model *model, int64_t index)
{
    return index >= 0 && index < model->layer_count ? &model->layers[index].view : NULL;
}

const char *eck_model_warning(const eck_model *model, int64_t index)
{
    return index >= 0 && index < model->container->warning_count ? model->container->warnings[index]
                                                                 : NULL;
}

bool eck_model_is_factored(const eck_model *model)
{
    return model->manifest != NULL;
}

const char *eck_model_format(const eck_model *model)
{
    return model->container->format;
}
