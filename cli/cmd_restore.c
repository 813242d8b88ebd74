// eckart restore: factors multiplied out under stock names, so that anything loads the result.
#include "commands.h"
#include "interrupt.h"
#include "settings.h"
#include "written.h"

static const opt_entry restore_options[] = {
    { OPT_TEXT, 'o', "output", "DENSE", offsetof(settings, output), 0, 0,
      "what to write: a directory for a directory, one file for one file" },
    { OPT_FLAG, 'f', "force", NULL, offsetof(settings, force), 0, 0,
      "replace DENSE, if it is a file or a directory made by eckart" },
    { OPT_CHOICE, '\0', "dtype", "same|f32|bf16|f16", offsetof(settings, dtype), 0, 0,
      "storage type of the products; default same, each layer's original one" },
    { 0 }
};

static const opt_group groups[] = {
    { "Output", restore_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_restore(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_model *model = NULL;
    eck_outcome outcome = { 0 };
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    settings from;

    settings_init(&from);
    TRY(settings_parse(run, &command_restore, &from, &path, arguments));
    if (!from.output) TRY(session_usage(run, "where to? give --output DENSE"));
    TRY(settings_check_output(run, from.output, from.force));
    TRY(eck_model_open(&model, path, &run->error));
    options.replace = from.force;
    options.store.store = settings_dtype(&from);
    interrupt_catch();
    TRY(eck_model_restore(&outcome, model, from.output, &options, &run->context, &run->error));
    const written result = { from.output, &outcome, NULL, false, true };
    TRY(written_print(run, &result));
done:
    eck_outcome_clear(&outcome);
    eck_model_close(model);
    settings_clear(&from);
    return status;
}

const command command_restore = {
    .name = "restore",
    .run = cmd_restore,
    .summary = "multiply the factors out, under names every loader knows",
    .operands = "OUT -o DENSE [options]",
    .about = "OUT is what compress made. Every factored layer becomes one weight again, under its\n"
             "stock name and with the error it has; everything else is copied byte for byte. The\n"
             "result is as large as the original was and loads everywhere.",
    .groups = groups,
    .examples = "eckart restore OUT -o DENSE\n"
                "eckart restore small.safetensors -o dense.safetensors --dtype bf16",
    .operand_count = 1,
};
