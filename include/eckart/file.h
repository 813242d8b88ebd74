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
