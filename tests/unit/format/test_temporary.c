// Temporaries: named for their target, locked while their writer lives, swept when it does not.
#include "scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/temporary.h"

static eck_error err;

// A new directory, open.
static int folder(const char *name)
{
    assert_int_equal(mkdir(scratch_path("%s", name), 0700), 0);
    const int descriptor = open(scratch_path("%s", name), O_RDONLY | O_DIRECTORY);
    assert_true(descriptor >= 0);
    return descriptor;
}

static void test_names(void **state)
{
    (void)state;
    const int parent = folder("names");
    char *first, *second, *longest, target[256] = "";
    int a, b, c;
    struct stat info;

    assert_int_equal(ecki_temporary_create(&first, &a, parent, "model", false, &err), ECK_OK);
    assert_int_equal(ecki_temporary_create(&second, &b, parent, "model", true, &err), ECK_OK);
    assert_int_equal(strncmp(first, ".model.eckart-", 14), 0);
    assert_int_equal(strlen(first), 20);
    assert_string_not_equal(first, second);
    assert_int_equal(fstat(a, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(fstat(b, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    // the longest name a file may have still leaves room
    memset(target, 'n', 255);
    assert_int_equal(ecki_temporary_create(&longest, &c, parent, target, false, &err), ECK_OK);
    assert_true(strlen(longest) <= 255);
    close(a), close(b), close(c), close(parent);
    ecki_free(first), ecki_free(second), ecki_free(longest);
}

static void test_creation_fails_clearly(void **state)
{
    (void)state;
    char *name = NULL;
    int descriptor = -7;
    const int parent = folder("gone");
    assert_int_equal(rmdir(scratch_path("gone")), 0);
    assert_int_equal(ecki_temporary_create(&name, &descriptor, parent, "model", false, &err),
                     ECK_E_IO);
    assert_error(&err, ECK_E_IO, -1, "cannot write 'model': No such file or directory");
    assert_null(name);
    assert_int_equal(descriptor, -7);
    close(parent);
}

static void test_sweep(void **state)
{
    (void)state;
    const int parent = folder("sweep");
    char *held, *left;
    int held_descriptor, left_descriptor;
    assert_int_equal(ecki_temporary_create(&held, &held_descriptor, parent, "model", false, &err),
                     ECK_OK);
    assert_int_equal(ecki_temporary_create(&left, &left_descriptor, parent, "model", true, &err),
                     ECK_OK);
    scratch_text(scratch_path("sweep/%s/shard", left), "x");
    assert_int_equal(mkdir(scratch_path("sweep/%s/deep", left), 0700), 0);
    close(left_descriptor); // as the death of its writer does

    static const char *const others[] = { ".model.eckart-12345",
                                          ".model.eckart-1234567",
                                          "model.eckart-123456",
                                          ".model2.eckart-123456",
                                          ".model",
                                          "model",
                                          ".mode.eckart-123456" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        scratch_text(scratch_path("sweep/%s", others[i]), "x");
    assert_int_equal(symlink("model", scratch_path("sweep/.model.eckart-abcdef")), 0);
    assert_int_equal(mkfifo(scratch_path("sweep/.model.eckart-ghijkl"), 0600), 0);

    ecki_temporary_sweep(parent, "model");
    assert_true(scratch_exists(scratch_path("sweep/%s", held)));
    assert_false(scratch_exists(scratch_path("sweep/%s", left)));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(scratch_exists(scratch_path("sweep/%s", others[i])));
    // neither was made by us
    assert_true(scratch_exists(scratch_path("sweep/.model.eckart-abcdef")));
    assert_true(scratch_exists(scratch_path("sweep/.model.eckart-ghijkl")));

    close(held_descriptor);
    ecki_temporary_sweep(parent, "model");
    assert_false(scratch_exists(scratch_path("sweep/%s", held)));
    close(parent);
    ecki_free(held), ecki_free(left);
}

static void test_tree_remove(void **state)
{
    (void)state;
    const int parent = folder("tree");
    assert_int_equal(mkdir(scratch_path("tree/a"), 0700), 0);
    assert_int_equal(mkdir(scratch_path("tree/a/b"), 0700), 0);
    assert_int_equal(mkdir(scratch_path("tree/keep"), 0700), 0);
    scratch_text(scratch_path("tree/keep/file"), "x");
    scratch_text(scratch_path("tree/a/b/file"), "x");
    // links are removed, what they lead to is not
    assert_int_equal(symlink("../../keep", scratch_path("tree/a/b/link")), 0);
    assert_int_equal(symlink(".", scratch_path("tree/a/loop")), 0);
    assert_true(ecki_tree_remove(parent, "a"));
    assert_false(scratch_exists(scratch_path("tree/a")));
    assert_true(scratch_exists(scratch_path("tree/keep/file")));
    assert_true(ecki_tree_remove(parent, "never-there"));

    // deeper than anything we write: stays
    char path[1000] = "";
    for (int32_t i = 0; i < 40; i++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "%sd", i ? "/" : "");
        assert_int_equal(mkdirat(parent, path, 0700), 0);
    }
    assert_false(ecki_tree_remove(parent, "d"));
    close(parent);
}

// Writers and sweepers at once: a writer that was told it has a temporary keeps it.
static void test_sweepers_race(void **state)
{
    (void)state;
    enum { SWEEPERS = 3, ROUNDS = 2000 };
    const int parent = folder("race");
    pid_t sweepers[SWEEPERS];
    for (int32_t i = 0; i < SWEEPERS; i++) {
        sweepers[i] = fork();
        if (sweepers[i] == 0)
            for (;;)
                ecki_temporary_sweep(parent, "model");
    }
    int32_t lost = 0;
    for (int32_t i = 0; i < ROUNDS; i++) {
        char *name;
        int descriptor;
        if (ecki_temporary_create(&name, &descriptor, parent, "model", i % 2, &err) != ECK_OK) {
            lost++;
            continue;
        }
        usleep(20);
        lost += faccessat(parent, name, F_OK, 0) != 0;
        ecki_tree_remove(parent, name);
        close(descriptor);
        ecki_free(name);
    }
    for (int32_t i = 0; i < SWEEPERS; i++) {
        kill(sweepers[i], SIGKILL);
        waitpid(sweepers[i], NULL, 0);
    }
    assert_int_equal(lost, 0);
    close(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_creation_fails_clearly),
        cmocka_unit_test(test_sweep),         cmocka_unit_test(test_tree_remove),
        cmocka_unit_test(test_sweepers_race),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
