// Opening bytes as a file. Broken promises abort: that is how libFuzzer is told.
#include "opened.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

void promise(bool kept, const char *what)
{
    if (kept) return;
    fprintf(stderr, "not kept: %s\n", what);
    abort();
}

ecki_container *hold(const char *name, const uint8_t *bytes, size_t count)
{
    ecki_container *container = NULL;
    int32_t index;
    ecki_file file = { .name = ecki_strdup(name),
                       .path = ecki_strdup(name),
                       .descriptor = -1,
                       .size = (int64_t)count,
                       .memory = ecki_malloc((int64_t)count, 1) };
    promise(file.name && file.path && file.memory, "memory for the input");
    memcpy(file.memory, bytes, count);
    promise(ecki_container_create(&container, name, NULL) == ECK_OK, "a container");
    promise(ecki_container_take_file(&index, container, &file, NULL) == ECK_OK, "a file");
    return container;
}

static void check_entry(const ecki_container *container, int64_t index)
{
    // a sparse matrix stands for any number of bytes: of those, the first and the last pieces
    enum { PIECE = 4096, PIECES = 1 << 16 };
    char piece[PIECE];
    const ecki_entry *entry = &container->entries[index];
    const int64_t length = (int64_t)strlen(entry->name);
    promise(length == 0 || ecki_name_valid(entry->name, length), "names are valid");
    promise(ecki_container_find(container, entry->name) == index, "tensors are found by name");
    promise(entry->ndim >= 0 && entry->ndim <= ECK_DIMS_MAX, "eight dimensions at most");
    promise(entry->file >= 0 && entry->file < container->file_count, "tensors lie in a file");
    for (int64_t at = 0; at < entry->bytes; at += PIECE) {
        const int64_t count = entry->bytes - at < PIECE ? entry->bytes - at : PIECE;
        promise(ecki_container_read(container, index, at, piece, count, NULL) == ECK_OK,
                "tensors can be read");
        if (at == (int64_t)PIECES * PIECE && entry->bytes - at > 2 * PIECE)
            at = entry->bytes - 2 * PIECE;
    }
    eck_error err = ECK_ERROR_INIT;
    promise(ecki_container_read(container, index, entry->bytes, piece, 1, &err) == ECK_E_RANGE,
            "and not beyond");
}

void open_bytes(const ecki_reader *reader, const char *name, const uint8_t *bytes, size_t count,
                int64_t ratio)
{
    open_bytes_within(reader, name, bytes, count, (memory_bound){ ratio, 2 << 20 });
}

void open_bytes_within(const ecki_reader *reader, const char *name, const uint8_t *bytes,
                       size_t count, memory_bound bound)
{
    const int64_t before = ecki_memory_now();
    eck_error err = ECK_ERROR_INIT;
    ecki_container *container = hold(name, bytes, count);
    ecki_memory_reset_peak();
    eck_status status = reader->open(container, &err);
    if (status == ECK_OK) status = ecki_container_finish(container, &err);
    promise(ecki_memory_peak() - before <= (int64_t)count * bound.ratio + bound.floor,
            "memory is bounded");
    if (status == ECK_OK) {
        for (int64_t i = 0; i < container->entry_count; i++)
            check_entry(container, i);
    } else {
        promise(err.status == status && err.message[0], "an error has words");
        promise(ecki_utf8_valid(err.message, (int64_t)strlen(err.message)), "and they are UTF-8");
        promise(err.offset >= -1 && err.offset <= (int64_t)count, "the byte lies in the file");
    }
    ecki_container_close(container);
    promise(ecki_memory_now() == before, "all memory is given back");
}
