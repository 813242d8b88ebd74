// A name of the hub given as a path: where its cache is, is found as the hub's own tools find it.
#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/container.h"

static eck_error err;

// A cache in `hub` with one snapshot of org/name.
static void make_cache(const char *hub)
{
    static const char *const folders[] = { "", "/models--org--name", "/models--org--name/refs",
                                           "/models--org--name/snapshots",
                                           "/models--org--name/snapshots/abc123" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(scratch_path("%s%s", hub, folders[i]), 0700), 0);
    scratch_text(scratch_path("%s/models--org--name/refs/main", hub), "abc123\n");
}

static void forget_environment(void)
{
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
    setenv("HOME", scratch_path("nobody"), 1);
}

static void assert_found_in(const char *hub)
{
    char part[1200];
    snprintf(part, sizeof part,
             "the hub's model of that name lies in '%s/models--org--name/snapshots/abc123'", hub);
    assert_int_equal(ecki_missing_error(&err, ENOENT, "org/name"), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot read 'org/name': no such file");
    if (!strstr(err.message, part)) fail_msg("'%s' has not '%s'", err.message, part);
}

static void test_where_the_cache_is(void **state)
{
    (void)state;
    make_cache("one");
    assert_int_equal(mkdir(scratch_path("two"), 0700), 0);
    make_cache("two/hub");
    assert_int_equal(mkdir(scratch_path("user"), 0700), 0);
    assert_int_equal(mkdir(scratch_path("user/.cache"), 0700), 0);
    assert_int_equal(mkdir(scratch_path("user/.cache/huggingface"), 0700), 0);
    make_cache("user/.cache/huggingface/hub");

    forget_environment();
    assert_int_equal(ecki_missing_error(&err, ENOENT, "org/name"), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "'hf download org/name' prints the directory to pass");
    setenv("HOME", scratch_path("user"), 1);
    assert_found_in(scratch_path("user/.cache/huggingface/hub"));
    setenv("HF_HOME", scratch_path("two"), 1);
    assert_found_in(scratch_path("two/hub"));
    setenv("HF_HUB_CACHE", scratch_path("one"), 1);
    assert_found_in(scratch_path("one"));
}

static void test_what_is_no_hub_name(void **state)
{
    (void)state;
    forget_environment();
    assert_int_equal(mkdir(scratch_path("here"), 0700), 0);
    assert_int_equal(chdir(scratch_path("here/..")), 0);
    static const char *const paths[] = { "name",        "/org/name",     "./name",
                                         "../name",     "a/b/c",         "org/",
                                         "/",           "org/name with", "org/model.safetensors",
                                         "org/.hidden", "org/x.npy",     "here/gone" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(ecki_missing_error(&err, ENOENT, paths[i]), ECK_E_IO);
        assert_error(&err, ECK_E_IO, -1, "No such file or directory");
    }
    assert_int_equal(ecki_missing_error(&err, EACCES, "org/name"), ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot read 'org/name': Permission denied");
}

// What refs/main says is a path component or nothing.
static void test_reference_is_not_trusted(void **state)
{
    (void)state;
    forget_environment();
    make_cache("hostile");
    setenv("HF_HUB_CACHE", scratch_path("hostile"), 1);
    static const char *const references[] = { "../../../..", "abc123/..", "", "/", ".", "gone" };
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        scratch_text(scratch_path("hostile/models--org--name/refs/main"), references[i]);
        assert_int_equal(ecki_missing_error(&err, ENOENT, "org/name"), ECK_E_IO);
        assert_error(&err, ECK_E_IO, -1, "'hf download org/name' prints");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_the_cache_is),
        cmocka_unit_test(test_what_is_no_hub_name),
        cmocka_unit_test(test_reference_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
