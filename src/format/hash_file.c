/** Hashing a whole file through the descriptor the container holds, so that what is hashed is what is read. */
#include "format/hash_file.h"

#include <errno.h>
#include <unistd.h>

#include "base/memory.h"

enum { CHUNK = 1 << 18 };

static eck_status add_descriptor(ecki_hash *hash, const ecki_file *file, char *chunk,
                                 eck_error *err)
{
    for (int64_t at = 0; at < file->size;) {
        const ssize_t got = pread(file->descriptor, chunk, CHUNK, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ecki_error_system(err, errno, "cannot read", file->path);
        if (got == 0)
            return ecki_error_where(err,
                                    ecki_error(err, ECK_E_IO, at,
                                               "cannot read '%s': it shrank from %lld to %lld "
                                               "bytes while being read",
                                               file->path, (long long)file->size, (long long)at),
                                    file->path, NULL);
        ecki_hash_add(hash, chunk, got);
        at += got;
    }
    return ECK_OK;
}

eck_status ecki_file_hash(char hex[ECKI_HASH_HEX], const ecki_file *file, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_hash *hash = NULL;
    char *chunk = NULL;

    ECK_TRY(ecki_hash_create(&hash, err));
    ECK_ALLOC_RAW(chunk, CHUNK);
    if (file->descriptor >= 0)
        ECK_TRY(add_descriptor(hash, file, chunk, err));
    else
        ecki_hash_add(hash, file->memory, file->size);
    ecki_hash_hex(hash, hex);
done:
    ecki_free(chunk);
    ecki_hash_free(hash);
    return status;
}
