// Every document with each request for memory refused in turn; half a document is none.
#include "failing_allocator.h"

#include <math.h>
#include <string.h>

#include "eckart/eckart.h"

enum { ROWS = 9, COLS = 6 };

// What is reported on, made once.
static float numbers[ROWS * ROWS];
static eck_operator *matrix, *square;
static eck_svd *svd;
static eck_eigen *eigen;

static int make_results(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS * ROWS; i++)
        numbers[i] = (float)cos(0.3 * (i / ROWS + 1) * (i % ROWS + 1));
    eck_svd_options options;
    eck_svd_options_init(&options);
    options.rank = 3;
    eck_status status =
        eck_operator_dense(&matrix, eck_view_matrix(numbers, ECK_DTYPE_F32, ROWS, COLS), NULL);
    if (status == ECK_OK)
        status =
            eck_operator_dense(&square, eck_view_matrix(numbers, ECK_DTYPE_F32, ROWS, ROWS), NULL);
    if (status == ECK_OK) status = eck_svd_compute(&svd, matrix, &options, NULL, NULL);
    if (status == ECK_OK) status = eck_eigen_compute(&eigen, square, &options, NULL, NULL);
    return status == ECK_OK ? 0 : -1;
}

static int free_results(void **state)
{
    (void)state;
    eck_eigen_free(eigen);
    eck_svd_free(svd);
    eck_operator_free(square);
    eck_operator_free(matrix);
    return 0;
}

// Checks a document that came out, frees it.
static eck_status finish(eck_status status, char *text)
{
    assert_untouched(status, text);
    if (text) assert_int_equal(text[strlen(text) - 1], '\n');
    if (text)
        assert_true(text[0] == '{' ? text[strlen(text) - 2] == '}'
                                   : strncmp(text, "k,sigma", 7) == 0);
    eck_text_free(text);
    return status;
}

static eck_status svd_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    const eck_status status = eck_report_svd(&text, svd, eck_operator_get_info(matrix), 1.5, err);
    return finish(status, text);
}

static eck_status eigen_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    const eck_status status = eck_report_eigen(&text, eigen, eck_operator_get_info(square), err);
    return finish(status, text);
}

static eck_status curve_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    const double values[] = { 3.0, 2.0, 0.5, 0.0 };
    const eck_status status = eck_report_curve(&text, values, 4, err);
    return finish(status, text);
}

static eck_status outcome_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    char left[] = "pytorch_model.bin";
    char *left_out[] = { left };
    eck_outcome outcome = { .factored = 1, .left_out = left_out, .left_out_count = 1 };
    eck_check checks[] = { { "layer", true, true, 0.1, 0.2, NULL },
                           { "other", false, false, 0, 0, "differs" } };
    const eck_verdict verdict = { .factored = 1, .failed = 1, .checks = checks, .count = 2 };
    eck_status status = eck_report_outcome(&text, "out", &outcome, &verdict, err);
    status = finish(status, text);
    if (status != ECK_OK) return status;
    text = UNTOUCHED;
    status = eck_report_verify(&text, &verdict, err);
    return finish(status, text);
}

static eck_status doctor_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    const eck_machine machine = {
        "avx2", true, false, false, false, false, 1, "BLAS", 1, 1, 1, 0, 0
    };
    static const char *const settings[] = { "OMP_PROC_BIND", NULL };
    static const char *const advice[] = { "none" };
    const eck_core_trial trial = { "Haswell", true, 1, 1, 0, 0 };
    const eck_diagnosis diagnosis = { &machine, settings, 1, &trial, 1, advice, 1 };
    const eck_status status = eck_report_doctor(&text, &diagnosis, err);
    return finish(status, text);
}

static eck_status error_scenario(void *self, eck_error *err)
{
    (void)self;
    char *text = UNTOUCHED;
    const eck_error shown = { ECK_E_FORMAT, 8, "m.safetensors", "wte",
                              "cannot read tensor 'wte' of 'm.safetensors'" };
    const eck_status status = eck_report_error(&text, &shown);
    // This one has no error to fill: it is the error.
    if (status != ECK_OK) *err = (eck_error){ status, -1, "", "", "not enough memory" };
    return finish(status, text);
}

static void documents(void **state)
{
    (void)state;
    fail_every_allocation("eck_report_svd", svd_scenario, NULL);
    fail_every_allocation("eck_report_eigen", eigen_scenario, NULL);
    fail_every_allocation("eck_report_curve", curve_scenario, NULL);
    fail_every_allocation("eck_report_outcome and _verify", outcome_scenario, NULL);
    fail_every_allocation("eck_report_doctor", doctor_scenario, NULL);
    fail_every_allocation("eck_report_error", error_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(documents) };
    return cmocka_run_group_tests(tests, make_results, free_results);
}
