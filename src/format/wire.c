/*
 * Walking protobuf messages. The window holds WINDOW bytes of the file, or fewer at its end; it moves when a byte is
 * asked for that it does not hold, so that skipping a tensor reads none of it.
 */
#include "format/wire.h"

#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"

enum { WINDOW = 1 << 14, VARINT_MAX = 10 };

struct ecki_wire_window {
    int64_t start, count;
    unsigned char bytes[WINDOW];
};

eck_status ecki_wire_fail(const ecki_wire *wire, int64_t offset, const char *format, ...)
{
    char detail[500];
    va_list arguments;
    va_start(arguments, format);
    ecki_vformat(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return ecki_read_error(wire->err, ECK_E_FORMAT, offset, wire->file->name, "%s", detail);
}

eck_status ecki_wire_open(ecki_wire *out, const ecki_file *file, ecki_span span, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_wire wire = { .file = file, .at = span.begin, .end = span.end, .err = err };

    ECK_ALLOC(wire.window, 1);
    *out = wire;
done:
    return status;
}

void ecki_wire_close(ecki_wire *wire)
{
    ecki_free(wire->window);
    wire->window = NULL;
}

eck_status ecki_wire_bytes(void *out, const ecki_wire *wire, int64_t at, int64_t count)
{
    return ecki_input_read(wire->file, NULL, at, out, count, wire->err);
}

/** The byte at the cursor, which moves on. */
static eck_status next_byte(unsigned char *out, ecki_wire *wire)
{
    ecki_wire_window *window = wire->window;
    if (wire->at < window->start || wire->at >= window->start + window->count) {
        const int64_t count = ecki_min(WINDOW, wire->file->size - wire->at);
        window->count = 0;
        if (count <= 0) return ecki_wire_fail(wire, wire->at, "the file ends within a message");
        const eck_status status = ecki_wire_bytes(window->bytes, wire, wire->at, count);
        if (status != ECK_OK) return status;
        window->start = wire->at;
        window->count = count;
    }
    *out = window->bytes[wire->at - window->start];
    wire->at++;
    return ECK_OK;
}

eck_status ecki_wire_varint(uint64_t *out, ecki_wire *wire)
{
    const int64_t start = wire->at;
    uint64_t value = 0;

    for (int32_t i = 0; i < VARINT_MAX; i++) {
        unsigned char byte;
        if (wire->at >= wire->end)
            return ecki_wire_fail(wire, wire->at, "the message ends within a number");
        const eck_status status = next_byte(&byte, wire);
        if (status != ECK_OK) return status;
        if (i == VARINT_MAX - 1 && byte > 1) break; // the tenth byte has one bit left
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80) continue;
        *out = value;
        return ECK_OK;
    }
    return ecki_wire_fail(wire, start, "a number of more than 64 bits");
}

/** A little-endian number of `count` bytes. */
static eck_status read_fixed(uint64_t *out, ecki_wire *wire, int32_t count)
{
    uint64_t value = 0;
    if (wire->end - wire->at < count)
        return ecki_wire_fail(wire, wire->at, "the message ends within a number");
    for (int32_t i = 0; i < count; i++) {
        unsigned char byte;
        const eck_status status = next_byte(&byte, wire);
        if (status != ECK_OK) return status;
        value |= (uint64_t)byte << (8 * i);
    }
    *out = value;
    return ECK_OK;
}

/** What follows the tag. */
static eck_status read_value(ecki_field *field, ecki_wire *wire)
{
    eck_status status = ECK_OK;

    field->begin = field->length_at = wire->at;
    switch (field->type) {
    case ECKI_WIRE_VARINT:
        status = ecki_wire_varint(&field->value, wire);
        break;
    case ECKI_WIRE_EIGHT:
        status = read_fixed(&field->value, wire, 8);
        break;
    case ECKI_WIRE_FOUR:
        status = read_fixed(&field->value, wire, 4);
        break;
    case ECKI_WIRE_BYTES:
        status = ecki_wire_varint(&field->value, wire);
        field->begin = wire->at;
        if (status == ECK_OK && field->value > (uint64_t)(wire->end - wire->at))
            status = ecki_wire_fail(
                wire, field->start, "field %d of %llu bytes in a message with %lld left",
                field->number, (unsigned long long)field->value, (long long)(wire->end - wire->at));
        if (status == ECK_OK) wire->at += (int64_t)field->value;
        break;
    default:
        status = ecki_wire_fail(wire, field->start, "field %d of type %d; 0, 1, 2 and 5 are known",
                                field->number, field->type);
    }
    field->end = wire->at;
    return status;
}

eck_status ecki_wire_next(ecki_field *out, ecki_wire *wire)
{
    uint64_t tag = 0;

    memset(out, 0, sizeof *out);
    out->start = out->begin = out->end = wire->at;
    if (wire->at >= wire->end) return ECK_OK;
    const eck_status status = ecki_wire_varint(&tag, wire);
    if (status != ECK_OK) return status;
    if (tag >> 3 < 1 || tag >> 3 >= (UINT64_C(1) << 29))
        return ecki_wire_fail(wire, out->start, "field %llu; 1 to 2^29 - 1 are possible",
                              (unsigned long long)(tag >> 3));
    out->number = (int32_t)(tag >> 3);
    out->type = (int32_t)(tag & 7);
    return read_value(out, wire);
}

ecki_wire ecki_wire_inside(const ecki_wire *wire, const ecki_field *field)
{
    ecki_wire inside = *wire;
    inside.at = field->begin;
    inside.end = field->end;
    return inside;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int32_t ecki_varint_put(unsigned char out[10], uint64_t value)
{
    int32_t count = 0;
    for (; value >= 0x80; value >>= 7)
        out[count++] = (unsigned char)(value | 0x80);
    out[count++] = (unsigned char)value;
    return count;
}

int32_t ecki_varint_bytes(uint64_t value)
{
    unsigned char bytes[VARINT_MAX];
    return ecki_varint_put(bytes, value);
}

/** A bare varint. */
static void put_number(ecki_text *out, uint64_t value)
{
    unsigned char bytes[VARINT_MAX];
    const int32_t count = ecki_varint_put(bytes, value);
    ecki_text_add(out, (const char *)bytes, count);
}

void ecki_put_tag(ecki_text *out, int32_t number, int32_t type)
{
    put_number(out, (uint64_t)number << 3 | (uint64_t)type);
}

void ecki_put_varint(ecki_text *out, int32_t number, uint64_t value)
{
    ecki_put_tag(out, number, ECKI_WIRE_VARINT);
    put_number(out, value);
}

void ecki_put_bytes(ecki_text *out, int32_t number, const void *bytes, int64_t count)
{
    ecki_put_tag(out, number, ECKI_WIRE_BYTES);
    put_number(out, (uint64_t)count);
    ecki_text_add(out, bytes, count);
}

void ecki_put_string(ecki_text *out, int32_t number, const char *string)
{
    ecki_put_bytes(out, number, string, (int64_t)strlen(string));
}
