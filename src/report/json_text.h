/**
 * What the documents share: building jansson values that are always valid JSON, and the way from a value to text.
 *
 * The makers return a new reference or NULL when memory is out, and the adders take references over, NULL too, so that
 * a document is built without checks in between: `failed` remembers, and ecki_json_finish() says so.
 */
#ifndef ECKI_JSON_TEXT_H
#define ECKI_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/stage.h"

/** An object or array in the making. Zero-initialised by ecki_json_object() or ecki_json_array(). */
typedef struct ecki_json {
    json_t *value;
    bool failed;
} ecki_json;

ecki_json ecki_json_object(void);
ecki_json ecki_json_array(void);

/** Adds a value under a key, or at the end of an array (key NULL); takes the reference. */
void ecki_json_add(ecki_json *parent, const char *key, json_t *value);

/** The same for a part in the making, which is used up. */
void ecki_json_put(ecki_json *parent, const char *key, ecki_json part);

/** A number; null for NaN and infinity. */
void ecki_json_real(ecki_json *parent, const char *key, double value);
void ecki_json_integer(ecki_json *parent, const char *key, int64_t value);

/** Multiply-adds; null for -1, unknown. */
void ecki_json_macs(ecki_json *parent, const char *key, int64_t value);
void ecki_json_bool(ecki_json *parent, const char *key, bool value);

/** A string; null for NULL; what is not UTF-8 is escaped. */
void ecki_json_text(ecki_json *parent, const char *key, const char *value);

/** An array of numbers. */
void ecki_json_reals(ecki_json *parent, const char *key, const double *values, int64_t count);

/** The shape of a stage's weight. */
void ecki_json_shape(ecki_json *parent, const char *key, const eck_stage *stage);

/**
 * The document, an object, as text: one member a line, one object of a list a line, a newline at the end. The value is
 * used up, whatever happens. Keys of the outermost object must need no escapes.
 * out  owned by the caller, eck_text_free()
 */
eck_status ecki_json_finish(char **out, ecki_json document, eck_error *err);

/** "linear", "conv", "conv_transpose", "embedding", "scale"; static. */
const char *ecki_kind_name(eck_stage_kind kind);

#endif
