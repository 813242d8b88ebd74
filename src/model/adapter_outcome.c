/** What was done to an adapter, module by module and as a whole. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/adapter_parts.h"

eck_status ecki_outcome_remark(eck_adapter_outcome *outcome, eck_error *err, const char *format,
                               ...)
{
    eck_status status = ECK_OK;
    char line[800];
    va_list arguments;

    va_start(arguments, format);
    ecki_vformat(line, sizeof line, format, arguments);
    va_end(arguments);
    char **list =
        ecki_realloc(outcome->remarks, outcome->remark_count + 1, sizeof *outcome->remarks);
    ECK_HAVE(list);
    outcome->remarks = list;
    list[outcome->remark_count] = ecki_strdup(line);
    ECK_HAVE(list[outcome->remark_count]);
    outcome->remark_count++;
done:
    return status;
}

eck_status ecki_outcome_change(eck_adapter_change *out, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    char *copy = ecki_strdup(name);

    ECK_HAVE(copy);
    *out = (eck_adapter_change){
        .name = copy,
        .rank_before = -1,
        .rank = -1,
        .norm = -1,
        .error = -1,
        .energy = -1,
        .energy_clean = -1,
        .noise = -1,
        .rank50 = -1,
        .rank80 = -1,
        .rank90 = -1,
        .optimum_low = -1,
        .optimum_high = -1,
    };
done:
    return status;
}

void ecki_outcome_total(eck_adapter_outcome *outcome)
{
    double norm2 = 0, error2 = 0;

    outcome->worst = 0;
    outcome->kept = 0;
    for (int64_t i = 0; i < outcome->count; i++) {
        const eck_adapter_change *c = &outcome->changes[i];
        outcome->kept += c->kept;
        if (c->norm < 0) continue;
        norm2 += c->norm * c->norm;
        if (c->error < 0) continue;
        error2 += c->error * c->error * c->norm * c->norm;
        outcome->worst = fmax(outcome->worst, c->error);
    }
    outcome->norm = sqrt(norm2);
    outcome->error = norm2 > 0 ? sqrt(error2 / norm2) : 0;
}

void eck_adapter_outcome_clear(eck_adapter_outcome *outcome)
{
    for (int64_t i = 0; outcome->changes && i < outcome->count; i++)
        ecki_free(outcome->changes[i].name);
    for (int64_t i = 0; i < outcome->remark_count; i++)
        ecki_free(outcome->remarks[i]);
    ecki_free(outcome->changes);
    ecki_free(outcome->remarks);
    memset(outcome, 0, sizeof *outcome);
}
