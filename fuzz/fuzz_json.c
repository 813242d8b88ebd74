// Bytes as a JSON document: what the scan lets through jansson must take, but for keys that come twice and numbers that
// do not fit; what jansson alone refuses must not be a matter of grammar.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/json.h"
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const char *const known[] = { "duplicate object key", "too big integer",
                                         "real number overflow", "too big negative integer" };
    eck_error err = ECK_ERROR_INIT;
    json_t *value = NULL;
    char *text = ecki_malloc((int64_t)count, 1); // of exactly its size
    if (!text) abort();
    memcpy(text, bytes, count);
    const bool scanned =
        ecki_json_scan(text, (int64_t)count, &ecki_json_config, "fuzz.json", &err) == ECK_OK;
    const bool parsed = ecki_json_parse(&value, text, (int64_t)count, &ecki_json_config,
                                        "fuzz.json", &err) == ECK_OK;
    bool expected = scanned == parsed;
    for (size_t i = 0; i < sizeof known / sizeof *known && scanned; i++)
        expected = expected || strstr(err.message, known[i]);
    if (!expected) {
        fprintf(stderr, "scan %d, parse %d: %s\n", scanned, parsed, err.message);
        abort();
    }
    json_decref(value);
    ecki_free(text);
    return 0;
}
