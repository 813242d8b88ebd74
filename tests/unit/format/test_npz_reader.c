// No byte of an archive can be changed so that other numbers are read without a word.
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/format.h"

// Everything the archive gives, as text of names, shapes and bytes; NULL if it is refused.
static char *contents(const char *path, int64_t *length_out)
{
    ecki_container *container;
    eck_error err = ECK_ERROR_INIT;
    if (ecki_container_open(&container, path, &err) != ECK_OK) {
        assert_true(err.message[0]);
        return NULL;
    }
    char *all = calloc(1, 4096);
    int64_t length = 0;
    assert_non_null(all);
    for (int64_t i = 0; i < container->entry_count; i++) {
        const ecki_entry *entry = &container->entries[i];
        memcpy(all + length, entry->name, strlen(entry->name));
        length += (int64_t)strlen(entry->name);
        memcpy(all + length, entry->shape, sizeof entry->shape);
        length += (int64_t)sizeof entry->shape;
        assert_true(length + entry->bytes < 4096);
        assert_int_equal(ecki_container_read(container, i, 0, all + length, entry->bytes, &err),
                         ECK_OK);
        length += entry->bytes;
    }
    ecki_container_close(container);
    *length_out = length;
    return all;
}

// Members that are no arrays any more are left out with a remark, so names may vanish; numbers may not change.
static void flip_every_byte(const char *golden)
{
    int64_t count, wanted_length, length;
    char *bytes = scratch_read(golden, &count);
    char *wanted = contents(golden, &wanted_length);
    const char *path = scratch_path("flipped.npz");
    int32_t refused = 0, same = 0, fewer = 0;
    for (int64_t at = 0; at < count; at++) {
        for (int32_t bit = 0; bit < 8; bit++) {
            bytes[at] ^= (char)(1 << bit);
            scratch_write(path, bytes, count);
            bytes[at] ^= (char)(1 << bit);
            char *found = contents(path, &length);
            if (!found)
                refused++;
            else if (length == wanted_length && memcmp(found, wanted, (size_t)length) == 0)
                same++;
            else if (length < wanted_length)
                fewer++;
            else
                fail_msg("%s: bit %d of byte %lld changes what is read", golden, bit,
                         (long long)at);
            free(found);
        }
    }
    print_message("%s: %d refused, %d the same, %d with an array less\n", golden, refused, same,
                  fewer);
    free(bytes);
    free(wanted);
}

static const char *folder;

static void test_flipped_bits(void **state)
{
    (void)state;
    static const char *const names[] = { "stored", "deflated", "as-savez", "streamed" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s/npz/%s.npz", folder, names[i]);
        flip_every_byte(path);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_flipped_bits) };
    if (argc != 2) return 2;
    folder = argv[1];
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
