// held.c: which matrices a copy is made of, that it holds their bits in either layout, and that KRYLOV gives the same bytes
// whether a matrix lay in memory, in memory by columns, or somewhere else.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/held.h"
#include "linalg/krylov_lane.h"

// The same matrix as one that can only be read.
static eck_status read_view(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    return eck_view_read(self, row, col, out, err);
}

static eck_operator *elsewhere(eck_view *view, bool stored)
{
    eck_operator *op = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = read_view };
    info.rows = view->shape[0];
    info.cols = view->shape[1];
    info.storage = view->dtype;
    info.name = "elsewhere";
    expect_ok(eck_operator_create(&op, &info, &methods, view, &err), &err);
    op->stored = stored;
    return op;
}

static void check_copy(const eck_operator *a, const eck_view *view, bool by_columns)
{
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    ecki_held held = { NULL, NULL };
    const int64_t size = eck_dtype_bits(view->dtype) / 8;
    const ecki_holding plan = { view->shape[0] * view->shape[1] * size, by_columns };
    context.threads = 2;
    expect_ok(ecki_held_make(&held, a, plan, &context, &err), &err);
    const eck_view *const copy = held.op->view;
    assert_int_equal(copy->dtype, view->dtype);
    assert_int_equal(copy->stride[by_columns ? 0 : 1], 1);
    assert_string_equal(held.op->info.name, a->name);
    for (int64_t i = 0; i < view->shape[0]; i++)
        for (int64_t j = 0; j < view->shape[1]; j++) {
            const int64_t from = i * view->stride[0] + j * view->stride[1],
                          to = i * copy->stride[0] + j * copy->stride[1];
            assert_memory_equal((const char *)view->data + from * size,
                                (const char *)copy->data + to * size, (size_t)size);
        }
    ecki_held_clear(&held);
}

static void copies(void **state)
{
    (void)state;
    static const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };
    static const int64_t shapes[][2] = { { 1, 1 },     { 1, 70 },    { 70, 1 },     { 16, 16 },
                                         { 64, 1024 }, { 65, 1025 }, { 129, 2063 }, { 2063, 33 } };
    for (size_t t = 0; t < 3; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            sample a = sample_create(shapes[s][0], shapes[s][1], types[t], 0.999, 3 + s);
            eck_view view = eck_array_view(a.array), turned = eck_view_transposed(view);
            eck_operator *const far = elsewhere(&view, true), *const far_turned =
                                                                  elsewhere(&turned, true);
            for (int by_columns = 0; by_columns < 2; by_columns++) {
                check_copy(a.op, &view, by_columns);
                check_copy(far, &view, by_columns);
                check_copy(far_turned, &turned, by_columns);
            }
            eck_operator_free(far_turned);
            eck_operator_free(far);
            sample_free(&a);
        }
}

// A view without numbers: only its shape is looked at.
static ecki_holding plan_of(int64_t rows, int64_t cols, eck_dtype dtype, bool turned)
{
    static double number;
    eck_error err = ECK_ERROR_INIT;
    eck_operator *op = NULL;
    eck_view view = eck_view_matrix(&number, dtype, rows, cols);
    if (turned) view = eck_view_transposed(eck_view_matrix(&number, dtype, cols, rows));
    expect_ok(eck_operator_dense(&op, view, &err), &err);
    const ecki_holding plan = ecki_hold_plan(op);
    eck_operator_free(op);
    return plan;
}

static void plans(void **state)
{
    (void)state;
    // rows of a wide matrix are long vectors, and so are columns of a tall one that lie side by side
    const ecki_holding wide = plan_of(4096, 11008, ECK_DTYPE_F32, false);
    assert_int_equal(wide.bytes, 4 * 4096 * 11008);
    assert_true(wide.by_columns);
    const ecki_holding tall = plan_of(11008, 4096, ECK_DTYPE_BF16, true);
    assert_int_equal(tall.bytes, 2 * 4096 * 11008);
    assert_false(tall.by_columns);
    assert_int_equal(plan_of(11008, 4096, ECK_DTYPE_F32, false).bytes, 0);
    assert_int_equal(plan_of(4096, 11008, ECK_DTYPE_F32, true).bytes, 0);
    assert_int_equal(plan_of(4096, 4096, ECK_DTYPE_F32, false).bytes, 0);
    assert_int_equal(plan_of(8000, 11008, ECK_DTYPE_F32, false).bytes,
                     0); // not much shorter the other way
    assert_int_equal(plan_of(100, 8000, ECK_DTYPE_F32, false).bytes, 0);
    assert_int_equal(plan_of(4096, 11008, ECK_DTYPE_F64, false).bytes, 0);
    assert_int_equal(plan_of(4096, 11008, ECK_DTYPE_I8, false).bytes,
                     0); // its type is not that of the numbers read
    assert_int_equal(plan_of(INT64_C(1) << 15, INT64_C(1) << 16, ECK_DTYPE_F32, false).bytes, 0);
    assert_int_equal(plan_of(INT64_C(1) << 40, INT64_C(1) << 41, ECK_DTYPE_F32, false).bytes, 0);
    sample a = sample_create(40, 30, ECK_DTYPE_F32, 1.0, 1);
    eck_view view = eck_array_view(a.array);
    eck_operator *const stored = elsewhere(&view, true), *const made = elsewhere(&view, false);
    assert_int_equal(ecki_hold_plan(stored).bytes, 4 * 40 * 30);
    assert_false(ecki_hold_plan(stored).by_columns);
    assert_int_equal(ecki_hold_plan(made).bytes,
                     0); // what is computed need not be numbers of its type
    eck_operator_free(made);
    eck_operator_free(stored);
    sample_free(&a);
}

