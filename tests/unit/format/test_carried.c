// What goes with a model's weights, and what stays behind: above all what a link would bring in from elsewhere.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/carried.h"

static eck_error err;

static void folder(const char *name)
{
    assert_int_equal(mkdir(scratch_path("%s", name), 0700), 0);
}

// Both lists as "a b | c d".
static void assert_found(const char *directory, const char *wanted)
{
    ecki_carried carried = { 0 };
    char found[2000] = "";
    if (ecki_carried_find(&carried, scratch_path("%s", directory), &err) != ECK_OK)
        fail_msg("%s", err.message);
    for (int64_t i = 0; i < carried.file_count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s ", carried.files[i]);
    strcat(found, "|");
    for (int64_t i = 0; i < carried.left_out_count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), " %s", carried.left_out[i]);
    assert_string_equal(found, wanted);
    ecki_carried_clear(&carried);
}

static void test_an_ordinary_model(void **state)
{
    (void)state;
    static const char *const files[] = { "config.json",
                                         "tokenizer.json",
                                         "README.md",
                                         "vocab.txt",
                                         "model.safetensors",
                                         "pytorch_model.bin",
                                         "tf_model.h5",
                                         "onnx/model.onnx",
                                         "onnx/config.json",
                                         "1_Pooling/config.json",
                                         ".gitattributes",
                                         ".git/HEAD",
                                         "eckart.json",
                                         "Zeta.json",
                                         "model.safetensors.index.json" };
    folder("model");
    folder("model/onnx");
    folder("model/.git");
    folder("model/1_Pooling");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        scratch_text(scratch_path("model/%s", files[i]), "x");
    // sorted by byte, capitals first, whatever the locale
    assert_found(
        "model",
        "1_Pooling/config.json README.md Zeta.json config.json tokenizer.json vocab.txt |"
        " .git/ .gitattributes eckart.json model.safetensors model.safetensors.index.json onnx/"
        " pytorch_model.bin tf_model.h5");
}

static void test_links(void **state)
{
    (void)state;
    folder("links");
    folder("links/sub");
    folder("elsewhere");
    scratch_text(scratch_path("elsewhere/secret.txt"), "x");
    scratch_text(scratch_path("links/real.txt"), "x");
    assert_int_equal(symlink("real.txt", scratch_path("links/inside.txt")), 0);
    assert_int_equal(symlink("../real.txt", scratch_path("links/sub/up.txt")), 0);
    assert_int_equal(symlink("../elsewhere/secret.txt", scratch_path("links/outside.txt")), 0);
    assert_int_equal(symlink("/etc/passwd", scratch_path("links/passwd.txt")), 0);
    assert_int_equal(symlink("../elsewhere", scratch_path("links/folder")), 0);
    assert_int_equal(symlink("/", scratch_path("links/root")), 0);
    assert_int_equal(symlink("sub", scratch_path("links/again")), 0);
    assert_found("links",
                 "inside.txt real.txt sub/up.txt | again folder outside.txt passwd.txt root");
}

static void test_a_snapshot_of_the_cache(void **state)
{
    (void)state;
    folder("hub");
    folder("hub/blobs");
    folder("hub/snapshots");
    folder("hub/snapshots/abc");
    folder("hub/snapshots/abc/1_Pooling");
    scratch_text(scratch_path("hub/blobs/00"), "x");
    scratch_text(scratch_path("hub/other"), "x");
    assert_int_equal(symlink("../../blobs/00", scratch_path("hub/snapshots/abc/config.json")), 0);
    assert_int_equal(
        symlink("../../../blobs/00", scratch_path("hub/snapshots/abc/1_Pooling/config.json")), 0);
    assert_int_equal(symlink("../../other", scratch_path("hub/snapshots/abc/other.json")), 0);
    assert_found("hub/snapshots/abc", "1_Pooling/config.json config.json | other.json");
}

static void test_odd_entries(void **state)
{
    (void)state;
    folder("odd");
    folder("odd/a");
    folder("odd/a/b");
    folder("odd/a/b/c");
    folder("odd/a/b/c/d");
    scratch_text(scratch_path("odd/a/b/c/d/deep.txt"), "x");
    scratch_text(scratch_path("odd/back\\slash.txt"), "x");
    scratch_text(scratch_path("odd/line\nbreak.txt"), "x");
    assert_int_equal(mkfifo(scratch_path("odd/fifo"), 0600), 0);
    scratch_text(scratch_path("odd/fine.txt"), "x");
    assert_found("odd", "fine.txt | a/ back\\slash.txt fifo line\nbreak.txt");
    ecki_carried carried = { 0 };
    assert_int_equal(ecki_carried_find(&carried, scratch_path("gone"), &err), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot list the directory");
    assert_int_equal(symlink("nowhere", scratch_path("odd/dangling.txt")), 0);
    assert_int_equal(ecki_carried_find(&carried, scratch_path("odd"), &err), ECK_E_IO);
    assert_null(carried.files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ordinary_model),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_a_snapshot_of_the_cache),
        cmocka_unit_test(test_odd_entries),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
