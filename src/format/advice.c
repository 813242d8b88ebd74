/*
 * What to say when there is nothing to open: people pass hub names, cache roots and clones without
 * their large files. Every sentence ends in something that can be done.
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

enum { COMMIT_MAX = 128 };

/** True if `path` has a directory `name`, or is one where that is "". */
static bool has_directory(const char *path, const char *name)
{
    struct stat info;
    char *whole = ecki_path_join(path, name);
    const bool found = whole && stat(whole, &info) == 0 && S_ISDIR(info.st_mode);
    ecki_free(whole);
    return found;
}

/** True for "organisation/name", as models are called on the hub, where no such directory is meant.
 */
static bool is_hub_name(const char *path)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    static const char *const endings[] = { ".safetensors", ".json", ".npy", ".npz",  ".csv",
                                           ".bin",         ".pt",   ".pth", ".onnx", ".mtx" };
    const size_t first = strspn(path, allowed);
    if (first == 0 || path[first] != '/' || path[0] == '.') return false;
    const size_t second = strspn(path + first + 1, allowed);
    if (second == 0 || path[first + 1] == '.' || path[first + 1 + second] != '\0') return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ecki_ends_with(path, endings[i])) return false;
    char *organisation = ecki_strndup(path, (int64_t)first);
    const bool is_here = organisation && has_directory(organisation, "");
    ecki_free(organisation);
    return !is_here;
}

/** "<root>/snapshots/<commit>" of a model in the cache, by refs/main; owned, NULL if there is none.
 */
static char *find_snapshot(const char *root)
{
    char *reference = ecki_path_join(root, "refs/main"), *commit = NULL, *snapshot = NULL;
    int64_t length = 0;
    if (reference && ecki_read_file(&commit, &length, reference, COMMIT_MAX, NULL) == ECK_OK) {
        while (length > 0 && strchr(" \r\n", commit[length - 1]))
            commit[--length] = '\0';
        if (ecki_component_valid(commit)) snapshot = ecki_format("%s/snapshots/%s", root, commit);
    }
    struct stat info;
    if (snapshot && (stat(snapshot, &info) != 0 || !S_ISDIR(info.st_mode))) {
        ecki_free(snapshot);
        snapshot = NULL;
    }
    ecki_free(reference);
    ecki_free(commit);
    return snapshot;
}

/** Directory of the hub's cache, as its own tools find it; owned, NULL if there is no telling. */
static char *cache_directory(void)
{
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    if (cache && *cache) return ecki_strdup(cache);
    if (home && *home) return ecki_path_join(home, "hub");
    return user && *user ? ecki_path_join(user, ".cache/huggingface/hub") : NULL;
}

/** Where a hub name lies in the cache; owned, NULL if it does not. */
static char *find_cached(const char *name)
{
    char *cache = cache_directory(), *snapshot = NULL;
    const char *slash = strchr(name, '/');
    char *root =
        cache ? ecki_format("%s/models--%.*s--%s", cache, (int)(slash - name), name, slash + 1)
              : NULL;
    if (root) snapshot = find_snapshot(root);
    ecki_free(cache);
    ecki_free(root);
    return snapshot;
}

eck_status ecki_missing_error(eck_error *err, int number, const char *path)
{
    if (number != ENOENT || !is_hub_name(path))
        return ecki_error_where(err, ecki_error_system(err, number, "cannot read", path), path,
                                NULL);
    char *snapshot = find_cached(path);
    if (snapshot)
        ecki_read_error(err, ECK_E_IO, -1, path,
                        "no such file; the hub's model of that name lies in '%s'", snapshot);
    else
        ecki_read_error(err, ECK_E_IO, -1, path,
                        "no such file; a model of the hub is downloaded first: 'hf download %s' "
                        "prints the directory "
                        "to pass",
                        path);
    ecki_free(snapshot);
    return ECK_E_IO;
}

/** The first entry, in order of name, for which `wanted` is true; owned, NULL if there is none. */
static char *first_entry(const char *directory, bool (*wanted)(const char *name))
{
    char *best = NULL;
    DIR *list = opendir(directory);
    for (const struct dirent *entry; list && (entry = readdir(list));) {
        if (!wanted(entry->d_name) || (best && strcmp(best, entry->d_name) <= 0)) continue;
        ecki_free(best);
        best = ecki_strdup(entry->d_name);
    }
    if (list) closedir(list);
    return best;
}

/** True for a model in the hub's cache. */
static bool is_cached_model(const char *name)
{
    return strncmp(name, "models--", 8) == 0;
}

/** True for a file that can be named. */
static bool is_readable(const char *name)
{
    return name[0] != '.' && (ecki_ends_with(name, ".safetensors") ||
                              ecki_ends_with(name, ".onnx") || ecki_ends_with(name, ".bin") ||
                              ecki_ends_with(name, ".pt") || ecki_ends_with(name, ".pth"));
}

/** True for weights in a format that is not read. */
static bool is_other_weights(const char *name)
{
    return ecki_ends_with(name, ".gguf") || ecki_ends_with(name, ".h5");
}

eck_status ecki_nothing_error(eck_error *err, const char *directory)
{
    static const char nothing[] =
        "neither 'eckart.safetensors' nor 'model.safetensors' nor an index of shards in it";
    char *model = first_entry(directory, is_cached_model), *snapshot = NULL;
    char *file = first_entry(directory, is_readable),
         *other = first_entry(directory, is_other_weights);
    char *root = model ? ecki_path_join(directory, model) : NULL;
    const bool is_model = has_directory(directory, "snapshots") && has_directory(directory, "refs");

    if (is_model || root) snapshot = find_snapshot(is_model ? directory : root);
    eck_status status;
    if (snapshot)
        status = ecki_read_error(err, ECK_E_IO, -1, directory,
                                 "it is a cache of the hub; pass a snapshot in it: '%s'", snapshot);
    else if (is_model || root)
        status = ecki_read_error(
            err, ECK_E_IO, -1, directory,
            "it is a cache of the hub; pass a directory '<model>/snapshots/<commit>' of it");
    else if (file)
        status = ecki_read_error(err, ECK_E_IO, -1, directory, "%s; name a file, such as '%s'",
                                 nothing, file);
    else if (other)
        status = ecki_read_error(err, ECK_E_UNSUPPORTED, -1, directory,
                                 "%s; '%s' is of a format that is not read", nothing, other);
    else
        status = ecki_read_error(err, ECK_E_IO, -1, directory, "%s", nothing);
    ecki_free(model);
    ecki_free(snapshot);
    ecki_free(file);
    ecki_free(other);
    ecki_free(root);
    return status;
}
