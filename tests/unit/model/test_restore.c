/** Restored models are the product of the factors under the names and types of the source. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** || chain - restored || / || chain || of one factored layer. */
static double distance(const eck_model *factored, int64_t layer, const eck_model *restored)
{
    eck_operator *a = NULL, *b = NULL;
    eck_certificate c = { 0 };
    int64_t j = 0;
    while (strcmp(eck_model_layer(restored, j)->name, eck_model_layer(factored, layer)->name) != 0)
        j++;
    OK(eck_model_layer_operator(&a, factored, layer, err_));
    OK(eck_model_layer_operator(&b, restored, j, err_));
    OK(eck_certify(&c, a, b, ECK_PROOF_RESIDUAL, 0, 0, NULL, err_));
    eck_operator_free(a);
    eck_operator_free(b);
    return c.error;
}

static void restored_is_the_product(void **state)
{
    (void)state;
    for (int directory = 0; directory < 2; directory++) {
        scene s = scene_make(directory);
        char *dense = fixture_path(s.folder, directory ? "dense" : "dense.safetensors");
        eck_outcome outcome = { 0 };
        scene_compress(&s, 0.5, 2, s.out);
        eck_model *factored = scene_open(s.out);
        OK(eck_model_restore(&outcome, factored, dense, NULL, NULL, err_));
        eck_model *restored = scene_open(dense);
        assert_int_equal(outcome.factored, 3);
        assert_false(eck_model_is_factored(restored));
        assert_int_equal(eck_model_tensor_count(restored), 7);
        for (int64_t i = 0; i < eck_model_layer_count(factored); i++)
            if (eck_model_layer(factored, i)->factored)
                assert_true(distance(factored, i, restored) <=
                            ldexp(1, -24)); // one rounding to F32
        eck_outcome_clear(&outcome);
        eck_model_close(factored);
        eck_model_close(restored);
        free(dense);
        scene_remove(&s);
    }
}

static void another_type_rounds_once(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *dense = fixture_path(s.folder, "dense.safetensors");
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    eck_outcome outcome = { 0 };
    options.store.store = ECK_DTYPE_BF16;
    scene_compress(&s, 0.5, 2, s.out);
    eck_model *factored = scene_open(s.out);
    OK(eck_model_restore(&outcome, factored, dense, &options, NULL, err_));
    eck_model *restored = scene_open(dense);
    for (int64_t i = 0; i < eck_model_layer_count(factored); i++) {
        if (!eck_model_layer(factored, i)->factored) continue;
        const double d = distance(factored, i, restored);
        assert_true(d > 0 && d <= ldexp(1, -9)); // half a unit of eight bits
    }
    eck_outcome_clear(&outcome);
    eck_model_close(factored);
    eck_model_close(restored);
    free(dense);
    scene_remove(&s);
}

static void only_what_is_factored_can_be_restored(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_outcome outcome = { 0 };
    eck_model *model = scene_open(s.in);
    REFUSED(ECK_E_RANGE, "no factors", eck_model_restore(&outcome, model, s.out, NULL, NULL, err_));
    eck_model_close(model);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restored_is_the_product),
        cmocka_unit_test(another_type_rounds_once),
        cmocka_unit_test(only_what_is_factored_can_be_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
