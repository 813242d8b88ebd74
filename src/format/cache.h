/**
 * Blobs by key in a directory, for results that are costly to compute again. A blob is a hint: absent, damaged or
 * unwritable ones are no failure of the work, and the directory may be deleted at any time.
 *
 *   DIR/<kind>/<first two digits of key>/<key>   content, then 64 hexadecimal digits of its SHA-256
 */
#ifndef ECKI_CACHE_H
#define ECKI_CACHE_H

#include <stdint.h>

#include "base/error.h"

typedef struct ecki_cache ecki_cache;

/** dir NULL: *out = NULL, and every call on a NULL cache does nothing and finds nothing. When the directory holds more
 *  than ECKI_CACHE_LIMIT bytes, the blobs not used for longest go until half of it is left. */
eck_status ecki_cache_open(ecki_cache **out, const char *dir, eck_error *err);
void ecki_cache_close(ecki_cache *cache);

#define ECKI_CACHE_LIMIT (INT64_C(20) << 30)

/** *bytes_out NULL when absent or damaged; owned by the caller, ecki_free(). */
eck_status ecki_cache_get(char **bytes_out, int64_t *count_out, const ecki_cache *cache,
                          const char *kind, const char *key, eck_error *err);

/** Stores a blob unless that would leave less than a gigabyte of the disk free. Only running out of memory is reported.
 *  Thread-safe. */
eck_status ecki_cache_put(const ecki_cache *cache, const char *kind, const char *key,
                          const void *bytes, int64_t count, eck_error *err);

#endif
