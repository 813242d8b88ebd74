// The one door to the allocator. In front of every block lies its head, which remembers how long
// the block is and where the allocator's own block begins. Always true: payloads of LARGE bytes or
// more start on a cache line (BLAS and vector loads are faster there), smaller ones on 16 bytes as
// far as the allocator's do; `held` is the sum of the sizes asked of the allocator for blocks that
// live.
#include "base/memory.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"

enum { LINE = 64, LARGE = 512, PAGE = 4096, LARGE_PAGES = 1 << 22 };

typedef struct head {
    int64_t total; // bytes of the allocator's block
    int64_t before; // bytes from its begin to the payload
} head;

_Static_assert(sizeof(head) == 16,
               "payloads of small blocks start 16 bytes into the allocator's block");

static void *default_allocate(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes);
}

static void *default_reallocate(void *user, void *memory, size_t bytes)
{
    (void)user;
    return realloc(memory, bytes);
}

static void default_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static const eck_allocator default_allocator = { 1, default_allocate, default_reallocate,
                                                 default_release, NULL };

static eck_allocator allocator = { 1, default_allocate, default_reallocate, default_release, NULL };
static atomic_int_least64_t held;
static atomic_int_least64_t most_held;

static _Thread_local int64_t json_refused; // requests of the JSON reader on this thread

// jansson 2.14 copies a string up to its closing quote even if memory for that quote was refused (a string of 14, 30, ...
// bytes): quotes stand behind every block, where it then stops.
static void *json_allocate(size_t bytes)
{
    enum { QUOTES = 16 };
    char *memory = NULL;
    if (bytes <= INT64_MAX - QUOTES) memory = ecki_malloc((int64_t)bytes + QUOTES, 1);
    if (!memory) {
        json_refused++;
        return NULL;
    }
    memset(memory + bytes, '"', QUOTES);
    return memory;
}

int64_t ecki_json_refused(void)
{
    return json_refused;
}

eck_status eck_allocator_set(const eck_allocator *wanted)
{
    if (!wanted) {
        allocator = default_allocator;
        json_set_alloc_funcs(malloc, free);
        return ECK_OK;
    }
    if (!wanted->allocate || !wanted->reallocate || !wanted->release) return ECK_E_RANGE;
    allocator = *wanted;
    json_set_alloc_funcs(json_allocate, ecki_free);
    return ECK_OK;
}

void eck_text_free(char *text)
{
    ecki_free(text);
}

static void count_held(int64_t change)
{
    const int64_t now = atomic_fetch_add_explicit(&held, change, memory_order_relaxed) + change;
    int64_t most = atomic_load_explicit(&most_held, memory_order_relaxed);
    while (now > most && !atomic_compare_exchange_weak_explicit(
                             &most_held, &most, now, memory_order_relaxed, memory_order_relaxed)) {}
}

// Bytes to ask for so that a payload of `bytes` and its head fit wherever the block begins; false
// if too many.
static bool total_for(int64_t count, size_t size, int64_t *bytes_out, int64_t *total_out)
{
    int64_t bytes;
    if (count < 0 || size > INT64_MAX || __builtin_mul_overflow(count, (int64_t)size, &bytes))
        return false;
    const int64_t extra = (int64_t)sizeof(head) + (bytes < LARGE ? 0 : LINE);
    if (__builtin_add_overflow(bytes, extra, total_out) || *total_out > PTRDIFF_MAX) return false;
    *bytes_out = bytes;
    return true;
}

// Bytes from `begin` to where a payload of `bytes` goes.
static int64_t place_of_payload(const char *begin, int64_t bytes)
{
    if (bytes < LARGE) return (int64_t)sizeof(head);
    const uintptr_t least = (uintptr_t)begin + sizeof(head);
    return (int64_t)((least + LINE - 1) / LINE * LINE - (uintptr_t)begin);
}

static char *write_head(char *begin, int64_t total, int64_t before)
{
    const head written = { total, before };
    memcpy(begin + before - sizeof written, &written, sizeof written);
    return begin + before;
}

static head head_of(const void *payload)
{
    head read;
    memcpy(&read, (const char *)payload - sizeof read, sizeof read);
    return read;
}

