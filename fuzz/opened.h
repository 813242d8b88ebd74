/**
 * What all targets have in common: bytes as a file held in memory, opened by one reader.
 */
#ifndef OPENED_H
#define OPENED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/container.h"

/**
 * Opens the bytes as a file called `name`, reads every tensor, closes. Aborts if what is always true is not: an error
 * has words; tensors lie in what is held and are found by name; memory is bounded by `ratio` bytes for each of the file
 * and 2 MiB, and is all given back.
 */
void open_bytes(const ecki_reader *reader, const char *name, const uint8_t *bytes, size_t count,
                int64_t ratio);

/** What opening may hold: bytes for each of the file, and bytes for nothing. */
typedef struct memory_bound {
    int64_t ratio, floor;
} memory_bound;

/** The same for a reader whose matrices may have rows and columns that stand in no byte. */
void open_bytes_within(const ecki_reader *reader, const char *name, const uint8_t *bytes,
                       size_t count, memory_bound bound);

/** Aborts, saying what, if it is not so. */
void promise(bool kept, const char *what);

/** A container over one file in memory, of exactly its size, not read yet; ecki_container_close(). */
ecki_container *hold(const char *name, const uint8_t *bytes, size_t count);

/** What libFuzzer and the replay call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#endif
