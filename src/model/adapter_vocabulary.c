/**
 * Whole tensors of an adapter that do not fit the base as it is: more rows than its vocabulary, or a
 * head the base ties to its embeddings.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "format/json.h"
#include "model/adapter_parts.h"
#include "model/model.h"

enum { CHUNK = 1 << 20 };

/** Sets vocab_size in an object and in what configurations of several parts nest it in. */
static bool set_size(json_t *config, int64_t before, int64_t after)
{
    static const char *const key = "vocab_size", *const nested[] = { "text_config", NULL };
    const json_t *size = json_object_get(config, key);
    bool found = json_is_integer(size) && json_integer_value(size) == before;

    if (found) found = json_object_set_new(config, key, json_integer(after)) == 0;
    for (const char *const *name = nested; *name; name++) {
        json_t *inner = json_object_get(config, *name);
        if (json_is_object(inner)) found = set_size(inner, before, after) || found;
    }
    return found;
}

eck_status ecki_vocabulary_config(char **out, const eck_model *base, int64_t before, int64_t after,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = ecki_format("%s/config.json", base->path), *text = NULL, *changed = NULL;
    json_t *config = NULL;
    int64_t length = 0;

    ECK_HAVE(path);
    ECK_TRY(ecki_read_file_if_there(&text, &length, path, ecki_json_config.bytes, err));
    if (!text) goto done;
    ECK_TRY(ecki_json_parse(&config, text, length, &ecki_json_config, path, err));
    if (!set_size(config, before, after)) goto done;
    ECK_TRY(ecki_json_print(&changed, config, JSON_INDENT(2), err));
    *out = ecki_format("%s\n", changed);
    ECK_HAVE(*out);
done:
    json_decref(config);
    ecki_free(changed);
    ecki_free(text);
    ecki_free(path);
    return status;
}

/** The extra that stands for `module`'s weight, -1 none. */
static int64_t extra_of(const eck_adapter *adapter, const char *module)
{
    static const char prefix[] = "base_model.model.";
    const size_t length = strlen(module);

    for (int64_t i = 0; i < adapter->extra_count; i++) {
        const char *name = adapter->container->entries[adapter->extras[i]].name;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
        name += sizeof prefix - 1;
        if (strncmp(name, module, length) == 0 && strcmp(name + length, ".weight") == 0) return i;
    }
    return -1;
}

static eck_status same_bytes(bool *out, const ecki_container *c, int64_t x, int64_t y,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t bytes = c->entries[x].bytes;
    bool same = c->entries[x].dtype == c->entries[y].dtype && c->entries[y].bytes == bytes;
    char *a = NULL, *b = NULL;

    ECK_ALLOC_RAW(a, CHUNK);
    ECK_ALLOC_RAW(b, CHUNK);
    for (int64_t at = 0; same && at < bytes; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, bytes - at);
        ECK_TRY(ecki_container_read(c, x, at, a, count, err));
        ECK_TRY(ecki_container_read(c, y, at, b, count, err));
        same = memcmp(a, b, (size_t)count) == 0;
    }
    *out = same;
done:
    ecki_free(a);
    ecki_free(b);
    return status;
}

eck_status ecki_extra_is_tied(bool *out, const eck_adapter *adapter, int64_t extra,
                              const eck_model *base, eck_error *err)
{
    eck_status status = ECK_OK;
    bool tied = false;

    for (int64_t i = 0; i < base->layer_count && !tied; i++) {
        const eck_layer *l = &base->layers[i].view;
        if (!l->tied_to || extra_of(adapter, l->tied_to) != extra) continue;
        const int64_t own = extra_of(adapter, l->name);
        if (own >= 0 && own != extra)
            ECK_TRY(same_bytes(&tied, adapter->container, adapter->extras[own],
                               adapter->extras[extra], err));
    }
    *out = tied;
done:
    return status;
}
