// Blobs by key: kept, found, and absent when anything about them is wrong.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/cache.h"

static eck_error err;
static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char other[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee";

static ecki_cache *open_cache(const char *name)
{
    ecki_cache *cache;
    if (ecki_cache_open(&cache, scratch_path("%s", name), &err) != ECK_OK)
        fail_msg("%s", err.message);
    return cache;
}

// NULL: the key must be absent.
static void assert_holds(const ecki_cache *cache, const char *kind, const char *name,
                         const char *wanted)
{
    char *bytes;
    int64_t count;
    assert_int_equal(ecki_cache_get(&bytes, &count, cache, kind, name, &err), ECK_OK);
    if (!wanted) {
        assert_null(bytes);
        assert_int_equal(count, 0);
        return;
    }
    assert_non_null(bytes);
    assert_int_equal(count, strlen(wanted));
    assert_memory_equal(bytes, wanted, count);
    ecki_free(bytes);
}

static void test_puts_and_gets(void **state)
{
    (void)state;
    ecki_cache *cache = open_cache("made/on/demand");
    assert_holds(cache, "curve", key, NULL);
    assert_int_equal(ecki_cache_put(cache, "curve", key, "first", 5, &err), ECK_OK);
    assert_int_equal(ecki_cache_put(cache, "factor", key, "", 0, &err), ECK_OK);
    assert_holds(cache, "curve", key, "first");
    assert_holds(cache, "factor", key, "");
    assert_holds(cache, "curve", other, NULL);
    assert_int_equal(ecki_cache_put(cache, "curve", key, "second", 6, &err), ECK_OK);
    assert_holds(cache, "curve", key, "second");
    ecki_cache_close(cache);
    cache = open_cache("made/on/demand");
    assert_holds(cache, "curve", key, "second");
    ecki_cache_close(cache);
}

static void test_damaged_blobs_are_absent(void **state)
{
    (void)state;
    ecki_cache *cache = open_cache("damaged");
    assert_int_equal(ecki_cache_put(cache, "curve", key, "numbers", 7, &err), ECK_OK);
    const char *path = scratch_path("damaged/curve/01/%s", key);
    int64_t count;
    char *bytes = scratch_read(path, &count);
    assert_int_equal(count, 7 + 64);
    for (int64_t i = 0; i < count; i++) {
        bytes[i] ^= 1;
        scratch_write(path, bytes, count);
        bytes[i] ^= 1;
        assert_holds(cache, "curve", key, NULL);
        scratch_write(path, bytes, i);
        assert_holds(cache, "curve", key, NULL);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_holds(cache, "curve", key, NULL);
    // and what cannot be kept is no failure of the work
    assert_int_equal(ecki_cache_put(cache, "curve", key, "numbers", 7, &err), ECK_OK);
    free(bytes);
    ecki_cache_close(cache);
}

static void test_no_cache(void **state)
{
    (void)state;
    ecki_cache *cache;
    assert_int_equal(ecki_cache_open(&cache, NULL, &err), ECK_OK);
    assert_null(cache);
    assert_int_equal(ecki_cache_put(cache, "curve", key, "x", 1, &err), ECK_OK);
    assert_holds(cache, "curve", key, NULL);
    assert_int_equal(ecki_cache_open(&cache, "", &err), ECK_E_RANGE);
    scratch_text(scratch_path("plain"), "x");
    assert_int_equal(ecki_cache_open(&cache, scratch_path("plain/cache"), &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot make the cache directory");
    ecki_cache_close(NULL);
}

// Files of the limit and more, made of holes: those not used for longest go until half of it is left.
static void test_room_is_made(void **state)
{
    (void)state;
    enum { BLOBS = 6 };
    ecki_cache_close(open_cache("large"));
    assert_int_equal(mkdir(scratch_path("large/curve"), 0700), 0);
    for (int32_t i = 0; i < BLOBS; i++) {
        char name[80];
        snprintf(name, sizeof name, "%064d", i);
        const char *path = scratch_path("large/curve/%s", name);
        scratch_text(path, "");
        assert_int_equal(truncate(path, ECKI_CACHE_LIMIT / 5), 0);
        // the third was used last
        const struct timeval used[2] = { { 1000 + (i == 2 ? 100 : i), 0 },
                                         { 1000 + (i == 2 ? 100 : i), 0 } };
        assert_int_equal(utimes(path, used), 0);
    }
    scratch_text(scratch_path("large/curve/of-the-user"), "x");
    ecki_cache *cache = open_cache("large");
    for (int32_t i = 0; i < BLOBS; i++)
        assert_int_equal(scratch_exists(scratch_path("large/curve/%064d", i)), i == 2 || i == 5);
    assert_true(scratch_exists(scratch_path("large/curve/of-the-user")));
    ecki_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_puts_and_gets),
        cmocka_unit_test(test_damaged_blobs_are_absent),
        cmocka_unit_test(test_no_cache),
        cmocka_unit_test(test_room_is_made),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