// Asks for large pages where the system gives them on request only: matrices are walked across many pages, and
// looking these up can take longer than reading what is on them. Advice: a refusal changes nothing.
static void advise_large_pages(char *begin, int64_t total)
{
#if defined(MADV_HUGEPAGE)
    if (total < LARGE_PAGES || allocator.allocate != default_allocate) return;
    const uintptr_t first = ((uintptr_t)begin + PAGE - 1) / PAGE * PAGE;
    const uintptr_t end = ((uintptr_t)begin + (uintptr_t)total) / PAGE * PAGE;
    if (end > first) (void)madvise((void *)first, (size_t)(end - first), MADV_HUGEPAGE);
#else
    (void)begin;
    (void)total;
#endif
}

void *ecki_malloc(int64_t count, size_t size)
{
    int64_t bytes, total;
    if (!total_for(count, size, &bytes, &total)) return NULL;
    char *begin = allocator.allocate(allocator.user, (size_t)total);
    if (!begin) return NULL;
    advise_large_pages(begin, total);
    count_held(total);
    return write_head(begin, total, place_of_payload(begin, bytes));
}

void *ecki_calloc(int64_t count, size_t size)
{
    int64_t bytes, total;
    if (!total_for(count, size, &bytes, &total)) return NULL;
    // calloc knows which pages are zero already; another allocator has only `allocate`.
    const bool is_default = allocator.allocate == default_allocate;
    char *begin =
        is_default ? calloc(1, (size_t)total) : allocator.allocate(allocator.user, (size_t)total);
    if (!begin) return NULL;
    if (!is_default) memset(begin, 0, (size_t)total);
    advise_large_pages(begin, total);
    count_held(total);
    return write_head(begin, total, place_of_payload(begin, bytes));
}

// Moves the first `bytes` of a block into one of that size.
static void *shrink(void *memory, int64_t bytes)
{
    void *copy = ecki_malloc(bytes, 1);
    if (!copy) return NULL;
    memcpy(copy, memory, (size_t)bytes);
    ecki_free(memory);
    return copy;
}

void *ecki_realloc(void *memory, int64_t count, size_t size)
{
    if (!memory) return ecki_malloc(count, size);
    int64_t bytes, total;
    if (!total_for(count, size, &bytes, &total)) return NULL;
    const head old = head_of(memory);
    const int64_t old_room = old.total - old.before;
    if (bytes <= old_room && bytes > old_room / 2) return memory;
    if (bytes < old_room) return shrink(memory, bytes);
    char *begin = allocator.reallocate(allocator.user, (char *)memory - old.before, (size_t)total);
    if (!begin) return NULL;
    count_held(total - old.total);
    const int64_t before = place_of_payload(begin, bytes);
    if (before != old.before) memmove(begin + before, begin + old.before, (size_t)old_room);
    return write_head(begin, total, before);
}

void ecki_free(void *memory)
{
    if (!memory) return;
    const head old = head_of(memory);
    count_held(-old.total);
    allocator.release(allocator.user, (char *)memory - old.before);
}

char *ecki_strndup(const char *text, int64_t length)
{
    if (length < 0 || length == INT64_MAX) return NULL;
    char *copy = ecki_malloc(length + 1, 1);
    if (!copy) return NULL;
    if (length > 0) memcpy(copy, text, (size_t)length);
    copy[length] = '\0';
    return copy;
}

void *ecki_room_take(ecki_room *room, int64_t count, size_t size)
{
    const int64_t bytes = ecki_bytes_of(count, size);
    if (!room->memory || bytes > room->bytes) {
        ecki_room_clear(room);
        room->memory = ecki_malloc(count, size);
        room->bytes = room->memory ? bytes : 0;
    }
    return room->memory;
}

void ecki_room_clear(ecki_room *room)
{
    ecki_free(room->memory);
    *room = (ecki_room){ NULL, 0 };
}

char *ecki_strdup(const char *text)
{
    return ecki_strndup(text, (int64_t)strlen(text));
}

char *ecki_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = ecki_vformat(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : ecki_malloc((int64_t)length + 1, 1);
    if (!text) return NULL;
    va_start(arguments, format);
    ecki_vformat(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

int64_t ecki_bytes_of(int64_t count, size_t size)
{
    int64_t bytes;
    if (count < 0 || size > INT64_MAX || __builtin_mul_overflow(count, (int64_t)size, &bytes))
        return INT64_MAX;
    return bytes;
}

int64_t ecki_memory_now(void)
{
    return atomic_load_explicit(&held, memory_order_relaxed);
}

int64_t ecki_memory_peak(void)
{
    return atomic_load_explicit(&most_held, memory_order_relaxed);
}

void ecki_memory_reset_peak(void)
{
    atomic_store_explicit(&most_held, ecki_memory_now(), memory_order_relaxed);
}
