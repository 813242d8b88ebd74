// Replays tests/golden/expect.tsv: every file gives the index or the error it must give, and a good
// file cut short at any byte is refused. Run with that folder as argument.
// For ONNX this is the test of onnx_reader.c, onnx_tensor.c, onnx_external.c and onnx_link.c, for PyTorch
// of pickle.c and torch_reader.c.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/format.h"

enum { COLUMNS = 5 };
typedef struct row {
    const char *path, *status, *offset, *text, *warning;
} row;

static char *table;
static row rows[2000];
static int32_t row_count;

// Cuts the table into rows; the first line names the columns.
static int read_table(void **state)
{
    (void)state;
    table = scratch_read("expect.tsv", NULL);
    for (char *line = strtok(table, "\n"); line; line = strtok(NULL, "\n")) {
        char *columns[COLUMNS];
        for (int32_t i = 0; i < COLUMNS; i++)
            columns[i] = strsep(&line, "\t");
        assert_non_null(columns[COLUMNS - 1]);
        assert_true(row_count < (int32_t)(sizeof rows / sizeof *rows));
        rows[row_count++] = (row){ columns[0], columns[1], columns[2], columns[3], columns[4] };
    }
    assert_string_equal(rows[0].path, "path");
    memmove(rows, rows + 1, sizeof *rows * (size_t)--row_count);
    return scratch_setup(state);
}

static int free_table(void **state)
{
    free(table);
    return scratch_teardown(state);
}

// "name DTYPE [2,3] F S crc32; ..."
static char *describe(const ecki_container *container)
{
    ecki_text text = { 0 };
    eck_error err = ECK_ERROR_INIT;
    ecki_text_add(&text, "", 0);
    for (int64_t i = 0; i < container->entry_count; i++) {
        const ecki_entry *entry = &container->entries[i];
        unsigned char *bytes = malloc((size_t)entry->bytes + 1);
        assert_non_null(bytes);
        if (ecki_container_read(container, i, 0, bytes, entry->bytes, &err) != ECK_OK)
            fail_msg("%s", err.message);
        ecki_text_printf(&text, "%s%s %s [", i ? "; " : "", entry->name,
                         eck_dtype_name(entry->dtype));
        for (int32_t d = 0; d < entry->ndim; d++)
            ecki_text_printf(&text, "%s%lld", d ? "," : "", (long long)entry->shape[d]);
        ecki_text_printf(&text, "]%s%s %08lx", entry->fortran_order ? " F" : "",
                         entry->swapped ? " S" : "", crc32_z(0, bytes, (size_t)entry->bytes));
        free(bytes);
    }
    char *description = ecki_text_take(&text);
    return description ? description : ecki_strdup("");
}

// 1 if the row holds.
static int32_t check_good(const row *r, const ecki_container *container)
{
    bool warned = *r->warning == '\0' && container->warning_count == 0;
    for (int64_t i = 0; i < container->warning_count && *r->warning; i++)
        warned = warned || strstr(container->warnings[i], r->warning);
    char *found = describe(container);
    const bool same = strcmp(found, r->text) == 0;
    if (!same) print_error("%s: index '%s', wanted '%s'\n", r->path, found, r->text);
    if (!warned)
        print_error("%s: warning '%s', wanted '%s'\n", r->path,
                    container->warning_count ? container->warnings[0] : "", r->warning);
    ecki_free(found);
    return same && warned;
}

static void test_every_row(void **state)
{
    (void)state;
    const int64_t held = ecki_memory_now();
    int32_t wrong = 0;
    for (int32_t i = 0; i < row_count; i++) {
        const row *r = &rows[i];
        ecki_container *container = NULL;
        eck_error err = ECK_ERROR_INIT;
        const eck_status status = ecki_container_open(&container, r->path, &err);
        bool right = strcmp(eck_status_name(status), r->status) == 0;
        if (right && status == ECK_OK)
            right = check_good(r, container);
        else if (!right || err.offset != atoll(r->offset) || !strstr(err.message, r->text)) {
            print_error("%s: %s at %lld '%s'\n    wanted %s at %s '%s'\n", r->path,
                        eck_status_name(status), (long long)err.offset, err.message, r->status,
                        r->offset, r->text);
            right = false;
        }
        wrong += !right;
        ecki_container_close(container);
    }
    print_message("%d files, %d wrong\n", row_count, wrong);
    assert_true(row_count > 300);
    assert_int_equal(wrong, 0);
    assert_int_equal(ecki_memory_now(), held);
}

// True for a good file of the folder, by its ending.
static bool is_good_file(const row *r, const char *ending)
{
    struct stat info;
    const size_t length = strlen(r->path), tail = strlen(ending);
    return strcmp(r->status, "ok") == 0 && length > tail &&
           strcmp(r->path + length - tail, ending) == 0 && lstat(r->path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

// Every proper beginning of a file is refused; `may_read` bytes or more may still read (what
// follows is only remarked).
static void cut_file(const char *path, const char *ending, int64_t may_read)
{
    int64_t count;
    char *bytes = scratch_read(path, &count);
    const char *cut = scratch_path("cut%s", ending);
    for (int64_t i = 0; i < count; i++) {
        ecki_container *container = NULL;
        eck_error err = ECK_ERROR_INIT;
        scratch_write(cut, bytes, i);
        const eck_status status = ecki_container_open(&container, cut, &err);
        ecki_container_close(container);
        if (status == ECK_OK && i < may_read)
            fail_msg("%s cut to %lld of %lld bytes reads", path, (long long)i, (long long)count);
        if (status != ECK_OK && (err.offset > i || !err.message[0]))
            fail_msg("%s cut to %lld bytes: byte %lld, '%s'", path, (long long)i,
                     (long long)err.offset, err.message);
    }
    free(bytes);
}

// A message that ends after its graph is a message too: only what is cut within the graph must be refused.
static int32_t cut_graph(const char *path)
{
    int64_t count, end;
    char *bytes = scratch_read(path, &count);
    for (end = count - 5; end > 0 && memcmp(bytes + end, "\x42\x04\x0a\x00\x10", 5) != 0; end--) {}
    free(bytes);
    assert_true(end > 0);
    cut_file(path, ".onnx", end);
    return 1;
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    int32_t files = 0;
    for (int32_t i = 0; i < row_count; i++) {
        const row *r = &rows[i];
        const bool npy = is_good_file(r, ".npy"), npz = is_good_file(r, ".npz");
        if (is_good_file(r, ".onnx") && !strstr(r->path, "external")) files += cut_graph(r->path);
        const bool torch = is_good_file(r, ".pt") || is_good_file(r, ".pth");
        if (!npy && !npz && !torch && !is_good_file(r, ".safetensors")) continue;
        struct stat info;
        assert_int_equal(stat(r->path, &info), 0);
        int64_t may_read = info.st_size;
        if (strcmp(r->path, "npy/trailing.npy") == 0) may_read -= 4;
        cut_file(r->path, npy ? ".npy" : npz ? ".npz" : torch ? ".pt" : ".safetensors", may_read);
        files++;
    }
    print_message("%d files cut\n", files);
    assert_true(files > 50);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_cut_at_every_byte),
    };
    if (argc != 2 || chdir(argv[1]) != 0) return 2;
    return cmocka_run_group_tests(tests, read_table, free_table);
}
