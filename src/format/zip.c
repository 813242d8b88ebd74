/*
 * Reading zip archives. Every offset is held against the size of the file before it is used; the
 * directory is read whole, at most 65,535 bytes and 46 for each member more than its records need.
 */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"

enum {
    LOCAL = 30,
    RECORD = 46,
    END = 22,
    END64 = 56,
    LOCATOR = 20,
    COMMENT_MAX = 65535,
    STORED = 0,
    DEFLATED = 8,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_LATER = 8,
    FLAG_UTF8 = 2048,
    EXTRA_64 = 1,
    PIECE = 1 << 18,
    RATIO_MAX = 1032 // what deflate can make of one byte at most
};
static const uint32_t saturated = 0xffffffff;

/** Where the directory lies, and of how many records. */
typedef struct zip_end {
    int64_t records, offset, bytes;
} zip_end;

/** Little-endian number of `count` bytes. */
static uint64_t number(const unsigned char *bytes, int32_t count)
{
    uint64_t value = 0;
    for (int32_t i = count - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/** The end record in the last bytes of a file: its comment must reach the end. -1: none. */
static int64_t find_end(const unsigned char *tail, int64_t count)
{
    for (int64_t at = count - END; at >= 0; at--)
        if (memcmp(tail + at, "PK\5\6", 4) == 0 &&
            (int64_t)number(tail + at + 20, 2) == count - at - END)
            return at;
    return -1;
}

/** Fails about the archive as a whole. */
static eck_status zip_error(const ecki_file *file, int64_t offset, const char *what, eck_error *err)
{
    return ecki_read_error(err, ECK_E_FORMAT, offset, file->name, "it is no whole zip archive: %s",
                           what);
}

/** Fails about one member. */
static eck_status member_error(const ecki_file *file, const ecki_zip_member *member,
                               const char *what, eck_error *err)
{
    return ecki_place_error(err, ECK_E_FORMAT,
                            (ecki_place){ file->name, member->name, member->header }, "%s", what);
}

/** Replaces what the end record says by what the zip64 record before it says; `end` is the byte of
 * the end record. */
static eck_status read_end64(zip_end *out, const ecki_file *file, int64_t end,
                             const unsigned char *old, eck_error *err)
{
    unsigned char locator[LOCATOR], record[END64];

    eck_status status = ecki_input_read(file, NULL, end - LOCATOR, locator, LOCATOR, err);
    if (status != ECK_OK) return status;
    const int64_t at = end - LOCATOR - END64;
    if (number(locator + 4, 4) != 0 || number(locator + 16, 4) > 1 || at < 0 ||
        number(locator + 8, 8) != (uint64_t)at)
        return zip_error(file, end - LOCATOR, "its zip64 locator leads elsewhere", err);
    status = ecki_input_read(file, NULL, at, record, END64, err);
    if (status != ECK_OK) return status;
    if (memcmp(record, "PK\6\6", 4) != 0 || number(record + 4, 8) != END64 - 12 ||
        number(record + 16, 8) != 0)
        return zip_error(file, at, "its zip64 end record is broken", err);
    const uint64_t records = number(record + 32, 8), bytes = number(record + 40, 8),
                   offset = number(record + 48, 8);
    // what the old record could say, it must have said
    const bool agree = (number(old + 10, 2) == 0xffff || number(old + 10, 2) == records) &&
                       (number(old + 12, 4) == saturated || number(old + 12, 4) == bytes) &&
                       (number(old + 16, 4) == saturated || number(old + 16, 4) == offset);
    if (!agree || records != number(record + 24, 8) || records > ECKI_ZIP_MEMBERS_MAX ||
        bytes > (uint64_t)at || offset != (uint64_t)at - bytes)
        return zip_error(file, at, "its end records do not fit its directory", err);
    *out = (zip_end){ (int64_t)records, (int64_t)offset, (int64_t)bytes };
    return ECK_OK;
}

/** Reads the end record, found at `at` in the file. */
static eck_status read_end(zip_end *out, const ecki_file *file, int64_t at,
                           const unsigned char *record, eck_error *err)
{
    unsigned char locator[4] = "";
    if (number(record + 4, 4) != 0 || number(record + 8, 2) != number(record + 10, 2))
        return zip_error(file, at, "it spans several disks", err);
    if (at >= LOCATOR + END64) {
        const eck_status status =
            ecki_input_read(file, NULL, at - LOCATOR, locator, sizeof locator, err);
        if (status != ECK_OK) return status;
        if (memcmp(locator, "PK\6\7", 4) == 0) return read_end64(out, file, at, record, err);
    }
    const int64_t records = (int64_t)number(record + 10, 2),
                  bytes = (int64_t)number(record + 12, 4);
    const int64_t offset = (int64_t)number(record + 16, 4);
    if (offset + bytes != at)
        return zip_error(file, at, "its end record does not fit its directory", err);
    *out = (zip_end){ records, offset, bytes };
    return ECK_OK;
}

/** Finds the directory. */
static eck_status locate(zip_end *out, const ecki_file *file, eck_error *err)
{
    eck_status status = ECK_OK;
    unsigned char *tail = NULL;
    const int64_t count = ecki_min(file->size, END + COMMENT_MAX);

    ECK_ALLOC_RAW(tail, count);
    ECK_TRY(ecki_input_read(file, NULL, file->size - count, tail, count, err));
    const int64_t at = find_end(tail, count);
    if (at < 0) {
        status = zip_error(file, file->size, "its end record is missing", err);
        goto done;
    }
    ECK_TRY(read_end(out, file, file->size - count + at, tail + at, err));
    if (out->records > ECKI_ZIP_MEMBERS_MAX || out->records * RECORD > out->bytes)
        status = zip_error(file, out->offset, "its directory is too short for its members", err);
done:
    ecki_free(tail);
    return status;
}

/** Takes the next 64 bits of a zip64 field if `value` says that they are there; false if they are
 * not. */
static bool take64(uint64_t *value, const unsigned char **field, int64_t *left)
{
    if (*value != saturated) return true;
    if (*left < 8) return false;
    *value = number(*field, 8);
    *field += 8;
    *left -= 8;
    return true;
}

/** Replaces saturated sizes and offset by those of the zip64 extra field; false if it lacks one. */
static bool read_extra(const unsigned char *extra, int64_t count, uint64_t *size, uint64_t *packed,
                       uint64_t *offset)
{
    while (count >= 4) {
        int64_t left = (int64_t)number(extra + 2, 2);
        const unsigned char *field = extra + 4;
        if (left > count - 4) return false;
        if (number(extra, 2) == EXTRA_64)
            return take64(size, &field, &left) && take64(packed, &field, &left) &&
                   take64(offset, &field, &left);
        extra += 4 + left;
        count -= 4 + left;
    }
    return *size != saturated && *packed != saturated && *offset != saturated;
}

/** What one record says of its member; the name must be there already. */
static eck_status read_member(ecki_zip_member *member, const ecki_file *file,
                              const unsigned char *record, const zip_end *end, eck_error *err)
{
    const int64_t name_bytes = (int64_t)number(record + 28, 2),
                  extra_bytes = (int64_t)number(record + 30, 2);
    const uint32_t flags = (uint32_t)number(record + 8, 2),
                   method = (uint32_t)number(record + 10, 2);
    uint64_t packed = number(record + 20, 4), size = number(record + 24, 4),
             offset = number(record + 42, 4);

    if (!ecki_name_valid(member->name, name_bytes))
        return member_error(file, member, "its name has control characters or more than 1024 bytes",
                            err);
    for (int64_t i = 0; i < name_bytes && !(flags & FLAG_UTF8); i++)
        if ((unsigned char)member->name[i] >= 0x80)
            return member_error(file, member, "its name is in no known character set", err);
    if (flags & FLAG_ENCRYPTED) return member_error(file, member, "it is encrypted", err);
    if (method != STORED && method != DEFLATED)
        return ecki_place_error(
            err, ECK_E_UNSUPPORTED, (ecki_place){ file->name, member->name, member->header },
            "packed by method %u; stored and deflated are read", (unsigned)method);
    if (!read_extra(record + RECORD + name_bytes, extra_bytes, &size, &packed, &offset))
        return member_error(file, member, "its zip64 sizes are missing", err);
    if (offset > (uint64_t)end->offset || packed > (uint64_t)end->offset - offset)
        return member_error(file, member, "it lies outside the archive", err);
    if (method == STORED ? size != packed : size > packed * RATIO_MAX)
        return member_error(file, member, "its two sizes contradict each other", err);
    member->deflated = method == DEFLATED;
    member->checksum = (uint32_t)number(record + 16, 4);
    member->header = (int64_t)offset;
    member->packed = (int64_t)packed;
    member->size = (int64_t)size;
    return ECK_OK;
}

/** Holds a member's local header against its record, and finds its data. */
static eck_status read_local(ecki_zip_member *member, const ecki_file *file, const zip_end *end,
                             eck_error *err)
{
    unsigned char local[LOCAL];
    char name[1024];
    const int64_t name_bytes = (int64_t)strlen(member->name);

    if (end->offset - member->header < LOCAL + name_bytes)
        return member_error(file, member, "it lies outside the archive", err);
    eck_status status = ecki_input_read(file, NULL, member->header, local, LOCAL, err);
    if (status != ECK_OK) return status;
    status = ecki_input_read(file, NULL, member->header + LOCAL, name, name_bytes, err);
    if (status != ECK_OK) return status;
    const uint32_t flags = (uint32_t)number(local + 6, 2);
    const uint64_t packed = number(local + 18, 4), size = number(local + 22, 4);
    const bool sizes_agree = (flags & FLAG_SIZES_LATER) ||
                             ((packed == saturated || packed == (uint64_t)member->packed) &&
                              (size == saturated || size == (uint64_t)member->size));
    if (memcmp(local, "PK\3\4", 4) != 0 || (int64_t)number(local + 26, 2) != name_bytes ||
        memcmp(name, member->name, (size_t)name_bytes) != 0 || (flags & FLAG_ENCRYPTED) ||
        number(local + 8, 2) != (member->deflated ? DEFLATED : STORED) || !sizes_agree)
        return member_error(file, member, "its local header differs from the directory", err);
    member->data = member->header + LOCAL + name_bytes + (int64_t)number(local + 28, 2);
    if (member->data > end->offset - member->packed)
        return member_error(file, member, "it lies outside the archive", err);
    return ECK_OK;
}

/** Order by place. */
static int compare_places(const void *a, const void *b)
{
    const ecki_zip_member *first = *(const ecki_zip_member *const *)a,
                          *second = *(const ecki_zip_member *const *)b;
    return (first->header > second->header) - (first->header < second->header);
}

/** Order by name. */
static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const ecki_zip_member *const *)a)->name,
                  (*(const ecki_zip_member *const *)b)->name);
}

