/** Layer typing: what each weight is taken for, and why some are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/model.h"
#include "fixture.h"

/** Opens `<folder>/` after writing tensors and configuration. */
static eck_model *open_made(const char *folder, const fixture_tensor *tensors, const char *config)
{
    char *weights = fixture_path(folder, "model.safetensors"),
         *json = fixture_path(folder, "config.json");
    eck_model *model = NULL;
    eck_error err = ECK_ERROR_INIT;
    fixture_safetensors(weights, tensors);
    if (config) fixture_text(json, config);
    if (eck_model_open(&model, folder, &err) != ECK_OK) fail_msg("%s", err.message);
    free(weights);
    free(json);
    return model;
}

static const eck_layer *layer_named(const eck_model *model, const char *name)
{
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        if (strcmp(eck_model_layer(model, i)->name, name) == 0) return eck_model_layer(model, i);
    fail_msg("no layer '%s'", name);
    return NULL;
}

static void expect_skipped(const eck_model *model, const char *name, const char *part)
{
    const eck_layer *layer = layer_named(model, name);
    if (!part) {
        if (layer->skipped) fail_msg("'%s' skipped: %s", name, layer->skipped);
        return;
    }
    if (!layer->skipped || !strstr(layer->skipped, part))
        fail_msg("'%s': expected a reason with '%s', found '%s'", name, part,
                 layer->skipped ? layer->skipped : "none");
}

static void bert_layers(void **state)
{
    (void)state;
    const fixture_tensor tensors[] = {
        { "embeddings.word_embeddings.weight", 2, { 300, 64 } },
        { "embeddings.position_embeddings.weight", 2, { 128, 64 } },
        { "embeddings.LayerNorm.weight", 1, { 64 } },
        { "encoder.layer.0.attention.self.query.weight", 2, { 96, 64 } },
        { "encoder.layer.0.attention.self.query.bias", 1, { 96 } },
        { "tiny.weight", 2, { 8, 8 } },
        { NULL, 0, { 0 } }
    };
    char *folder = fixture_folder();
    eck_model *model =
        open_made(folder, tensors, "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"]}");

    assert_int_equal(eck_model_layer_count(model), 4);
    expect_skipped(model, "embeddings.word_embeddings", "embeddings");
    expect_skipped(model, "embeddings.position_embeddings", "position embeddings");
    expect_skipped(model, "encoder.layer.0.attention.self.query", NULL);
    expect_skipped(model, "tiny", "smaller than 4096");
    const eck_layer *query = layer_named(model, "encoder.layer.0.attention.self.query");
    assert_int_equal(query->dense.in, 64);
    assert_int_equal(query->dense.out, 96);
    assert_true(query->bias >= 0);
    assert_false(query->stored_transposed);
    eck_model_close(model);
    fixture_remove(folder);
}

static void gpt2_is_stored_transposed(void **state)
{
    (void)state;
    const fixture_tensor tensors[] = { { "wte.weight", 2, { 200, 64 } },
                                       { "h.0.attn.c_attn.weight", 2, { 64, 192 } },
                                       { "h.0.attn.c_proj.weight", 2, { 64, 64 } },
                                       { NULL, 0, { 0 } } };
    char *folder = fixture_folder();
    for (int with_config = 0; with_config < 2; with_config++) {
        eck_model *model = open_made(
            folder, tensors,
            with_config ? "{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2LMHeadModel\"]}"
                        : NULL);
        const eck_layer *c_attn = layer_named(model, "h.0.attn.c_attn");
        assert_true(c_attn->stored_transposed);
        assert_int_equal(c_attn->dense.in, 64);
        assert_int_equal(c_attn->dense.out, 192);
        // Square: only its sister or model_type can tell.
        assert_true(layer_named(model, "h.0.attn.c_proj")->stored_transposed);
        if (with_config) expect_skipped(model, "wte", "tied to 'lm_head'");
        eck_model_close(model);
    }
    fixture_remove(folder);
}

