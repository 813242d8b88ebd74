/**
 * The files of others: opened without waiting, regular or refused, read with pread and checked
 * against the size they have now. And the one form in which every reader of this folder says what
 * is wrong.
 */
#ifndef ECKI_INPUT_H
#define ECKI_INPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/format.h"

/** Where something is wrong: a file, a tensor in it (NULL or "": none) and a byte (-1: none). */
typedef struct ecki_place {
    const char *file, *tensor;
    int64_t offset;
} ecki_place;

/** "cannot read tensor '<tensor>' of '<file>': ...", names escaped; file and tensor go into err as
 * well. */
eck_status ecki_place_error(eck_error *err, eck_status status, ecki_place place, const char *format,
                            ...) ECKI_PRINTF(4, 5);

/** "cannot read '<file>': ..." */
eck_status ecki_read_error(eck_error *err, eck_status status, int64_t offset, const char *file,
                           const char *format, ...) ECKI_PRINTF(5, 6);

/** A file that is neither open nor held. */
#define ECKI_FILE_NONE ((ecki_file){ .descriptor = -1 })

/**
 * Opens a regular file; symbolic links are followed.
 * out    owned by the caller, ecki_input_close()
 * path   to open; name: what messages and users call it
 * Errors ECK_E_IO, also for directories, FIFOs, sockets and devices; ECK_E_NOMEM
 */
eck_status ecki_input_open(ecki_file *out, const char *path, const char *name, eck_error *err);

/** As ecki_input_open, for one file of a directory: a symbolic link may not leave it, but for the
 * blobs of a Hugging Face cache whose snapshot the directory is. name: one path component, or several. */
eck_status ecki_input_open_in(ecki_file *out, const char *directory, const char *name,
                              eck_error *err);

/** Closes, frees, and leaves ECKI_FILE_NONE. */
void ecki_input_close(ecki_file *file);

/** Bytes [offset, offset+count). ECK_E_IO if they are not all there or the file's size is not what
 * it was. Thread-safe. tensor: for the message, or NULL. */
eck_status ecki_input_read(const ecki_file *file, const char *tensor, int64_t offset, void *out,
                           int64_t count, eck_error *err);

/** ECK_E_IO if size, modification time or inode are not as when opened. */
eck_status ecki_input_unchanged(const ecki_file *file, eck_error *err);

/** Reads a descriptor to its end, at most `limit` bytes; out owned, ecki_free(), with a NUL behind
 * the last byte. */
eck_status ecki_input_drain(char **out, int64_t *length_out, int descriptor, const char *name,
                            int64_t limit, eck_error *err);

/** ECK_E_FORMAT with advice if the bytes are a git-lfs pointer. */
eck_status ecki_input_check_pointer(const char *head, int64_t length, const char *name,
                                    eck_error *err);

/** True if what `path` leads to lies in the directory, or in the blobs of the cache whose snapshot it is. */
bool ecki_place_contained(const char *path, const char *directory);

/** Where an open descriptor really lies, without links; false if the system will not say. */
bool ecki_real_place(char out[PATH_MAX], int descriptor);

/** "<directory>/<name>", owned, ecki_free(); NULL when out of memory. */
char *ecki_path_join(const char *directory, const char *name);

#endif
