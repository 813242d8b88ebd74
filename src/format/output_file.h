/**
 * One file being written, as atomic.h hands it out; only targets make and finish one.
 */
#ifndef ECKI_OUTPUT_FILE_H
#define ECKI_OUTPUT_FILE_H

#include <stdint.h>

#include "base/error.h"
#include "format/atomic.h"

struct ecki_output {
    ecki_output *next; /**< of the same target */
    int descriptor;
    char *name; /**< for messages */
    int64_t reserved; /**< size it must have at the end, -1 any */
};

/** An output over an open descriptor, which it owns from then on; ecki_output_close(). */
eck_status ecki_output_create(ecki_output **out, int descriptor, const char *name, eck_error *err);
void ecki_output_close(ecki_output *output);

/** Bytes that were written before. */
eck_status ecki_output_read(const ecki_output *output, int64_t offset, void *out, int64_t count,
                            eck_error *err);

/** Brings it to the disk and checks that nothing of it is missing. */
eck_status ecki_output_finish(const ecki_output *output, eck_error *err);

/** "cannot write '<path>': <detail>". */
eck_status ecki_write_error(eck_error *err, eck_status status, const char *path,
                            const char *detail);

/** "cannot write '<path>': <strerror>". */
eck_status ecki_write_failed(eck_error *err, int number, const char *path);

#endif
