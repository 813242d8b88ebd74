// Text that grows, and numbers written and read as in the C locale whatever the host's. The locale
// of the process is never changed: only that of the calling thread, for the time of one call.
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

// The C locale; 0 only if the system could not make it.
static locale_t the_c_locale(void)
{
    pthread_once(&locale_once, make_locale);
    return c_locale;
}

int ecki_vformat(char *out, size_t room, const char *format, va_list arguments)
{
    const locale_t wanted = the_c_locale();
    const locale_t saved = wanted ? uselocale(wanted) : (locale_t)0;
    const int length = vsnprintf(out, room, format, arguments);
    if (saved) uselocale(saved);
    return length;
}

// Makes room for `more` bytes and a NUL; false, and the text failed, if there is none.
static bool reserve(ecki_text *text, int64_t more)
{
    if (text->failed) return false;
    int64_t need;
    if (__builtin_add_overflow(text->length, more, &need) ||
        __builtin_add_overflow(need, 1, &need)) {
        text->failed = true;
        return false;
    }
    if (need <= text->room) return true;
    int64_t room = text->room < INT64_MAX / 2 ? text->room * 2 : need;
    if (room < need) room = need;
    if (room < 256) room = 256; // most texts never grow
    char *data = ecki_realloc(text->data, room, 1);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

void ecki_text_add(ecki_text *text, const char *bytes, int64_t count)
{
    const int64_t length = count < 0 ? (int64_t)strlen(bytes) : count;
    if (!reserve(text, length)) return;
    if (length > 0) memcpy(text->data + text->length, bytes, (size_t)length);
    text->length += length;
    text->data[text->length] = '\0';
}

void ecki_text_printf(ecki_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = ecki_vformat(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) text->failed = true;
    if (!reserve(text, length)) return;
    va_start(arguments, format);
    ecki_vformat(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += length;
}

void ecki_text_clear(ecki_text *text)
{
    ecki_free(text->data);
    *text = (ecki_text){ NULL, 0, 0, false };
}

char *ecki_text_take(ecki_text *text)
{
    char *data = NULL;
    if (reserve(text, 0)) {
        data = text->data;
        data[text->length] = '\0';
        text->data = NULL;
    }
    ecki_text_clear(text);
    return data;
}

// Bytes of text[at..] that are decimal digits.
static int64_t digits(const char *text, int64_t length, int64_t at)
{
    int64_t end = at;
    while (end < length && text[end] >= '0' && text[end] <= '9')
        end++;
    return end - at;
}

// True for [+-]? ( digits [. digits?] | . digits ) ( [eE] [+-]? digits )?
static bool is_decimal(const char *text, int64_t length)
{
    int64_t at = length > 0 && (text[0] == '+' || text[0] == '-');
    const int64_t whole = digits(text, length, at);
    at += whole;
    int64_t part = 0;
    if (at < length && text[at] == '.') {
        part = digits(text, length, at + 1);
        at += 1 + part;
    }
    if (whole + part == 0) return false;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < length && (text[at] == '+' || text[at] == '-')) at++;
        const int64_t power = digits(text, length, at);
        if (power == 0) return false;
        at += power;
    }
    return at == length;
}

// True for [+-]? ( nan | inf | infinity ) in either case; `text` ends with NUL.
static bool is_special(const char *text)
{
    static const char *const words[] = { "nan", "inf", "infinity" };
    if (*text == '+' || *text == '-') text++;
    for (int i = 0; i < 3; i++) {
        // Letters differ from their other case in one bit, 0x20, and no other ASCII byte becomes
        // one of ours by it.
        const char *word = words[i];
        int64_t at = 0;
        while (word[at] && (text[at] | 0x20) == word[at])
            at++;
        if (!word[at] && !text[at]) return true;
    }
    return false;
}

bool ecki_parse_double(const char *text, int64_t length, double *out)
{
    // No double needs more: 767 digits decide any rounding, and longer ones are an attack or a
    // mistake.
    char copy[1100];
    if (length < 1 || length >= (int64_t)sizeof copy) return false;
    memcpy(copy, text, (size_t)length);
    copy[length] = '\0';
    if ((int64_t)strlen(copy) != length) return false;
    if (!is_decimal(copy, length) && !is_special(copy)) return false;
    const locale_t wanted = the_c_locale();
    if (!wanted) return false;
    const int saved = errno;
    *out = strtod_l(copy, NULL, wanted);
    errno = saved; // overflow to infinity and underflow to zero are answers
    return true;
}

bool ecki_parse_int(const char *text, int64_t length, int64_t *out)
{
    if (length < 1 || digits(text, length, 0) != length) return false;
    if (text[0] == '0' && length > 1) return false;
    int64_t value = 0;
    for (int64_t i = 0; i < length; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return false;
    }
    *out = value;
    return true;
}
