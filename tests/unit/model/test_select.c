/** Which layers are factored: globs, built-in reasons that give way and impossible ones that do not, sizes. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static const fixture_tensor tensors[] = { { "a.query.weight", 2, { 80, 64 } },
                                          { "b.query.weight", 2, { 80, 64 } },
                                          { "embed_tokens.weight", 2, { 300, 64 } },
                                          { "lm_head.weight", 2, { 300, 64 } },
                                          { "c.depthwise.weight", 4, { 1024, 1, 3, 3 } },
                                          { NULL, 0, { 0 } } };

/** "a b e l c" with a capital for every layer that is selected. */
static void expect(eck_model *model, eck_selection selection, const char *letters)
{
    const char *const names = "abelc";
    OK(eck_model_select(model, &selection, err_));
    for (int64_t i = 0; i < 5; i++) {
        const eck_layer *layer = eck_model_layer(model, i);
        const char *at = strchr(names, layer->name[0]);
        const bool selected = letters[at - names] != *at;
        if (selected != !layer->skipped)
            fail_msg("'%s': %s", layer->name, layer->skipped ? layer->skipped : "selected");
    }
}

static void globs_and_reasons(void **state)
{
    (void)state;
    const char *const all[] = { "*" }, *const query[] = { "*.query" },
                      *const more[] = { "*.query", "embed*" };
    const char *const b[] = { "b.*" }, *const none[] = { "nobody*" };
    char *folder = fixture_folder(), *path = fixture_path(folder, "m.safetensors");
    eck_selection s = ECK_SELECTION_INIT;
    fixture_safetensors(path, tensors);
    eck_model *model = scene_open(path);

    expect(model, s, "ABelc");
    s.include = more, s.include_count = 2;
    expect(model, s, "ABElc");
    s.exclude = b, s.exclude_count = 1;
    expect(model, s, "AbElc");
    s.include = all, s.include_count = 1;
    expect(model, s, "AbELc"); // a depthwise convolution cannot be
    s.include = query, s.min_size = 80 * 64 + 1;
    expect(model, s, "abelc");
    s.min_size = 80 * 64;
    expect(model, s, "Abelc");
    s.include = none;
    REFUSED(ECK_E_RANGE, "nobody*", eck_model_select(model, &s, err_));
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

static const fixture_tensor kernels[] = { { "a.weight", 4, { 48, 8, 3, 3 } },
                                          { "b.weight", 3, { 32, 8, 5 } },
                                          { "c.weight", 2, { 48, 64 } },
                                          { "d.weight", 4, { 36, 1, 3, 3 } },
                                          { NULL, 0, { 0 } } };

static void expect_groups(const eck_model *model, int64_t layer, int64_t in, int64_t groups)
{
    const eck_stage *dense = &eck_model_layer(model, layer)->dense;
    assert_int_equal(dense->in, in);
    assert_int_equal(dense->groups, groups);
}

static void groups(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "m.safetensors");
    fixture_safetensors(path, kernels);
    eck_model *model = scene_open(path);

    expect_groups(model, 0, 8, 1);
    OK(eck_model_set_groups(model, "a", 4, err_));
    expect_groups(model, 0, 32, 4);
    expect_groups(model, 1, 8, 1);
    assert_int_equal(eck_stage_parameters(&eck_model_layer(model, 0)->dense), 48 * 8 * 9);
    // the linear layer and the depthwise convolution are passed over
    OK(eck_model_set_groups(model, "*", 16, err_));
    expect_groups(model, 0, 128, 16);
    expect_groups(model, 1, 128, 16);
    expect_groups(model, 2, 64, 1);
    expect_groups(model, 3, 1, 1);
    REFUSED(ECK_E_SHAPE, "5 groups do not divide the 48 outputs of 'a'",
            eck_model_set_groups(model, "a", 5, err_));
    REFUSED(ECK_E_SHAPE, "3 groups do not divide the 32 outputs of 'b'",
            eck_model_set_groups(model, "*", 3, err_));
    expect_groups(model, 0, 128, 16);
    REFUSED(ECK_E_RANGE, "0 groups", eck_model_set_groups(model, "a", 0, err_));
    REFUSED(ECK_E_RANGE, "groups 'c' matches no convolution",
            eck_model_set_groups(model, "c", 2, err_));
    REFUSED(ECK_E_RANGE, "groups 'd' matches no convolution",
            eck_model_set_groups(model, "d", 2, err_));
    OK(eck_model_set_groups(model, "*", 1, err_));
    expect_groups(model, 0, 8, 1);
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(globs_and_reasons),
                                        cmocka_unit_test(groups) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
