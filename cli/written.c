// What compress and restore wrote.
#include "written.h"

#include "eckart/report.h"
#include "layers_text.h"
#include "table.h"
#include "verdict.h"

static void print_left_out(session *run, const eck_outcome *outcome)
{
    enum { SHOWN = 4 };
    const int64_t count = outcome->left_out_count;
    for (int64_t i = 0; i < count && (i < SHOWN || run->verbose > 0); i++)
        table_line(run->out, i == 0 ? "not carried over" : "", "%s", outcome->left_out[i]);
    if (count > SHOWN && run->verbose == 0)
        table_line(run->out, "", "and %lld more (-v lists them)", (long long)(count - SHOWN));
}

eck_status written_print(session *run, const written *result)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    const eck_outcome *const outcome = result->outcome;
    if (run->json) {
        TRY(eck_report_outcome(&text, result->path, outcome, result->verdict, &run->error));
        session_take(run, text);
        return ECK_OK;
    }
    table_line(run->out, result->dry_run ? "would write" : "wrote", "%s", result->path);
    table_line(run->out, "size", "%s, %.2f of %s", layer_bytes(run, outcome->bytes_after).text,
               outcome->bytes_before > 0
                   ? (double)outcome->bytes_after / (double)outcome->bytes_before
                   : 1,
               layer_bytes(run, outcome->bytes_before).text);
    table_line(run->out, "tensors", "%lld layers %s, %lld other tensors copied",
               (long long)outcome->factored, result->restored ? "multiplied out" : "factored",
               (long long)outcome->copied);
    if (!result->restored)
        table_line(run->out, "error", "worst %s, root of squares %s; measured as stored",
                   figure_error(outcome->worst).text, figure_error(outcome->error).text);
    print_left_out(run, outcome);
    table_line(run->out, "time", "%s", figure_seconds(outcome->seconds).text);
    if (outcome->peak_bytes > 0)
        table_line(run->out, "memory", "at most %s", layer_bytes(run, outcome->peak_bytes).text);
    if (result->verdict) {
        fputc('\n', run->out);
        verdict_print(run, result->verdict);
    }
done:
    return status;
}
