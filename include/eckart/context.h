/**
 * How to run, never what to compute: threads, memory, progress, cancelling, the allocator.
 */
#ifndef ECKART_CONTEXT_H
#define ECKART_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Borrowed during the call; NULL means ECK_CONTEXT_INIT everywhere. */
typedef struct eck_context {
    uint32_t version; /**< 1 */
    int32_t threads; /**< default 0: as many as the process may use */
    int64_t memory; /**< bytes held at most beyond the arguments; default 0: no limit */
    /** Called from one thread at a time, between panels; total 0: unknown. False cancels with
     * ECK_E_CANCELLED. */
    bool (*progress)(void *user, const char *what, int64_t done, int64_t total);
    void *user;
} eck_context;

#define ECK_CONTEXT_INIT \
    { \
        1, 0, 0, NULL, NULL \
    }

/** Where memory comes from. All three functions are needed and must be thread-safe. */
typedef struct eck_allocator {
    uint32_t version; /**< 1 */
    void *(*allocate)(void *user, size_t bytes);
    void *(*reallocate)(void *user, void *memory, size_t bytes);
    void (*release)(void *user, void *memory); /**< release(NULL) does nothing */
    void *user;
} eck_allocator;

/**
 * Replaces malloc for everything the library and its JSON reader (jansson, for the whole process)
 * hold. Call before any other function, once; NULL restores malloc. Not thread-safe.
 *
 * Errors   ECK_E_RANGE a function is missing
 */
ECK_API eck_status eck_allocator_set(const eck_allocator *allocator);

/** Frees text the library returned (`char *` outputs); NULL does nothing. */
ECK_API void eck_text_free(char *text);

/** "0.1.0"; static. */
ECK_API const char *eck_version(void);

/** Name, version and core of the linked BLAS as it describes itself, or "unknown"; static. */
ECK_API const char *eck_blas_description(void);

#ifdef __cplusplus
}
#endif
#endif
