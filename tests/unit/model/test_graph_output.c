/**
 * Graphs through their whole life, as graph_edit.c and graph_output.c write and check them: compressed, verified, restored,
 * and each with every allocation refused in turn. What the nodes compute is tested in ONNX Runtime (tests/peers).
 */
#include "memory/failing_allocator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/file.h"
#include "made_graph.h"
#include "scene.h"

/** Two layers of which one is used twice, a convolution, a bias and a weight that stays. */
static void write_graph(const char *path)
{
    made_graph m = { .ir = 8, .opset = 17 };
    made_value(&m, 11, "x");
    made_weight(&m, "up.weight", 24, 32, 0);
    made_weight(&m, "conv.weight", 16, 8, 3);
    made_weight(&m, "small", 2, 2, 0);
    made_node(&m, "MatMul x up.weight -> a");
    made_node(&m, "MatMul a up.weight -> b");
    made_node(&m, "Conv x conv.weight -> c pads=1,1,1,1 strides=2,1");
    made_node(&m, "MatMul c small -> y");
    made_value(&m, 12, "y");
    ecki_text model = made_model(&m);
    OK(eck_file_write(path, model.data, model.length, true, err_));
    ecki_text_clear(&model);
}

/** A file of a folder; one of eight buffers in turn. */
typedef struct folder {
    char *root, *in, *out, *dense;
} folder;

static folder folder_make(void)
{
    folder f = { fixture_folder(), NULL, NULL, NULL };
    f.in = fixture_path(f.root, "in.onnx");
    f.out = fixture_path(f.root, "out.onnx");
    f.dense = fixture_path(f.root, "dense.onnx");
    write_graph(f.in);
    return f;
}

static void folder_remove(folder *f)
{
    fixture_remove(f->root);
    free(f->in);
    free(f->out);
    free(f->dense);
}

/** Plan of rank 2 for every layer from 64 elements on. */
static eck_status plan_rank(eck_plan **out, eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_analysis *analysis = NULL;
    eck_selection selection = ECK_SELECTION_INIT;
    eck_budget budget = ECK_BUDGET_INIT;
    const eck_store_options store = ECK_STORE_OPTIONS_INIT;
    selection.min_size = 64;
    budget.rank = 2;
    status = eck_model_select(model, &selection, err);
    if (status == ECK_OK) status = eck_model_analyze(&analysis, model, &store, NULL, err);
    if (status == ECK_OK) status = eck_plan_optimize(out, model, analysis, &budget, &store, err);
    eck_analysis_free(analysis);
    return status;
}

/** Everything, one thread; the first failure ends it. */
static eck_status whole_path(void *self, eck_error *err)
{
    const folder *f = self;
    const eck_context one = { 1, 1, 0, NULL, NULL };
    eck_write_options write = ECK_WRITE_OPTIONS_INIT;
    eck_model *model = NULL, *made = NULL;
    eck_plan *plan = NULL;
    eck_outcome outcome = { 0 }, restored = { 0 };
    eck_verdict verdict = { 0 };
    write.replace = true;
    eck_status status = eck_model_open(&model, f->in, err);
    if (status == ECK_OK) status = plan_rank(&plan, model, err);
    if (status == ECK_OK)
        status = eck_model_compress(&outcome, model, plan, f->out, &write, &one, err);
    if (status == ECK_OK) status = eck_model_open(&made, f->out, err);
    if (status == ECK_OK) status = eck_model_verify(&verdict, model, made, &one, err);
    if (status == ECK_OK) status = eck_model_restore(&restored, made, f->dense, &write, &one, err);
    if (status == ECK_OK) {
        assert_true(verdict.kept);
        assert_int_equal(verdict.factored, 2);
        assert_int_equal(verdict.identical, 1);
        assert_int_equal(outcome.factored, 2);
    }
    eck_verdict_clear(&verdict);
    eck_outcome_clear(&restored);
    eck_outcome_clear(&outcome);
    eck_plan_free(plan);
    eck_model_close(made);
    eck_model_close(model);
    return status;
}

static void whole(void **state)
{
    (void)state;
    folder f = folder_make();
    OK(whole_path(&f, err_));
    int64_t length, again;
    char *before = fixture_read(f.in, &length), *dense = fixture_read(f.dense, &again);
    // names, nodes and sizes as they were: only numbers differ, by what rank 2 leaves out
    assert_int_equal(length, again);
    int64_t differ = 0;
    for (int64_t i = 0; i < length; i++)
        differ += before[i] != dense[i];
    assert_true(differ > 0 && differ <= 4 * (24 * 32 + 16 * 8 * 9));
    free(before);
    free(dense);
    folder_remove(&f);
}

static void refused_memory(void **state)
{
    (void)state;
    folder f = folder_make();
    fail_every_allocation("a graph's whole path", whole_path, &f);
    folder_remove(&f);
}

/** A factor in the wrong place of an output that is otherwise whole. */
static void other_node(void **state)
{
    (void)state;
    folder f = folder_make();
    eck_model *model = NULL, *made = NULL;
    eck_verdict verdict = { 0 };
    int64_t length;
    OK(whole_path(&f, err_));
    char *bytes = fixture_read(f.out, &length);
    int32_t found = 0;
    for (int64_t i = 0; i + 7 < length && !found; i++) {
        if (memcmp(bytes + i, "strides", 7) != 0) continue;
        bytes[i + 8] = 3; // the first of them
        found = 1;
    }
    assert_int_equal(found, 1);
    OK(eck_file_write(f.out, bytes, length, true, err_));
    free(bytes);
    OK(eck_model_open(&model, f.in, err_));
    OK(eck_model_open(&made, f.out, err_));
    OK(eck_model_verify(&verdict, model, made, NULL, err_));
    assert_false(verdict.kept);
    assert_int_equal(verdict.failed, 1);
    assert_non_null(
        strstr(verdict.checks[verdict.count - 1].reason, "is not what its source makes it"));
    eck_verdict_clear(&verdict);
    eck_model_close(made);
    eck_model_close(model);
    folder_remove(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(whole), cmocka_unit_test(other_node) };
    // thousands of files written and synced
    const struct CMUnitTest slow[] = { cmocka_unit_test(refused_memory) };
    if (argc == 2 && strcmp(argv[1], "refused") == 0)
        return cmocka_run_group_tests(slow, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
