// The doctor's document, whole, and its verdict.
#include "expect.h"

#include <math.h>
#include <string.h>

#include "eckart/context.h"
#include "eckart/report.h"

static char *report(const eck_machine *machine)
{
    static const char *const settings[] = { "OPENBLAS_CORETYPE", "Haswell", "OMP_PROC_BIND", NULL };
    static const eck_core_trial trials[] = { { "", true, 30.5, 61.0, 0.25, 0.5 },
                                             { "SkylakeX", false, 0, 0, 0, 0 } };
    static const char *const advice[] = { "unset \"it\"" };
    const eck_diagnosis diagnosis = { machine, settings, 2, trials, 2, advice, 1 };
    char *text = NULL;
    assert_int_equal(eck_report_doctor(&text, &diagnosis, NULL), ECK_OK);
    return text;
}

static void test_document(void **state)
{
    (void)state;
    const eck_machine machine = { "avx2",       true,  false, false, false, false, 3,
                                  "OpenBLAS 1", 10.25, 20.5,  5.5,   0.5,   1.0 };
    char *const text = report(&machine);
    static const char expected[] =
        "{\n  \"cpu\": \"avx2\",\n"
        "  \"features\": {\"avx2\": true, \"avx512\": false, \"avx512_bf16\": false, \"amx\": "
        "false, \"neon\": "
        "false},\n"
        "  \"threads\": 3,\n  \"blas\": \"OpenBLAS 1\",\n  \"gemm_f64\": 10.25,\n"
        "  \"gemm_f32\": 20.5,\n  \"bandwidth\": 5.5,\n  \"check_f64\": 0.5,\n  \"check_f32\": "
        "1.0,\n"
        "  \"ok\": true,\n"
        "  \"settings\": {\"OPENBLAS_CORETYPE\": \"Haswell\", \"OMP_PROC_BIND\": null},\n"
        "  \"cores\": [\n"
        "    {\"core\": \"\", \"ran\": true, \"gemm_f64\": 30.5, \"gemm_f32\": 61.0, "
        "\"check_f64\": "
        "0.25, \"check_f32\": 0.5},\n"
        "    {\"core\": \"SkylakeX\", \"ran\": false, \"gemm_f64\": 0.0, \"gemm_f32\": 0.0, "
        "\"check_f64\": 0.0, \"check_f32\": 0.0}\n  ],\n"
        "  \"advice\": [\"unset \\\"it\\\"\"]\n}\n";
    assert_string_equal(text, expected);
    eck_text_free(text);
}

// Above the bound, and not a number at all, are both wrong.
static void test_verdict(void **state)
{
    (void)state;
    const double checks[] = { 1.5, NAN };
    for (int i = 0; i < 4; i++) {
        eck_machine machine = {
            "avx2", true, false, false, false, false, 1, "B", 1, 1, 1, 0.5, 0.5
        };
        *(i / 2 ? &machine.check_f32 : &machine.check_f64) = checks[i % 2];
        char *const text = report(&machine);
        assert_non_null(strstr(text, "\"ok\": false"));
        eck_text_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_document),
                                        cmocka_unit_test(test_verdict) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
