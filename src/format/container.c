/*
 * The container: an index of tensors over open files. Strings live in an arena, a list of blocks
 * that never move. Arrays grow by doubling at powers of two, so that no room has to be remembered.
 */
#include "format/container.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/npy.h"
#include "format/onnx.h"

// The bytes of every format read here are little-endian, and so are we: see ecki_swap_bytes().
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "a big-endian machine needs readers that swap");

enum { ARENA_BLOCK = 1 << 16 };

/** A block of the arena; the newest comes first. */
typedef struct arena_block {
    struct arena_block *next;
    int64_t used, room;
    char bytes[];
} arena_block;

char *ecki_container_room(ecki_container *container, int64_t length)
{
    arena_block *block = container->arena;
    if (!block || block->room - block->used < length) {
        const int64_t room = ecki_max(length, ARENA_BLOCK);
        arena_block *fresh = ecki_malloc(room + (int64_t)sizeof *fresh, 1);
        if (!fresh) return NULL;
        *fresh = (arena_block){ .next = block, .room = room };
        container->arena = block = fresh;
    }
    char *const out = block->bytes + block->used;
    block->used += length;
    return out;
}

char *ecki_container_string(ecki_container *container, const char *bytes, int64_t length)
{
    char *copy = ecki_container_room(container, length + 1);
    if (!copy) return NULL;
    memcpy(copy, bytes, (size_t)length);
    copy[length] = '\0';
    return copy;
}

void *ecki_grow(void *array, int64_t count, size_t size)
{
    enum { FIRST_ROOM = 16 };
    const bool full = count == 0 || (count >= FIRST_ROOM && (count & (count - 1)) == 0);
    if (!full) return array;
    return ecki_realloc(array, count == 0 ? FIRST_ROOM : 2 * count, size);
}

eck_status ecki_container_create(ecki_container **out, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_container *container = NULL;

    ECK_ALLOC(container, 1);
    container->path = ecki_strdup(path);
    ECK_HAVE(container->path);
    ECK_ALLOC(container->tally, 1);
    *out = container;
    container = NULL;
done:
    ecki_container_close(container);
    return status;
}

void ecki_container_close(ecki_container *container)
{
    if (!container) return;
    for (int32_t i = 0; i < container->file_count; i++)
        ecki_input_close(&container->files[i]);
    for (arena_block *block = container->arena, *next; block; block = next) {
        next = block->next;
        ecki_free(block);
    }
    ecki_free(container->files);
    ecki_free(container->entries);
    ecki_free(container->metadata);
    ecki_free(container->warnings);
    ecki_free(container->by_name);
    ecki_free(container->tally);
    if (container->sparse) {
        ecki_lines_clear(&container->sparse->rows);
        ecki_lines_clear(&container->sparse->cols);
        ecki_free(container->sparse);
    }
    ecki_free(container->path);
    ecki_onnx_free(container->onnx);
    ecki_free(container);
}

eck_status ecki_container_take_file(int32_t *index_out, ecki_container *container, ecki_file *file,
                                    eck_error *err)
{
    ecki_file *files = ecki_grow(container->files, container->file_count, sizeof *files);
    if (!files) return ecki_error_memory(err, -1);
    container->files = files;
    files[container->file_count] = *file;
    *file = ECKI_FILE_NONE;
    *index_out = container->file_count++;
    return ECK_OK;
}

eck_status ecki_container_add_entry(ecki_entry **out, ecki_container *container, eck_error *err)
{
    if (container->entry_count >= ECKI_TENSORS_MAX)
        return ecki_read_error(err, ECK_E_UNSUPPORTED, -1, container->path, "more than %d tensors",
                               ECKI_TENSORS_MAX);
    ecki_entry *entries = ecki_grow(container->entries, container->entry_count, sizeof *entries);
    if (!entries) return ecki_error_memory(err, -1);
    container->entries = entries;
    *out = &entries[container->entry_count++];
    memset(*out, 0, sizeof **out);
    return ECK_OK;
}

eck_status ecki_container_add_array(ecki_entry **out, ecki_container *container, const char *name,
                                    const ecki_npy_head *head, eck_error *err)
{
    const eck_status status = ecki_container_add_entry(out, container, err);
    if (status != ECK_OK) return status;
    ecki_entry *entry = *out;
    entry->name = name;
    entry->dtype = head->dtype;
    entry->ndim = head->ndim;
    memcpy(entry->shape, head->shape, sizeof entry->shape);
    entry->fortran_order = head->fortran_order;
    entry->swapped = head->swapped;
    entry->offset = head->start;
    entry->bytes = head->bytes;
    return ECK_OK;
}

eck_status ecki_container_add_metadata(ecki_container *container, const char *key,
                                       const char *value, eck_error *err)
{
    const int64_t count = container->metadata_count;
    // pairs: the array of twice as many strings grows with the pairs
    char **metadata = ecki_grow(container->metadata, count / 2, 2 * sizeof *metadata);
    if (!metadata) return ecki_error_memory(err, -1);
    container->metadata = metadata;
    metadata[count] = ecki_container_string(container, key, (int64_t)strlen(key));
    metadata[count + 1] = ecki_container_string(container, value, (int64_t)strlen(value));
    if (!metadata[count] || !metadata[count + 1]) return ecki_error_memory(err, -1);
    container->metadata_count += 2;
    return ECK_OK;
}

