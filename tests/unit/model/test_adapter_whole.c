/**
 * What factors cannot say, through an adapter and back: adapter_extract_rest.c carries it in an extraction,
 * adapter_vocabulary.c fits it to a base whose configuration and tied head are as they were. The tuned model has more
 * tokens than its base, another norm, and a matrix changed by one product.
 */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eckart/adapter.h"
#include "eckart/file.h"

enum { WIDTH = 32, TOKENS = 40, MORE_TOKENS = 44 };

static const char config[] = "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
                             "\"tie_word_embeddings\":true,"
                             "\"vocab_size\":40}\n";

typedef struct pair {
    char *folder, *base, *tuned, *adapter, *merged;
} pair;

/** One array of the model: numbers of its place and name; `moved`: what tuning added. */
static eck_array *numbers(int64_t rows, int64_t cols, int seed, bool moved)
{
    eck_array *array = NULL;
    OK(eck_array_create(&array, ECK_DTYPE_F32, cols ? 2 : 1, (int64_t[]){ rows, cols }, err_));
    float *x = array->data;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < (cols ? cols : 1); j++)
            *x++ = (float)(sin(1.3 * (double)(i * (cols ? cols : 1) + j) + seed) +
                           (moved ? 0.05 * cos(0.7 * (double)i) * sin(0.4 * (double)j + 1) : 0));
    return array;
}

static void write_model(const char *folder, bool tuned)
{
    char *weights = fixture_path(folder, "model.safetensors");
    char *text = fixture_path(folder, "config.json");
    eck_array *const arrays[] = { numbers(tuned ? MORE_TOKENS : TOKENS, WIDTH, 1, tuned),
                                  numbers(WIDTH, WIDTH, 2, tuned), numbers(WIDTH, 0, 3, tuned),
                                  numbers(WIDTH, 0, 4, false) };
    const eck_named_array named[] = { { "model.embed_tokens.weight", arrays[0] },
                                      { "model.layers.0.self_attn.q_proj.weight", arrays[1] },
                                      { "model.norm.weight", arrays[2] },
                                      { "model.norm.running_mean", arrays[3] } };
    assert_int_equal(mkdir(folder, 0777), 0);
    OK(eck_file_write_arrays(weights, named, 4, false, err_));
    fixture_text(text, config);
    for (int i = 0; i < 4; i++)
        eck_array_free(arrays[i]);
    free(text);
    free(weights);
}

static pair set_up(void)
{
    pair p = { fixture_folder(), NULL, NULL, NULL, NULL };
    p.base = fixture_path(p.folder, "base");
    p.tuned = fixture_path(p.folder, "tuned");
    p.adapter = fixture_path(p.folder, "adapter");
    p.merged = fixture_path(p.folder, "merged");
    write_model(p.base, false);
    write_model(p.tuned, true);
    return p;
}

static void take_down(pair *p)
{
    free(p->base);
    free(p->tuned);
    free(p->adapter);
    free(p->merged);
    fixture_remove(p->folder);
}

static bool has_extra(const eck_adapter *adapter, const char *name)
{
    for (int64_t i = 0; eck_adapter_extra(adapter, i); i++)
        if (strcmp(eck_adapter_extra(adapter, i), name) == 0) return true;
    return false;
}

static bool has_remark(const eck_adapter_outcome *outcome, const char *part)
{
    for (int64_t i = 0; i < outcome->remark_count; i++)
        if (strstr(outcome->remarks[i], part)) return true;
    return false;
}

static void extract(const pair *p, bool full, eck_adapter_outcome *outcome)
{
    eck_model *const base = scene_open(p->base), *const tuned = scene_open(p->tuned);
    eck_extract_options options = ECK_EXTRACT_OPTIONS_INIT;
    eck_selection selection = ECK_SELECTION_INIT;
    selection.min_size = 1;
    OK(eck_model_select(base, &selection, err_));
    options.budget.rank = 2;
    options.full_modules = full;
    options.write.path = p->adapter;
    options.write.replace = true;
    OK(eck_adapter_extract(outcome, base, tuned, &options, NULL, err_));
    eck_model_close(tuned);
    eck_model_close(base);
}

static void what_is_left_out_is_listed(void **state)
{
    (void)state;
    pair p = set_up();
    eck_adapter_outcome outcome = { 0 };
    eck_adapter *adapter = NULL;
    extract(&p, false, &outcome);
    assert_int_equal(outcome.count, 1);
    assert_true(has_remark(&outcome, "left out 'model.embed_tokens.weight': of another shape"));
    assert_true(has_remark(&outcome, "left out 'model.norm.weight': of one dimension"));
    assert_false(has_remark(&outcome, "running_mean"));
    OK(eck_adapter_open(&adapter, p.adapter, err_));
    assert_null(eck_adapter_extra(adapter, 0));
    eck_adapter_close(adapter);
    eck_adapter_outcome_clear(&outcome);
    take_down(&p);
}

/** A module's unchanged tensors and the other name of a tied weight are carried with the changed ones. */
static void modules_are_carried_whole(void **state)
{
    (void)state;
    pair p = set_up();
    eck_adapter_outcome outcome = { 0 };
    eck_adapter *adapter = NULL;
    extract(&p, true, &outcome);
    assert_true(
        has_remark(&outcome, "carried whole 'lm_head.weight': tied to 'model.embed_tokens'"));
    OK(eck_adapter_open(&adapter, p.adapter, err_));
    assert_int_equal(eck_adapter_module_count(adapter), 1);
    assert_true(has_extra(adapter, "base_model.model.model.embed_tokens.weight"));
    assert_true(has_extra(adapter, "base_model.model.lm_head.weight"));
    assert_true(has_extra(adapter, "base_model.model.model.norm.weight"));
    assert_true(has_extra(adapter, "base_model.model.model.norm.running_mean"));
    assert_null(eck_adapter_extra(adapter, 4));
    eck_adapter_close(adapter);
    eck_adapter_outcome_clear(&outcome);
    take_down(&p);
}

/** The merged model: the tuned vocabulary in weights and configuration, the tied head stored once. */
static void a_merged_vocabulary_fits_its_configuration(void **state)
{
    (void)state;
    pair p = set_up();
    eck_adapter_outcome outcome = { 0 };
    eck_adapter *adapter = NULL;
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    extract(&p, true, &outcome);
    eck_adapter_outcome_clear(&outcome);
    OK(eck_adapter_open(&adapter, p.adapter, err_));
    eck_model *const base = scene_open(p.base);
    const eck_weighted_adapter term = { adapter, 1 };
    const eck_adapter_sum sum = { &term, 1 };
    write.path = p.merged;
    OK(eck_adapter_merge(&outcome, base, &sum, &write, NULL, err_));
    assert_true(has_remark(&outcome, "'model.embed_tokens.weight' has 44 rows now, 40 before"));
    eck_model *const merged = scene_open(p.merged);
    assert_int_equal(eck_model_tensor_count(merged), 4);
    char *path = fixture_path(p.merged, "config.json");
    int64_t length = 0;
    char *text = fixture_read(path, &length);
    assert_non_null(strstr(text, "\"vocab_size\": 44"));
    assert_non_null(strstr(text, "\"tie_word_embeddings\": true"));
    free(text);
    free(path);
    eck_model_close(merged);
    eck_model_close(base);
    eck_adapter_close(adapter);
    eck_adapter_outcome_clear(&outcome);
    take_down(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_is_listed),
        cmocka_unit_test(modules_are_carried_whole),
        cmocka_unit_test(a_merged_vocabulary_fits_its_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
