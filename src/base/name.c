// What untrusted names need: nothing here trusts its bytes to be UTF-8, to be short or to be
// harmless on a terminal.
#include <stdio.h>
#include <string.h>

#include "base/text.h"

// Reads one UTF-8 character of at most `left` bytes; returns its bytes, 0 if there is no valid one
// (NUL is valid).
static int64_t decode(const unsigned char *bytes, int64_t left, uint32_t *point_out)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (left < 1) return 0;
    const unsigned char lead = bytes[0];
    if (lead < 0x80) {
        *point_out = lead;
        return 1;
    }
    const int64_t need = lead >= 0xf8   ? 0
                         : lead >= 0xf0 ? 4
                         : lead >= 0xe0 ? 3
                         : lead >= 0xc0 ? 2
                                        : 0;
    if (need == 0 || need > left) return 0;
    uint32_t point = lead & (0x7fu >> need);
    for (int64_t i = 1; i < need; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (bytes[i] & 0x3f);
    }
    if (point < least[need] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
    *point_out = point;
    return need;
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f);
}

// Characters that draw nothing, end a line or turn the writing direction, so that a name may look
// like another.
static bool is_deceiving(uint32_t point)
{
    return is_control(point) || point == 0x61c || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
           point == 0xfeff;
}

bool ecki_utf8_valid(const char *bytes, int64_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    for (int64_t i = 0; i < length;) {
        uint32_t point = 0;
        const int64_t step = decode(at + i, length - i, &point);
        if (step == 0 || point == 0) return false;
        i += step;
    }
    return true;
}

bool ecki_name_valid(const char *name, int64_t length)
{
    if (length < 1 || length > 1024) return false;
    const unsigned char *at = (const unsigned char *)name;
    for (int64_t i = 0; i < length;) {
        uint32_t point = 0;
        const int64_t step = decode(at + i, length - i, &point);
        if (step == 0 || is_control(point)) return false;
        i += step;
    }
    return true;
}

// Writes one character of `name` as it may be shown; returns the bytes read. shown: at most 11
// bytes and NUL.
static int64_t show_character(const unsigned char *name, int64_t left, char shown[16])
{
    uint32_t point = 0;
    const int64_t step = decode(name, left, &point);
    if (step == 0) {
        snprintf(shown, 16, "\\x%02x", name[0]);
        return 1;
    }
    if (!is_deceiving(point)) {
        memcpy(shown, name, (size_t)step);
        shown[step] = '\0';
    } else if (point < 0x80) {
        snprintf(shown, 16, "\\x%02x", (unsigned)point);
    } else {
        snprintf(shown, 16, "\\u{%04x}", (unsigned)point);
    }
    return step;
}

// Length of the whole name as shown.
static int64_t shown_length(const unsigned char *name, int64_t length)
{
    char shown[16];
    int64_t total = 0;
    for (int64_t i = 0; i < length;) {
        i += show_character(name + i, length - i, shown);
        total += (int64_t)strlen(shown);
    }
    return total;
}

void ecki_name_escape(char *out, int64_t room, const char *name)
{
    static const char gap[] = "...";
    if (room < 1) return;
    const unsigned char *bytes = (const unsigned char *)name;
    const int64_t length = (int64_t)strlen(name);
    const int64_t total = shown_length(bytes, length);
    // If the whole does not fit: a head, the gap, a tail, each of whole characters.
    const bool whole = total < room;
    const int64_t kept = room - 1 > 3 ? room - 1 - 3 : 0;
    const int64_t head = whole ? total : kept / 2;
    const int64_t tail = whole ? 0 : kept - head;
    int64_t at = 0; // place of the character among all that is shown
    int64_t written = 0;
    bool gap_written = whole || room - 1 < 3;
    for (int64_t i = 0; i < length;) {
        char shown[16];
        i += show_character(bytes + i, length - i, shown);
        const int64_t size = (int64_t)strlen(shown);
        const bool in_head = at + size <= head;
        if (!in_head && !gap_written) {
            memcpy(out + written, gap, 3);
            written += 3;
            gap_written = true;
        }
        if (in_head || at >= total - tail) {
            memcpy(out + written, shown, (size_t)size);
            written += size;
        }
        at += size;
    }
    out[written] = '\0';
}

bool ecki_component_valid(const char *name)
{
    const int64_t length = (int64_t)strlen(name);
    if (!ecki_name_valid(name, length) || length > 255) return false;
    if (name[0] == '.' || strpbrk(name, "/\\")) return false;
    const char first = (char)(name[0] | 0x20);
    return !(first >= 'a' && first <= 'z' && name[1] == ':');
}

// The ']' that closes the set opened at *set == '['; NULL if none does. A ']' that comes first is a
// member.
static const char *set_end(const char *set)
{
    const char *at = set + 1;
    if (*at == '!') at++;
    if (*at == ']') at++;
    return strchr(at, ']');
}

// True if the byte is in the set between '[' and `end`.
static bool set_has(const char *set, const char *end, unsigned char byte)
{
    const char *at = set + 1;
    const bool negated = *at == '!';
    bool found = false;
    if (negated) at++;
    while (at < end) {
        const unsigned char low = (unsigned char)at[0];
        const bool range = end - at > 2 && at[1] == '-';
        const unsigned char high = (unsigned char)at[range ? 2 : 0];
        if (byte >= low && byte <= high) found = true;
        at += range ? 3 : 1;
    }
    return found != negated;
}

// Matches one byte of a name (not NUL) against the pattern's next element; moves the pattern on if
// it matches.
static bool match_one(const char **pattern, char byte)
{
    const char *at = *pattern;
    const char *end = *at == '[' ? set_end(at) : NULL;
    bool matched = *at == byte;
    if (*at == '?')
        matched = true;
    else if (end)
        matched = set_has(at, end, (unsigned char)byte);
    if (*at && matched) *pattern = end ? end + 1 : at + 1;
    return *at && matched;
}

bool ecki_glob(const char *pattern, const char *name)
{
    // After a '*' fails to match, only the last one needs to take more: what the earlier ones took
    // can stay.
    const char *retry_pattern = NULL;
    const char *retry_name = NULL;
    while (*name) {
        if (*pattern == '*') {
            retry_pattern = ++pattern;
            retry_name = name;
        } else if (match_one(&pattern, *name)) {
            name++;
        } else if (retry_pattern) {
            pattern = retry_pattern;
            name = ++retry_name;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
