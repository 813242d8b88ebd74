/**
 * A chain of four stages goes the whole way: outline, writer, manifest, index, verify, restore. No method makes one yet;
 * whatever reads or writes factors must not care.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fixture.h"
#include "model/output.h"

/** Fails the test with the message of a call that fails. */
#define OK(call) \
    do { \
        eck_error problem = ECK_ERROR_INIT, *const err_ = &problem; \
        if ((call) != ECK_OK) fail_msg("%s: %s", #call, problem.message); \
    } while (0)

/** 1x1, 3x1, 1x3, 1x1: tensor train of a 3x3 kernel, 16 -> 24 channels, ranks 5, 7, 6. */
static const fixture_tensor stages_made[] = { { "c.0.weight", 4, { 5, 16, 1, 1 } },
                                              { "c.1.weight", 4, { 7, 5, 3, 1 } },
                                              { "c.2.weight", 4, { 6, 7, 1, 3 } },
                                              { "c.3.weight", 4, { 24, 6, 1, 1 } },
                                              { "c.3.bias", 1, { 24 } },
                                              { "norm.weight", 1, { 24 } },
                                              { NULL, 0, { 0 } } };

/** The dense kernel the chain stands for, multiplied out by hand. */
static float *dense_of_chain(void)
{
    float *w[4];
    double *t = calloc(24 * 16 * 9, sizeof *t);
    float *dense = malloc(24 * 16 * 9 * sizeof *dense);
    for (int i = 0; i < 4; i++)
        w[i] = fixture_values(stages_made, i);
    for (int o = 0; o < 24; o++)
        for (int i = 0; i < 16; i++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 3; x++)
                    for (int a = 0; a < 5; a++)
                        for (int b = 0; b < 7; b++)
                            for (int c = 0; c < 6; c++)
                                t[((o * 16 + i) * 3 + y) * 3 + x] +=
                                    (double)w[3][o * 6 + c] * w[2][(c * 7 + b) * 3 + x] *
                                    w[1][(b * 5 + a) * 3 + y] * w[0][a * 16 + i];
    for (int i = 0; i < 24 * 16 * 9; i++)
        dense[i] = (float)t[i];
    for (int i = 0; i < 4; i++)
        free(w[i]);
    free(t);
    return dense;
}

/** Writes the source model: the dense kernel under its stock name, bias and norm. */
static void write_source(const char *path)
{
    float *dense = dense_of_chain(), *bias = fixture_values(stages_made, 4),
          *norm = fixture_values(stages_made, 5);
    const char *header =
        "{\"c.weight\":{\"dtype\":\"F32\",\"shape\":[24,16,3,3],\"data_offsets\":[0,13824]},"
        "\"c.bias\":{\"dtype\":\"F32\",\"shape\":[24],\"data_offsets\":[13824,13920]},"
        "\"norm.weight\":{\"dtype\":\"F32\",\"shape\":[24],\"data_offsets\":[13920,14016]}}";
    const uint64_t length = strlen(header);
    FILE *file = fopen(path, "wb");
    fwrite(&length, 8, 1, file);
    fwrite(header, 1, length, file);
    fwrite(dense, 4, 24 * 16 * 9, file);
    fwrite(bias, 4, 24, file);
    fwrite(norm, 4, 24, file);
    fclose(file);
    free(dense);
    free(bias);
    free(norm);
}

static ecki_manifest *manifest_of_chain(void)
{
    ecki_manifest *manifest = ecki_calloc(1, sizeof *manifest);
    manifest->source_name = ecki_strdup("made");
    manifest->modules = ecki_calloc(1, sizeof *manifest->modules);
    manifest->module_count = 1;
    ecki_module *m = manifest->modules;
    m->name = ecki_strdup("c");
    m->kind = ecki_strdup("conv");
    m->bias = ecki_strdup("c.3.bias");
    m->method =
        ECK_METHOD_SVD; // the manifest's word for the method; no reader may conclude two stages from it
    m->dtype = ECK_DTYPE_F32;
    m->ndim = 4;
    memcpy(m->shape, (int64_t[]){ 24, 16, 3, 3 }, 4 * sizeof *m->shape);
    m->rank_count = 3;
    memcpy(m->ranks, (int64_t[]){ 5, 7, 6 }, 3 * sizeof *m->ranks);
    m->stages = ecki_calloc(4, sizeof *m->stages);
    m->stage_count = 4;
    for (int i = 0; i < 4; i++) {
        const int64_t *shape = stages_made[i].shape;
        m->stages[i].stage = eck_stage_conv(shape[1], shape[0], 1, 2, shape + 2);
        m->stages[i].weight = ecki_strdup(stages_made[i].name);
    }
    // The dense kernel was rounded to F32 once: half a unit in the last place of every number.
    m->error = 3e-8;
    m->certificate.error_high = m->error_high = 6e-8;
    return manifest;
}

/** Through the same writer compress uses. */
static void write_chain(const eck_model *source, const char *path)
{
    ecki_items items = { 0 };
    ecki_model_output *output = NULL;
    ecki_manifest *manifest = manifest_of_chain();
    int64_t room = 0;
    for (int i = 0; i < 4; i++) {
        ecki_tensor_spec spec = { stages_made[i].name, ECK_DTYPE_F32, 4, { 0 } };
        memcpy(spec.shape, stages_made[i].shape, sizeof stages_made[i].shape);
        OK(ecki_items_add(&items, source, &spec, -1, err_));
    }
    OK(ecki_items_copy(&items, source, "c.3.bias", 1, err_));
    OK(ecki_items_copy(&items, source, "norm.weight", 2, err_));
    OK(ecki_items_finish(&items, INT64_MAX, err_));
    OK(ecki_manifest_room(&room, manifest, err_));
    const ecki_output_options options = { .path = path, .prefix = "eckart", .reserved = room };
    OK(ecki_model_output_create(&output, source, &items, &options, err_));
    for (int i = 0; i < 4; i++) {
        float *values = fixture_values(stages_made, i);
        OK(ecki_model_output_write(output, i, 0, values, items.list[i].bytes, err_));
        free(values);
    }
    OK(ecki_model_output_copy(output, 4, err_));
    OK(ecki_model_output_copy(output, 5, err_));
    OK(ecki_model_output_publish(output, manifest, NULL, err_));
    ecki_model_output_free(output);
    ecki_items_clear(&items);
    ecki_manifest_free(manifest);
}

static void four_stages_go_the_whole_way(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *in = fixture_path(folder, "in.safetensors");
    char *out = fixture_path(folder, "out.safetensors"),
         *back = fixture_path(folder, "back.safetensors");
    eck_model *source = NULL, *made = NULL, *restored = NULL;
    eck_verdict verdict = { 0 };
    eck_outcome outcome = { 0 };
    eck_chain chain = { NULL, 0 };

    write_source(in);
    OK(eck_model_open(&source, in, err_));
    write_chain(source, out);
    OK(eck_model_open(&made, out, err_));
    assert_int_equal(eck_model_layer_count(made), 1);
    OK(eck_model_layer_chain(&chain, made, 0, err_));
    assert_int_equal(chain.count, 4);
    assert_non_null(chain.stages[3].bias);
    OK(eck_model_verify(&verdict, source, made, NULL, err_));
    for (int64_t i = 0; i < verdict.count; i++)
        if (verdict.checks[i].reason)
            fail_msg("'%s': %s", verdict.checks[i].name, verdict.checks[i].reason);
    assert_true(verdict.kept);
    assert_int_equal(verdict.factored, 1);
    assert_true(verdict.checks[0].error > 0);
    OK(eck_model_restore(&outcome, made, back, NULL, NULL, err_));
    OK(eck_model_open(&restored, back, err_));
    assert_int_equal(eck_model_layer(restored, 0)->dense.kernel[0], 3);
    assert_int_equal(eck_model_tensor_count(restored), 3);
    eck_chain_clear(&chain);
    eck_verdict_clear(&verdict);
    eck_outcome_clear(&outcome);
    eck_model_close(source);
    eck_model_close(made);
    eck_model_close(restored);
    free(in);
    free(out);
    free(back);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(four_stages_go_the_whole_way) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
