/** Opening: indexes and small files only, and what is wrong with them said. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static void describes_what_is_there(void **state)
{
    (void)state;
    scene s = scene_make(true);
    eck_model *model = scene_open(s.in);
    assert_string_equal(eck_model_path(model), s.in);
    assert_int_equal(eck_model_tensor_count(model), 7);
    assert_int_equal(eck_model_layer_count(model), 4);
    assert_null(eck_model_tensor(model, 7));
    assert_null(eck_model_tensor(model, -1));
    assert_null(eck_model_layer(model, 4));
    assert_null(eck_model_warning(model, 0));
    assert_false(eck_model_is_factored(model));
    int64_t bytes = 0;
    for (int64_t i = 0; i < 7; i++)
        bytes += eck_model_tensor(model, i)->bytes;
    assert_int_equal(bytes, 4 * (300 * 64 + 128 * 96 + 128 + 96 * 160 + 48 * 288 + 48 + 64));
    eck_model_close(model);
    scene_remove(&s);
}

static void factored_models_say_so(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        scene s = scene_make(directory);
        int64_t factored = 0;
        scene_compress(&s, 0.5, 2, s.out);
        eck_model *model = scene_open(s.out);
        assert_true(eck_model_is_factored(model));
        for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
            const eck_layer *layer = eck_model_layer(model, i);
            factored += layer->factored;
            if (layer->factored) assert_int_equal(layer->method, ECK_METHOD_SVD);
        }
        assert_int_equal(factored, 3);
        eck_model_close(model);
        scene_remove(&s);
    }
}

static void broken_small_files_are_not_overlooked(void **state)
{
    (void)state;
    scene s = scene_make(true);
    char *config = fixture_path(s.in, "config.json"), *manifest = fixture_path(s.in, "eckart.json");
    eck_model *model = NULL;
    fixture_text(config, "{\"model_type\":");
    REFUSED(ECK_E_FORMAT, "config.json", eck_model_open(&model, s.in, err_));
    fixture_text(config, "{}");
    fixture_text(manifest, "[]");
    REFUSED(ECK_E_FORMAT, "manifest", eck_model_open(&model, s.in, err_));
    assert_null(model);
    REFUSED(ECK_E_RANGE, "no model", eck_model_open(&model, "", err_));
    free(config);
    free(manifest);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_what_is_there),
        cmocka_unit_test(factored_models_say_so),
        cmocka_unit_test(broken_small_files_are_not_overlooked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
