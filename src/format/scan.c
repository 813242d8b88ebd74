/*
 * The cursor of scan.h. Invariant: 0 <= at <= length, and every byte before `at` has been checked.
 */
#include "format/scan.h"

#include <string.h>

#include "base/text.h"
#include "format/input.h"

eck_status ecki_scan_fail(const ecki_scan *scan, int64_t at, const char *what)
{
    const int64_t byte = scan->start + at;
    return ecki_read_error(scan->err, ECK_E_FORMAT, byte, scan->file, "%s at byte %lld", what,
                           (long long)byte);
}

void ecki_scan_blank(ecki_scan *scan)
{
    while (scan->at < scan->length && scan->text[scan->at] != '\0' &&
           strchr(" \t\r\n", scan->text[scan->at]))
        scan->at++;
}

/** The next byte after blanks, or -1 at the end. */
static int next_byte(ecki_scan *scan)
{
    ecki_scan_blank(scan);
    return scan->at < scan->length ? (unsigned char)scan->text[scan->at] : -1;
}

bool ecki_scan_accept(ecki_scan *scan, char byte)
{
    if (next_byte(scan) != (unsigned char)byte) return false;
    scan->at++;
    return true;
}

eck_status ecki_scan_expect(ecki_scan *scan, char byte, const char *what)
{
    return ecki_scan_accept(scan, byte) ? ECK_OK : ecki_scan_fail(scan, scan->at, what);
}

/** Counts one value against the limit. */
static eck_status count_value(ecki_scan *scan)
{
    scan->values++;
    if (scan->values_limit == 0 || scan->values <= scan->values_limit) return ECK_OK;
    return ecki_scan_fail(scan, scan->at, "too many values");
}

