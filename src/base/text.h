/**
 * Text that grows, and what untrusted names need: UTF-8 checks, escaping, globs, numbers without
 * the locale.
 */
#ifndef ECKI_TEXT_H
#define ECKI_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/** vsnprintf with '.' in numbers whatever the locale of the host, which stays as it is. */
int ecki_vformat(char *out, size_t room, const char *format, va_list arguments) ECKI_PRINTF(3, 0);

/** Zero it to start; `failed` once memory ran out, after which adding does nothing. data is
 * NUL-terminated or NULL. */
typedef struct ecki_text {
    char *data;
    int64_t length, room;
    bool failed;
} ecki_text;

void ecki_text_add(ecki_text *text, const char *bytes, int64_t count); /**< count -1: strlen */
void ecki_text_printf(ecki_text *text, const char *format, ...) ECKI_PRINTF(2, 3);
void ecki_text_clear(ecki_text *text);

/** Moves the text out, owned by the caller; NULL if it failed. The object is cleared. */
char *ecki_text_take(ecki_text *text);

/** Valid UTF-8 without NUL, overlong forms or surrogates. */
bool ecki_utf8_valid(const char *bytes, int64_t length);

/** A tensor or module name we accept: valid UTF-8, 1..1024 bytes, no control characters. */
bool ecki_name_valid(const char *name, int64_t length);

/** Copies `name` for a message: control and bidi characters as \xNN or \u{NNNN}, shortened in the
 * middle to fit `room` bytes with the NUL. */
void ecki_name_escape(char *out, int64_t room, const char *name);

/** One path component that stays in its directory: no '/', '\\', drive letter, NUL, control,
 * leading '.'. */
bool ecki_component_valid(const char *name);

/** Shell-like glob over a whole name; `*` any run (dots too), `?` one byte, `[a-z]`, `[!a-z]`.
 * Linear space, no recursion. */
bool ecki_glob(const char *pattern, const char *name);

/** A decimal number with '.' whatever the locale; false unless all of `length` bytes, less than
 * 1100, are one number. "nan" and "inf" are accepted and give NaN and infinity. */
bool ecki_parse_double(const char *text, int64_t length, double *out);

/** 0 or [1-9][0-9]*, nothing else. */
bool ecki_parse_int(const char *text, int64_t length, int64_t *out);

#endif
