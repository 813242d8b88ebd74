/** The manifest: what is written is read back, and each thing that can be wrong with one is said. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"

static void written_is_read_back(void **state)
{
    (void)state;
    scene s = scene_make(true);
    char *text = NULL, *again = NULL;
    ecki_manifest *parsed = NULL;
    scene_compress(&s, 0.5, 2, s.out);
    eck_model *model = scene_open(s.out);
    const ecki_manifest *m = model->manifest;
    assert_int_equal(m->module_count, 3);
    assert_int_equal(m->source_count, 1);
    assert_string_equal(m->source_files[0], "model.safetensors");
    assert_string_equal(m->modules[0].bias, "a.query.1.bias");
    assert_true(m->modules[0].error > 0 && m->modules[0].error_high >= m->modules[0].error);
    OK(ecki_manifest_print(&text, m, 2, err_));
    OK(ecki_manifest_parse(&parsed, text, (int64_t)strlen(text), model->container, err_));
    OK(ecki_manifest_print(&again, parsed, 2, err_));
    assert_string_equal(text, again);
    ecki_free(text);
    ecki_free(again);
    ecki_manifest_free(parsed);
    eck_model_close(model);
    scene_remove(&s);
}

/** No certificate's digits make the text longer than the room kept for it in a header. */
static void room_is_enough(void **state)
{
    (void)state;
    scene s = scene_make(false);
    char *text = NULL;
    int64_t room = 0;
    scene_compress(&s, 0.5, 2, s.out);
    eck_model *model = scene_open(s.out);
    ecki_manifest *m = model->manifest;
    OK(ecki_manifest_room(&room, m, err_));
    for (int64_t i = 0; i < m->module_count; i++) {
        const double longest = -1.2345678901234567e-300;
        m->modules[i].error = m->modules[i].floor = longest;
        m->modules[i].certificate = (eck_certificate){ ECK_PROOF_RESIDUAL,
                                                       ECK_DTYPE_F32,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest,
                                                       longest };
    }
    OK(ecki_manifest_print(&text, m, 0, err_));
    int64_t escaped = 0;
    for (const char *c = text; *c; c++)
        escaped += 1 + (*c == '"' || *c == '\\');
    assert_true(escaped + (int64_t)strlen("\"eckart\":\"\",") <= room);
    ecki_free(text);
    eck_model_close(model);
    scene_remove(&s);
}

/** Replaces the first `from` in eckart.json by `to` and opens. */
static void expect_refused(const char *from, const char *to, eck_status code, const char *part)
{
    scene s = scene_make(true);
    eck_model *model = NULL;
    int64_t length;
    scene_compress(&s, 0.5, 2, s.out);
    char *path = fixture_path(s.out, "eckart.json"), *text = fixture_read(path, &length);
    const char *at = strstr(text, from);
    if (!at) fail_msg("no '%s' in the manifest", from);
    char *changed = malloc((size_t)length + strlen(to) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    fixture_text(path, changed);
    REFUSED(code, part, eck_model_open(&model, s.out, err_));
    free(changed);
    free(text);
    free(path);
    scene_remove(&s);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    expect_refused("eckart-factored", "other", ECK_E_FORMAT, "eckart-factored");
    expect_refused("\"version\": 1", "\"version\": 2", ECK_E_UNSUPPORTED, "version");
    expect_refused("\"modules\": {", "\"modules\": [], \"others\": {", ECK_E_FORMAT, "modules");
    expect_refused("\"method\": \"svd\"", "\"method\": \"magic\"", ECK_E_FORMAT, "method");
    expect_refused("\"kind\": \"linear\"", "\"kind\": \"circle\"", ECK_E_FORMAT, "kind");
    expect_refused("a.query.0.weight", "a.query.7.weight", ECK_E_FORMAT, "a.query.7.weight");
    expect_refused("a.query.0.weight", "b.value.0.weight", ECK_E_FORMAT, "a.query");
    expect_refused("a.query.1.bias", "conv.1.bias", ECK_E_FORMAT, "bias");
    expect_refused("\"stages\": [", "\"stages\": [1, ", ECK_E_FORMAT, "stage");
    expect_refused("\"tied_to\": null", "\"tied_to\": \"b\"", ECK_E_FORMAT, "tied");
    expect_refused("\"b.value\"", "\"a.query\"", ECK_E_FORMAT, "a.query"); // a module listed twice
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_is_read_back),
        cmocka_unit_test(room_is_enough),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
