// What was written, whether its promises hold, and what went wrong.
#include "eckart/report.h"
#include "report/json_text.h"

static ecki_json check_object(const eck_check *check)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "name", check->name);
    ecki_json_real(&object, "error", check->error);
    ecki_json_real(&object, "promised", check->promised);
    ecki_json_bool(&object, "ok", check->kept);
    return object;
}

static ecki_json verdict_object(const eck_verdict *verdict)
{
    ecki_json layers = ecki_json_array();
    ecki_json failed = ecki_json_array();
    for (int64_t i = 0; i < verdict->count; i++) {
        const eck_check *const check = &verdict->checks[i];
        if (check->factored) ecki_json_put(&layers, NULL, check_object(check));
        if (check->kept) continue;
        ecki_json object = ecki_json_object();
        ecki_json_text(&object, "name", check->name);
        ecki_json_text(&object, "reason", check->reason ? check->reason : "promise not kept");
        ecki_json_put(&failed, NULL, object);
    }
    ecki_json object = ecki_json_object();
    ecki_json_bool(&object, "ok", verdict->kept);
    ecki_json_put(&object, "layers", layers);
    ecki_json_integer(&object, "identical", verdict->identical);
    ecki_json_put(&object, "failed", failed);
    return object;
}

eck_status eck_report_verify(char **out, const eck_verdict *verdict, eck_error *err)
{
    return ecki_json_finish(out, verdict_object(verdict), err);
}

eck_status eck_report_outcome(char **out, const char *path, const eck_outcome *outcome,
                              const eck_verdict *verdict, eck_error *err)
{
    ecki_json left_out = ecki_json_array();
    for (int64_t i = 0; i < outcome->left_out_count; i++)
        ecki_json_text(&left_out, NULL, outcome->left_out[i]);
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "output", path);
    ecki_json_integer(&object, "factored", outcome->factored);
    ecki_json_integer(&object, "copied", outcome->copied);
    ecki_json_integer(&object, "bytes_before", outcome->bytes_before);
    ecki_json_integer(&object, "bytes_after", outcome->bytes_after);
    ecki_json_real(&object, "error", outcome->error);
    ecki_json_real(&object, "worst", outcome->worst);
    ecki_json_put(&object, "left_out", left_out);
    ecki_json_integer(&object, "peak_bytes", outcome->peak_bytes);
    ecki_json_real(&object, "seconds", outcome->seconds);
    if (verdict)
        ecki_json_put(&object, "verify", verdict_object(verdict));
    else
        ecki_json_add(&object, "verify", json_null());
    return ecki_json_finish(out, object, err);
}

eck_status eck_report_error(char **out, const eck_error *error)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "status", eck_status_name(error->status));
    ecki_json_text(&object, "message", error->message);
    ecki_json_text(&object, "file", error->file[0] ? error->file : NULL);
    ecki_json_text(&object, "tensor", error->tensor[0] ? error->tensor : NULL);
    if (error->offset < 0)
        ecki_json_add(&object, "offset", json_null());
    else
        ecki_json_integer(&object, "offset", error->offset);
    ecki_json document = ecki_json_object();
    ecki_json_put(&document, "error", object);
    return ecki_json_finish(out, document, NULL);
}
