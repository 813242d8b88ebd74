/**
 * A directory of one test program's own, and files in it; and what an error must say.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eckart/status.h"

/** Makes and removes the directory: setup and teardown of the group. */
int scratch_setup(void **state);
int scratch_setup_on_disk(
    void **state); /**< not in memory: for large files, and for what a disk does */
int scratch_teardown(void **state);

/** "<directory>/<name>" by printf; one of sixteen buffers in turn. */
const char *scratch_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes, overwriting. */
void scratch_write(const char *path, const void *bytes, int64_t count);
void scratch_text(const char *path, const char *text);

/** Reads whole; owned, free(). Fails the test if there is none. */
char *scratch_read(const char *path, int64_t *count_out);

bool scratch_exists(const char *path);

/** Entries of a directory but "." and "..". */
int32_t scratch_entries(const char *path);

/** A safetensors file of this header and `count` bytes of data, byte i being i mod 251. */
void scratch_safetensors(const char *path, const char *header, int64_t count);

/** The status, the byte, and a part of the message; file must be named in both. */
void assert_error(const eck_error *err, eck_status status, int64_t offset, const char *part);

/** Opens a container, or fails the test with the error. */
struct ecki_container *scratch_open(const char *path);

/** The container is refused so. */
void assert_refused(const char *path, eck_status status, int64_t offset, const char *part);

#endif
