// Building JSON documents. A part that failed stays failed up to the document: nothing half-built
// is ever returned.
#include "report/json_text.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

ecki_json ecki_json_object(void)
{
    json_t *value = json_object();
    return (ecki_json){ value, value == NULL };
}

ecki_json ecki_json_array(void)
{
    json_t *value = json_array();
    return (ecki_json){ value, value == NULL };
}

void ecki_json_add(ecki_json *parent, const char *key, json_t *value)
{
    if (parent->failed || !value) {
        json_decref(value);
        parent->failed = true;
        return;
    }
    const int failed = key ? json_object_set_new(parent->value, key, value)
                           : json_array_append_new(parent->value, value);
    if (failed) parent->failed = true;
}

void ecki_json_put(ecki_json *parent, const char *key, ecki_json part)
{
    if (part.failed) {
        json_decref(part.value);
        part.value = NULL;
    }
    ecki_json_add(parent, key, part.value);
}

void ecki_json_real(ecki_json *parent, const char *key, double value)
{
    ecki_json_add(parent, key, isfinite(value) ? json_real(value) : json_null());
}

void ecki_json_integer(ecki_json *parent, const char *key, int64_t value)
{
    ecki_json_add(parent, key, json_integer(value));
}

void ecki_json_macs(ecki_json *parent, const char *key, int64_t value)
{
    ecki_json_add(parent, key, value < 0 ? json_null() : json_integer(value));
}

void ecki_json_bool(ecki_json *parent, const char *key, bool value)
{
    ecki_json_add(parent, key, json_boolean(value));
}

// A string whose bytes are not UTF-8, escaped: one byte becomes at most four.
static json_t *escaped(const char *value)
{
    const int64_t room = 4 * (int64_t)strlen(value) + 1;
    char *shown = ecki_malloc(room, 1);
    if (!shown) return NULL;
    ecki_name_escape(shown, room, value);
    json_t *string = json_string(shown);
    ecki_free(shown);
    return string;
}

void ecki_json_text(ecki_json *parent, const char *key, const char *value)
{
    if (!value)
        ecki_json_add(parent, key, json_null());
    else if (ecki_utf8_valid(value, (int64_t)strlen(value)))
        ecki_json_add(parent, key, json_string(value));
    else
        ecki_json_add(parent, key, escaped(value));
}

void ecki_json_reals(ecki_json *parent, const char *key, const double *values, int64_t count)
{
    ecki_json array = ecki_json_array();
    for (int64_t i = 0; i < count; i++)
        ecki_json_real(&array, NULL, values[i]);
    ecki_json_put(parent, key, array);
}

void ecki_json_shape(ecki_json *parent, const char *key, const eck_stage *stage)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t count = eck_stage_shape(stage, shape);
    ecki_json array = ecki_json_array();
    for (int32_t i = 0; i < count; i++)
        ecki_json_integer(&array, NULL, shape[i]);
    ecki_json_put(parent, key, array);
}

// Receives the text from jansson, piece by piece.
static int collect(const char *bytes, size_t count, void *user)
{
    ecki_text *const text = user;
    ecki_text_add(text, bytes, (int64_t)count);
    return text->failed ? -1 : 0;
}

static void add_value(ecki_text *text, const json_t *value)
{
    if (json_dump_callback(value, collect, text, JSON_ENCODE_ANY) != 0) text->failed = true;
}

// A list of objects has one of them a line; everything else is one line altogether.
static void add_member(ecki_text *text, const json_t *value)
{
    const size_t count = json_array_size(value);
    if (!json_is_object(json_array_get(value, 0))) {
        add_value(text, value);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ecki_text_add(text, i == 0 ? "[\n    " : ",\n    ", -1);
        add_value(text, json_array_get(value, i));
    }
    ecki_text_add(text, "\n  ]", -1);
}

// One member of the document a line, for people who read and edit it; a single member stays on one.
static void add_document(ecki_text *text, json_t *document)
{
    const char *key;
    json_t *value;
    bool first = true;
    if (json_object_size(document) < 2) {
        add_value(text, document);
        return;
    }
    json_object_foreach(document, key, value)
    {
        ecki_text_printf(text, "%s\n  \"%s\": ", first ? "{" : ",", key);
        add_member(text, value);
        first = false;
    }
    ecki_text_add(text, "\n}", -1);
}

eck_status ecki_json_finish(char **out, ecki_json document, eck_error *err)
{
    ecki_text text = { NULL, 0, 0, false };
    if (document.failed)
        text.failed = true;
    else
        add_document(&text, document.value);
    json_decref(document.value);
    ecki_text_add(&text, "\n", 1);
    char *const taken = ecki_text_take(&text);
    if (!taken) return ecki_error_memory(err, -1);
    *out = taken;
    return ECK_OK;
}

const char *ecki_kind_name(eck_stage_kind kind)
{
    switch (kind) {
    case ECK_STAGE_LINEAR:
        return "linear";
    case ECK_STAGE_CONV:
        return "conv";
    case ECK_STAGE_CONV_TRANSPOSE:
        return "conv_transpose";
    case ECK_STAGE_LOOKUP:
        return "embedding";
    case ECK_STAGE_SCALE:
        return "scale";
    }
    return "?";
}
