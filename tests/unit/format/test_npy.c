// Heads of .npy arrays: what we write we read, for every type and number of dimensions; what others break we survive.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "format/npy.h"

static eck_error err;
static const ecki_place place = { "f.npy", NULL, 0 };

static const eck_dtype named[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_I8,
                                   ECK_DTYPE_U8,  ECK_DTYPE_I16, ECK_DTYPE_U16, ECK_DTYPE_I32,
                                   ECK_DTYPE_U32, ECK_DTYPE_I64, ECK_DTYPE_U64, ECK_DTYPE_BOOL };

static void test_heads_round_trip(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof named / sizeof *named; t++) {
        for (int32_t ndim = 0; ndim <= ECK_DIMS_MAX; ndim++) {
            eck_array array = { .dtype = named[t], .ndim = ndim };
            int64_t count = 1;
            for (int32_t d = 0; d < ndim; d++)
                count *= array.shape[d] = d == 3 ? 12345 : d + 1;
            ecki_text head = { 0 };
            ecki_npy_head found;
            assert_int_equal(ecki_npy_write_head(&head, &array, &err), ECK_OK);
            assert_int_equal(head.length % 64, 0);
            assert_int_equal(head.data[head.length - 1], '\n');
            assert_int_equal(ecki_npy_parse(&found, head.data, head.length, place, &err), ECK_OK);
            assert_int_equal(found.dtype, named[t]);
            assert_int_equal(found.ndim, ndim);
            assert_memory_equal(found.shape, array.shape, sizeof array.shape);
            assert_int_equal(found.start, head.length);
            assert_int_equal(found.bytes, count * eck_dtype_bits(named[t]) / 8);
            assert_false(found.fortran_order);
            assert_false(found.swapped);
            ecki_text_clear(&head);
        }
    }
}

static void test_exact_head(void **state)
{
    (void)state;
    // what numpy.save writes for zeros((3,), '<f4')
    static const char wanted[] =
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
    const eck_array array = { .dtype = ECK_DTYPE_F32, .ndim = 1, .shape = { 3 } };
    ecki_text head = { 0 };
    assert_int_equal(ecki_npy_write_head(&head, &array, &err), ECK_OK);
    assert_int_equal(head.length, 128);
    assert_memory_equal(head.data, wanted, sizeof wanted - 1);
    ecki_text_clear(&head);
}

static void test_types_without_a_name(void **state)
{
    (void)state;
    static const eck_dtype without[] = { ECK_DTYPE_BF16, ECK_DTYPE_F8_E4M3, ECK_DTYPE_F8_E5M2,
                                         ECK_DTYPE_F4, ECK_DTYPE_C64 };
    for (size_t t = 0; t < sizeof without / sizeof *without; t++) {
        ecki_text head = { 0 };
        const eck_array array = { .dtype = without[t] };
        char part[100];
        snprintf(part, sizeof part,
                 "cannot write %s as npy: NumPy has no such type; convert to F32 or",
                 eck_dtype_name(without[t]));
        assert_int_equal(ecki_npy_write_head(&head, &array, &err), ECK_E_UNSUPPORTED);
        assert_error(&err, ECK_E_UNSUPPORTED, -1, part);
        assert_null(head.data);
    }
}

// Any byte exchanged for any other: read or refused, in bounds, and never of more bytes than a shape can have.
static void test_every_byte_exchanged(void **state)
{
    (void)state;
    const eck_array array = { .dtype = ECK_DTYPE_F32, .ndim = 2, .shape = { 30, 40 } };
    ecki_text head = { 0 };
    int32_t read = 0, refused = 0;
    assert_int_equal(ecki_npy_write_head(&head, &array, &err), ECK_OK);
    for (int64_t at = 0; at < head.length; at++) {
        const char old = head.data[at];
        for (int32_t byte = 0; byte < 256; byte++) {
            ecki_npy_head found = { 0 };
            head.data[at] = (char)byte;
            // exactly as long as the head, so that reading behind it shows
            char *copy = malloc((size_t)head.length);
            assert_non_null(copy);
            memcpy(copy, head.data, (size_t)head.length);
            const eck_status status = ecki_npy_parse(&found, copy, head.length, place, &err);
            free(copy);
            read += status == ECK_OK;
            refused += status != ECK_OK;
            if (status == ECK_OK)
                assert_true(found.start <= head.length && found.bytes >= 0 && found.ndim <= 8);
            if (status != ECK_OK) assert_true(err.offset >= 0 && err.offset <= head.length);
        }
        head.data[at] = old;
    }
    print_message("%d read, %d refused\n", read, refused);
    assert_true(read > 0 && refused > 0);
    ecki_text_clear(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_round_trip),
        cmocka_unit_test(test_exact_head),
        cmocka_unit_test(test_types_without_a_name),
        cmocka_unit_test(test_every_byte_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