/** Value of a hexadecimal digit, or -1. */
static int32_t hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/** The UTF-16 unit of the "\uXXXX" at `raw`, or -1 if it is none. */
static int32_t escaped_unit(const char *raw, int64_t left)
{
    if (left < 6 || raw[0] != '\\' || raw[1] != 'u') return -1;
    int32_t unit = 0;
    for (int32_t i = 2; i < 6; i++) {
        const int32_t digit = hex_digit(raw[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/**
 * The character of the escape at `raw` and the raw bytes it takes. Returns -1 for what is no
 * escape, for NUL and for half of a surrogate pair.
 */
static int32_t escaped_character(const char *raw, int64_t left, int64_t *taken_out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

    *taken_out = 2;
    const char *letter = left >= 2 && raw[1] ? strchr(letters, raw[1]) : NULL;
    if (letter) return meanings[letter - letters];

    const int32_t unit = escaped_unit(raw, left);
    *taken_out = 6;
    if (unit <= 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) return -1;
    if (unit < 0xD800 || unit > 0xDBFF) return unit;

    // (high - D800) * 400 + (low - DC00) + 10000
    const int32_t low = escaped_unit(raw + 6, left - 6);
    *taken_out = 12;
    if (low < 0xDC00 || low > 0xDFFF) return -1;
    return ((unit - 0xD800) << 10) + (low - 0xDC00) + 0x10000;
}

eck_status ecki_scan_string(ecki_scan *scan, const char **raw_out, int64_t *length_out)
{
    if (next_byte(scan) != '"') return ecki_scan_fail(scan, scan->at, "a string is missing");
    const int64_t first = ++scan->at;
    while (scan->at < scan->length && scan->text[scan->at] != '"') {
        const unsigned char byte = (unsigned char)scan->text[scan->at];
        int64_t taken = 1;
        if (byte < 0x20) return ecki_scan_fail(scan, scan->at, "a control character in a string");
        if (byte == '\\' &&
            escaped_character(scan->text + scan->at, scan->length - scan->at, &taken) < 0)
            return ecki_scan_fail(scan, scan->at, "an escape that means nothing");
        scan->at += taken;
    }
    if (scan->at >= scan->length) return ecki_scan_fail(scan, first - 1, "a string without an end");
    if (!ecki_utf8_valid(scan->text + first, scan->at - first))
        return ecki_scan_fail(scan, first, "a string that is not UTF-8");
    *raw_out = scan->text + first;
    *length_out = scan->at - first;
    scan->at++;
    return count_value(scan);
}

/** Appends a character as UTF-8 and returns the bytes written. */
static int64_t put_utf8(char *out, int32_t character)
{
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    const int64_t tail = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    const int32_t lead[] = { 0, 0xC0, 0xE0, 0xF0 };
    for (int64_t i = tail; i > 0; i--) {
        out[i] = (char)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    out[0] = (char)(lead[tail] | character);
    return tail + 1;
}

int64_t ecki_scan_unescape(char *out, const char *raw, int64_t length)
{
    int64_t written = 0;
    for (int64_t at = 0; at < length;) {
        if (raw[at] != '\\') {
            out[written++] = raw[at++];
            continue;
        }
        int64_t taken;
        written += put_utf8(out + written, escaped_character(raw + at, length - at, &taken));
        at += taken;
    }
    out[written] = '\0';
    return written;
}

/** The run of bytes a number may be made of. */
static int64_t number_length(const ecki_scan *scan)
{
    int64_t end = scan->at;
    while (end < scan->length && scan->text[end] != '\0' &&
           strchr("+-.0123456789eE", scan->text[end]))
        end++;
    return end - scan->at;
}

eck_status ecki_scan_integer(ecki_scan *scan, int64_t *out)
{
    ecki_scan_blank(scan);
    const int64_t length = number_length(scan);
    if (!ecki_parse_int(scan->text + scan->at, length, out))
        return ecki_scan_fail(scan, scan->at, "an integer of 0 to 2^63-1 is missing");
    scan->at += length;
    return count_value(scan);
}

/** Steps over digits; true if there was one. */
static bool skip_digits(const char **text, const char *end)
{
    const char *first = *text;
    while (*text < end && **text >= '0' && **text <= '9')
        (*text)++;
    return *text > first;
}

/** A number of RFC 8259: -? int frac? exp? */
static bool is_number(const char *text, int64_t length)
{
    const char *end = text + length;
    if (text < end && *text == '-') text++;
    const bool zero = text < end && *text == '0';
    if (zero) text++;
    if (!zero && !skip_digits(&text, end)) return false;
    if (text < end && *text == '.') {
        text++;
        if (!skip_digits(&text, end)) return false;
    }
    if (text < end && (*text == 'e' || *text == 'E')) {
        text++;
        if (text < end && (*text == '+' || *text == '-')) text++;
        if (!skip_digits(&text, end)) return false;
    }
    return text == end && length > 0;
}

/** A string, a number, true, false or null. */
static eck_status skip_scalar(ecki_scan *scan)
{
    static const char *const literals[] = { "true", "false", "null" };
    const char *raw;
    int64_t length;

    if (next_byte(scan) == '"') return ecki_scan_string(scan, &raw, &length);
    for (int32_t i = 0; i < 3; i++) {
        const int64_t size = (int64_t)strlen(literals[i]);
        if (scan->length - scan->at < size) continue;
        if (memcmp(scan->text + scan->at, literals[i], (size_t)size) != 0) continue;
        scan->at += size;
        return count_value(scan);
    }
    length = number_length(scan);
    if (!is_number(scan->text + scan->at, length))
        return ecki_scan_fail(scan, scan->at, "a value is missing");
    scan->at += length;
    return count_value(scan);
}

/** "name": of an object's next member. */
static eck_status skip_key(ecki_scan *scan)
{
    const char *raw;
    int64_t length;
    const eck_status status = ecki_scan_string(scan, &raw, &length);
    return status != ECK_OK ? status : ecki_scan_expect(scan, ':', "':' is missing");
}

/** Steps into a container; `objects` has bit d set if the container opened as number d is an
 * object. */
static eck_status skip_open(ecki_scan *scan, uint64_t *objects, bool is_object)
{
    scan->at++;
    if (scan->depth >= scan->depth_limit)
        return ecki_scan_fail(scan, scan->at - 1, "too deep a nesting");
    const uint64_t bit = UINT64_C(1) << scan->depth;
    *objects = is_object ? *objects | bit : *objects & ~bit;
    scan->depth++;
    return count_value(scan);
}

/** After a value: closes what ends here, until a comma asks for another value or `base` is reached
 * again. */
static eck_status skip_close(ecki_scan *scan, uint64_t objects, int32_t base)
{
    while (scan->depth > base) {
        const bool is_object = objects >> (scan->depth - 1) & 1;
        if (ecki_scan_accept(scan, ',')) return is_object ? skip_key(scan) : ECK_OK;
        if (!ecki_scan_accept(scan, is_object ? '}' : ']'))
            return ecki_scan_fail(scan, scan->at,
                                  is_object ? "',' or '}' is missing" : "',' or ']' is missing");
        scan->depth--;
    }
    return ECK_OK;
}

eck_status ecki_scan_skip(ecki_scan *scan)
{
    const int32_t base = scan->depth;
    uint64_t objects = 0;
    eck_status status = ECK_OK;

    do {
        const int byte = next_byte(scan);
        const bool container = byte == '{' || byte == '[';
        ECK_TRY(container ? skip_open(scan, &objects, byte == '{') : skip_scalar(scan));
        // a container that closes at once holds no value; else its first value comes next
        const int after = next_byte(scan);
        if (container && after != (byte == '{' ? '}' : ']')) {
            if (byte == '{') ECK_TRY(skip_key(scan));
            continue;
        }
        ECK_TRY(skip_close(scan, objects, base));
    } while (scan->depth > base);
done:
    return status;
}

eck_status ecki_scan_end(ecki_scan *scan)
{
    ecki_scan_blank(scan);
    return scan->at == scan->length ? ECK_OK : ecki_scan_fail(scan, scan->at, "more text");
}
