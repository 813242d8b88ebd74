// Targets: what is refused, what appears, what is left behind. Needs to be root, to mount a small
// file system.
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/atomic.h"

static eck_error err;

// Stands in for a file system whose renameat2() knows no flags, while `flagless` is set (linked
// with --wrap).
static bool flagless;
int __real_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
    if (!flagless) return __real_renameat2(from, old, to, name, flags);
    errno = EINVAL;
    return -1;
}

// Writes a one-file target whole; returns the status of the step that failed, or of publish.
static eck_status put(const char *path, const char *text, bool replace, const char *input)
{
    const char *const inputs[] = { input };
    const ecki_target_options options = {
        .path = path, .replace = replace, .inputs = inputs, .input_count = input != NULL
    };
    ecki_target *target = NULL;
    ecki_output *output;
    eck_status status = ecki_target_create(&target, &options, &err);
    if (status == ECK_OK) status = ecki_target_open(&output, target, NULL, &err);
    if (status == ECK_OK) status = ecki_output_reserve(output, (int64_t)strlen(text), &err);
    if (status == ECK_OK) status = ecki_output_write(output, 0, text, (int64_t)strlen(text), &err);
    if (status == ECK_OK) status = ecki_target_publish(target, &err);
    ecki_target_free(target);
    return status;
}

// Writes a directory of one file and the marker.
static eck_status put_folder(const char *path, const char *text, bool replace)
{
    const ecki_target_options options = {
        .path = path, .directory = true, .replace = replace, .marker = "eckart.json"
    };
    ecki_target *target = NULL;
    ecki_output *output;
    eck_status status = ecki_target_create(&target, &options, &err);
    if (status == ECK_OK) status = ecki_target_open(&output, target, "data", &err);
    if (status == ECK_OK) status = ecki_output_write(output, 0, text, (int64_t)strlen(text), &err);
    if (status == ECK_OK) status = ecki_target_open(&output, target, "eckart.json", &err);
    if (status == ECK_OK) status = ecki_target_publish(target, &err);
    ecki_target_free(target);
    return status;
}

static void assert_text(const char *path, const char *text)
{
    char *found = scratch_read(path, NULL);
    assert_string_equal(found, text);
    free(found);
}

// A new empty directory; the text stays until the next test.
static const char *folder(const char *name)
{
    const char *path = scratch_path("%s", name);
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

static void test_file_appears_whole(void **state)
{
    (void)state;
    folder("whole");
    assert_int_equal(put(scratch_path("whole/out"), "first", false, NULL), ECK_OK);
    assert_text(scratch_path("whole/out"), "first");
    assert_int_equal(put(scratch_path("whole/out"), "second", false, NULL), ECK_E_EXISTS);
    assert_error(&err, ECK_E_EXISTS, -1, "whole/out': it exists and may not be replaced");
    assert_text(scratch_path("whole/out"), "first");
    assert_int_equal(put(scratch_path("whole/out"), "second", true, NULL), ECK_OK);
    assert_text(scratch_path("whole/out"), "second");
    assert_int_equal(scratch_entries(scratch_path("whole")), 1);
}

static void test_nothing_before_publish(void **state)
{
    (void)state;
    folder("before");
    const char *path = scratch_path("before/out");
    ecki_target *target;
    ecki_output *output;
    assert_int_equal(ecki_target_create(&target, &(ecki_target_options){ .path = path }, &err),
                     ECK_OK);
    assert_int_equal(ecki_target_publish(target, &err), ECK_E_RANGE);
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
    assert_int_equal(ecki_output_write(output, 0, "abc", 3, &err), ECK_OK);
    assert_false(scratch_exists(path));
    assert_int_equal(scratch_entries(scratch_path("before")), 1);
    assert_text(ecki_target_temporary(target), "abc");
    // one file is one file
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_E_RANGE);
    assert_int_equal(ecki_target_open(&output, target, "a", &err), ECK_E_RANGE);
    ecki_target_free(target);
    assert_int_equal(scratch_entries(scratch_path("before")), 0);
}

