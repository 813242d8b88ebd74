/*
 * The .npz writer: members one after the other, then the directory. Sizes are known before the
 * first byte, so local headers are final when written and the space of the whole file is reserved
 * first.
 */
#include <string.h>
#include <zlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/npy.h"
#include "format/npz.h"
#include "format/output_file.h"
#include "tensor/codec.h"

enum {
    LOCAL = 30,
    RECORD = 46,
    END = 22,
    END64 = 76, // with its locator
    EXTRA_LOCAL = 20,
    EXTRA_RECORD = 28,
    VERSION = 20,
    VERSION_64 = 45,
    DATE_1980 = 0x21,
    FLAG_UTF8 = 2048
};
static const int64_t saturated = 0xffffffff;

/** One array and its place. */
typedef struct member {
    const eck_array *array;
    ecki_text name; /**< with ".npy" */
    ecki_text head; /**< of the array */
    int64_t bytes; /**< of numbers */
    int64_t size; /**< head and numbers */
    int64_t offset; /**< of the local header */
    uint32_t checksum;
} member;

/** Appends a little-endian number. */
static void put(ecki_text *out, uint64_t value, int32_t count)
{
    char bytes[8];
    for (int32_t i = 0; i < count; i++)
        bytes[i] = (char)(value >> 8 * i);
    ecki_text_add(out, bytes, count);
}

/** True if the member's sizes need 64 bits. */
static bool is_large(const member *m)
{
    return m->size >= saturated;
}

/** True if the member's record needs 64 bits. */
static bool is_far(const member *m)
{
    return is_large(m) || m->offset >= saturated;
}

/** Version to flags to name length, as local header and record have them in common. */
static void put_common(ecki_text *out, const member *m, bool large)
{
    bool ascii = true;
    for (int64_t i = 0; i < m->name.length; i++)
        ascii = ascii && (unsigned char)m->name.data[i] < 0x80;
    put(out, large ? VERSION_64 : VERSION, 2);
    put(out, ascii ? 0 : FLAG_UTF8, 2);
    put(out, 0, 2); // stored
    put(out, 0, 2);
    put(out, DATE_1980, 2);
    put(out, m->checksum, 4);
    put(out, large ? (uint64_t)saturated : (uint64_t)m->size, 4);
    put(out, large ? (uint64_t)saturated : (uint64_t)m->size, 4);
    put(out, (uint64_t)m->name.length, 2);
}

/** The local header and the array's head. */
static void put_local(ecki_text *out, const member *m)
{
    const bool large = is_large(m);
    ecki_text_add(out, "PK\3\4", 4);
    put_common(out, m, large);
    put(out, large ? EXTRA_LOCAL : 0, 2);
    ecki_text_add(out, m->name.data, m->name.length);
    if (large) {
        put(out, 1, 2);
        put(out, EXTRA_LOCAL - 4, 2);
        put(out, (uint64_t)m->size, 8);
        put(out, (uint64_t)m->size, 8);
    }
    ecki_text_add(out, m->head.data, m->head.length);
}

/** The record in the directory. */
static void put_record(ecki_text *out, const member *m)
{
    const bool far = is_far(m);
    ecki_text_add(out, "PK\1\2", 4);
    put(out, far ? VERSION_64 : VERSION, 2);
    put_common(out, m, far);
    put(out, far ? EXTRA_RECORD : 0, 2);
    put(out, 0, 2); // comment
    put(out, 0, 2); // disk
    put(out, 0, 2); // attributes
    put(out, 0, 4);
    put(out, far ? (uint64_t)saturated : (uint64_t)m->offset, 4);
    ecki_text_add(out, m->name.data, m->name.length);
    if (!far) return;
    put(out, 1, 2);
    put(out, EXTRA_RECORD - 4, 2);
    put(out, (uint64_t)m->size, 8);
    put(out, (uint64_t)m->size, 8);
    put(out, (uint64_t)m->offset, 8);
}

