/**
 * Bytes <-> named tensors. A container is an index of tensors over one or more open files; opening
 * reads indexes only, numbers come by ecki_container_read(), with pread, checked against the size
 * the file has now.
 *
 * No mathematics here: format never meets linalg.
 */
#ifndef ECKI_FORMAT_H
#define ECKI_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/array.h"
#include "tensor/compressed.h"

/** One tensor in a container; strings borrowed from it. */
typedef struct ecki_entry {
    const char
        *name; /**< unique, valid (ecki_name_valid), "" only for the one array of npy or csv */
    int32_t file; /**< index into files */
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    bool fortran_order; /**< the bytes are column-major (npy) */
    bool swapped; /**< the bytes are big-endian (npy) */
    int64_t offset; /**< of the first byte in the file, or in `inflated` */
    int64_t bytes;
} ecki_entry;

typedef struct ecki_file {
    char *name; /**< relative to the container's directory, or the path as given */
    char *path; /**< to open it again */
    int descriptor; /**< -1: no file (standard input, inflated) */
    int64_t size; /**< when opened */
    int64_t device, inode, modified_ns;
    int64_t changed_ns; /**< content or anything about it: nobody can set this one back */
    void *memory; /**< if not NULL, offsets of entries count here and not in the file: standard
                     input, the numbers of a csv, an inflated npz member */
} ecki_file;

/** The matrix of a container that holds one sparse matrix and nothing else. */
typedef struct ecki_sparse {
    ecki_lines rows, cols;
    bool symmetric; /**< the file says so */
} ecki_sparse;

/** What readers of a container add up, from any thread. */
typedef struct ecki_tally {
    _Atomic int64_t bytes; /**< of tensors, from files and memory, since it was opened */
} ecki_tally;

typedef struct ecki_container {
    const char *format; /**< "safetensors", "npy", "npz", "csv", "mtx", "onnx", "torch"; static */
    char *path; /**< as given */
    bool directory;
    ecki_file *files;
    int32_t file_count;
    ecki_entry *entries;
    int64_t entry_count; /**< in the order of the file(s), shards in order of their names */
    char **metadata;
    int64_t metadata_count; /**< key, value, key, value, ...: safetensors __metadata__ of the first
                               file */
    char **warnings;
    int64_t warning_count;
    void *arena; /**< owns strings */
    int64_t *by_name; /**< entries in order of their names */
    ecki_sparse *
        sparse; /**< if not NULL, entry 0 is this matrix, and reading its bytes gives the dense one */
    const char
        *key; /**< of a checkpoint: what to read of it, borrowed while it is opened; or NULL */
    struct ecki_onnx *onnx; /**< the graph of an .onnx file, or NULL; owned */
    ecki_tally *tally;
} ecki_container;

/**
 * Opens by probing content, not the name: npy, npz (zip), safetensors, mtx, onnx, torch, csv (by ending), "-"
 * (standard input). A directory: `eckart.safetensors[.index.json]` if there, else
 * `model.safetensors[.index.json]`. Errors   every hazard of docs/formats/README.md; message names
 * file, tensor, found, allowed; offset = byte
 */
eck_status ecki_container_open(ecki_container **out, const char *path, eck_error *err);

/** As ecki_container_open(). key: of a checkpoint of PyTorch, the dotted key of the dictionary to read; NULL: found. */
eck_status ecki_container_open_key(ecki_container **out, const char *path, const char *key,
                                   eck_error *err);
void ecki_container_close(ecki_container *container);

/** Index of a tensor by name, -1 none. O(log n). */
int64_t ecki_container_find(const ecki_container *container, const char *name);

/** Bytes [offset, offset+count) of a tensor. A short read or a file that changed size is ECK_E_IO.
 * Thread-safe. */
eck_status ecki_container_read(const ecki_container *container, int64_t entry, int64_t offset,
                               void *out, int64_t count, eck_error *err);

/** Re-stats every file: size, modification time and inode as when opened, else ECK_E_IO naming it
 * ("changed while being read"). Called before an output is published. */
eck_status ecki_container_unchanged(const ecki_container *container, eck_error *err);

/** Turns `count` elements of a swapped entry into the order of this machine, in place; unaligned
 * allowed. */
void ecki_swap_bytes(void *bytes, int64_t count, eck_dtype dtype);

/** The value of a metadata key, or NULL. */
const char *ecki_container_metadata(const ecki_container *container, const char *key);

#endif
