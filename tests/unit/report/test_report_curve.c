// The curve of a spectrum.
#include "expect.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/context.h"
#include "eckart/report.h"

// Reads line k (from 1) of a curve.
static void read_line(const char *text, int k, double out[4])
{
    for (int i = 0; i < k; i++)
        text = strchr(text, '\n') + 1;
    assert_int_equal(sscanf(text, "%lf,%lf,%lf,%lf", &out[0], &out[1], &out[2], &out[3]), 4);
}

static void test_pythagoras(void **state)
{
    (void)state;
    char *text = NULL;
    // 12^2 + 4^2 + 3^2 = 13^2: error(1) = 5/13, error(2) = 3/13.
    const double values[] = { 12, 4, 3 };
    const double errors[] = { 5.0 / 13, 3.0 / 13, 0 };
    assert_int_equal(eck_report_curve(&text, values, 3, NULL), ECK_OK);
    assert_memory_equal(text, "k,sigma,error,energy\n", 21);
    for (int k = 1; k <= 3; k++) {
        double line[4];
        read_line(text, k, line);
        // Two ratios, two squares, two sums, a division and a root: at most 8 roundings.
        const double allowed = 8 * DBL_EPSILON;
        printf("error(%d) off by %.2g, allowed %.2g\n", k, fabs(line[2] - errors[k - 1]), allowed);
        assert_true(line[0] == k && line[1] == values[k - 1]);
        assert_true(fabs(line[2] - errors[k - 1]) <= allowed);
        assert_true(fabs(line[3] + line[2] * line[2] - 1) <= allowed);
    }
    eck_text_free(text);
}

// Squares of 1e300 overflow and those of 1e-300 vanish; ratios do neither.
static void test_scale_does_not_matter(void **state)
{
    (void)state;
    for (int power = -996; power <= 996; power += 996) {
        char *text = NULL;
        double line[4];
        const double values[] = { ldexp(12, power), ldexp(4, power), ldexp(3, power) };
        assert_int_equal(eck_report_curve(&text, values, 3, NULL), ECK_OK);
        read_line(text, 1, line);
        assert_true(fabs(line[2] - 5.0 / 13) <= 8 * DBL_EPSILON);
        eck_text_free(text);
    }
}

static void test_a_zero_matrix_has_no_error(void **state)
{
    (void)state;
    char *text = NULL;
    const double values[] = { 0, 0 };
    assert_int_equal(eck_report_curve(&text, values, 2, NULL), ECK_OK);
    assert_string_equal(text, "k,sigma,error,energy\n1,0,0,1\n2,0,0,1\n");
    eck_text_free(text);
}

static void test_no_values(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(eck_report_curve(&text, NULL, 0, NULL), ECK_OK);
    assert_string_equal(text, "k,sigma,error,energy\n");
    eck_text_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pythagoras),
        cmocka_unit_test(test_scale_does_not_matter),
        cmocka_unit_test(test_a_zero_matrix_has_no_error),
        cmocka_unit_test(test_no_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
