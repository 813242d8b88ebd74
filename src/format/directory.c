/*
 * A directory of safetensors: one file, or shards and an index that says which tensor lies in
 * which. The index is not trusted: a shard is one component of this directory, and what it really
 * holds is held against what the index says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"
#include "format/json.h"
#include "format/safetensors.h"

/** File names of ours first, so that an output is read as one. */
static const struct {
    const char *single, *index;
} layouts[] = {
    { "eckart.safetensors", "eckart.safetensors.index.json" },
    { "model.safetensors", "model.safetensors.index.json" },
};

/** True if the directory has an entry of that name, whatever it is. */
static bool has_entry(const char *directory, const char *name, bool *failed_out)
{
    struct stat info;
    char *path = ecki_path_join(directory, name);
    *failed_out = *failed_out || !path;
    const bool found = path && lstat(path, &info) == 0;
    ecki_free(path);
    return found;
}

/** Adds one file of the directory and its entries. */
static eck_status add_file(ecki_container *container, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    char head[64] = "";
    int32_t index;

    ECK_TRY(ecki_input_open_in(&file, container->path, name, err));
    const int64_t count = file.size < (int64_t)sizeof head ? file.size : (int64_t)sizeof head;
    ECK_TRY(ecki_input_read(&file, NULL, 0, head, count, err));
    ECK_TRY(ecki_input_check_pointer(head, count, name, err));
    ECK_TRY(ecki_container_take_file(&index, container, &file, err));
    ECK_TRY(ecki_safetensors_index(container, index, err));
done:
    ecki_input_close(&file);
    return status;
}

/** True for a shard's name that stays in its directory: [A-Za-z0-9._-]+.safetensors, no leading
 * dot. */
static bool is_shard_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    static const char ending[] = ".safetensors";
    const size_t length = strlen(name), tail = sizeof ending - 1;
    return ecki_component_valid(name) && strspn(name, allowed) == length && length > tail &&
           strcmp(name + length - tail, ending) == 0;
}

/** Order of strings. */
static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** The shard names of a weight map, sorted, each once; the array is the caller's, the strings are
 * the map's. */
static eck_status list_shards(const char ***out, int64_t *count_out, json_t *map, const char *index,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const char **names = NULL, *tensor;
    int64_t count = 0;
    json_t *value;
    char shown[200];

    ECK_ALLOC(names, (int64_t)json_object_size(map));
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        ecki_name_escape(shown, sizeof shown, name ? name : "");
        if (!name || !is_shard_name(name)) {
            status = ecki_place_error(err, ECK_E_FORMAT, (ecki_place){ index, tensor, -1 },
                                      name ? "'%s' is no name of a shard in this directory"
                                           : "no name of a shard%s",
                                      shown);
            goto done;
        }
        names[count++] = name;
    }
    qsort(names, (size_t)count, sizeof *names, compare_strings);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[kept - 1]) != 0) names[kept++] = names[i];
    *out = names;
    *count_out = kept;
    names = NULL;
done:
    ecki_free(names);
    return status;
}

/** Every tensor of the map is in the shard it is said to be in; those of shards that the map leaves
 * out are remarked. */
static eck_status check_map(ecki_container *container, json_t *map, const char *index,
                            eck_error *err)
{
    const char *tensor;
    json_t *value;
    char shown[200];
    int64_t mapped = 0;

    json_object_foreach(map, tensor, value)
    {
        const char *shard = json_string_value(value);
        const int64_t entry = ecki_container_find(container, tensor);
        const ecki_place place = { index, tensor, -1 };
        if (entry < 0)
            return ecki_place_error(err, ECK_E_FORMAT, place, "shard '%s' does not hold it", shard);
        const char *found = container->files[container->entries[entry].file].name;
        if (strcmp(found, shard) != 0)
            return ecki_place_error(err, ECK_E_FORMAT, place, "it lies in '%s', not in '%s'", found,
                                    shard);
        mapped++;
    }
    if (mapped == container->entry_count) return ECK_OK;
    for (int64_t i = 0; i < container->entry_count; i++) {
        if (json_object_get(map, container->entries[i].name)) continue;
        ecki_name_escape(shown, sizeof shown, container->entries[i].name);
        return ecki_container_warn(container, err,
                                   "%lld tensors of the shards are not in '%s' ('%s')",
                                   (long long)(container->entry_count - mapped), index, shown);
    }
    return ECK_OK;
}

