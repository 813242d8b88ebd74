// Reading back what was written, and a small model to write about.
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eckart/context.h"

json_t *expect_document(char *text)
{
    const size_t length = strlen(text);
    assert_true(length > 1 && text[length - 1] == '\n' && text[length - 2] != '\n');
    json_error_t error;
    json_t *const document = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!document) fail_msg("%s at line %d: %s", error.text, error.line, text);
    assert_true(json_is_object(document));
    eck_text_free(text);
    return document;
}

void expect_keys(const json_t *object, const char *keys)
{
    char found[600] = "";
    size_t length = 0;
    const char *key;
    json_t *value;
    json_t *const members = json_copy((json_t *)(uintptr_t)object);
    json_object_foreach(members, key, value) length +=
        (size_t)snprintf(found + length, sizeof found - length, "%s%s", length > 0 ? " " : "", key);
    json_decref(members);
    assert_string_equal(found, keys);
}

json_t *expect_member(json_t *document, const char *path)
{
    json_t *at = document;
    for (const char *rest = path; *rest;) {
        char part[64];
        const size_t length = strcspn(rest, ".");
        snprintf(part, sizeof part, "%.*s", (int)length, rest);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
        if (!at) fail_msg("no member '%s' of '%s'", part, path);
        rest += length + (rest[length] == '.');
    }
    return at;
}

void expect_text(json_t *document, const char *path, const char *value)
{
    assert_string_equal(json_string_value(expect_member(document, path)), value);
}

void expect_real(json_t *document, const char *path, double value)
{
    const json_t *const member = expect_member(document, path);
    assert_true(json_is_real(member));
    const double found = json_real_value(member);
    if (found != value) fail_msg("%s: %.17g, not %.17g", path, found, value);
}

void expect_integer(json_t *document, const char *path, int64_t value)
{
    const json_t *const member = expect_member(document, path);
    assert_true(json_is_integer(member));
    assert_int_equal(json_integer_value(member), value);
}

void expect_null(json_t *document, const char *path)
{
    assert_true(json_is_null(expect_member(document, path)));
}

void expect_true(json_t *document, const char *path, int value)
{
    const json_t *const member = expect_member(document, path);
    assert_true(json_is_boolean(member));
    assert_int_equal(json_is_true(member), value);
}

static char folder[] = "/tmp/eckart-report-XXXXXX";
static char path[sizeof folder + 32];

// Element (i,j) of a matrix of rank 5 at most, a sum of five outer products of small integers over
// powers of two: exact in F32.
static float element(int i, int j)
{
    float sum = 0;
    for (int p = 0; p < 5; p++)
        sum += (float)((i * (p + 3) + p * p) % 11 - 5) * (float)((j * (p + 2) + p) % 7 - 3) /
               (float)(1 << p);
    return sum;
}

static void write_model(FILE *file)
{
    static const char header[] =
        "{\"encoder.dense.bias\":{\"dtype\":\"F32\",\"shape\":[96],\"data_offsets\":[0,384]},"
        "\"encoder.dense.weight\":{\"dtype\":\"F32\",\"shape\":[96,64],\"data_offsets\":[384,24960]"
        "},"
        "\"small.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24960,24984]}}";
    const uint64_t length = sizeof header - 1;
    const float zero = 0;
    fwrite(&length, sizeof length, 1, file);
    fwrite(header, 1, length, file);
    for (int i = 0; i < 96; i++)
        fwrite(&zero, sizeof zero, 1, file);
    for (int i = 0; i < 96; i++)
        for (int j = 0; j < 64; j++) {
            const float value = element(i, j);
            fwrite(&value, sizeof value, 1, file);
        }
    for (int i = 0; i < 6; i++)
        fwrite(&zero, sizeof zero, 1, file);
}

eck_model *written_model_open(void)
{
    eck_error err = ECK_ERROR_INIT;
    eck_model *model = NULL;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    write_model(file);
    assert_int_equal(fclose(file), 0);
    if (eck_model_open(&model, path, &err) != ECK_OK) fail_msg("%s", err.message);
    return model;
}

void written_model_close(eck_model *model)
{
    eck_model_close(model);
    unlink(path);
    rmdir(folder);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
}
