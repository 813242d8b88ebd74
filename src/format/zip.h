/**
 * The members of a zip archive, by its central directory, which is the authority:
 *
 *   1. members, each with a local header of 30 bytes, its name and extra fields, then its bytes
 *   2. the central directory, one record of 46 bytes, name, extra and comment for each
 *   3. for large archives the zip64 end record (56 bytes) and its locator (20 bytes)
 *   4. the end record of 22 bytes and its comment, to the end of the file
 *
 * Parts 2 to 4 must touch. Refused: several disks, encryption, other methods than stored and
 * deflated, names that come twice or differ between 1 and 2, members that overlap each other or the
 * directory.
 *
 * Not by libzip: it does not tell where a stored member's bytes lie, which we read in place.
 * Inflating and checksums are zlib's.
 */
#ifndef ECKI_ZIP_H
#define ECKI_ZIP_H

#include <stdint.h>

#include "base/error.h"
#include "format/format.h"

enum { ECKI_ZIP_MEMBERS_MAX = 100000 };

typedef struct ecki_zip_member {
    char *name;
    bool deflated;
    uint32_t checksum; /**< CRC-32 of the bytes unpacked */
    int64_t header; /**< byte of the local header */
    int64_t data; /**< byte of the first packed byte */
    int64_t packed, size;
} ecki_zip_member;

/** Zero it to start. */
typedef struct ecki_zip {
    ecki_zip_member *members; /**< in the order of the directory */
    int64_t count;
} ecki_zip;

/** Reads the directory and holds every local header against it. */
eck_status ecki_zip_open(ecki_zip *out, const ecki_file *file, eck_error *err);
void ecki_zip_clear(ecki_zip *zip);

/** The first `count` unpacked bytes, count <= size. */
eck_status ecki_zip_head(void *out, const ecki_file *file, const ecki_zip_member *member,
                         int64_t count, eck_error *err);

/** All unpacked bytes, checked; out has room for size. ECK_E_FORMAT if they are more, fewer or
 * others. */
eck_status ecki_zip_inflate(void *out, const ecki_file *file, const ecki_zip_member *member,
                            eck_error *err);

/** Reads a stored member through and compares its checksum. */
eck_status ecki_zip_check(const ecki_file *file, const ecki_zip_member *member, eck_error *err);

#endif
