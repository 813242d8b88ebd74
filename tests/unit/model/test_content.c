/** Fingerprints are SHA-256 of the bytes, remembered only while the file is the same. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
