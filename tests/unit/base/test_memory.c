// Blocks of every size class are zeroed, aligned, grown and counted; the allocator of the host is
// asked for everything.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"

static void every_size(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    for (int64_t bytes = 0; bytes < 3000; bytes += 7) {
        unsigned char *const zeroed = ecki_calloc(bytes, 1);
        unsigned char *const raw = ecki_malloc(bytes, 1);
        assert_true(zeroed && raw);
        assert_int_equal((uintptr_t)raw % 16, 0);
        if (bytes >= 512) assert_int_equal((uintptr_t)zeroed % 64, 0);
        if (bytes >= 512) assert_int_equal((uintptr_t)raw % 64, 0);
        for (int64_t i = 0; i < bytes; i++)
            assert_int_equal(zeroed[i], 0);
        memset(raw, 0xa5, (size_t)bytes); // the sanitizers watch the ends
        assert_true(ecki_memory_now() >= before + 2 * bytes);
        ecki_free(zeroed);
        ecki_free(raw);
    }
    assert_true(ecki_memory_now() == before);
}

static unsigned char pattern(int64_t i)
{
    return (unsigned char)(i * 37 + 11);
}

// Changes a block's size and checks that what both sizes share is kept.
static unsigned char *resize(unsigned char *block, int64_t from, int64_t to)
{
    block = ecki_realloc(block, to, 1);
    assert_non_null(block);
    if (to >= 512) assert_int_equal((uintptr_t)block % 64, 0);
    for (int64_t i = 0; i < from && i < to; i++)
        assert_int_equal(block[i], pattern(i));
    for (int64_t i = from; i < to; i++)
        block[i] = pattern(i);
    return block;
}

static void growing_and_shrinking(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    const int64_t sizes[] = { 0,      1,     15,    16,  17,  511, 512, 513, 600, 4096,
                              100000, 50001, 50000, 700, 512, 511, 100, 3,   0,   2000000 };
    const int count = sizeof sizes / sizeof sizes[0];
    unsigned char *block = NULL;
    int64_t size = 0;
    for (int i = 0; i < count; i++) {
        block = resize(block, size, sizes[i]);
        size = sizes[i];
    }
    // Between all pairs, with neighbours that force blocks to move.
    for (int i = 0; i < count * count; i++) {
        void *const neighbour = ecki_malloc(sizes[i % count] + 1, 1);
        const int64_t to = sizes[(i / count + i) % count];
        block = resize(block, size, to);
        size = to;
        ecki_free(neighbour);
    }
    ecki_free(block);
    assert_true(ecki_memory_now() == before);
}

static void impossible_sizes(void **state)
{
    (void)state;
    assert_null(ecki_malloc(-1, 1));
    assert_null(ecki_calloc(INT64_MAX, 2));
    assert_null(ecki_calloc(INT64_C(1) << 62, 8));
    assert_null(ecki_malloc(INT64_MAX, 1)); // the head does not fit any more
    assert_null(ecki_malloc(INT64_MAX - 32, 1));
    assert_null(ecki_malloc(1, SIZE_MAX));
    assert_null(ecki_strndup("x", INT64_MAX));
    assert_null(ecki_strndup("x", -1));
    char *const block = ecki_strdup("kept");
    assert_null(ecki_realloc(block, INT64_MAX, 8));
    assert_string_equal(block, "kept");
    ecki_free(block);
    assert_true(ecki_bytes_of(INT64_MAX, 2) == INT64_MAX);
    assert_true(ecki_bytes_of(-1, 2) == INT64_MAX);
    assert_true(ecki_bytes_of(6, 7) == 42);
}

static void peak(void **state)
{
    (void)state;
    ecki_memory_reset_peak();
    const int64_t before = ecki_memory_now();
    assert_true(ecki_memory_peak() == before);
    void *const block = ecki_malloc(1000000, 1);
    ecki_free(block);
    assert_true(ecki_memory_now() == before);
    // The head and the way to a cache line: at most 80 bytes.
    assert_in_range(ecki_memory_peak() - before, 1000000, 1000080);
    ecki_memory_reset_peak();
    assert_true(ecki_memory_peak() == before);
}

