/*
 * Opening a path: what it is is decided by its first bytes, then by its name. Formats that are
 * known but not read are told by name, so that nobody has to guess.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"
#include "format/container.h"
#include "format/input.h"

static const char index_ending[] = ".safetensors.index.json";

const ecki_reader *const ecki_readers[] = { &ecki_reader_safetensors, &ecki_reader_npy,
                                            &ecki_reader_npz,         &ecki_reader_mtx,
                                            &ecki_reader_onnx,        &ecki_reader_torch,
                                            &ecki_reader_csv,         NULL };

/** First bytes of formats that are not read here. */
static const struct {
    const char *bytes;
    int32_t count;
    const char *name;
} known_formats[] = {
    { "GGUF", 4, "a GGUF file" },
    { "\x89HDF\r\n\x1a\n", 8, "an HDF5 file" },
    { "\x80\x02", 2, "a Python pickle" },
    { "\x80\x04", 2, "a Python pickle" },
    { "\x1f\x8b", 2, "compressed by gzip" },
};

bool ecki_ends_with(const char *path, const char *ending)
{
    const size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcasecmp(path + length - tail, ending) == 0;
}

/** The first bytes of a file, open or held in memory. */
static eck_status read_head(ecki_head *head, const ecki_file *file, const char *path,
                            eck_error *err)
{
    head->path = path;
    head->size = file->size;
    head->count = ecki_min(file->size, ECKI_HEAD_BYTES);
    memset(head->bytes, 0, sizeof head->bytes);
    if (!file->memory) return ecki_input_read(file, NULL, 0, head->bytes, head->count, err);
    memcpy(head->bytes, file->memory, (size_t)head->count);
    return ECK_OK;
}

/** The known format that the first bytes are of; NULL if none. */
static const char *known_format(const ecki_head *head)
{
    const int32_t count = (int32_t)(sizeof known_formats / sizeof *known_formats);
    for (int32_t i = 0; i < count; i++)
        if (head->count >= known_formats[i].count &&
            memcmp(head->bytes, known_formats[i].bytes, (size_t)known_formats[i].count) == 0)
            return known_formats[i].name;
    return NULL;
}

/** The reader that fits best; NULL with an error if none does. A name does not stand against
 * content. */
static const ecki_reader *find_reader(const ecki_head *head, eck_error *err)
{
    const ecki_reader *best = NULL;
    ecki_match best_match = ECKI_MATCH_NONE;

    for (int32_t i = 0; ecki_readers[i]; i++) {
        const ecki_match match = ecki_readers[i]->probe(head);
        if (match <= best_match) continue;
        best = ecki_readers[i];
        best_match = match;
    }
    const char *known = known_format(head);
    if (head->size == 0)
        ecki_read_error(err, ECK_E_FORMAT, 0, head->path, "the file is empty");
    else if (best_match < ECKI_MATCH_CONTENT && known)
        ecki_read_error(err, ECK_E_UNSUPPORTED, 0, head->path,
                        "it is %s; safetensors, npy, npz, mtx, onnx, torch and csv are read",
                        known);
    else if (!best)
        ecki_read_error(
            err, ECK_E_UNSUPPORTED, 0, head->path,
            "neither safetensors nor npy, npz, mtx, onnx, torch or csv by content or name");
    else
        return best;
    return NULL;
}

/** Lets the reader that fits files[0] best add its entries. */
static eck_status read_first_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_error reason = ECK_ERROR_INIT;
    ecki_head head;

    ECK_TRY(read_head(&head, &container->files[0], container->files[0].name, err));
    ECK_TRY(ecki_input_check_pointer(head.bytes, head.count, head.path, err));
    const ecki_reader *reader = find_reader(&head, &reason);
    if (!reader) {
        if (err) *err = reason;
        return reason.status;
    }
    container->format = reader->name;
    ECK_TRY(reader->open(container, err));
done:
    return status;
}

/** One file. */
static eck_status open_one(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    int32_t index;

    ECK_TRY(ecki_input_open(&file, container->path, container->path, err));
    ECK_TRY(ecki_container_take_file(&index, container, &file, err));
    ECK_TRY(read_first_file(container, err));
done:
    ecki_input_close(&file);
    return status;
}

/** Standard input, read whole. */
static eck_status open_stream(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    int32_t index;
    char *text = NULL;

    file.name = ecki_strdup("-");
    ECK_HAVE(file.name);
    file.path = ecki_strdup("-");
    ECK_HAVE(file.path);
    ECK_TRY(ecki_input_drain(&text, &file.size, STDIN_FILENO, "-", INT64_MAX, err));
    file.memory = text;
    ECK_TRY(ecki_container_take_file(&index, container, &file, err));
    ECK_TRY(read_first_file(container, err));
done:
    ecki_input_close(&file);
    return status;
}

/** The shards of a named index: the container is then the directory it lies in. */
static eck_status open_index(ecki_container *container, eck_error *err)
{
    char *slash = strrchr(container->path, '/');
    char *index = ecki_strdup(slash ? slash + 1 : container->path);
    if (!index) return ecki_error_memory(err, -1);
    char *directory = slash ? ecki_strndup(container->path, ecki_max(slash - container->path, 1))
                            : ecki_strdup(".");
    eck_status status = ECK_OK;
    ECK_HAVE(directory);
    ecki_free(container->path);
    container->path = directory;
    ECK_TRY(ecki_directory_open(container, index, err));
done:
    ecki_free(index);
    return status;
}

/** Chooses by what the path leads to. */
static eck_status open_path(ecki_container *container, eck_error *err)
{
    struct stat info;
    const char *path = container->path;

    if (strcmp(path, "-") == 0) return open_stream(container, err);
    if (stat(path, &info) != 0) return ecki_missing_error(err, errno, path);
    if (S_ISDIR(info.st_mode)) return ecki_directory_open(container, NULL, err);
    if (ecki_ends_with(path, index_ending)) return open_index(container, err);
    return open_one(container, err);
}

eck_status ecki_container_open(ecki_container **out, const char *path, eck_error *err)
{
    return ecki_container_open_key(out, path, NULL, err);
}

eck_status ecki_container_open_key(ecki_container **out, const char *path, const char *key,
                                   eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_container *container = NULL;

    ECK_TRY(ecki_container_create(&container, path, err));
    container->key = key;
    ECK_TRY(open_path(container, err));
    container->key = NULL;
    ECK_REQUIRE(!key || strcmp(container->format, "torch") == 0, ECK_E_RANGE, -1,
                "a key is for checkpoints of PyTorch, '%s' is none", path);
    ECK_TRY(ecki_container_finish(container, err));
    *out = container;
    container = NULL;
done:
    ecki_container_close(container);
    return status;
}
