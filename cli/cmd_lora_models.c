// eckart lora extract, merge, init: adapters and the models they belong to.
#include "interrupt.h"
#include "lora_text.h"

// ---- extract -----------------------------------------------------------------------------------

static const opt_entry extract_options[] = {
    { OPT_TEXT, '\0', "base", "BASE", offsetof(lora_settings, base), 0, 0,
      "the model before, instead of the first argument" },
    { OPT_TEXT, '\0', "tuned", "TUNED", offsetof(lora_settings, tuned), 0, 0,
      "the model after, instead of the second argument" },
    { OPT_CHOICE, '\0', "to", "peft|kohya|diffusers", offsetof(lora_settings, layout), 0, 0,
      "the layout of OUT; default peft" },
    { OPT_TEXT, '\0', "component", "NAME", offsetof(lora_settings, component), 0, 0,
      "unet, transformer, text_encoder: what kohya's and diffusers' names begin with" },
    { OPT_FLAG, '\0', "full-modules", NULL, offsetof(lora_settings, full_modules), 0, 0,
      "carry norms, biases and the like whole, in modules_to_save" },
    { OPT_CHOICE, '\0', "engine", "auto|exact|deflated|krylov|golub-kahan",
      offsetof(lora_settings, engine), 0, 0, "how leading terms are found; default auto" },
    { OPT_FLAG, '\0', "unrelated", NULL, offsetof(lora_settings, unrelated), 0, 0,
      "extract even if TUNED is no fine-tune of BASE" },
    { 0 }
};

static const opt_group extracting[] = {
    { "Models", extract_options },    { "Ranks, default 32", lora_budget_options },
    { "Layers", selection_options },  { "Output", lora_output_options },
    { "Every command", run_options }, { NULL, NULL },
};

// BASE and TUNED from two arguments or two options.
static eck_status find_pair(session *run, const lora_settings *from, const char **paths)
{
    if (from->base && from->tuned && !paths[0]) {
        paths[0] = from->base;
        paths[1] = from->tuned;
    } else if (from->base || from->tuned || !paths[1]) {
        return session_usage(run,
                             "two models are needed: BASE TUNED, or --base BASE --tuned TUNED");
    }
    return ECK_OK;
}

