// Zip members beyond what golden files hold: large ones, inflated in pieces, and the bounds of what is asked for.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "format/input.h"
#include "format/zip.h"

static eck_error err;

// Appends a little-endian number.
static void put(char **at, uint64_t value, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        *(*at)++ = (char)(value >> 8 * i);
}

// Local header or record of one member "m".
static void put_header(char **at, bool record, const ecki_zip_member *m)
{
    memcpy(*at, record ? "PK\1\2" : "PK\3\4", 4);
    *at += 4;
    if (record) put(at, 20, 2);
    put(at, 20, 2);
    put(at, 0, 2);
    put(at, m->deflated ? 8 : 0, 2);
    put(at, 0, 4);
    put(at, m->checksum, 4);
    put(at, (uint64_t)m->packed, 4);
    put(at, (uint64_t)m->size, 4);
    put(at, 1, 2);
    put(at, 0, 2);
    // comment, disk, attributes, and the offset, which is 0
    if (record) put(at, 0, 8);
    if (record) put(at, 0, 6);
    *(*at)++ = 'm';
}

// Writes an archive of one member with these bytes.
static void write_archive(const char *path, const unsigned char *bytes, int64_t count,
                          bool deflated)
{
    uLongf packed = compressBound((uLong)count) + 100;
    unsigned char *data = malloc(packed);
    char *archive = malloc(packed + 200), *at = archive;
    assert_non_null(data);
    assert_non_null(archive);
    ecki_zip_member m = { .deflated = deflated,
                          .checksum = (uint32_t)crc32_z(0, bytes, (size_t)count),
                          .size = count,
                          .packed = count };
    if (deflated) {
        z_stream stream = { .next_in = (unsigned char *)(uintptr_t)bytes,
                            .avail_in = (unsigned)count,
                            .next_out = data,
                            .avail_out = (unsigned)packed };
        assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                         Z_OK);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        m.packed = (int64_t)stream.total_out;
        deflateEnd(&stream);
    }
    put_header(&at, false, &m);
    memcpy(at, deflated ? data : bytes, (size_t)m.packed);
    at += m.packed;
    const int64_t directory = at - archive;
    put_header(&at, true, &m);
    const int64_t end = at - archive;
    memcpy(at, "PK\5\6", 4);
    at += 4;
    put(&at, 0, 4);
    put(&at, 1, 2);
    put(&at, 1, 2);
    put(&at, (uint64_t)(end - directory), 4);
    put(&at, (uint64_t)directory, 4);
    put(&at, 0, 2);
    scratch_write(path, archive, at - archive);
    free(data);
    free(archive);
}

// Opens the archive's file and directory.
static ecki_file open_archive(ecki_zip *zip, const char *path)
{
    ecki_file file = ECKI_FILE_NONE;
    assert_int_equal(ecki_input_open(&file, path, path, &err), ECK_OK);
    if (ecki_zip_open(zip, &file, &err) != ECK_OK) fail_msg("%s", err.message);
    assert_int_equal(zip->count, 1);
    assert_string_equal(zip->members[0].name, "m");
    return file;
}

static void test_members_larger_than_a_piece(void **state)
{
    (void)state;
    const int64_t count = 1500007;
    unsigned char *bytes = malloc((size_t)count), *out = malloc((size_t)count);
    assert_non_null(bytes);
    assert_non_null(out);
    for (int32_t kind = 0; kind < 4; kind++) {
        const bool deflated = kind & 1, random = kind & 2;
        for (int64_t i = 0; i < count; i++)
            bytes[i] = random ? (unsigned char)ecki_random_bits(5, 0, (uint64_t)i)
                              : (unsigned char)(i / 1000);
        write_archive(scratch_path("large.zip"), bytes, count, deflated);
        ecki_zip zip = { 0 };
        ecki_file file = open_archive(&zip, scratch_path("large.zip"));
        assert_int_equal(zip.members[0].size, count);
        assert_int_equal(zip.members[0].deflated, deflated);
        assert_int_equal(ecki_zip_head(out, &file, &zip.members[0], 300001, &err), ECK_OK);
        assert_memory_equal(out, bytes, 300001);
        if (deflated)
            assert_int_equal(ecki_zip_inflate(out, &file, &zip.members[0], &err), ECK_OK);
        else
            assert_int_equal(ecki_zip_check(&file, &zip.members[0], &err), ECK_OK);
        if (deflated) assert_memory_equal(out, bytes, count);
        zip.members[0].checksum ^= 1;
        assert_int_equal(deflated ? ecki_zip_inflate(out, &file, &zip.members[0], &err)
                                  : ecki_zip_check(&file, &zip.members[0], &err),
                         ECK_E_FORMAT);
        ecki_zip_clear(&zip);
        ecki_input_close(&file);
    }
    free(bytes);
    free(out);
}

static void test_an_empty_member(void **state)
{
    (void)state;
    for (int32_t deflated = 0; deflated < 2; deflated++) {
        write_archive(scratch_path("empty.zip"), (const unsigned char *)"", 0, deflated);
        ecki_zip zip = { 0 };
        char out[1];
        ecki_file file = open_archive(&zip, scratch_path("empty.zip"));
        assert_int_equal(ecki_zip_head(out, &file, &zip.members[0], 0, &err), ECK_OK);
        assert_int_equal(deflated ? ecki_zip_inflate(out, &file, &zip.members[0], &err)
                                  : ecki_zip_check(&file, &zip.members[0], &err),
                         ECK_OK);
        ecki_zip_clear(&zip);
        ecki_input_close(&file);
    }
}

// The best that deflate can do: 1032 to 1 is let through, what states more is refused before memory is asked for.
static void test_the_ratio_of_a_bomb(void **state)
{
    (void)state;
    const int64_t count = 50 << 20;
    unsigned char *bytes = calloc(1, (size_t)count);
    assert_non_null(bytes);
    write_archive(scratch_path("bomb.zip"), bytes, count, true);
    free(bytes);
    ecki_memory_reset_peak();
    const int64_t before = ecki_memory_now();
    ecki_zip zip = { 0 };
    ecki_file file = open_archive(&zip, scratch_path("bomb.zip"));
    print_message("%lld bytes packed to %lld\n", (long long)zip.members[0].size,
                  (long long)zip.members[0].packed);
    char out[100];
    assert_int_equal(ecki_zip_head(out, &file, &zip.members[0], sizeof out, &err), ECK_OK);
    assert_true(ecki_memory_peak() - before < 1 << 20);
    ecki_zip_clear(&zip);
    ecki_input_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_larger_than_a_piece),
        cmocka_unit_test(test_an_empty_member),
        cmocka_unit_test(test_the_ratio_of_a_bomb),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