/** Warns if the index states another number of bytes than the shards hold. */
static eck_status check_total(ecki_container *container, json_t *root, const char *index,
                              eck_error *err)
{
    const json_t *stated = json_object_get(json_object_get(root, "metadata"), "total_size");
    if (!json_is_integer(stated)) return ECK_OK;
    int64_t total = 0; // cannot wrap: every tensor lies in a file, and no byte in two
    for (int64_t i = 0; i < container->entry_count; i++)
        total += container->entries[i].bytes;
    if (json_integer_value(stated) == total) return ECK_OK;
    return ecki_container_warn(container, err,
                               "'%s' states %lld bytes of tensors, the shards hold %lld", index,
                               (long long)json_integer_value(stated), (long long)total);
}

/** Reads the index file itself. */
static eck_status read_index(json_t **out, const ecki_container *container, const char *index,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    char *text = NULL;

    ECK_TRY(ecki_input_open_in(&file, container->path, index, err));
    if (file.size > ecki_json_config.bytes) {
        status = ecki_read_error(err, ECK_E_UNSUPPORTED, -1, index, "%lld bytes, at most %lld",
                                 (long long)file.size, (long long)ecki_json_config.bytes);
        goto done;
    }
    ECK_ALLOC_RAW(text, file.size);
    ECK_TRY(ecki_input_read(&file, NULL, 0, text, file.size, err));
    ECK_TRY(ecki_input_check_pointer(text, file.size, index, err));
    ECK_TRY(ecki_json_parse(out, text, file.size, &ecki_json_config, index, err));
done:
    ecki_free(text);
    ecki_input_close(&file);
    return status;
}

/** All shards of an index. */
static eck_status open_shards(ecki_container *container, const char *index, eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *root = NULL;
    const char **shards = NULL;
    int64_t count = 0;

    ECK_TRY(read_index(&root, container, index, err));
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        status =
            ecki_read_error(err, ECK_E_FORMAT, -1, index, "a 'weight_map' of tensors is missing");
        goto done;
    }
    ECK_TRY(list_shards(&shards, &count, map, index, err));
    for (int64_t i = 0; i < count; i++)
        ECK_TRY(add_file(container, shards[i], err));
    ECK_TRY(ecki_container_finish(container, err));
    ECK_TRY(check_map(container, map, index, err));
    ECK_TRY(check_total(container, root, index, err));
done:
    ecki_free(shards);
    json_decref(root);
    return status;
}

eck_status ecki_directory_open(ecki_container *container, const char *index, eck_error *err)
{
    const int32_t count = (int32_t)(sizeof layouts / sizeof *layouts);
    const char *directory = container->path;
    bool failed = false;

    container->directory = true;
    container->format = ecki_reader_safetensors.name;
    if (index) return open_shards(container, index, err);
    for (int32_t i = 0; i < count; i++) {
        const bool single = has_entry(directory, layouts[i].single, &failed);
        const bool sharded = has_entry(directory, layouts[i].index, &failed);
        if (failed) return ecki_error_memory(err, -1);
        if (single && sharded)
            return ecki_read_error(err, ECK_E_FORMAT, -1, directory,
                                   "it holds both '%s' and '%s'; name the one to read",
                                   layouts[i].single, layouts[i].index);
        if (single) return add_file(container, layouts[i].single, err);
        if (sharded) return open_shards(container, layouts[i].index, err);
    }
    return ecki_nothing_error(err, directory);
}