static void texts(void **state)
{
    (void)state;
    char *const copy = ecki_strdup("abc");
    char *const part = ecki_strndup("abcdef", 4);
    char *const made = ecki_format("%s-%05d-%g", "shard", 7, 0.5);
    assert_string_equal(copy, "abc");
    assert_string_equal(part, "abcd");
    assert_string_equal(made, "shard-00007-0.5");
    ecki_free(copy);
    ecki_free(part);
    ecki_free(made);
}

typedef struct tally {
    int64_t allocated, reallocated, released;
} tally;

static void *tally_allocate(void *user, size_t bytes)
{
    ((tally *)user)->allocated++;
    void *const block = malloc(bytes);
    if (block) memset(block, 0xee, bytes); // so that zeroing must be done
    return block;
}

static void *tally_reallocate(void *user, void *memory, size_t bytes)
{
    ((tally *)user)->reallocated++;
    return realloc(memory, bytes);
}

static void tally_release(void *user, void *memory)
{
    ((tally *)user)->released += memory != NULL;
    free(memory);
}

static void allocator_of_the_host(void **state)
{
    (void)state;
    tally seen = { 0, 0, 0 };
    const eck_allocator mine = { 1, tally_allocate, tally_reallocate, tally_release, &seen };
    assert_int_equal(eck_allocator_set(&mine), ECK_OK);
    char *block = ecki_calloc(100, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(block[i], 0);
    block = ecki_realloc(block, 10000, 1);
    ecki_free(block);
    assert_true(seen.allocated == 1 && seen.reallocated == 1 && seen.released == 1);

    json_t *const document = json_loads("{\"a\": [1, 2.5, \"text\"]}", 0, NULL);
    assert_non_null(document);
    assert_true(seen.allocated > 5);
    json_decref(document);
    assert_true(seen.allocated == seen.released);
    assert_int_equal(eck_allocator_set(NULL), ECK_OK);

    const int64_t before = seen.allocated;
    ecki_free(ecki_malloc(10, 1));
    json_decref(json_loads("[1]", 0, NULL));
    assert_true(seen.allocated == before);
}

static void incomplete_allocators(void **state)
{
    (void)state;
    const eck_allocator none = { 1, NULL, tally_reallocate, tally_release, NULL };
    const eck_allocator no_reallocate = { 1, tally_allocate, NULL, tally_release, NULL };
    const eck_allocator no_release = { 1, tally_allocate, tally_reallocate, NULL, NULL };
    assert_int_equal(eck_allocator_set(&none), ECK_E_RANGE);
    assert_int_equal(eck_allocator_set(&no_reallocate), ECK_E_RANGE);
    assert_int_equal(eck_allocator_set(&no_release), ECK_E_RANGE);
    ecki_free(ecki_malloc(1, 1)); // malloc is still there
}

static eck_status allocates(int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    double *a = NULL;
    double *b = NULL;
    ECK_ALLOC_RAW(a, 3);
    ECK_ALLOC(b, count);
done:
    ecki_free(a);
    ecki_free(b);
    return status;
}

static void macros(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(allocates(5, &err), ECK_OK);
    assert_int_equal(allocates(INT64_C(1) << 58, &err), ECK_E_NOMEM);
    assert_string_equal(err.message, "not enough memory: 2305843009213693952 bytes");
    assert_true(ecki_memory_now() == before);
}

// A room is the same block as long as it is large enough, and grows in one go.
static void rooms(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    ecki_room room = { NULL, 0 };
    void *const first = ecki_room_take(&room, 100, 8);
    assert_non_null(first);
    assert_ptr_equal(ecki_room_take(&room, 200, 4), first);
    assert_ptr_equal(ecki_room_take(&room, 0, 4), first);
    char *const larger = ecki_room_take(&room, 1000, 8);
    assert_non_null(larger);
    memset(larger, 1, 8000);
    assert_null(ecki_room_take(&room, INT64_MAX, 8));
    assert_true(ecki_memory_now() == before); // nothing is left of what was in it
    ecki_room_clear(&room);
    ecki_room_clear(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(growing_and_shrinking),
        cmocka_unit_test(impossible_sizes),
        cmocka_unit_test(peak),
        cmocka_unit_test(texts),
        cmocka_unit_test(allocator_of_the_host),
        cmocka_unit_test(incomplete_allocators),
        cmocka_unit_test(macros),
        cmocka_unit_test(rooms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
