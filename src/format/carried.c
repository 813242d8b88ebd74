/**
 * Listing a model's directory and its subfolders, three deep at most, in the order of names.
 */
#include "format/carried.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"

enum { DEPTH_MAX = 3 };
static const int64_t file_limit = INT64_C(256) << 20;

/** Endings of files that hold weights, ours and others'; and indexes of such files. */
static bool is_weight_file(const char *name)
{
    static const char *const endings[] = { ".safetensors",
                                           ".safetensors.index.json",
                                           ".bin",
                                           ".bin.index.json",
                                           ".pt",
                                           ".pth",
                                           ".ckpt",
                                           ".h5",
                                           ".h5.index.json",
                                           ".msgpack",
                                           ".onnx",
                                           ".onnx_data",
                                           ".onnx.data",
                                           ".gguf",
                                           ".ot",
                                           ".npz",
                                           ".npy",
                                           ".tflite",
                                           ".mlmodel",
                                           NULL };
    const size_t length = strlen(name);

    for (const char *const *end = endings; *end; end++) {
        const size_t part = strlen(*end);
        if (length > part && strcmp(name + length - part, *end) == 0) return true;
    }
    return strcmp(name, "eckart.json") == 0;
}

static eck_status append(char ***list, int64_t *count, char *name, eck_error *err)
{
    char **grown = name ? ecki_realloc(*list, *count + 1, sizeof *grown) : NULL;
    if (!grown) {
        ecki_free(name);
        return ecki_error_memory(err, -1);
    }
    *list = grown;
    grown[(*count)++] = name;
    return ECK_OK;
}

void ecki_carried_forget(ecki_carried *carried, const char *name)
{
    for (int64_t i = 0; i < carried->left_out_count; i++) {
        if (strcmp(carried->left_out[i], name) != 0) continue;
        ecki_free(carried->left_out[i]);
        carried->left_out_count--;
        memmove(carried->left_out + i, carried->left_out + i + 1,
                (size_t)(carried->left_out_count - i) * sizeof *carried->left_out);
        return;
    }
}

void ecki_carried_clear(ecki_carried *carried)
{
    for (int64_t i = 0; i < carried->file_count; i++)
        ecki_free(carried->files[i]);
    for (int64_t i = 0; i < carried->left_out_count; i++)
        ecki_free(carried->left_out[i]);
    ecki_free(carried->files);
    ecki_free(carried->left_out);
    ecki_free(carried->config);
    memset(carried, 0, sizeof *carried);
}

/** True for what is no ordinary file of text size, or could not be given its name again. */
static bool keeps_nothing(const char *name, const struct stat *file)
{
    return !ecki_component_valid(name) || is_weight_file(name) || !S_ISREG(file->st_mode) ||
           file->st_size > file_limit;
}

/** What a path leads to. A link may lead to a file of the directory `root` or of its cache; what it leads to
 *  elsewhere, and every folder behind a link, counts as no file at all, since the directory may come from anybody. */
static eck_status look_at(struct stat *out, const char *path, const char *root, eck_error *err)
{
    if (lstat(path, out) != 0) return ecki_error_system(err, errno, "cannot look at", path);
    if (!S_ISLNK(out->st_mode)) return ECK_OK;
    if (stat(path, out) != 0) return ecki_error_system(err, errno, "cannot look at", path);
    if (!S_ISREG(out->st_mode) || !ecki_place_contained(path, root)) out->st_mode = S_IFLNK;
    return ECK_OK;
}

static eck_status walk(ecki_carried *out, const char *root, const char *prefix, int depth,
                       eck_error *err);

/** A subfolder goes along only if nothing in it would have to stay behind. */
static eck_status visit_folder(ecki_carried *out, const char *root, const char *relative, int depth,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_carried inner = { 0 };
    char *prefix = ecki_format("%s/", relative);

    ECK_HAVE(prefix);
    if (depth < DEPTH_MAX) ECK_TRY(walk(&inner, root, prefix, depth + 1, err));
    if (depth >= DEPTH_MAX || inner.left_out_count > 0) {
        ECK_TRY(append(&out->left_out, &out->left_out_count, ecki_strdup(prefix), err));
        goto done;
    }
    for (int64_t i = 0; i < inner.file_count; i++)
        ECK_TRY(append(&out->files, &out->file_count, ecki_strdup(inner.files[i]), err));
done:
    ecki_carried_clear(&inner);
    ecki_free(prefix);
    return status;
}

static eck_status visit(ecki_carried *out, const char *root, const char *prefix, const char *name,
                        int depth, eck_error *err)
{
    eck_status status = ECK_OK;
    struct stat file;
    char *relative = ecki_format("%s%s", prefix, name);
    char *path = ecki_format("%s/%s%s", root, prefix, name);

    ECK_HAVE(relative);
    ECK_HAVE(path);
    ECK_TRY(look_at(&file, path, root, err));
    if (S_ISDIR(file.st_mode) && ecki_component_valid(name)) {
        status = visit_folder(out, root, relative, depth, err);
    } else if (S_ISDIR(file.st_mode)) {
        status = append(&out->left_out, &out->left_out_count, ecki_format("%s/", relative), err);
    } else if (keeps_nothing(name, &file)) {
        status = append(&out->left_out, &out->left_out_count, ecki_strdup(relative), err);
    } else {
        status = append(&out->files, &out->file_count, ecki_strdup(relative), err);
    }
done:
    ecki_free(path);
    ecki_free(relative);
    return status;
}

/** Order of names, whatever the locale. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/** The names in a directory, sorted. */
static eck_status list_names(char ***names, int64_t *count, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    DIR *list = opendir(path);

    if (!list) return ecki_error_system(err, errno, "cannot list the directory", path);
    for (const struct dirent *entry; (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        ECK_TRY(append(names, count, ecki_strdup(entry->d_name), err));
    }
    if (*count > 0) qsort(*names, (size_t)*count, sizeof **names, compare_names);
done:
    closedir(list);
    return status;
}

static eck_status walk(ecki_carried *out, const char *root, const char *prefix, int depth,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = ecki_format("%s/%s", root, prefix), **names = NULL;
    int64_t count = 0;

    ECK_HAVE(path);
    ECK_TRY(list_names(&names, &count, path, err));
    for (int64_t i = 0; i < count; i++)
        ECK_TRY(visit(out, root, prefix, names[i], depth, err));
done:
    for (int64_t i = 0; i < count; i++)
        ecki_free(names[i]);
    ecki_free(names);
    ecki_free(path);
    return status;
}

eck_status ecki_carried_find(ecki_carried *out, const char *directory, eck_error *err)
{
    const eck_status status = walk(out, directory, "", 0, err);
    if (status != ECK_OK) ecki_carried_clear(out);
    return status;
}
