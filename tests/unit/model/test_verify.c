/** Verify sees every way an output can differ from what it promises. */
#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Where the bytes of a tensor lie in a safetensors file held in memory. */
static char *bytes_of(char *file, const char *tensor)
{
    char quoted[200];
    long long begin = 0, end = 0;
    const int64_t header = (int64_t) * (const uint64_t *)(const void *)file;
    snprintf(quoted, sizeof quoted, "\"%s\"", tensor);
    const char *entry = strstr(file + 8, quoted);
    assert_non_null(entry);
    entry = strstr(entry, "\"data_offsets\":[");
    assert_int_equal(sscanf(entry, "\"data_offsets\":[%lld,%lld]", &begin, &end), 2);
    return file + 8 + header + begin;
}

/** Compresses, changes one byte of a tensor, and tells what verify says. */
static eck_verdict verdict_after_change(const char *tensor, int byte, int flip)
{
    scene s = scene_make(false);
    int64_t length;
    scene_compress(&s, 0.5, 2, s.out);
    char *file = fixture_read(s.out, &length);
    bytes_of(file, tensor)[byte] ^= (char)flip;
    FILE *out = fopen(s.out, "wb");
    fwrite(file, 1, (size_t)length, out);
    fclose(out);
    free(file);
    eck_verdict v = scene_verify(&s, s.out);
    scene_remove(&s);
    return v;
}

static void good_outputs_pass(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        scene s = scene_make(directory);
        scene_compress(&s, 0.5, 2, s.out);
        eck_verdict v = scene_verify(&s, s.out);
        assert_true(v.kept);
        assert_int_equal(v.factored, 3);
        assert_int_equal(v.identical, 2); // embedding and norm; biases belong to their layers
        for (int64_t i = 0; i < v.count; i++) {
            assert_true(v.checks[i].error > 0);
            assert_true(v.checks[i].error <= v.checks[i].promised);
        }
        eck_verdict_clear(&v);
        scene_remove(&s);
    }
}

static void one_bit_is_seen_anywhere(void **state)
{
    (void)state;
    const struct {
        const char *tensor, *reason;
        int byte, flip;
    } changes[] = { { "a.query.0.weight", "promised", 3, 0x40 }, // an exponent of a factor
                    { "conv.1.weight", "promised", 3, 0x40 },
                    { "a.query.1.bias", "bias", 0, 1 }, // the last bit of a bias
                    { "embed_tokens.weight", "differs", 400, 1 }, // and of a copied tensor
                    { "norm.weight", "differs", 0, 1 } };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        eck_verdict v = verdict_after_change(changes[i].tensor, changes[i].byte, changes[i].flip);
        const char *reason = NULL;
        assert_false(v.kept);
        assert_int_equal(v.failed, 1);
        for (int64_t j = 0; j < v.count; j++)
            if (v.checks[j].reason) reason = v.checks[j].reason;
        if (!reason || !strstr(reason, changes[i].reason))
            fail_msg("'%s': \"%s\"", changes[i].tensor, reason ? reason : "no reason");
        eck_verdict_clear(&v);
    }
}

static void another_source_is_no_match(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *path = fixture_path(s.folder, "other.safetensors");
    const fixture_tensor other[] = { { "a.query.weight", 2, { 96, 128 } },
                                     { "x", 1, { 3 } },
                                     { NULL, 0, { 0 } } };
    eck_verdict v = { 0 };
    scene_compress(&s, 0.5, 2, s.out);
    fixture_safetensors(path, other);
    eck_model *before = scene_open(path), *after = scene_open(s.out);
    OK(eck_model_verify(&v, before, after, NULL, err_));
    assert_false(v.kept);
    assert_true(v.failed >=
                4); // three layers it does not have in that shape, one tensor that is missing
    eck_verdict_clear(&v);
    eck_model_close(before);
    eck_model_close(after);
    free(path);
    scene_remove(&s);
}

static void sides_may_not_be_mixed_up(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_verdict v = { 0 };
    scene_compress(&s, 0.5, 2, s.out);
    eck_model *before = scene_open(s.in), *after = scene_open(s.out);
    REFUSED(ECK_E_RANGE, "no manifest", eck_model_verify(&v, before, before, NULL, err_));
    REFUSED(ECK_E_RANGE, "compressed itself", eck_model_verify(&v, after, after, NULL, err_));
    eck_model_close(before);
    eck_model_close(after);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_outputs_pass),
        cmocka_unit_test(one_bit_is_seen_anywhere),
        cmocka_unit_test(another_source_is_no_match),
        cmocka_unit_test(sides_may_not_be_mixed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