eck_status ecki_container_warn(ecki_container *container, eck_error *err, const char *format, ...)
{
    char line[1000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    char **warnings = ecki_grow(container->warnings, container->warning_count, sizeof *warnings);
    if (!warnings) return ecki_error_memory(err, -1);
    container->warnings = warnings;
    warnings[container->warning_count] =
        ecki_container_string(container, line, (int64_t)strlen(line));
    if (!warnings[container->warning_count]) return ecki_error_memory(err, -1);
    container->warning_count++;
    return ECK_OK;
}

/** Order by name, then by place. */
static int compare_names(const void *a, const void *b, void *entries)
{
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const int order =
        strcmp(((const ecki_entry *)entries)[i].name, ((const ecki_entry *)entries)[j].name);
    return order ? order : (i > j) - (i < j);
}

/** Order by name without regard to the case of ASCII letters, then as compare_names(). */
static int compare_folded(const void *a, const void *b, void *entries)
{
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const int order =
        strcasecmp(((const ecki_entry *)entries)[i].name, ((const ecki_entry *)entries)[j].name);
    return order ? order : compare_names(a, b, entries);
}

/** Refuses a name that two entries have. */
static eck_status check_unique(const ecki_container *container, eck_error *err)
{
    for (int64_t i = 1; i < container->entry_count; i++) {
        const ecki_entry *first = &container->entries[container->by_name[i - 1]];
        const ecki_entry *second = &container->entries[container->by_name[i]];
        if (strcmp(first->name, second->name) != 0) continue;
        const ecki_place place = { container->files[second->file].name, second->name,
                                   second->offset };
        if (first->file == second->file)
            return ecki_place_error(err, ECK_E_FORMAT, place, "the name comes twice");
        return ecki_place_error(err, ECK_E_FORMAT, place, "the name is in '%s' too",
                                container->files[first->file].name);
    }
    return ECK_OK;
}

/** Warns once of names that a system or program blind to case would take for one another. */
static eck_status warn_of_case(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = container->entry_count;
    int64_t *order = NULL, pairs = 0, example = 0;
    char first[200], second[200];

    ECK_ALLOC(order, count);
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, (size_t)count, sizeof *order, compare_folded, container->entries);
    for (int64_t i = 1; i < count; i++) {
        if (strcasecmp(container->entries[order[i - 1]].name, container->entries[order[i]].name) !=
            0)
            continue;
        if (pairs++ == 0) example = i;
    }
    if (pairs > 0) {
        ecki_name_escape(first, sizeof first, container->entries[order[example - 1]].name);
        ecki_name_escape(second, sizeof second, container->entries[order[example]].name);
        ECK_TRY(ecki_container_warn(
            container, err, "names that differ in case alone: '%s' and '%s', %lld such pairs",
            first, second, (long long)pairs));
    }
done:
    ecki_free(order);
    return status;
}

eck_status ecki_container_finish(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = container->entry_count;

    if (container->by_name) return ECK_OK; // shards needed it early
    ECK_ALLOC(container->by_name, count);
    for (int64_t i = 0; i < count; i++)
        container->by_name[i] = i;
    qsort_r(container->by_name, (size_t)count, sizeof *container->by_name, compare_names,
            container->entries);
    ECK_TRY(check_unique(container, err));
    ECK_TRY(warn_of_case(container, err));
done:
    return status;
}

int64_t ecki_container_find(const ecki_container *container, const char *name)
{
    int64_t low = 0, high = container->entry_count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int64_t entry = container->by_name[middle];
        const int order = strcmp(name, container->entries[entry].name);
        if (order == 0) return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

const char *ecki_container_metadata(const ecki_container *container, const char *key)
{
    for (int64_t i = 0; i + 1 < container->metadata_count; i += 2)
        if (strcmp(container->metadata[i], key) == 0) return container->metadata[i + 1];
    return NULL;
}

eck_status ecki_container_read(const ecki_container *container, int64_t entry, int64_t offset,
                               void *out, int64_t count, eck_error *err)
{
    if (entry < 0 || entry >= container->entry_count)
        return ecki_error(err, ECK_E_RANGE, -1, "tensor %lld of %lld", (long long)entry,
                          (long long)container->entry_count);
    const ecki_entry *tensor = &container->entries[entry];
    const ecki_file *file = &container->files[tensor->file];
    if (offset < 0 || count < 0 || offset > tensor->bytes || count > tensor->bytes - offset)
        return ecki_place_error(err, ECK_E_RANGE, (ecki_place){ file->name, tensor->name, offset },
                                "%lld bytes from %lld on, of %lld", (long long)count,
                                (long long)offset, (long long)tensor->bytes);
    atomic_fetch_add_explicit(&container->tally->bytes, count, memory_order_relaxed);
    if (container->sparse) {
        ecki_lines_dense(out, &container->sparse->rows, offset, count);
        return ECK_OK;
    }
    if (!file->memory)
        return ecki_input_read(file, tensor->name, tensor->offset + offset, out, count, err);
    if (count > 0) memcpy(out, (const char *)file->memory + tensor->offset + offset, (size_t)count);
    return ECK_OK;
}

eck_status ecki_container_unchanged(const ecki_container *container, eck_error *err)
{
    for (int32_t i = 0; i < container->file_count; i++) {
        if (container->files[i].descriptor < 0) continue;
        const eck_status status = ecki_input_unchanged(&container->files[i], err);
        if (status != ECK_OK) return status;
    }
    return ECK_OK;
}

void ecki_swap_bytes(void *bytes, int64_t count, eck_dtype dtype)
{
    const int64_t size = eck_dtype_bits(dtype) / 8;
    char *element = bytes;
    for (int64_t i = 0; i < count; i++, element += size) {
        for (int64_t low = 0, high = size - 1; low < high; low++, high--) {
            const char byte = element[low];
            element[low] = element[high];
            element[high] = byte;
        }
    }
}
