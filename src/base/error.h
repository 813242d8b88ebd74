/**
 * Filling eck_error and leaving a function early. An error is filled where it happens, once, and
 * handed on unchanged.
 */
#ifndef ECKI_ERROR_H
#define ECKI_ERROR_H

#include "base/compiler.h"
#include "eckart/status.h"

/** Fills err (if any) with a message and returns status. offset -1: none. */
eck_status ecki_error(eck_error *err, eck_status status, int64_t offset, const char *format, ...)
    ECKI_PRINTF(4, 5);

/** Adds what the place that failed did not know, if it is not there yet; both may be NULL. Names
 * are escaped and shortened in the middle. A sentence without the names in quotes gets them in
 * front: "tensor 't' of 'f': ...". Returns status, so that it can close a function. */
eck_status ecki_error_where(eck_error *err, eck_status status, const char *file,
                            const char *tensor);

/** "not enough memory: N bytes". */
eck_status ecki_error_memory(eck_error *err, int64_t bytes);

/** "<action> '<file>': <strerror>" as ECK_E_IO, or ECK_E_EXISTS for EEXIST. number = errno. */
eck_status ecki_error_system(eck_error *err, int number, const char *action, const char *file);

/** Runs a call that returns eck_status; on failure sets `status` and goes to `done`. */
#define ECK_TRY(call) \
    do { \
        status = (call); \
        if (status != ECK_OK) goto done; \
    } while (0)

/** Fails with a message unless the condition holds: ECK_REQUIRE(n > 0, ECK_E_RANGE, -1, "rank %d",
 * n). */
#define ECK_REQUIRE(condition, code, offset, ...) \
    do { \
        if (!(condition)) { \
            status = ecki_error(err, code, offset, __VA_ARGS__); \
            goto done; \
        } \
    } while (0)

#endif
