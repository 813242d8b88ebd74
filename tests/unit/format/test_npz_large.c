// An array of more than 4 GiB in an .npz: sizes and offsets of 64 bits, written and read. Takes gigabytes of disk.
#include "scratch.h"

#include <string.h>
#include <sys/mman.h>

#include "format/format.h"
#include "format/npz.h"

static void test_over_four_gigabytes(void **state)
{
    (void)state;
    const int64_t count = (INT64_C(1) << 32) + 12345;
    // pages that nobody wrote to are one page of zeros
    char *zeros = mmap(NULL, (size_t)count, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(zeros != MAP_FAILED);
    memcpy(zeros + count - 4, "tail", 4);
    const eck_array large = { zeros, ECK_DTYPE_U8, 1, { count } },
                    small = { zeros + count - 4, ECK_DTYPE_U8, 1, { 4 } };
    const eck_named_array arrays[] = { { "large", &large }, { "behind", &small } };
    const char *path = scratch_path("large.npz");
    ecki_target *target;
    ecki_output *output;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_target_create(&target, &(ecki_target_options){ .path = path }, &err),
                     ECK_OK);
    assert_int_equal(ecki_target_open(&output, target, NULL, &err), ECK_OK);
    if (ecki_npz_write(output, arrays, 2, &err) != ECK_OK) fail_msg("%s", err.message);
    if (ecki_target_publish(target, &err) != ECK_OK) fail_msg("%s", err.message);
    ecki_target_free(target);
    munmap(zeros, (size_t)count);

    ecki_container *container = scratch_open(path);
    char tail[8];
    assert_int_equal(container->entry_count, 2);
    assert_int_equal(container->entries[0].bytes, count);
    assert_int_equal(ecki_container_read(container, 0, count - 8, tail, 8, &err), ECK_OK);
    assert_memory_equal(tail, "\0\0\0\0tail", 8);
    assert_true(container->entries[1].offset > count);
    assert_int_equal(ecki_container_read(container, 1, 0, tail, 4, &err), ECK_OK);
    assert_memory_equal(tail, "tail", 4);
    ecki_container_close(container);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_over_four_gigabytes) };
    return cmocka_run_group_tests(tests, scratch_setup_on_disk, scratch_teardown);
}
