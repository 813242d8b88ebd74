// Tables of text: numbers exact, whatever the locale; separators; where it goes wrong, by line and column.
#include "scratch.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "format/format.h"

static eck_error err;

// Reads a table; the numbers are free()d by the caller.
static double *read_table(const char *path, int64_t *rows, int64_t *columns)
{
    ecki_container *container = scratch_open(path);
    assert_int_equal(container->entry_count, 1);
    const ecki_entry *entry = &container->entries[0];
    assert_int_equal(entry->dtype, ECK_DTYPE_F64);
    *rows = entry->shape[0];
    *columns = entry->shape[1];
    double *numbers = malloc((size_t)entry->bytes);
    assert_non_null(numbers);
    assert_int_equal(ecki_container_read(container, 0, 0, numbers, entry->bytes, &err), ECK_OK);
    assert_int_equal(ecki_container_unchanged(container, &err), ECK_OK);
    ecki_container_close(container);
    return numbers;
}

static void test_numbers_are_exact(void **state)
{
    (void)state;
    enum { ROWS = 700, COLUMNS = 30 };
    static double wanted[ROWS * COLUMNS];
    static const char *const separators[] = { ",", ";", "\t", "  ", " , " };
    // random bits are numbers of every size
    for (int32_t i = 0; i < ROWS * COLUMNS; i++) {
        uint64_t bits = ecki_random_bits(3, 0, (uint64_t)i) & ~(UINT64_C(1) << 62);
        memcpy(&wanted[i], &bits, sizeof bits);
    }
    for (size_t s = 0; s < sizeof separators / sizeof *separators; s++) {
        ecki_text text = { 0 };
        for (int32_t i = 0; i < ROWS * COLUMNS; i++)
            ecki_text_printf(&text, "%.17g%s", wanted[i], (i + 1) % COLUMNS ? separators[s] : "\n");
        scratch_text(scratch_path("table.csv"), text.data);
        ecki_text_clear(&text);
        int64_t rows, columns;
        double *found = read_table(scratch_path("table.csv"), &rows, &columns);
        assert_int_equal(rows, ROWS);
        assert_int_equal(columns, COLUMNS);
        assert_memory_equal(found, wanted, sizeof wanted);
        free(found);
    }
}

// A locale with ',' in its numbers must change nothing. There may be none installed, so one is stood in for.
static void test_locale(void **state)
{
    (void)state;
    int64_t rows, columns;
    static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "C.utf8", "C" };
    scratch_text(scratch_path("locale.csv"), "1.5;2.25\n");
    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++) {
        if (!setlocale(LC_ALL, locales[i])) continue;
        double *found = read_table(scratch_path("locale.csv"), &rows, &columns);
        assert_true(found[0] == 1.5 && found[1] == 2.25);
        free(found);
    }
    setlocale(LC_ALL, "C");
}

static void test_long_things(void **state)
{
    (void)state;
    // a field that is no number may be as long as it likes, the message is not
    char *text = malloc(2000001);
    assert_non_null(text);
    memset(text, '7', 2000000);
    text[2000000] = '\0';
    scratch_text(scratch_path("long.csv"), text);
    assert_refused(scratch_path("long.csv"), ECK_E_FORMAT, 2000000, "it holds no numbers");
    memcpy(text, "1,", 2);
    scratch_text(scratch_path("long.csv"), text);
    assert_refused(scratch_path("long.csv"), ECK_E_FORMAT, 2, "line 1, column 2: '777777");
    // a million fields in one line
    for (int32_t i = 0; i < 1000000; i++)
        memcpy(text + 2 * i, "1,", 2);
    text[1999999] = '\n';
    scratch_text(scratch_path("wide.csv"), text);
    int64_t rows, columns;
    double *found = read_table(scratch_path("wide.csv"), &rows, &columns);
    assert_int_equal(rows, 1);
    assert_int_equal(columns, 1000000);
    free(found);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_exact),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_long_things),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
