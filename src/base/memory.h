/**
 * The only place that asks for memory. All of it comes from the allocator set by
 * eck_allocator_set(); sizes are checked products of int64 counts.
 */
#ifndef ECKI_MEMORY_H
#define ECKI_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/context.h"

/** Zeroed; NULL when count * size overflows, is negative or cannot be had. count 0 gives a valid
 * pointer. */
void *ecki_calloc(int64_t count, size_t size);

/** Not zeroed, 64-byte aligned from 512 bytes on; as above. */
void *ecki_malloc(int64_t count, size_t size);
void *ecki_realloc(void *memory, int64_t count, size_t size);
void ecki_free(void *memory);

/** Copies, owned, ecki_free(); NULL when out of memory. */
char *ecki_strdup(const char *text);
char *ecki_strndup(const char *text, int64_t length);

/** Owned, ecki_free(); NULL when out of memory. */
char *ecki_format(const char *format, ...) ECKI_PRINTF(1, 2);

/** pointer = zeroed array of `count`; on failure status and goto done. */
#define ECK_ALLOC(pointer, count) \
    do { \
        const int64_t ecki_count_ = (count); \
        (pointer) = ecki_calloc(ecki_count_, sizeof *(pointer)); \
        if (!(pointer)) { \
            status = ecki_error_memory(err, ecki_bytes_of(ecki_count_, sizeof *(pointer))); \
            goto done; \
        } \
    } while (0)

/** For large blocks that are written before they are read. */
#define ECK_ALLOC_RAW(pointer, count) \
    do { \
        const int64_t ecki_count_ = (count); \
        (pointer) = ecki_malloc(ecki_count_, sizeof *(pointer)); \
        if (!(pointer)) { \
            status = ecki_error_memory(err, ecki_bytes_of(ecki_count_, sizeof *(pointer))); \
            goto done; \
        } \
    } while (0)

/** Fails as out of memory if the pointer is NULL. */
#define ECK_HAVE(pointer) \
    do { \
        if (!(pointer)) { \
            status = ecki_error_memory(err, -1); \
            goto done; \
        } \
    } while (0)

/** A block that is kept and used again, for work done many times over: pages fresh from the system are cleared first,
 *  which costs more than a read of them. */
typedef struct ecki_room {
    void *memory;
    int64_t bytes;
} ecki_room;

/** At least count * size bytes, not zeroed, as ecki_malloc(); what was in it is lost. NULL when they cannot be had. */
void *ecki_room_take(ecki_room *room, int64_t count, size_t size);
void ecki_room_clear(ecki_room *room);

/** count * size, saturated at INT64_MAX. */
int64_t ecki_bytes_of(int64_t count, size_t size);

/** Requests of the JSON reader on this thread that were refused so far. Its lexer goes on after
 * some of them with what it has, so that only a count that stayed the same makes its answer one. */
int64_t ecki_json_refused(void);

/** Bytes held now and the most ever held through this file, with 16 bytes a block and up to 80 from
 * 512 bytes on, for tests and the memory formula. */
int64_t ecki_memory_now(void);
int64_t ecki_memory_peak(void);
void ecki_memory_reset_peak(void);

#endif