/** The end records of a directory of `bytes` at `offset`. */
static void put_end(ecki_text *out, int64_t count, int64_t bytes, int64_t offset)
{
    const bool large = count >= 0xffff || bytes >= saturated || offset >= saturated;
    if (large) {
        ecki_text_add(out, "PK\6\6", 4);
        put(out, 44, 8);
        put(out, VERSION_64, 2);
        put(out, VERSION_64, 2);
        put(out, 0, 8); // disks
        put(out, (uint64_t)count, 8);
        put(out, (uint64_t)count, 8);
        put(out, (uint64_t)bytes, 8);
        put(out, (uint64_t)offset, 8);
        ecki_text_add(out, "PK\6\7", 4);
        put(out, 0, 4);
        put(out, (uint64_t)(offset + bytes), 8);
        put(out, 1, 4);
    }
    ecki_text_add(out, "PK\5\6", 4);
    put(out, 0, 4);
    put(out, (uint64_t)ecki_min(count, 0xffff), 2);
    put(out, (uint64_t)ecki_min(count, 0xffff), 2);
    put(out, (uint64_t)ecki_min(bytes, saturated), 4);
    put(out, (uint64_t)ecki_min(offset, saturated), 4);
    put(out, 0, 2);
}

/** Name, head, sizes and checksum of one member. */
static eck_status member_init(member *m, const eck_named_array *named, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t elements;

    m->array = named->array;
    ecki_text_printf(&m->name, "%s.npy", named->name);
    ECK_TRY(ecki_npy_write_head(&m->head, named->array, err));
    ECK_REQUIRE(!m->name.failed, ECK_E_NOMEM, -1, "not enough memory: a name");
    ECK_REQUIRE(ecki_shape_count(m->array->ndim, m->array->shape, &elements) &&
                    ecki_dtype_bytes(m->array->dtype, elements, &m->bytes),
                ECK_E_SHAPE, -1, "cannot write array '%.200s': too large", named->name);
    m->size = m->head.length + m->bytes;
    m->checksum = (uint32_t)crc32_z(0, (const unsigned char *)m->head.data, (size_t)m->head.length);
done:
    return status;
}

/** Adds the numbers to the checksum, which was that of the head. */
static void member_check(member *m)
{
    if (m->bytes > 0)
        m->checksum = (uint32_t)crc32_z(m->checksum, m->array->data, (size_t)m->bytes);
}

/** Writes what was put into a text and empties it. */
static eck_status flush(ecki_output *output, int64_t *at, ecki_text *text, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(!text->failed, ECK_E_NOMEM, -1, "not enough memory: a directory");
    ECK_TRY(ecki_output_write(output, *at, text->data, text->length, err));
    *at += text->length;
done:
    ecki_text_clear(text);
    return status;
}

/** Bytes of the whole archive, and the place of each member. */
static int64_t place_members(member *members, int64_t count)
{
    int64_t at = 0, directory = 0;
    for (int64_t i = 0; i < count; i++) {
        member *m = &members[i];
        m->offset = at;
        at += LOCAL + m->name.length + (is_large(m) ? EXTRA_LOCAL : 0) + m->size;
        directory += RECORD + m->name.length + (is_far(m) ? EXTRA_RECORD : 0);
    }
    const bool large = count >= 0xffff || directory >= saturated || at >= saturated;
    return at + directory + END + (large ? END64 : 0);
}

/** Directory and end, behind the last member. */
static eck_status write_directory(ecki_output *output, const member *members, int64_t count,
                                  eck_error *err)
{
    ecki_text text = { 0 };
    int64_t at = 0;

    for (int64_t i = 0; i < count; i++) {
        const member *const m = &members[i];
        at = m->offset + LOCAL + m->name.length + (is_large(m) ? EXTRA_LOCAL : 0) + m->size;
        put_record(&text, m);
    }
    const int64_t directory = at;
    put_end(&text, count, text.length, directory);
    const eck_status status = flush(output, &at, &text, err);
    ecki_text_clear(&text);
    return status;
}

