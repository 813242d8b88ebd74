/*
 * Untrusted JSON. jansson keeps about 80 bytes for every value and recurses as deep as the text
 * nests; the pre-scan bounds both before it sees a byte.
 */
#include "format/json.h"

#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/scan.h"

// 2.5 million values: an index of a million tensors has two million
const ecki_json_limits ecki_json_config = { 64, 2500000, 64 << 20 };
const ecki_json_limits ecki_json_header = { 32, 2500000, 100000000 };

eck_status ecki_json_scan(const char *text, int64_t length, const ecki_json_limits *limits,
                          const char *file, eck_error *err)
{
    ecki_scan scan = { .text = text,
                       .length = length,
                       .file = file,
                       .depth_limit = limits->depth,
                       .values_limit = limits->values,
                       .err = err };
    eck_status status = ECK_OK;

    if (length > limits->bytes)
        return ecki_read_error(err, ECK_E_UNSUPPORTED, limits->bytes, file,
                               "%lld bytes of JSON, at most %lld", (long long)length,
                               (long long)limits->bytes);
    ECK_TRY(ecki_scan_skip(&scan));
    ECK_TRY(ecki_scan_end(&scan));
done:
    return status;
}

eck_status ecki_json_parse(json_t **out, const char *text, int64_t length,
                           const ecki_json_limits *limits, const char *file, eck_error *err)
{
    json_error_t error;
    char detail[200];

    const eck_status status = ecki_json_scan(text, length, limits, file, err);
    if (status != ECK_OK) return status;
    const int64_t refused = ecki_json_refused();
    json_t *value =
        json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    // jansson 2.14 tells of some refused requests by a code, of some by no text, of some not at all
    const bool is_short = json_error_code(&error) == json_error_out_of_memory || !error.text[0];
    if (ecki_json_refused() != refused || (!value && is_short)) {
        json_decref(value);
        return ecki_error_memory(err, -1);
    }
    if (!value) {
        ecki_name_escape(detail, sizeof detail, error.text);
        return ecki_read_error(err, ECK_E_FORMAT, error.position, file, "%s at byte %d", detail,
                               error.position);
    }
    *out = value;
    return ECK_OK;
}

static int add_text(const char *bytes, size_t count, void *text)
{
    ecki_text_add(text, bytes, (int64_t)count);
    return ((ecki_text *)text)->failed ? -1 : 0;
}

eck_status ecki_json_print(char **out, const json_t *value, size_t flags, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { 0 };

    // jansson's own text would come from whichever allocator it was last given.
    const int failed = value ? json_dump_callback(value, add_text, &text, flags) : -1;
    char *printed = failed ? NULL : ecki_text_take(&text);
    ECK_HAVE(printed);
    *out = printed;
done:
    ecki_text_clear(&text);
    return status;
}
