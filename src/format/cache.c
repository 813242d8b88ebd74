/**
 * The blob store behind curves and factors that are never computed twice. Every file is written under another name and
 * renamed, and carries the hash of its content, so that a torn or foreign file reads as absent.
 */
#include "format/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"
#include "eckart/file.h"
#include "format/json.h"

enum { DIGITS = ECKI_HASH_HEX - 1 };
static const int64_t spare_bytes = INT64_C(1) << 30;
static const int64_t blob_limit = INT64_C(1) << 36;

struct ecki_cache {
    char *dir;
};

/** One blob on disk, for making room. */
typedef struct blob_file {
    char *path;
    int64_t bytes;
    struct timespec used;
} blob_file;

typedef struct blob_list {
    blob_file *files;
    int64_t count, room, bytes;
} blob_list;

static void blob_list_clear(blob_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        ecki_free(list->files[i].path);
    ecki_free(list->files);
}

static eck_status blob_list_add(blob_list *list, const FTSENT *entry, eck_error *err)
{
    eck_status status = ECK_OK;

    if (list->count == list->room) {
        const int64_t room = list->room ? 2 * list->room : 64;
        blob_file *files = ecki_realloc(list->files, room, sizeof *files);
        ECK_HAVE(files);
        list->files = files;
        list->room = room;
    }
    blob_file *file = &list->files[list->count];
    file->path = ecki_strdup(entry->fts_path);
    ECK_HAVE(file->path);
    file->bytes = entry->fts_statp->st_size;
    file->used = entry->fts_statp->st_mtim;
    list->bytes += file->bytes;
    list->count++;
done:
    return status;
}

static eck_status blob_list_read(blob_list *list, char *dir, eck_error *err)
{
    eck_status status = ECK_OK;
    char *const roots[] = { dir, NULL };
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (!walk) return ECK_OK;
    for (FTSENT *entry = fts_read(walk); entry; entry = fts_read(walk))
        if (entry->fts_info == FTS_F && entry->fts_namelen == DIGITS)
            ECK_TRY(blob_list_add(list, entry, err));
done:
    fts_close(walk);
    return status;
}

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const blob_file *)a)->used, *y = &((const blob_file *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/** Removes the blobs not used for longest until half the limit is left. */
static eck_status make_room(const ecki_cache *cache, eck_error *err)
{
    eck_status status = ECK_OK;
    blob_list list = { 0 };

    ECK_TRY(blob_list_read(&list, cache->dir, err));
    if (list.bytes <= ECKI_CACHE_LIMIT) goto done;
    qsort(list.files, (size_t)list.count, sizeof *list.files, by_use);
    for (int64_t i = 0; i < list.count && list.bytes > ECKI_CACHE_LIMIT / 2; i++) {
        if (unlink(list.files[i].path) == 0) list.bytes -= list.files[i].bytes;
    }
done:
    blob_list_clear(&list);
    return status;
}

/** mkdir -p; true if the directory is there. */
static bool make_directories(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        const bool failed = mkdir(path, 0777) != 0 && errno != EEXIST;
        *p = '/';
        if (failed) return false;
    }
    if (mkdir(path, 0777) == 0) return true;
    struct stat about;
    if (errno != EEXIST || stat(path, &about) != 0) return false;
    errno = ENOTDIR;
    return S_ISDIR(about.st_mode);
}

eck_status ecki_cache_open(ecki_cache **out, const char *dir, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cache *cache = NULL;

    if (!dir) {
        *out = NULL;
        return ECK_OK;
    }
    ECK_REQUIRE(dir[0], ECK_E_RANGE, -1, "the cache directory has no name");
    ECK_ALLOC(cache, 1);
    cache->dir = ecki_strdup(dir);
    ECK_HAVE(cache->dir);
    if (!make_directories(cache->dir)) {
        status = ecki_error_system(err, errno, "cannot make the cache directory", dir);
        goto done;
    }
    ECK_TRY(make_room(cache, err));
    *out = cache;
    cache = NULL;
done:
    ecki_cache_close(cache);
    return status;
}

void ecki_cache_close(ecki_cache *cache)
{
    if (!cache) return;
    ecki_free(cache->dir);
    ecki_free(cache);
}

static char *blob_path(const ecki_cache *cache, const char *kind, const char *key)
{
    return ecki_format("%s/%s/%.2s/%s", cache->dir, kind, key, key);
}

static eck_status hash_of(char hex[ECKI_HASH_HEX], const void *bytes, int64_t count, eck_error *err)
{
    ecki_hash *hash = NULL;
    const eck_status status = ecki_hash_create(&hash, err);
    if (status != ECK_OK) return status;
    ecki_hash_add(hash, bytes, count);
    ecki_hash_hex(hash, hex);
    ecki_hash_free(hash);
    return ECK_OK;
}

eck_status ecki_cache_get(char **bytes_out, int64_t *count_out, const ecki_cache *cache,
                          const char *kind, const char *key, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL, *bytes = NULL;
    int64_t count = 0;
    char hex[ECKI_HASH_HEX];
    eck_error absent = ECK_ERROR_INIT;

    *bytes_out = NULL;
    *count_out = 0;
    if (!cache) return ECK_OK;
    path = blob_path(cache, kind, key);
    ECK_HAVE(path);
    if (ecki_read_file(&bytes, &count, path, blob_limit, &absent) != ECK_OK) goto done;
    if (count < DIGITS) goto done;
    ECK_TRY(hash_of(hex, bytes, count - DIGITS, err));
    if (memcmp(hex, bytes + count - DIGITS, DIGITS) != 0) goto done;
    utimensat(AT_FDCWD, path, NULL, 0); // used now: the last to go
    *bytes_out = bytes;
    *count_out = count - DIGITS;
    bytes = NULL;
done:
    ecki_free(bytes);
    ecki_free(path);
    return status;
}

static bool has_room(const char *dir, int64_t count)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) != 0) return false;
    return (double)disk.f_bavail * (double)disk.f_frsize > (double)count + (double)spare_bytes;
}

eck_status ecki_cache_put(const ecki_cache *cache, const char *kind, const char *key,
                          const void *bytes, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL, *content = NULL;
    eck_error ignored = ECK_ERROR_INIT;

    if (!cache || !has_room(cache->dir, count)) return ECK_OK;
    path = blob_path(cache, kind, key);
    ECK_HAVE(path);
    ECK_ALLOC_RAW(content, count + ECKI_HASH_HEX);
    memcpy(content, bytes, (size_t)count);
    ECK_TRY(hash_of(content + count, bytes, count, err));
    char *slash = strrchr(path, '/');
    *slash = '\0';
    const bool made = make_directories(path);
    *slash = '/';
    if (made) eck_file_write(path, content, count + DIGITS, true, &ignored);
done:
    ecki_free(content);
    ecki_free(path);
    return status;
}
