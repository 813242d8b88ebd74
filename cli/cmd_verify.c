// eckart verify: every promised error and every copied tensor, from the two files.
#include "commands.h"
#include "eckart/report.h"
#include "interrupt.h"
#include "settings.h"
#include "verdict.h"

static const opt_group groups[] = {
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_verify(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *paths[2] = { NULL, NULL };
    char *text = NULL;
    eck_model *before = NULL;
    eck_model *after = NULL;
    eck_verdict verdict = { 0 };
    settings from;

    settings_init(&from);
    TRY(settings_parse(run, &command_verify, &from, paths, arguments));
    TRY(eck_model_open(&before, paths[0], &run->error));
    TRY(eck_model_open(&after, paths[1], &run->error));
    interrupt_catch();
    TRY(eck_model_verify(&verdict, before, after, &run->context, &run->error));
    if (run->json) {
        TRY(eck_report_verify(&text, &verdict, &run->error));
        session_take(run, text);
    } else {
        verdict_print(run, &verdict);
    }
    verdict_judge(run, &verdict);
done:
    eck_verdict_clear(&verdict);
    eck_model_close(after);
    eck_model_close(before);
    settings_clear(&from);
    return status;
}

const command command_verify = {
    .name = "verify",
    .run = cmd_verify,
    .summary = "check every promised error and every copied tensor, from the files",
    .operands = "MODEL OUT [options]",
    .about =
        "MODEL is the original, OUT what compress made of it. The error of every factored layer\n"
        "is computed again in f64 from both files and held against the one OUT promises; every\n"
        "other tensor is compared byte for byte. Exit status 3 if anything does not hold.",
    .groups = groups,
    .examples = "eckart verify MODEL OUT\n"
                "eckart verify MODEL OUT --json\n"
                "eckart verify MODEL OUT -v",
    .operand_count = 2,
};
