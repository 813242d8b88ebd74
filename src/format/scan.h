/**
 * A cursor over untrusted JSON text: strict grammar, one pass, no recursion, no memory. The
 * safetensors header and the pre-scan of configuration files both walk on it.
 *
 * Stricter than RFC 8259 where parsers are known to disagree: no NUL in strings, whether raw or
 * escaped, no lone surrogates, no overlong UTF-8, blanks are space, tab, CR and LF only.
 */
#ifndef ECKI_SCAN_H
#define ECKI_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { ECKI_SCAN_DEPTH_MAX = 64 };

typedef struct ecki_scan {
    const char *text;
    int64_t length, at;
    int64_t start; /**< byte of text[0] in the file, for messages */
    const char *file; /**< for messages */
    int32_t depth_limit; /**< containers open at once, at most ECKI_SCAN_DEPTH_MAX */
    int32_t depth; /**< open now, counted by whoever opens them */
    int64_t values_limit; /**< strings, numbers, literals and containers together; 0: no limit */
    int64_t values;
    eck_error *err;
} ecki_scan;

/** ECK_E_FORMAT "cannot read '<file>': <what> at byte N"; at is an index into text. */
eck_status ecki_scan_fail(const ecki_scan *scan, int64_t at, const char *what);

void ecki_scan_blank(ecki_scan *scan);

/** Skips blanks; takes the next byte if it is `byte`. */
bool ecki_scan_accept(ecki_scan *scan, char byte);

/** As accept, or fails with `what` ("':' is missing"). */
eck_status ecki_scan_expect(ecki_scan *scan, char byte, const char *what);

/** The text between the quotes, checked, still escaped; borrowed. */
eck_status ecki_scan_string(ecki_scan *scan, const char **raw_out, int64_t *length_out);

/** Writes what a checked raw string means, with a NUL, and returns its length; never longer than
 * the raw text. */
int64_t ecki_scan_unescape(char *out, const char *raw, int64_t length);

/** 0 or [1-9][0-9]*, at most 2^63 - 1. */
eck_status ecki_scan_integer(ecki_scan *scan, int64_t *out);

/** Walks over any one value. */
eck_status ecki_scan_skip(ecki_scan *scan);

/** Nothing but blanks may follow. */
eck_status ecki_scan_end(ecki_scan *scan);

#endif