static void test_permissions(void **state)
{
    (void)state;
    struct stat info;
    folder("mode");
    const mode_t old = umask(027);
    assert_int_equal(put(scratch_path("mode/out"), "x", false, NULL), ECK_OK);
    assert_int_equal(put_folder(scratch_path("mode/folder"), "x", false), ECK_OK);
    umask(old);
    assert_int_equal(stat(scratch_path("mode/out"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(stat(scratch_path("mode/folder"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0750);
    // what nobody else could read stays so
    assert_int_equal(chmod(scratch_path("mode/out"), 0600), 0);
    assert_int_equal(put(scratch_path("mode/out"), "y", true, NULL), ECK_OK);
    assert_int_equal(stat(scratch_path("mode/out"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_what_may_not_be_replaced(void **state)
{
    (void)state;
    folder("kinds");
    folder("kinds/folder");
    scratch_text(scratch_path("kinds/file"), "old");
    assert_int_equal(mkfifo(scratch_path("kinds/fifo"), 0600), 0);
    assert_int_equal(symlink("file", scratch_path("kinds/link")), 0);
    assert_int_equal(symlink("nowhere", scratch_path("kinds/dangling")), 0);
    const struct {
        const char *name;
        bool directory;
        const char *part;
    } cases[] = {
        { "folder", false, "it exists and is no regular file" },
        { "fifo", false, "it exists and is no regular file" },
        { "link", false, "it is a symbolic link; name what it leads to" },
        { "dangling", false, "it is a symbolic link" },
        { "file", true, "it exists and is no directory" },
        { "link", true, "it is a symbolic link" },
        { "folder", true, "the directory exists and was not written by eckart" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = scratch_path("kinds/%s", cases[i].name);
        assert_int_equal(cases[i].directory ? put_folder(path, "x", true)
                                            : put(path, "x", true, NULL),
                         ECK_E_EXISTS);
        assert_error(&err, ECK_E_EXISTS, -1, cases[i].part);
    }
    assert_int_equal(put("/dev/null", "x", true, NULL), ECK_E_EXISTS);
    assert_int_equal(scratch_entries(scratch_path("kinds")), 5);
    assert_text(scratch_path("kinds/file"), "old");
}

static void test_paths_without_a_name(void **state)
{
    (void)state;
    static const char *const paths[] = { "", ".", "..", "/", "///", "x/.", "x/..", "./" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(put(paths[i], "x", true, NULL), ECK_E_RANGE);
        assert_error(&err, ECK_E_RANGE, -1, "no name that something could be given");
    }
    assert_int_equal(put(scratch_path("nowhere/out"), "x", false, NULL), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "nowhere/out': No such file or directory");
    // root passes over permissions, so the directory that cannot be written to is a file
    scratch_text(scratch_path("plain"), "x");
    assert_int_equal(put(scratch_path("plain/out"), "x", false, NULL), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "plain/out': Not a directory");
}

static void test_the_input_is_no_output(void **state)
{
    (void)state;
    folder("same");
    folder("same/model");
    folder("same/ours");
    scratch_text(scratch_path("same/in"), "input");
    scratch_text(scratch_path("same/model/weights"), "input");
    scratch_text(scratch_path("same/ours/eckart.json"), "{}");
    scratch_text(scratch_path("same/ours/weights"), "input");
    assert_int_equal(link(scratch_path("same/in"), scratch_path("same/hard")), 0);
    assert_int_equal(symlink("in", scratch_path("same/soft")), 0);
    assert_int_equal(symlink("model", scratch_path("same/alias")), 0);
    const struct {
        const char *output, *input, *part;
        bool directory;
    } cases[] = {
        { "in", "in", "it is the input", false },
        { "model/../in", "in", "it is the input", false },
        { "hard", "in", "it is the input", false },
        { "soft", "in", "it is the input", false },
        { "in", "soft", "it is the input", false },
        { "model/out", "model", "it lies in the input", false },
        { "alias/out", "model", "it lies in the input", true },
        { "model", "model/", "it is the input", true },
        { "model", "alias", "it is the input", true },
        { "ours", "ours/weights", "it holds the input", true },
        { "ours", "ours/eckart.json", "it holds the input", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const inputs[] = { scratch_path("same/%s", cases[i].input) };
        const ecki_target_options options = { .path = scratch_path("same/%s", cases[i].output),
                                              .replace = true,
                                              .directory = cases[i].directory,
                                              .marker = "eckart.json",
                                              .inputs = inputs,
                                              .input_count = 1 };
        ecki_target *target = NULL;
        assert_int_equal(ecki_target_create(&target, &options, &err), ECK_E_RANGE);
        assert_error(&err, ECK_E_RANGE, -1, cases[i].part);
        assert_null(target);
    }
    assert_text(scratch_path("same/in"), "input");
    assert_int_equal(put(scratch_path("same/beside"), "x", false, scratch_path("same/model")),
                     ECK_OK);
}

static void test_directory_is_replaced_whole(void **state)
{
    (void)state;
    for (int32_t round = 0; round < 2; round++) {
        flagless = round == 1; // and by a file system without exchange
        char *base = strdup(folder(round ? "flagless" : "exchange"));
        const char *name = strrchr(base, '/') + 1;
        assert_int_equal(put_folder(scratch_path("%s/out/", name), "first", false), ECK_OK);
        assert_int_equal(put_folder(scratch_path("%s/out", name), "second", false), ECK_E_EXISTS);
        scratch_text(scratch_path("%s/out/of-the-user", name), "x");
        assert_int_equal(put_folder(scratch_path("%s/out", name), "second", true), ECK_OK);
        assert_text(scratch_path("%s/out/data", name), "second");
        assert_int_equal(scratch_entries(scratch_path("%s/out", name)), 2);
        assert_int_equal(put(scratch_path("%s/file", name), "first", false, NULL), ECK_OK);
        assert_int_equal(put(scratch_path("%s/file", name), "second", true, NULL), ECK_OK);
        assert_text(scratch_path("%s/file", name), "second");
        assert_int_equal(scratch_entries(base), 2);
        free(base);
    }
    flagless = false;
}

// Something appears at the target between creation and publish.
static void test_publish_looks_again(void **state)
{
    (void)state;
    folder("again");
    for (int32_t round = 0; round < 2; round++) {
        flagless = round == 1;
        ecki_target *target;
        ecki_output *output;
        const char *path = scratch_path("again/out%d", round);
        assert_int_equal(ecki_target_create(&target, &(ecki_target_options){ .path = path }, &err),
                         ECK_OK);
        assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
        scratch_text(path, "of another");
        assert_int_equal(ecki_target_publish(target, &err), ECK_E_EXISTS);
        ecki_target_free(target);
        assert_text(path, "of another");

        path = scratch_path("again/folder%d", round);
        const ecki_target_options options = {
            .path = path, .directory = true, .replace = true, .marker = "eckart.json"
        };
        assert_int_equal(ecki_target_create(&target, &options, &err), ECK_OK);
        folder(round ? "again/folder1" : "again/folder0");
        scratch_text(scratch_path("again/folder%d/of-another", round), "x");
        assert_int_equal(ecki_target_publish(target, &err), ECK_E_EXISTS);
        ecki_target_free(target);
        assert_true(scratch_exists(scratch_path("again/folder%d/of-another", round)));
    }
    flagless = false;
    assert_int_equal(scratch_entries(scratch_path("again")), 4);
}

static void test_names_in_a_directory(void **state)
{
    (void)state;
    folder("members");
    const ecki_target_options options = { .path = scratch_path("members/out"), .directory = true };
    ecki_target *target;
    ecki_output *output;
    assert_int_equal(ecki_target_create(&target, &options, &err), ECK_OK);
    static const char *const bad[] = { "../x", "a/../b", "a//b", "a/",    "/x",   ".x",
                                       "a/.x", "",       "C:x",  "a/C:x", "a\\b", "a\nb" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ecki_target_open(&output, target, bad[i], &err), ECK_E_RANGE);
        assert_error(&err, ECK_E_RANGE, -1, "not a name of a file in a directory");
    }
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_E_RANGE);
    assert_int_equal(ecki_target_open(&output, target, "a", &err), ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, "a", &err), ECK_E_EXISTS);
    assert_int_equal(ecki_target_open(&output, target, "a/b", &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "members/out/a/b': Not a directory");
    char deep[5000];
    memset(deep, 'd', sizeof deep);
    for (size_t i = 200; i < sizeof deep; i += 200)
        deep[i] = '/';
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(ecki_target_open(&output, target, deep, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "File name too long");
    ecki_target_free(target);
    assert_int_equal(scratch_entries(scratch_path("members")), 0);
}

static void test_folders_in_a_directory(void **state)
{
    (void)state;
    folder("folders");
    const ecki_target_options options = { .path = scratch_path("folders/out"), .directory = true };
    ecki_target *target;
    ecki_output *output;
    assert_int_equal(ecki_target_create(&target, &options, &err), ECK_OK);
    static const char *const names[] = { "config.json", "1_Pooling/config.json", "1_Pooling/a/b/c",
                                         "2_Dense/config.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(ecki_target_open(&output, target, names[i], &err), ECK_OK);
        assert_int_equal(ecki_output_write(output, 0, names[i], (int64_t)strlen(names[i]), &err),
                         ECK_OK);
    }
    assert_int_equal(ecki_target_publish(target, &err), ECK_OK);
    ecki_target_free(target);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_text(scratch_path("folders/out/%s", names[i]), names[i]);
    assert_int_equal(scratch_entries(scratch_path("folders/out")), 3);
    assert_int_equal(scratch_entries(scratch_path("folders")), 1);
}

static void test_copy(void **state)
{
    (void)state;
    folder("copy");
    const int64_t count = 3 * 1024 * 1024 + 17;
    char *bytes = malloc((size_t)count);
    assert_non_null(bytes);
    for (int64_t i = 0; i < count; i++)
        bytes[i] = (char)(i * i >> 7);
    scratch_write(scratch_path("copy/source"), bytes, count);
    scratch_text(scratch_path("copy/empty"), "");
    assert_int_equal(symlink("source", scratch_path("copy/link")), 0);
    assert_int_equal(mkfifo(scratch_path("copy/fifo"), 0600), 0);
    const ecki_target_options options = { .path = scratch_path("copy/out"), .directory = true };
    ecki_target *target;
    assert_int_equal(ecki_target_create(&target, &options, &err), ECK_OK);
    assert_int_equal(ecki_target_copy(target, "a", scratch_path("copy/link"), &err), ECK_OK);
    assert_int_equal(ecki_target_copy(target, "b", scratch_path("copy/empty"), &err), ECK_OK);
    assert_int_equal(ecki_target_copy(target, "c", scratch_path("copy/fifo"), &err), ECK_E_IO);
    assert_int_equal(ecki_target_copy(target, "c", scratch_path("copy/gone"), &err), ECK_E_IO);
    assert_int_equal(ecki_target_publish(target, &err), ECK_OK);
    ecki_target_free(target);
    int64_t found_count;
    char *found = scratch_read(scratch_path("copy/out/a"), &found_count);
    assert_int_equal(found_count, count);
    assert_memory_equal(found, bytes, count);
    assert_int_equal(scratch_entries(scratch_path("copy/out")), 2);
    free(found);
    free(bytes);
}

static void test_size_is_checked(void **state)
{
    (void)state;
    const char *const path = scratch_path("size");
    for (int32_t round = 0; round < 2; round++) {
        ecki_target *target;
        ecki_output *output;
        assert_int_equal(ecki_target_create(&target, &(ecki_target_options){ .path = path }, &err),
                         ECK_OK);
        assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
        assert_int_equal(ecki_output_reserve(output, 4, &err), ECK_OK);
        assert_int_equal(ecki_output_write(output, 0, "12345", round ? 3 : 5, &err), ECK_OK);
        // where nothing can be reserved, what was never written is not there
        if (round == 1) assert_int_equal(truncate(ecki_target_temporary(target), 3), 0);
        assert_int_equal(ecki_target_publish(target, &err), ECK_E_IO);
        assert_error(&err, ECK_E_IO, -1,
                     round ? "3 bytes on the disk of 4" : "5 bytes on the disk of 4");
        ecki_target_free(target);
        assert_false(scratch_exists(path));
    }
}

// A file system of 64 KiB; not being able to mount it fails the test, it does not pass it over.
static const char *mount_small(const char *name)
{
    const char *path = folder(name);
    if (mount("tmpfs", path, "tmpfs", 0, "size=64k") != 0)
        fail_msg("this test needs to mount a tmpfs at '%s' and may not: %s", path, strerror(errno));
    return path;
}

static void test_disk_full(void **state)
{
    (void)state;
    const char *path = mount_small("full");
    static char large[80000];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(put(scratch_path("full/out"), "old", false, NULL), ECK_OK);
    // reserving says so before a byte is written
    assert_int_equal(put(scratch_path("full/out"), large, true, NULL), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "full/out': No space left on device");
    assert_text(scratch_path("full/out"), "old");
    assert_int_equal(scratch_entries(path), 1);

    // and so does writing what was not reserved
    ecki_target *target;
    ecki_output *output;
    const ecki_target_options options = { .path = scratch_path("full/folder"), .directory = true };
    assert_int_equal(ecki_target_create(&target, &options, &err), ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, "a", &err), ECK_OK);
    assert_int_equal(ecki_output_write(output, 0, large, sizeof large, &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "full/folder/a': No space left on device");
    scratch_write(scratch_path("source"), large, sizeof large);
    assert_int_equal(ecki_target_copy(target, "b", scratch_path("source"), &err), ECK_E_IO);
    ecki_target_free(target);
    assert_int_equal(scratch_entries(path), 1);
    assert_int_equal(umount(path), 0);
}

static void test_read_only(void **state)
{
    (void)state;
    const char *path = mount_small("fixed");
    assert_int_equal(put(scratch_path("fixed/out"), "old", false, NULL), ECK_OK);
    assert_int_equal(mount("tmpfs", path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"), 0);
    assert_int_equal(put(scratch_path("fixed/new"), "x", false, NULL), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "Read-only file system");
    assert_int_equal(put(scratch_path("fixed/out"), "x", true, NULL), ECK_E_IO);
    assert_text(scratch_path("fixed/out"), "old");
    assert_int_equal(umount(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_appears_whole),
        cmocka_unit_test(test_nothing_before_publish),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_what_may_not_be_replaced),
        cmocka_unit_test(test_paths_without_a_name),
        cmocka_unit_test(test_the_input_is_no_output),
        cmocka_unit_test(test_directory_is_replaced_whole),
        cmocka_unit_test(test_publish_looks_again),
        cmocka_unit_test(test_names_in_a_directory),
        cmocka_unit_test(test_folders_in_a_directory),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_size_is_checked),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, scratch_setup_on_disk, scratch_teardown);
}