static eck_status cmd_extract(session *run, char **arguments)
{
    static const eck_engine engines[] = { ECK_ENGINE_AUTO, ECK_ENGINE_EXACT, ECK_ENGINE_DEFLATED,
                                          ECK_ENGINE_KRYLOV, ECK_ENGINE_GOLUB_KAHAN };
    eck_status status = ECK_OK;
    const char *paths[OPERANDS_MAX] = { NULL };
    eck_model *base = NULL, *tuned = NULL;
    eck_adapter_outcome outcome = { 0 };
    eck_extract_options options = ECK_EXTRACT_OPTIONS_INIT;
    lora_settings from;

    lora_keep_memory();
    lora_settings_init(&from);
    from.all.min_size = 1;
    TRY(settings_parse(run, &command_lora_extract, &from.all, paths, arguments));
    TRY(find_pair(run, &from, paths));
    TRY(lora_write_options(&options.write, run, &from));
    if (settings_has_budget(&from.all)) options.budget = lora_budget(&from);
    options.layout = (eck_adapter_layout)(from.layout + 1);
    options.component = from.component;
    options.full_modules = from.full_modules;
    options.unrelated = from.unrelated;
    options.engine = engines[from.engine];
    TRY(settings_open_model(&base, run, &from.all, paths[0]));
    TRY(eck_model_open(&tuned, paths[1], &run->error));
    session_note(run, "from base '%s' to tuned '%s'", paths[0], paths[1]);
    interrupt_catch();
    TRY(eck_adapter_extract(&outcome, base, tuned, &options, &run->context, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    eck_model_close(base);
    eck_model_close(tuned);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_extract = {
    .name = "lora extract",
    .run = cmd_extract,
    .summary = "the change from a base model to a tuned one",
    .operands = "BASE TUNED -o OUT [options]",
    .about = "The best low-rank approximation of TUNED - BASE, layer by layer, each difference "
             "read from\n"
             "the two files as it is needed. The energy kept is printed twice: of the change as "
             "stored,\n"
             "and of the change less the noise that rounding to 16 bits has left in it. What no "
             "factors\n"
             "can express is listed.",
    .groups = extracting,
    .examples = "eckart lora extract BASE TUNED -o OUT --rank 64\n"
                "eckart lora extract --base BASE --tuned TUNED -o OUT --energy 0.9 --full-modules",
    .operand_count = 0,
    .operand_most = 2,
};

// ---- merge -------------------------------------------------------------------------------------

static const opt_entry merge_options[] = {
    { OPT_TEXT, 'o', "output", "OUT", offsetof(lora_settings, all.output), 0, 0,
      "what to write: a directory for a directory, one file for one file" },
    { OPT_FLAG, 'f', "force", NULL, offsetof(lora_settings, all.force), 0, 0,
      "replace OUT, if it is a file or a directory made by eckart" },
    { OPT_FLAG, 'n', "dry-run", NULL, offsetof(lora_settings, dry_run), 0, 0,
      "do everything but write" },
    { 0 }
};

static const opt_group merging[] = {
    { "Output", merge_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_merge(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *paths[OPERANDS_MANY + 1] = { NULL };
    eck_model *base = NULL;
    lora_terms terms = { 0 };
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write options;
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_merge, &from.all, paths, arguments));
    TRY(lora_write_options(&options, run, &from));
    TRY(eck_model_open(&base, paths[0], &run->error));
    TRY(lora_terms_open(&terms, run, paths + 1));
    interrupt_catch();
    const eck_adapter_sum sum = { terms.terms, terms.count };
    TRY(eck_adapter_merge(&outcome, base, &sum, &options, &run->context, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    lora_terms_clear(&terms);
    eck_model_close(base);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_merge = {
    .name = "lora merge",
    .run = cmd_merge,
    .summary = "a base model with adapters in it",
    .operands = "BASE ADAPTER[=WEIGHT] [ADAPTER[=WEIGHT] ...] -o OUT [options]",
    .about =
        "Every changed weight is computed in 64 bits and rounded once to the type it had; all "
        "else\n"
        "is copied byte for byte. Weights default to 1; negative ones take an adapter out again.\n"
        "DoRA is merged as it is defined, alone and with weight 1.",
    .groups = merging,
    .examples = "eckart lora merge BASE ADAPTER -o OUT\n"
                "eckart lora merge BASE A=0.7 B=-0.2 -o OUT",
    .operand_count = 2,
    .operand_most = OPERANDS_MANY,
};

// ---- init --------------------------------------------------------------------------------------

static const opt_entry init_options[] = {
    { OPT_CHOICE, '\0', "init", "gaussian|pissa|olora", offsetof(lora_settings, start), 0, 0,
      "what the factors begin with; default gaussian, and zeros behind" },
    { OPT_INTEGER, '\0', "rank", "K", offsetof(lora_settings, all.rank), 1, 1e15,
      "rank of every module; default 8" },
    { OPT_INTEGER, '\0', "alpha", "N", offsetof(lora_settings, alpha), 1, 1e9,
      "lora_alpha; default the rank" },
    { OPT_TEXT, '\0', "residual", "DIR", offsetof(lora_settings, residual), 0, 0,
      "where to write the base less its part in the adapter; pissa and olora need it" },
    { 0 }
};

static const opt_group starting[] = {
    { "Start", init_options },
    { "Layers", selection_options },
    { "Output", lora_output_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_init(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_model *base = NULL;
    eck_adapter_outcome outcome = { 0 };
    eck_init_options options = ECK_INIT_OPTIONS_INIT;
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_init, &from.all, &path, arguments));
    TRY(lora_write_options(&options.write, run, &from));
    options.start = (eck_adapter_start)(from.start + 1);
    if (from.all.rank > 0) options.rank = from.all.rank;
    options.alpha = (double)from.alpha;
    options.residual = from.residual;
    if (options.start != ECK_START_GAUSSIAN && !options.residual && !from.dry_run)
        TRY(session_usage(run, "this start takes a part out of the base: give --residual DIR"));
    TRY(settings_open_model(&base, run, &from.all, path));
    interrupt_catch();
    TRY(eck_adapter_init(&outcome, base, &options, &run->context, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    eck_model_close(base);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_init = {
    .name = "lora init",
    .run = cmd_init,
    .summary = "an adapter to begin training with",
    .operands = "BASE -o OUT [options]",
    .about =
        "A PEFT adapter for the selected linear layers of BASE. pissa takes the leading singular\n"
        "triplets of every weight, olora the leading columns of its QR decomposition; both move "
        "them\n"
        "out of the base, so that training starts from the residual model written beside.",
    .groups = starting,
    .examples = "eckart lora init BASE -o OUT --rank 16\n"
                "eckart lora init BASE -o OUT --init pissa --rank 16 --residual RES",
    .operand_count = 1,
};
