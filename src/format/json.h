/**
 * Untrusted JSON: a linear pre-scan (depth, strings, UTF-8, integers, duplicate keys by the
 * reader), then jansson. The pre-scan bounds what jansson can be made to hold.
 */
#ifndef ECKI_JSON_H
#define ECKI_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

typedef struct ecki_json_limits {
    int32_t depth; /**< 32 for headers, 64 for configuration */
    int64_t values; /**< strings, numbers, literals, containers together */
    int64_t bytes;
} ecki_json_limits;

extern const ecki_json_limits ecki_json_config; /**< depth 64, 64 MiB */
extern const ecki_json_limits ecki_json_header; /**< depth 32, 100,000,000 bytes */

/** ECK_OK if the text is one JSON value within the limits; else ECK_E_FORMAT with the byte. */
eck_status ecki_json_scan(const char *text, int64_t length, const ecki_json_limits *limits,
                          const char *file, eck_error *err);

/** Scans, then parses, duplicate keys refused. out: a new reference. */
eck_status ecki_json_parse(json_t **out, const char *text, int64_t length,
                           const ecki_json_limits *limits, const char *file, eck_error *err);

/** Reads a whole small file of a directory; out owned, ecki_free(). ECK_E_IO; a directory, FIFO or
 * device refused. */
eck_status ecki_read_file(char **out, int64_t *length_out, const char *path, int64_t limit,
                          eck_error *err);

/** The value as text, NUL-terminated; flags are jansson's. Owned by the caller, ecki_free(). */
eck_status ecki_json_print(char **out, const json_t *value, size_t flags, eck_error *err);

/** The same, but no entry of that name is ECK_OK with *out NULL. Whatever else fails still does: a file
 * that is there and cannot be read must not pass for none. */
eck_status ecki_read_file_if_there(char **out, int64_t *length_out, const char *path, int64_t limit,
                                   eck_error *err);

#endif
