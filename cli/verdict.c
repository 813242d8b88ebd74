// What verifying found.
#include "verdict.h"

#include <math.h>

#include "layers_text.h"
#include "table.h"

static void add_check(table *rows, const eck_check *check)
{
    const figure error = check->factored ? figure_error(check->error) : (figure){ "-" };
    const figure promised = check->factored ? figure_error(check->promised) : (figure){ "-" };
    const char *const reason = check->reason ? check->reason : "promise not kept";
    table_add(rows, (const char *const[]){ check->name, error.text, promised.text,
                                           check->kept ? "holds" : reason });
}

void verdict_print(session *run, const eck_verdict *verdict)
{
    static const char *const titles[] = { "layer or tensor", "error", "promised", "verdict" };
    table rows;
    const eck_check *worst = NULL;
    int64_t silent = 0;
    table_init(&rows, "lrrl", titles);
    for (int64_t i = 0; i < verdict->count; i++) {
        const eck_check *const check = &verdict->checks[i];
        silent += check->factored && isinf(check->promised);
        if (check->factored && (!worst || check->error > worst->error)) worst = check;
        if (run->verbose > 0 || !check->kept) add_check(&rows, check);
    }
    if (rows.count > 0) {
        table_print(&rows, run->out, layer_width(run));
        fputc('\n', run->out);
    }
    table_clear(&rows);
    // Checks list the factored layers, then what failed beside them.
    if (verdict->kept)
        table_line(run->out, "verified", "every promise holds");
    else
        table_line(run->out, "verified", "NO: %lld of %lld do not hold", (long long)verdict->failed,
                   (long long)(verdict->identical + verdict->count));
    if (silent > 0) table_line(run->out, "no promise", "%lld layers", (long long)silent);
    table_line(run->out, "layers", "%lld factored, errors computed again from both files",
               (long long)verdict->factored);
    if (worst)
        table_line(run->out, "worst", "%s, promised %s: %s", figure_error(worst->error).text,
                   figure_error(worst->promised).text, worst->name);
    table_line(run->out, "tensors", "%lld identical, byte for byte", (long long)verdict->identical);
}

void verdict_judge(session *run, const eck_verdict *verdict)
{
    if (verdict->kept) return;
    run->exit_code = EXIT_PROMISE;
    session_warn(run, "%lld promises do not hold", (long long)verdict->failed);
}
