/** Made models through the library. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const fixture_tensor scene_tensors[] = { { "embed_tokens.weight", 2, { 300, 64 } },
                                         { "a.query.weight", 2, { 128, 96 } },
                                         { "a.query.bias", 1, { 128 } },
                                         { "b.value.weight", 2, { 96, 160 } },
                                         { "conv.weight", 4, { 48, 32, 3, 3 } },
                                         { "conv.bias", 1, { 48 } },
                                         { "norm.weight", 1, { 64 } },
                                         { NULL, 0, { 0 } } };

static void text_in(const char *folder, const char *name, const char *text)
{
    char *path = fixture_path(folder, name);
    fixture_text(path, text);
    free(path);
}

static void directory_fill(const char *folder)
{
    char *weights = fixture_path(folder, "model.safetensors");
    char *pooling = fixture_path(folder, "1_Pooling");
    mkdir(folder, 0777);
    mkdir(pooling, 0777);
    fixture_safetensors(weights, scene_tensors);
    text_in(folder, "config.json", "{\"model_type\":\"made\"}\n");
    text_in(folder, "pytorch_model.bin", "weights of another kind");
    text_in(pooling, "config.json", "{}\n");
    free(weights);
    free(pooling);
}

scene scene_make(bool directory)
{
    scene s;
    s.folder = fixture_folder();
    s.in = fixture_path(s.folder, directory ? "in" : "in.safetensors");
    s.out = fixture_path(s.folder, directory ? "out" : "out.safetensors");
    if (directory)
        directory_fill(s.in);
    else
        fixture_safetensors(s.in, scene_tensors);
    return s;
}

void scene_remove(scene *s)
{
    free(s->in);
    free(s->out);
    fixture_remove(s->folder);
}

eck_model *scene_open(const char *path)
{
    eck_model *model = NULL;
    OK(eck_model_open(&model, path, err_));
    return model;
}

eck_plan *scene_plan(const eck_model *model, double keep)
{
    eck_analysis *analysis = NULL;
    eck_plan *plan = NULL;
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = keep;
    OK(eck_model_analyze(&analysis, model, NULL, NULL, err_));
    OK(eck_plan_optimize(&plan, model, analysis, &budget, NULL, err_));
    eck_analysis_free(analysis);
    return plan;
}

void scene_compress(const scene *s, double keep, int32_t threads, const char *out)
{
    eck_outcome outcome = { 0 };
    eck_context context = ECK_CONTEXT_INIT;
    eck_model *model = scene_open(s->in);
    eck_plan *plan = scene_plan(model, keep);
    context.threads = threads;
    OK(eck_model_compress(&outcome, model, plan, out, NULL, &context, err_));
    assert_int_equal(outcome.factored, plan->factored);
    assert_int_equal(outcome.bytes_after, plan->bytes_after);
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(model);
}

eck_verdict scene_verify(const scene *s, const char *out)
{
    eck_verdict verdict = { 0 };
    eck_model *before = scene_open(s->in), *after = scene_open(out);
    OK(eck_model_verify(&verdict, before, after, NULL, err_));
    eck_model_close(before);
    eck_model_close(after);
    return verdict;
}
