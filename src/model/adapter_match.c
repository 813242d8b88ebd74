/** Which layer of a base a module means, and which tensor an extra stands for. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/adapter_parts.h"
#include "model/model.h"

int64_t ecki_stage_columns(const eck_stage *dense)
{
    int64_t cols = dense->in;
    for (int32_t i = 0; i < dense->spatial; i++)
        cols *= dense->kernel[i];
    return cols;
}

/** True if both say the same, '.' and '_' taken as one where `loose`. */
static bool same_name(const char *a, const char *b, bool loose)
{
    for (; *a && *b; a++, b++) {
        const bool dots = loose && (*a == '.' || *a == '_') && (*b == '.' || *b == '_');
        if (*a != *b && !dots) return false;
    }
    return !*a && !*b;
}

/** True if `name` is `tail`, or ends with a dot and `tail`. */
static bool ends_as(const char *name, const char *tail, bool loose)
{
    const size_t length = strlen(name), part = strlen(tail);
    if (length == part) return same_name(name, tail, loose);
    return length > part && name[length - part - 1] == '.' &&
           same_name(name + length - part, tail, loose);
}

/** The layers that fit: exactly, or else by their ends either way; -1 none, -2 several. */
static int64_t find_layer(const eck_model *base, const char *stem, bool loose)
{
    int64_t found = -1;

    for (int64_t i = 0; i < base->layer_count; i++)
        if (same_name(base->layers[i].name, stem, loose)) {
            if (found >= 0) return -2;
            found = i;
        }
    for (int64_t i = 0; found == -1 && i < base->layer_count; i++)
        if (ends_as(base->layers[i].name, stem, loose) ||
            ends_as(stem, base->layers[i].name, loose)) {
            for (int64_t j = i + 1; j < base->layer_count; j++)
                if (ends_as(base->layers[j].name, stem, loose) ||
                    ends_as(stem, base->layers[j].name, loose))
                    return -2;
            found = i;
        }
    return found;
}

/** Cuts every occurrence of `part` out of `name`. */
static void cut_out(char *name, const char *part)
{
    for (char *at; (at = strstr(name, part));)
        memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
}

char *ecki_adapter_path(const eck_adapter *adapter, const ecki_adapter_module *m)
{
    static const char out[] = ".to_out";
    char *path = NULL;

    if (adapter->layout == ECK_ADAPTER_PEFT) return ecki_strdup(m->name);
    path = ecki_strdup(ecki_module_stem(m->name));
    if (!path || m->spelling != ECKI_SPELLING_UNDERSCORE) return path;
    cut_out(path, ".processor");
    const size_t length = strlen(path), tail = sizeof out - 1;
    if (length <= tail || strcmp(path + length - tail, out) != 0) return path;
    char *longer = ecki_format("%s.0", path);
    ecki_free(path);
    return longer;
}

bool ecki_adapter_turned(const eck_adapter_module *module, const eck_layer *layer)
{
    return module->dense.kind == ECK_STAGE_LOOKUP && layer->dense.kind == ECK_STAGE_LINEAR &&
           layer->dense.out == module->dense.in && layer->dense.in == module->dense.out;
}

eck_status ecki_adapter_layer(int64_t *out, const eck_adapter *adapter, int64_t index,
                              const eck_model *base, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_adapter_module *m = &adapter->modules[index];
    char *path = ecki_adapter_path(adapter, m);
    int64_t layer = -1;

    ECK_HAVE(path);
    layer = find_layer(base, path, adapter->layout == ECK_ADAPTER_KOHYA);
    ECK_REQUIRE(layer != -2, ECK_E_RANGE, -1,
                "adapter '%s' does not fit '%s': module '%s' may be several of its layers",
                adapter->path, base->path, m->name);
    ECK_REQUIRE(layer >= 0, ECK_E_RANGE, -1,
                "adapter '%s' does not fit '%s': it has no layer '%s' (the first is '%s')%s",
                adapter->path, base->path, m->name,
                base->layer_count ? base->layers[0].name : "none",
                ecki_module_component(m->name) ? "; 'lora convert --to peft --component' takes one "
                                                 "model's part of an adapter"
                                               : "");
    const eck_layer *l = &base->layers[layer].view;
    const int64_t rows = m->view.dense.out, cols = ecki_stage_columns(&m->view.dense);
    ECK_REQUIRE((l->dense.out == rows && ecki_stage_columns(&l->dense) == cols) ||
                    ecki_adapter_turned(&m->view, l),
                ECK_E_SHAPE, -1,
                "adapter '%s' does not fit '%s': module '%s' is %lld x %lld, the layer %lld x %lld",
                adapter->path, base->path, m->name, (long long)rows, (long long)cols,
                (long long)l->dense.out, (long long)ecki_stage_columns(&l->dense));
    ECK_REQUIRE(!l->factored, ECK_E_UNSUPPORTED, -1,
                "layer '%s' of '%s' is factored: restore the model first", l->name, base->path);
    *out = layer;
done:
    ecki_free(path);
    return status;
}

eck_status ecki_adapter_extra_tensor(int64_t *out, char **stem_out, const eck_adapter *adapter,
                                     int64_t extra, const eck_model *base, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char layer[] = ".base_layer.";
    const char *name = adapter->container->entries[adapter->extras[extra]].name;
    char *stem = ecki_strdup(name + strlen("base_model.model."));
    int64_t found = -1;

    ECK_HAVE(stem);
    char *at = strstr(stem, layer);
    if (at) memmove(at, at + sizeof layer - 2, strlen(at + sizeof layer - 2) + 1);
    found = ecki_container_find(base->container, stem);
    for (int64_t i = 0; found < 0 && i < base->container->entry_count; i++)
        if (ends_as(base->tensors[i].name, stem, false) ||
            ends_as(stem, base->tensors[i].name, false))
            found = i;
    *out = found;
    *stem_out = stem;
    stem = NULL;
done:
    ecki_free(stem);
    return status;
}