/** Refuses members that overlap or have one name. */
static eck_status check_members(const ecki_zip *zip, const ecki_file *file, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_zip_member **order = NULL;

    ECK_ALLOC(order, zip->count);
    for (int64_t i = 0; i < zip->count; i++)
        order[i] = &zip->members[i];
    qsort(order, (size_t)zip->count, sizeof *order, compare_places);
    for (int64_t i = 1; i < zip->count; i++)
        if (order[i - 1]->data + order[i - 1]->packed > order[i]->header)
            ECK_TRY(member_error(file, order[i], "it overlaps another member", err));
    qsort(order, (size_t)zip->count, sizeof *order, compare_names);
    for (int64_t i = 1; i < zip->count; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            ECK_TRY(member_error(file, order[i], "the name comes twice", err));
done:
    ecki_free(order);
    return status;
}

/** All records of the directory. */
static eck_status read_records(ecki_zip *zip, const ecki_file *file, const zip_end *end,
                               const unsigned char *records, eck_error *err)
{
    int64_t at = 0;
    for (int64_t i = 0; i < end->records; i++) {
        const unsigned char *record = records + at;
        if (end->bytes - at < RECORD || memcmp(record, "PK\1\2", 4) != 0)
            return zip_error(file, end->offset + at, "its directory is broken", err);
        const int64_t name_bytes = (int64_t)number(record + 28, 2),
                      extra_bytes = (int64_t)number(record + 30, 2);
        const int64_t bytes = RECORD + name_bytes + extra_bytes + (int64_t)number(record + 32, 2);
        if (bytes > end->bytes - at)
            return zip_error(file, end->offset + at, "its directory is broken", err);
        ecki_zip_member *member = &zip->members[zip->count];
        member->name = ecki_strndup((const char *)record + RECORD, name_bytes);
        if (!member->name) return ecki_error_memory(err, name_bytes);
        member->header = end->offset + at; // for messages, until it is known
        zip->count++;
        eck_status status = read_member(member, file, record, end, err);
        if (status == ECK_OK) status = read_local(member, file, end, err);
        if (status != ECK_OK) return status;
        at += bytes;
    }
    return at == end->bytes ? ECK_OK
                            : zip_error(file, end->offset + at, "its directory is broken", err);
}

eck_status ecki_zip_open(ecki_zip *out, const ecki_file *file, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_zip zip = { 0 };
    unsigned char *records = NULL;
    zip_end end = { 0 };

    ECK_TRY(locate(&end, file, err));
    ECK_ALLOC_RAW(records, end.bytes);
    ECK_TRY(ecki_input_read(file, NULL, end.offset, records, end.bytes, err));
    ECK_ALLOC(zip.members, end.records);
    ECK_TRY(read_records(&zip, file, &end, records, err));
    ECK_TRY(check_members(&zip, file, err));
    *out = zip;
    zip = (ecki_zip){ 0 };
done:
    ecki_free(records);
    ecki_zip_clear(&zip);
    return status;
}

void ecki_zip_clear(ecki_zip *zip)
{
    for (int64_t i = 0; i < zip->count; i++)
        ecki_free(zip->members[i].name);
    ecki_free(zip->members);
    *zip = (ecki_zip){ 0 };
}

/** zlib's memory comes from where all of ours does. */
static void *zlib_allocate(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return ecki_malloc((int64_t)items, size);
}

/** See zlib_allocate(). */
static void zlib_release(void *opaque, void *memory)
{
    (void)opaque;
    ecki_free(memory);
}

/** A member being inflated. */
typedef struct inflater {
    z_stream stream;
    const ecki_file *file;
    const ecki_zip_member *member;
    int64_t taken; /**< packed bytes handed to zlib */
    unsigned char *piece;
    eck_error *err;
} inflater;

/** Hands the next packed bytes to zlib if it has none. */
static eck_status feed(inflater *in)
{
    const int64_t count = ecki_min(PIECE, in->member->packed - in->taken);
    if (in->stream.avail_in > 0 || count == 0) return ECK_OK;
    const eck_status status = ecki_input_read(
        in->file, in->member->name, in->member->data + in->taken, in->piece, count, in->err);
    if (status != ECK_OK) return status;
    in->stream.next_in = in->piece;
    in->stream.avail_in = (unsigned)count;
    in->taken += count;
    return ECK_OK;
}

/** Inflates exactly `count` bytes; `ended_out`: the stream says that it ends there, all packed
 * bytes used. */
static eck_status inflate_bytes(inflater *in, unsigned char *out, int64_t count, bool *ended_out)
{
    unsigned char beyond;
    int64_t done = 0;
    int code = Z_OK;

    // one byte more is asked for: the end must be seen, and nothing may come before it
    while (code == Z_OK && done <= count) {
        const eck_status status = feed(in);
        if (status != ECK_OK) return status;
        const int64_t room = done < count ? ecki_min(count - done, PIECE) : 1;
        in->stream.next_out = done < count ? out + done : &beyond;
        in->stream.avail_out = (unsigned)room;
        code = inflate(&in->stream, Z_NO_FLUSH);
        done += room - in->stream.avail_out;
    }
    if (code == Z_MEM_ERROR) return ecki_error_memory(in->err, -1);
    *ended_out = code == Z_STREAM_END && done == count && in->stream.avail_in == 0 &&
                 in->taken == in->member->packed;
    if (done < count)
        return member_error(in->file, in->member, "its packed bytes are broken", in->err);
    return ECK_OK;
}

/** Inflates the first `count` bytes. */
static eck_status inflate_member(void *out, const ecki_file *file, const ecki_zip_member *member,
                                 int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    inflater in = { .stream = { .zalloc = zlib_allocate, .zfree = zlib_release },
                    .file = file,
                    .member = member,
                    .err = err };
    bool started = false, ended = false;

    ECK_ALLOC_RAW(in.piece, PIECE);
    started = inflateInit2(&in.stream, -MAX_WBITS) == Z_OK;
    ECK_REQUIRE(started, ECK_E_NOMEM, -1, "not enough memory: zlib");
    ECK_TRY(inflate_bytes(&in, out, count, &ended));
    if (count == member->size && !ended)
        status = member_error(file, member, "its packed bytes are not of the size stated", err);
done:
    if (started) inflateEnd(&in.stream);
    ecki_free(in.piece);
    return status;
}

eck_status ecki_zip_head(void *out, const ecki_file *file, const ecki_zip_member *member,
                         int64_t count, eck_error *err)
{
    if (member->deflated) return inflate_member(out, file, member, count, err);
    return ecki_input_read(file, member->name, member->data, out, count, err);
}

/** Compares a checksum with the directory's. */
static eck_status compare_checksum(const ecki_file *file, const ecki_zip_member *member,
                                   uint32_t checksum, eck_error *err)
{
    if (checksum == member->checksum) return ECK_OK;
    return ecki_place_error(err, ECK_E_FORMAT,
                            (ecki_place){ file->name, member->name, member->data },
                            "its checksum is %08x, the directory says %08x", (unsigned)checksum,
                            (unsigned)member->checksum);
}

eck_status ecki_zip_inflate(void *out, const ecki_file *file, const ecki_zip_member *member,
                            eck_error *err)
{
    const eck_status status = inflate_member(out, file, member, member->size, err);
    if (status != ECK_OK) return status;
    return compare_checksum(file, member, (uint32_t)crc32_z(0, out, (size_t)member->size), err);
}

eck_status ecki_zip_check(const ecki_file *file, const ecki_zip_member *member, eck_error *err)
{
    eck_status status = ECK_OK;
    unsigned char *piece = NULL;
    unsigned long checksum = 0;

    ECK_ALLOC_RAW(piece, ecki_min(PIECE, member->size));
    for (int64_t at = 0; at < member->size; at += PIECE) {
        const int64_t count = ecki_min(PIECE, member->size - at);
        ECK_TRY(ecki_input_read(file, member->name, member->data + at, piece, count, err));
        checksum = crc32_z(checksum, piece, (size_t)count);
    }
    ECK_TRY(compare_checksum(file, member, (uint32_t)checksum, err));
done:
    ecki_free(piece);
    return status;
}
