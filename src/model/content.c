/**
 * Fingerprints: what a plan belongs to and what a cached spectrum belongs to is decided by bytes, never by names.
 */
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "format/hash_file.h"
#include "model/model.h"

enum { CHUNK = 1 << 18 }; // a thread

static eck_status tensor_hash(char hex[ECKI_HASH_HEX], const eck_model *model, int64_t index,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_hash *hash = NULL;
    char *chunk = NULL;
    const int64_t bytes = model->tensors[index].bytes;

    ECK_TRY(ecki_hash_create(&hash, err));
    ECK_ALLOC_RAW(chunk, CHUNK);
    for (int64_t at = 0; at < bytes; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, bytes - at);
        ECK_TRY(ecki_container_read(model->container, index, at, chunk, count, err));
        ecki_hash_add(hash, chunk, count);
    }
    ecki_hash_hex(hash, hex);
done:
    ecki_free(chunk);
    ecki_hash_free(hash);
    return status;
}

/** Tasks 0..files-1 hash files, the rest tensors. */
typedef struct hashing {
    const eck_model *model;
    const eck_context *context;
    ecki_content *content;
} hashing;

static eck_status hash_one(void *self, int64_t index, eck_error *err)
{
    const hashing *job = self;
    const ecki_container *container = job->model->container;
    const int64_t files = container->file_count;
    const eck_status status =
        ecki_progress(job->context, "reading", index, files + container->entry_count, err);

    if (status != ECK_OK) return status;
    if (index < files)
        return ecki_file_hash(job->content->files[index], &container->files[index], err);
    return tensor_hash(job->content->tensors[index - files], job->model, index - files, err);
}

/** The key under which the hashes of unchanged files are remembered. */
static eck_status memory_key(char hex[ECKI_HASH_HEX], const eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_hash *hash = NULL;

    ECK_TRY(ecki_hash_create(&hash, err));
    ecki_hash_add(hash, "content 3", 9);
    for (int32_t i = 0; i < model->container->file_count; i++) {
        const ecki_file *file = &model->container->files[i];
        const int64_t identity[] = { file->device, file->inode, file->size, file->modified_ns,
                                     file->changed_ns };
        ecki_hash_add(hash, identity, sizeof identity);
    }
    // An index may name other tensors of the same files.
    for (int64_t i = 0; i < model->container->entry_count; i++) {
        const ecki_entry *entry = &model->container->entries[i];
        const int64_t place[] = { entry->file, entry->offset, entry->bytes };
        ecki_hash_add(hash, place, sizeof place);
    }
    ecki_hash_hex(hash, hex);
done:
    ecki_hash_free(hash);
    return status;
}

/**
 * True if what is read now may be found again by the times of the files. A file that changed just now may change again
 * without a new time: the clocks of file systems are as coarse as two seconds.
 */
static bool rememberable(const eck_model *model)
{
    enum { COARSE = 2 };
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
    for (int32_t i = 0; i < model->container->file_count; i++) {
        const ecki_file *file = &model->container->files[i];
        if (file->descriptor < 0) return false;
        if (file->changed_ns / 1000000000 >= (int64_t)now.tv_sec - COARSE) return false;
    }
    return true;
}

static eck_status source_hash(ecki_content *content, const eck_model *model, eck_error *err)
{
    ecki_hash *hash = NULL;
    const eck_status status = ecki_hash_create(&hash, err);

    if (status != ECK_OK) return status;
    for (int32_t i = 0; i < model->container->file_count; i++)
        ecki_hash_add(hash, content->files[i], ECKI_HASH_HEX);
    ecki_hash_hex(hash, content->source);
    ecki_hash_free(hash);
    return ECK_OK;
}

void ecki_content_free(ecki_content *content)
{
    if (!content) return;
    ecki_free(content->files);
    ecki_free(content->tensors);
    ecki_free(content);
}

static eck_status content_create(ecki_content **out, const eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_content *content = NULL;

    ECK_ALLOC(content, 1);
    ECK_ALLOC(content->files, model->container->file_count);
    ECK_ALLOC(content->tensors, model->container->entry_count);
    *out = content;
    content = NULL;
done:
    ecki_content_free(content);
    return status;
}

/** Takes remembered hashes, if they have the right size. */
static bool recall(ecki_content *content, const eck_model *model, const char *bytes, int64_t count)
{
    const int64_t files = model->container->file_count * (int64_t)ECKI_HASH_HEX;
    const int64_t tensors = model->container->entry_count * (int64_t)ECKI_HASH_HEX;

    if (!bytes || count != files + tensors) return false;
    memcpy(content->files, bytes, (size_t)files);
    memcpy(content->tensors, bytes + files, (size_t)tensors);
    return true;
}

static eck_status remember(const ecki_content *content, const eck_model *model,
                           const ecki_cache *cache, const char *key, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t files = model->container->file_count * (int64_t)ECKI_HASH_HEX;
    const int64_t tensors = model->container->entry_count * (int64_t)ECKI_HASH_HEX;
    char *bytes = NULL;

    ECK_ALLOC_RAW(bytes, files + tensors);
    memcpy(bytes, content->files, (size_t)files);
    memcpy(bytes + files, content->tensors, (size_t)tensors);
    ECK_TRY(ecki_cache_put(cache, "content", key, bytes, files + tensors, err));
done:
    ecki_free(bytes);
    return status;
}

eck_status ecki_content_compute(ecki_content **out, const eck_model *model, const ecki_cache *cache,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_content *content = NULL;
    char *bytes = NULL;
    int64_t count = 0;
    char key[ECKI_HASH_HEX];
    const ecki_cache *memory = rememberable(model) ? cache : NULL;

    ECK_TRY(content_create(&content, model, err));
    ECK_TRY(memory_key(key, model, err));
    ECK_TRY(ecki_cache_get(&bytes, &count, memory, "content", key, err));
    if (!recall(content, model, bytes, count)) {
        hashing job = { model, context, content };
        ECK_TRY(ecki_parallel_for(model->container->file_count + model->container->entry_count,
                                  ecki_threads(context), hash_one, &job, err));
        ECK_TRY(remember(content, model, memory, key, err));
    }
    ECK_TRY(source_hash(content, model, err));
    *out = content;
    content = NULL;
done:
    ecki_free(bytes);
    ecki_content_free(content);
    return status;
}
