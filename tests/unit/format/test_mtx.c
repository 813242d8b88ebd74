// Matrix Market files as the reader holds them: compressed lines that are the matrix, bytes of the dense matrix from any
// place, lines across the borders of the window, standard sizes that do not fit the file. Words and bytes of errors are
// those of tests/golden/mtx.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"

static ecki_container *open_text(const char *text)
{
    ecki_container *container = NULL;
    eck_error err = ECK_ERROR_INIT;
    const char *const path = scratch_path("m.mtx");
    scratch_write(path, text, (int64_t)strlen(text));
    if (ecki_container_open(&container, path, &err) != ECK_OK) fail_msg("%s", err.message);
    assert_int_equal(container->entry_count, 1);
    assert_string_equal(container->format, "mtx");
    return container;
}

static void coordinates(void **state)
{
    (void)state;
    ecki_container *c = open_text("%%MatrixMarket matrix coordinate real symmetric\n"
                                  "3 3 4\n3 1 7\n1 1 2.5\n2 2 -1\n3 3 .5\n");
    assert_non_null(c->sparse);
    assert_true(c->sparse->symmetric);
    const ecki_lines *const rows = &c->sparse->rows;
    const int64_t starts[4] = { 0, 2, 3, 5 };
    const int32_t indices[5] = { 0, 2, 1, 0, 2 };
    const double values[5] = { 2.5, 7, -1, 7, 0.5 };
    assert_memory_equal(rows->starts, starts, sizeof starts);
    assert_memory_equal(rows->indices, indices, sizeof indices);
    assert_memory_equal(rows->values, values, sizeof values);
    assert_memory_equal(c->sparse->cols.values, values, sizeof values); // it is symmetric
    ecki_container_close(c);
}

// Any run of the dense bytes is the same run of the whole.
static void dense_bytes(void **state)
{
    (void)state;
    ecki_container *c = open_text("%%MatrixMarket matrix coordinate integer general\n"
                                  "4 5 6\n1 1 1\n1 5 2\n2 3 3\n4 1 4\n4 2 5\n4 5 6\n");
    assert_int_equal(c->entries[0].dtype, ECK_DTYPE_F32);
    assert_int_equal(c->entries[0].bytes, 80);
    static const float whole[20] = { 1, 0, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 6 };
    unsigned char got[80];
    for (int64_t from = 0; from <= 80; from++)
        for (int64_t count = 0; from + count <= 80; count++) {
            memset(got, 0xff, sizeof got);
            assert_int_equal(ecki_container_read(c, 0, from, got, count, NULL), ECK_OK);
            assert_memory_equal(got, (const char *)whole + from, (size_t)count);
        }
    assert_int_equal(ecki_container_read(c, 0, 80, got, 1, NULL), ECK_E_RANGE);
    ecki_container_close(c);
}

// More lines than the window holds, each with its own numbers; remarks of every length move the borders.
static void window(void **state)
{
    (void)state;
    enum { N = 9000, BYTES = 64 * N };
    char *const text = test_malloc(BYTES);
    size_t at = (size_t)snprintf(
        text, BYTES, "%%%%MatrixMarket matrix coordinate real general\n%d %d %d\n", N, N, N);
    for (int i = 0; i < N; i++) {
        at += (size_t)snprintf(text + at, BYTES - at, "%d %d %d.25\n", i + 1, (i * 7) % N + 1, i);
        if (i % 50 == 0) at += (size_t)snprintf(text + at, BYTES - at, "%%%*s\n", i % 37, "");
    }
    ecki_container *c = open_text(text);
    const ecki_lines *const rows = &c->sparse->rows;
    assert_int_equal(rows->starts[N], N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(rows->indices[i], (i * 7) % N);
        assert_true(ecki_lines_value(rows, i) == i + 0.25);
    }
    ecki_container_close(c);
    test_free(text);
}

// The numbers of an array lie by columns, and the file is not read again.
static void arrays(void **state)
{
    (void)state;
    ecki_container *c = open_text("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4.5\n");
    static const double whole[4] = { 1, 2, 3, 4.5 };
    double got[4];
    assert_null(c->sparse);
    assert_true(c->entries[0].fortran_order);
    assert_int_equal(ecki_container_read(c, 0, 0, got, sizeof got, NULL), ECK_OK);
    assert_memory_equal(got, whole, sizeof got);
    ecki_container_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(coordinates),
                                        cmocka_unit_test(dense_bytes), cmocka_unit_test(window),
                                        cmocka_unit_test(arrays) };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
