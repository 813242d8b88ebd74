/**
 * A cursor over protobuf messages in a file. A message is a run of fields:
 *
 *   1. a varint, number << 3 | type
 *   2. type 0: a varint; 1: eight bytes; 5: four bytes; 2: a varint n, then n bytes
 *
 * Nothing but fields is known here. Bytes come by a window read with pread, so that a message of any size can be walked
 * without being held; what a field holds is a span of the file, which can be walked in turn, copied or left.
 */
#ifndef ECKI_WIRE_H
#define ECKI_WIRE_H

#include <stdint.h>

#include "base/error.h"
#include "format/format.h"

enum { ECKI_WIRE_VARINT = 0, ECKI_WIRE_EIGHT = 1, ECKI_WIRE_BYTES = 2, ECKI_WIRE_FOUR = 5 };

/** A run of bytes of a file. */
typedef struct ecki_span {
    int64_t begin, end;
} ecki_span;

typedef struct ecki_wire_window ecki_wire_window;

/** One message being walked; by value. Messages inside it share the window. */
typedef struct ecki_wire {
    const ecki_file *file;
    ecki_wire_window *window;
    int64_t at, end;
    eck_error *err;
} ecki_wire;

/** One field; number 0: the message is at its end. */
typedef struct ecki_field {
    int32_t number, type;
    uint64_t value; /**< of types 0, 1 and 5 */
    int64_t start, length_at; /**< bytes of its tag and, of type 2, of its length */
    int64_t begin, end; /**< what it holds, without tag and length */
} ecki_field;

/** A cursor over a span of a file, open or held in memory; owned, ecki_wire_close(). */
eck_status ecki_wire_open(ecki_wire *out, const ecki_file *file, ecki_span span, eck_error *err);
void ecki_wire_close(ecki_wire *wire);

/** The next field, checked: ECK_E_FORMAT for groups, numbers out of range, what is longer than the message. */
eck_status ecki_wire_next(ecki_field *out, ecki_wire *wire);

/** A cursor over what a field of type 2 holds. It lives no longer than `wire`. */
ecki_wire ecki_wire_inside(const ecki_wire *wire, const ecki_field *field);

/** A bare varint (of a packed list) at the cursor. */
eck_status ecki_wire_varint(uint64_t *out, ecki_wire *wire);

/** Bytes of the file, at most what is left of it. */
eck_status ecki_wire_bytes(void *out, const ecki_wire *wire, int64_t at, int64_t count);

/** Fails about a byte of the file. */
eck_status ecki_wire_fail(const ecki_wire *wire, int64_t offset, const char *format, ...)
    ECKI_PRINTF(3, 4);

/* ---- writing: a message as bytes ------------------------------------------------------------------------------- */

struct ecki_text;

int32_t ecki_varint_bytes(uint64_t value);
/** The bytes of a varint, at most ten; returns their count. */
int32_t ecki_varint_put(unsigned char out[10], uint64_t value);
void ecki_put_tag(struct ecki_text *out, int32_t number, int32_t type);
void ecki_put_varint(struct ecki_text *out, int32_t number, uint64_t value);
void ecki_put_bytes(struct ecki_text *out, int32_t number, const void *bytes, int64_t count);
void ecki_put_string(struct ecki_text *out, int32_t number, const char *string);

#endif
