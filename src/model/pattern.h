/**
 * The regular expressions of PEFT configurations, matched in time linear in the name: never a
 * backtracking engine, since the pattern comes from a file.
 *
 * Understood: literal characters, `.`, `\.` and other escaped punctuation, `\d`, `\w`, classes
 * `[0-9]`, groups `( | )` and `(?: | )`, `* + ?` after any of them, `^` and `$`. Everything else is
 * refused.
 */
#ifndef ECKI_PATTERN_H
#define ECKI_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct ecki_pattern ecki_pattern;

/** Owned by the caller, ecki_pattern_free(). ECK_E_UNSUPPORTED names the character that is not
 * understood, offset = its place. */
eck_status ecki_pattern_create(ecki_pattern **out, const char *text, eck_error *err);
void ecki_pattern_free(ecki_pattern *pattern);

/** As PEFT asks: re.match(r"(.*\.)?(TEXT)$", name): the whole name, or what follows one of its
 * dots. */
eck_status ecki_pattern_matches(bool *out, const ecki_pattern *pattern, const char *name,
                                eck_error *err);

/** `^` and the name with its punctuation escaped: matches that name alone. Owned, ecki_free(); NULL
 * when out of memory. */
char *ecki_pattern_literal(const char *name);

#endif