// What was announced, with its copy, is not exceeded.
static int64_t announced(const eck_operator *a, const eck_svd_options *options,
                         const eck_context *context)
{
    eck_engine_choice choice;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_choose(&choice, a, options, context, &err), &err);
    return choice.memory;
}

static eck_svd *krylov(const eck_operator *a, int64_t memory, int64_t *peak_out)
{
    eck_error err = ECK_ERROR_INIT;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    options.rank = 6;
    options.engine = ECK_ENGINE_KRYLOV;
    context.threads = 2;
    context.memory = memory;
    const int64_t before = ecki_memory_now();
    ecki_memory_reset_peak();
    expect_ok(eck_svd_compute(&svd, a, &options, &context, &err), &err);
    *peak_out = ecki_memory_peak() - before;
    assert_true(*peak_out <= announced(a, &options, &context));
    assert_int_equal(svd->engine, ECK_ENGINE_KRYLOV);
    return svd;
}

static void assert_same(const eck_svd *a, const eck_svd *b)
{
    assert_memory_equal(a->u->data, b->u->data, (size_t)(a->rows * a->rank) * sizeof(float));
    assert_memory_equal(a->v->data, b->v->data, (size_t)(a->cols * a->rank) * sizeof(float));
    assert_memory_equal(a->s->data, b->s->data, (size_t)a->rank * sizeof(double));
}

static void same_bytes(void **state)
{
    (void)state;
    enum { ROWS = 600, COLS = 8200 };
    sample a = sample_create(ROWS, COLS, ECK_DTYPE_F32, 0.9997, 5);
    for (int64_t i = 0; i < ROWS; i++) // rows that fall off: few terms matter
        for (int64_t j = 0; j < COLS; j++)
            ((float *)a.array->data)[i * COLS + j] *= 1.0F / (float)(1 + i);
    eck_view view = eck_array_view(a.array);
    float *const turned = test_malloc(sizeof *turned * ROWS * COLS);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++)
            turned[j * ROWS + i] = ((const float *)a.array->data)[i * COLS + j];
    const eck_view by_columns =
        eck_view_transposed(eck_view_matrix(turned, ECK_DTYPE_F32, COLS, ROWS));
    eck_error err = ECK_ERROR_INIT;
    eck_operator *columns = NULL, *const file = elsewhere(&view, true);
    expect_ok(eck_operator_dense(&columns, by_columns, &err), &err);
    int64_t copied = 0, plain = 0, least = 0;
    eck_svd *const wide = krylov(a.op, 0, &copied), *const direct = krylov(columns, 0, &plain),
                   *const read = krylov(file, 0, &least);
    assert_same(wide, direct);
    assert_same(wide, read);
    assert_true(copied >= plain + 4 * ROWS * COLS);
    // a limit that is enough without the copy is kept without it
    const eck_context one = { .version = 1, .threads = 2 };
    ecki_svd_job job = { .a = a.op, .context = &one, .options = ECK_SVD_OPTIONS_INIT };
    job.options.rank = 6;
    const int64_t limit = ecki_krylov_memory(&job);
    job.holding = ecki_hold_plan(a.op);
    assert_true(ecki_krylov_memory(&job) > limit);
    eck_svd *const poor = krylov(a.op, limit, &least);
    assert_true(least <= limit);
    // both lie between the optimum and 1e-4 above it
    const double apart = fabs(poor->certificate.error / wide->certificate.error - 1.0);
    expect_at_most("errors with and without a copy", apart, 1.0001e-4);
    eck_svd_free(poor);
    eck_svd_free(read);
    eck_svd_free(direct);
    eck_svd_free(wide);
    eck_operator_free(columns);
    eck_operator_free(file);
    test_free(turned);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(copies), cmocka_unit_test(plans),
                                        cmocka_unit_test(same_bytes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
