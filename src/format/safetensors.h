/**
 * safetensors, one file.
 *
 *   1. u64 little-endian N, at most 100,000,000
 *   2. N bytes of UTF-8 JSON: {"<name>": {"dtype","shape","data_offsets":[begin,end]}, ...,
 * "__metadata__": {str: str}}
 *   3. data to the end of the file; offsets relative to 8 + N; no holes, no overlaps, no trailing
 * bytes
 *
 * The writer knows names, types and shapes before any number: it lays out, then takes bytes in any
 * order.
 */
#ifndef ECKI_SAFETENSORS_H
#define ECKI_SAFETENSORS_H

#include "base/error.h"
#include "format/atomic.h"
#include "format/format.h"

/** Appends the tensors of one file to a container that already holds it as files[file]. */
eck_status ecki_safetensors_index(ecki_container *container, int32_t file, eck_error *err);

typedef struct ecki_tensor_spec {
    const char *name;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
} ecki_tensor_spec;

/**
 * What a file will hold.
 * metadata  key, value, key, value, ...; {"format":"pt"} is added unless "format" is given
 * reserved  bytes of header kept free for ecki_safetensors_writer_metadata(), filled with spaces
 */
typedef struct ecki_safetensors_layout {
    const ecki_tensor_spec *tensors;
    int64_t count;
    const char *const *metadata;
    int64_t metadata_count;
    int64_t reserved;
} ecki_safetensors_layout;

typedef struct ecki_safetensors_writer ecki_safetensors_writer;

/**
 * Lays out a file: tensors by type in the order of the reference writer (falling alignment), then
 * name; metadata sorted by key. Space for the whole file is reserved at once, so that a full disk
 * shows early.
 *
 * out      owned by the caller, ecki_safetensors_writer_free()
 * output   open, empty; borrowed until the writer is freed
 * layout   copied
 */
eck_status ecki_safetensors_writer_create(ecki_safetensors_writer **out, ecki_output *output,
                                          const ecki_safetensors_layout *layout, eck_error *err);

/** Bytes of tensor `index` (as given to create) from `offset` on. Thread-safe for different ranges.
 */
eck_status ecki_safetensors_writer_write(ecki_safetensors_writer *writer, int64_t index,
                                         int64_t offset, const void *bytes, int64_t count,
                                         eck_error *err);

/** Adds one metadata pair before finish, within what was reserved. */
eck_status ecki_safetensors_writer_metadata(ecki_safetensors_writer *writer, const char *key,
                                            const char *value, eck_error *err);

/** Writes the header and checks that every byte of every tensor was written once. */
eck_status ecki_safetensors_writer_finish(ecki_safetensors_writer *writer, eck_error *err);
void ecki_safetensors_writer_free(ecki_safetensors_writer *writer);

#endif
