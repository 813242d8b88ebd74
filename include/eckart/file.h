/**
 * Writing arrays to files, whole or not at all.
 */
#ifndef ECKART_FILE_H
#define ECKART_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eck_named_array {
    const char *name;
    const eck_array *array; /**< borrowed; BF16 has no NumPy type and is refused in .npy and .npz */
} eck_named_array;

/**
 * Writes arrays as .npy (exactly one), .npz or .safetensors, by the path's ending; or .npy to
 * standard output for "-". Written to a temporary file in the same directory, synced, then renamed:
 * an old file stays until the new one is whole. replace  false: ECK_E_EXISTS if the path exists
 * Errors   ECK_E_EXISTS; ECK_E_IO (disk full, unwritable directory); ECK_E_RANGE ending or count;
 * ECK_E_UNSUPPORTED
 */
ECK_API eck_status eck_file_write_arrays(const char *path, const eck_named_array *arrays,
                                         int64_t count, bool replace, eck_error *err);

/** What an array will be whose numbers are to come. */
typedef struct eck_array_spec {
    const char *name;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
} eck_array_spec;

/** A file of arrays that is written in pieces, never held whole. Owned by the caller, eck_array_writer_free(). */
typedef struct eck_array_writer eck_array_writer;

/**
 * Lays a .npz or .safetensors file out and reserves its space; it appears when it is published, whole.
 * out      owned by the caller, eck_array_writer_free(), which removes what was not published
 * arrays   copied; types as the format has them
 * replace  false: ECK_E_EXISTS if the path exists
 * Errors   ECK_E_EXISTS; ECK_E_IO; ECK_E_RANGE ending or count; ECK_E_SHAPE; ECK_E_UNSUPPORTED a type the format lacks
 */
ECK_API eck_status eck_array_writer_create(eck_array_writer **out, const char *path,
                                           const eck_array_spec *arrays, int64_t count,
                                           bool replace, eck_error *err);

/** Bytes of array `index` from byte `offset` of it on: each once, in any order. Errors: ECK_E_RANGE; ECK_E_IO. */
ECK_API eck_status eck_array_writer_write(eck_array_writer *writer, int64_t index, int64_t offset,
                                          const void *bytes, int64_t count, eck_error *err);

/** Finishes and renames it; after that it can only be freed. Errors: ECK_E_RANGE bytes are missing; ECK_E_EXISTS;
 *  ECK_E_IO. Cost: an .npz is read once for its checksums. */
ECK_API eck_status eck_array_writer_publish(eck_array_writer *writer, eck_error *err);
ECK_API void eck_array_writer_free(eck_array_writer *writer);

/** Writes bytes the same way ("-": standard output). */
ECK_API eck_status eck_file_write(const char *path, const void *bytes, int64_t count, bool replace,
                                  eck_error *err);

/** Reads a small text file (plans, configuration), at most `limit` bytes; owned by the caller,
 * eck_text_free(). */
ECK_API eck_status eck_file_read(char **out, int64_t *length_out, const char *path, int64_t limit,
                                 eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
