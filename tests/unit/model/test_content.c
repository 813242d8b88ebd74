/** Fingerprints are SHA-256 of the bytes, remembered only while the file is the same. */
#include "scene.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/model.h"

// How much later than it is the library believes it to be, in seconds.
static int64_t later;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = __real_clock_gettime(clock, now);
    now->tv_sec += later;
    return result;
}

/** SHA-256 of memory. */
static void digest(char hex[ECKI_HASH_HEX], const void *bytes, int64_t count)
{
    ecki_hash *hash = NULL;
    OK(ecki_hash_create(&hash, err_));
    ecki_hash_add(hash, bytes, count);
    ecki_hash_hex(hash, hex);
    ecki_hash_free(hash);
}

static void digests_are_of_the_bytes(void **state)
{
    (void)state;
    scene s = scene_make(false);
    ecki_content *content = NULL;
    char hex[ECKI_HASH_HEX];
    int64_t length;
    eck_model *model = scene_open(s.in);
    OK(ecki_content_compute(&content, model, NULL, NULL, err_));
    char *file = fixture_read(s.in, &length);
    digest(hex, file, length);
    assert_string_equal(content->files[0], hex);
    for (int i = 0; scene_tensors[i].name; i++) {
        float *values = fixture_values(scene_tensors, i);
        digest(hex, values, model->tensors[i].bytes);
        assert_string_equal(content->tensors[i], hex);
        free(values);
    }
    assert_int_equal(strlen(content->source), 64);
    free(file);
    ecki_content_free(content);
    eck_model_close(model);
    scene_remove(&s);
}

/** The fingerprint of a file, through the cache. */
static void source_of(char source[ECKI_HASH_HEX], const char *path, const ecki_cache *cache)
{
    ecki_content *content = NULL;
    eck_model *model = scene_open(path);
    OK(ecki_content_compute(&content, model, cache, NULL, err_));
    memcpy(source, content->source, ECKI_HASH_HEX);
    ecki_content_free(content);
    eck_model_close(model);
}

/** Writes the last byte anew until the file system's clock has moved, and sets the time of the content back. */
static void change_secretly(const char *path, char byte)
{
    struct stat before, after;
    const int file = open(path, O_WRONLY);
    assert_true(file >= 0 && fstat(file, &before) == 0);
    do {
        assert_int_equal(pwrite(file, &byte, 1, before.st_size - 1), 1);
        const struct timespec times[] = { before.st_atim, before.st_mtim };
        assert_int_equal(futimens(file, times), 0);
        assert_int_equal(fstat(file, &after), 0);
    } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
             after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    close(file);
}

static void only_what_cannot_have_changed_is_remembered(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *dir = fixture_path(s.folder, "cache"), *remembered = fixture_path(dir, "content");
    char first[ECKI_HASH_HEX], next[ECKI_HASH_HEX];
    ecki_cache *cache = NULL;
    OK(ecki_cache_open(&cache, dir, err_));
    source_of(first, s.in, cache);
    assert_int_not_equal(access(remembered, F_OK), 0); // the file was made a moment ago
    later = 60;
    source_of(next, s.in, cache);
    assert_string_equal(first, next);
    assert_int_equal(access(remembered, F_OK), 0);
    change_secretly(s.in, 1);
    source_of(next, s.in, cache);
    assert_string_not_equal(first, next);
    later = 0;
    ecki_cache_close(cache);
    free(remembered);
    free(dir);
    scene_remove(&s);
}

static void a_changed_file_is_hashed_anew(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *dir = fixture_path(s.folder, "cache");
    ecki_cache *cache = NULL;
    char first[ECKI_HASH_HEX];
    OK(ecki_cache_open(&cache, dir, err_));
    for (int run = 0; run < 3; run++) {
        ecki_content *content = NULL;
        if (run == 2) {
            const fixture_tensor other[] = { { "a.query.weight", 2, { 128, 96 } },
                                             { NULL, 0, { 0 } } };
            fixture_safetensors(s.in, other);
        }
        eck_model *model = scene_open(s.in);
        OK(ecki_content_compute(&content, model, cache, NULL, err_));
        if (run == 0) memcpy(first, content->source, sizeof first);
        assert_int_equal(strcmp(first, content->source) == 0, run < 2);
        ecki_content_free(content);
        eck_model_close(model);
    }
    ecki_cache_close(cache);
    free(dir);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_of_the_bytes),
        cmocka_unit_test(a_changed_file_is_hashed_anew),
        cmocka_unit_test(only_what_cannot_have_changed_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