static void convolutions(void **state)
{
    (void)state;
    const fixture_tensor tensors[] = { { "stem.weight", 4, { 64, 3, 7, 7 } },
                                       { "body.weight", 4, { 32, 32, 3, 3 } },
                                       { "depthwise.weight", 4, { 512, 1, 3, 3 } },
                                       { "upsample_transpose.weight", 4, { 32, 32, 3, 3 } },
                                       { "wave.weight", 3, { 64, 64, 5 } },
                                       { NULL, 0, { 0 } } };
    char *folder = fixture_folder();
    eck_model *model = open_made(folder, tensors, NULL);
    expect_skipped(model, "stem", "stem convolution");
    expect_skipped(model, "body", NULL);
    expect_skipped(model, "depthwise", "depthwise");
    expect_skipped(model, "upsample_transpose", "transposed");
    expect_skipped(model, "wave", NULL);
    assert_int_equal(layer_named(model, "body")->dense.kernel[1], 3);
    assert_int_equal(layer_named(model, "wave")->dense.spatial, 1);
    eck_model_close(model);
    fixture_remove(folder);
}

static void parents_that_read(void **state)
{
    (void)state;
    const fixture_tensor tensors[] = { { "block.self_attn.in_proj_weight", 2, { 192, 64 } },
                                       { "block.self_attn.out_proj.weight", 2, { 64, 64 } },
                                       { "block.linear1.weight", 2, { 128, 64 } },
                                       { "rnn.weight_ih_l0", 2, { 256, 64 } },
                                       { "free.out_proj.weight", 2, { 64, 64 } },
                                       { NULL, 0, { 0 } } };
    char *folder = fixture_folder();
    eck_model *model = open_made(folder, tensors, NULL);
    expect_skipped(model, "block.self_attn.in_proj_weight", "MultiheadAttention");
    expect_skipped(model, "block.self_attn.out_proj", "MultiheadAttention");
    expect_skipped(model, "block.linear1", "TransformerEncoderLayer");
    expect_skipped(model, "rnn.weight_ih_l0", "LSTM");
    expect_skipped(model, "free.out_proj", NULL);
    eck_model_close(model);
    fixture_remove(folder);
}

/** A head stored beside equal embeddings is tied whatever the configuration says; one that differs is not. */
static void ties_are_decided_by_bytes(void **state)
{
    (void)state;
    const fixture_tensor apart[] = { { "model.embed_tokens.weight", 2, { 300, 64 } },
                                     { "lm_head.weight", 2, { 300, 64 } },
                                     { NULL, 0, { 0 } } };
    char *folder = fixture_folder();
    eck_model *model = open_made(
        folder, apart, "{\"architectures\":[\"LlamaForCausalLM\"],\"tie_word_embeddings\":true}");
    expect_skipped(model, "model.embed_tokens", "embeddings");
    assert_null(layer_named(model, "model.embed_tokens")->tied_to);
    eck_model_close(model);

    const fixture_tensor absent[] = { { "model.embed_tokens.weight", 2, { 300, 64 } },
                                      { NULL, 0, { 0 } } };
    model = open_made(folder, absent,
                      "{\"architectures\":[\"LlamaForCausalLM\"],\"tie_word_embeddings\":false}");
    assert_null(layer_named(model, "model.embed_tokens")->tied_to);
    eck_model_close(model);
    model = open_made(folder, absent, "{\"architectures\":[\"LlamaForCausalLM\"]}");
    assert_string_equal(layer_named(model, "model.embed_tokens")->tied_to, "lm_head");
    eck_model_close(model);
    fixture_remove(folder);
}

static void a_bias_must_fit(void **state)
{
    (void)state;
    const fixture_tensor tensors[] = { { "a.weight", 2, { 80, 64 } },
                                       { "a.bias", 1, { 64 } },
                                       { "b.weight", 2, { 80, 64 } },
                                       { "b.bias", 1, { 80 } },
                                       { NULL, 0, { 0 } } };
    char *folder = fixture_folder();
    eck_model *model = open_made(folder, tensors, NULL);
    expect_skipped(model, "a", "bias");
    expect_skipped(model, "b", NULL);
    eck_model_close(model);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_layers),
        cmocka_unit_test(a_bias_must_fit),
        cmocka_unit_test(gpt2_is_stored_transposed),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(parents_that_read),
        cmocka_unit_test(ties_are_decided_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