/** Members, directory, end. */
static eck_status write_members(ecki_output *output, const member *members, int64_t count,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { 0 };
    int64_t at = 0;

    for (int64_t i = 0; i < count; i++) {
        put_local(&text, &members[i]);
        ECK_TRY(flush(output, &at, &text, err));
        ECK_TRY(ecki_output_write(output, at, members[i].array->data, members[i].bytes, err));
        at += members[i].bytes;
    }
    ECK_TRY(write_directory(output, members, count, err));
done:
    ecki_text_clear(&text);
    return status;
}

/** Heads and places of all members. */
static eck_status members_create(member **out, const eck_named_array *arrays, int64_t count,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    member *members = NULL;
    ECK_ALLOC(members, count);
    *out = members; // half-built is fine: members_free()
    for (int64_t i = 0; i < count; i++)
        ECK_TRY(member_init(&members[i], &arrays[i], err));
done:
    return status;
}

static void members_free(member *members, int64_t count)
{
    for (int64_t i = 0; members && i < count; i++) {
        ecki_text_clear(&members[i].name);
        ecki_text_clear(&members[i].head);
    }
    ecki_free(members);
}

eck_status ecki_npz_write(ecki_output *output, const eck_named_array *arrays, int64_t count,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    member *members = NULL;

    ECK_TRY(members_create(&members, arrays, count, err));
    for (int64_t i = 0; i < count; i++)
        member_check(&members[i]);
    ECK_TRY(ecki_output_reserve(output, place_members(members, count), err));
    ECK_TRY(write_members(output, members, count, err));
done:
    members_free(members, count);
    return status;
}

struct ecki_npz_writer {
    ecki_output *output;
    member *members;
    int64_t count;
};

/** Where the numbers of a member begin. */
static int64_t numbers_place(const member *m)
{
    return m->offset + LOCAL + m->name.length + (is_large(m) ? EXTRA_LOCAL : 0) + m->head.length;
}

eck_status ecki_npz_writer_create(ecki_npz_writer **out, ecki_output *output,
                                  const eck_named_array *arrays, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_npz_writer *writer = NULL;

    ECK_ALLOC(writer, 1);
    writer->output = output;
    writer->count = count;
    ECK_TRY(members_create(&writer->members, arrays, count, err));
    ECK_TRY(ecki_output_reserve(output, place_members(writer->members, count), err));
    *out = writer;
    writer = NULL;
done:
    ecki_npz_writer_free(writer);
    return status;
}

void ecki_npz_writer_free(ecki_npz_writer *writer)
{
    if (!writer) return;
    members_free(writer->members, writer->count);
    ecki_free(writer);
}

eck_status ecki_npz_writer_write(ecki_npz_writer *writer, int64_t index, int64_t offset,
                                 const void *bytes, int64_t count, eck_error *err)
{
    const member *const m = &writer->members[index];
    return ecki_output_write(writer->output, numbers_place(m) + offset, bytes, count, err);
}

/** The checksum of numbers that are in the file. */
static eck_status read_checksum(member *m, const ecki_output *output, eck_error *err)
{
    enum { PIECE = 1 << 20 };
    eck_status status = ECK_OK;
    unsigned char *piece = NULL;
    ECK_ALLOC_RAW(piece, ecki_min(PIECE, m->bytes));
    for (int64_t at = 0; at < m->bytes; at += PIECE) {
        const int64_t count = ecki_min(PIECE, m->bytes - at);
        ECK_TRY(ecki_output_read(output, numbers_place(m) + at, piece, count, err));
        m->checksum = (uint32_t)crc32_z(m->checksum, piece, (size_t)count);
    }
done:
    ecki_free(piece);
    return status;
}

eck_status ecki_npz_writer_finish(ecki_npz_writer *writer, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { 0 };

    for (int64_t i = 0; i < writer->count; i++) {
        member *const m = &writer->members[i];
        int64_t at = m->offset;
        ECK_TRY(read_checksum(m, writer->output, err));
        put_local(&text, m);
        ECK_TRY(flush(writer->output, &at, &text, err));
    }
    ECK_TRY(write_directory(writer->output, writer->members, writer->count, err));
done:
    ecki_text_clear(&text);
    return status;
}
