/**
 * Outputs that appear whole or not at all: a temporary file or directory beside the target, synced,
 * then one rename. On any failure, or a signal the host turns into cancelling, the temporary is
 * removed and the old output untouched. After SIGKILL a temporary stays; the next writer of the
 * same target removes it once it can take its lock.
 */
#ifndef ECKI_ATOMIC_H
#define ECKI_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** One file being written. */
typedef struct ecki_output ecki_output;

/** pwrite; retries short writes and EINTR. Thread-safe. */
eck_status ecki_output_write(ecki_output *output, int64_t offset, const void *bytes, int64_t count,
                             eck_error *err);

/** posix_fallocate of the whole file; ECK_E_IO "no space left" early. */
eck_status ecki_output_reserve(ecki_output *output, int64_t bytes, eck_error *err);

/** What an output is published as: one file, or a directory of files. */
typedef struct ecki_target ecki_target;

/**
 * path      the final name; its parent must exist
 * replace   an existing file, or a directory that holds `marker`, may be replaced; else
 * ECK_E_EXISTS (a directory without the marker is refused either way) inputs    paths the output
 * may not be (same device and inode, or inside): ECK_E_RANGE
 */
typedef struct ecki_target_options {
    const char *path;
    bool directory, replace;
    const char *marker; /**< "eckart.json" */
    const char *const *inputs;
    int64_t input_count;
} ecki_target_options;

eck_status ecki_target_create(ecki_target **out, const ecki_target_options *options,
                              eck_error *err);

/** A file in the target: name NULL for a one-file target. Borrowed until the target is freed. */
eck_status ecki_target_open(ecki_output **out, ecki_target *target, const char *name,
                            eck_error *err);

/** Path of what is being written, to read it before it is published. Borrowed until the target is
 * published or freed. */
const char *ecki_target_temporary(const ecki_target *target);

/** Copies a file of another directory into the target, mode 0666 less umask. */
eck_status ecki_target_copy(ecki_target *target, const char *name, const char *source_path,
                            eck_error *err);

/** fsync everything, then the one atomic step (renameat2 NOREPLACE, or EXCHANGE and removal of the
 * old), fsync of the parent. After it the target can only be freed. */
eck_status ecki_target_publish(ecki_target *target, eck_error *err);

/** Without publish: removes what was written. */
void ecki_target_free(ecki_target *target);

#endif
