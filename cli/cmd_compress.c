// eckart compress: a smaller model within a budget, written whole or not at all, and verified.
#include "commands.h"
#include "interrupt.h"
#include "layers_text.h"
#include "planning.h"
#include "settings.h"
#include "verdict.h"
#include "written.h"

typedef struct compress_settings {
    settings common; // first, so that the shared tables fit
    const char *plan;
    bool dry_run, no_verify, allow_dense;
} compress_settings;

#define PLACE(member) offsetof(compress_settings, member)

static const opt_entry compress_options[] = {
    { OPT_TEXT, 'o', "output", "OUT", PLACE(common.output), 0, 0,
      "what to write: a directory for a directory, one file for one file" },
    { OPT_FLAG, 'f', "force", NULL, PLACE(common.force), 0, 0,
      "replace OUT, if it is a file or a directory made by eckart" },
    { OPT_TEXT, '\0', "plan", "FILE", PLACE(plan), 0, 0,
      "take the ranks from a plan file, instead of a budget" },
    { OPT_FLAG, '\0', "dry-run", NULL, PLACE(dry_run), 0, 0, "do everything but write" },
    { OPT_FLAG, '\0', "no-verify", NULL, PLACE(no_verify), 0, 0,
      "do not check the files after writing" },
    { OPT_FLAG, '\0', "allow-dense", NULL, PLACE(allow_dense), 0, 0,
      "a result in which nothing is factored is no error" },
    { 0 }
};

static const opt_group groups[] = {
    { "Budget (all given must hold)", budget_options },
    { "Output", compress_options },
    { "Which layers", selection_options },
    { "What the file does not tell", graph_options },
    { "Factors", factor_options },
    { "Between runs", cache_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status check_usage(session *run, const compress_settings *from)
{
    const settings *const common = &from->common;
    if (!from->plan && !settings_has_budget(common))
        return session_usage(
            run, "no budget: give --keep, --size, --latency, --macs, --rank, --energy, --error or "
                 "--plan; 'eckart plan MODEL' shows what each size costs");
    if (from->plan && (settings_has_budget(common) || common->timings))
        return session_usage(run, "a plan is a choice already made: give --plan or a budget");
    if (from->plan && (common->include.count || common->exclude.count || common->dtype ||
                       common->split || common->rank_multiple != 1))
        return session_usage(run,
                             "a plan says which layers, types and ranks: --plan goes with none "
                             "of --include, --exclude, --dtype, --split, --rank-multiple");
    if (!common->output) return session_usage(run, "where to? give --output OUT");
    return settings_check_output(run, common->output, common->force);
}

static eck_status verify_written(eck_verdict *out, session *run, const eck_model *model,
                                 const char *path)
{
    eck_status status = ECK_OK;
    eck_model *after = NULL;
    TRY(eck_model_open(&after, path, &run->error));
    TRY(eck_model_verify(out, model, after, &run->context, &run->error));
done:
    eck_model_close(after);
    return status;
}

static eck_status write_model(session *run, const compress_settings *from, const eck_model *model,
                              const eck_plan *plan)
{
    eck_status status = ECK_OK;
    char *cache = NULL;
    eck_outcome outcome = { 0 };
    eck_verdict verdict = { 0 };
    eck_write_options options = ECK_WRITE_OPTIONS_INIT;
    const settings *const common = &from->common;
    const bool verify = !from->dry_run && !from->no_verify;

    options.replace = common->force;
    options.dry_run = from->dry_run;
    settings_store(&options.store, &cache, run, common);
    session_note(run, "memory: at most %s, libraries aside",
                 layer_bytes(run, eck_model_memory(model, plan, &run->context)).text);
    TRY(eck_model_compress(&outcome, model, plan, common->output, &options, &run->context,
                           &run->error));
    if (verify) TRY(verify_written(&verdict, run, model, common->output));
    const written result = { common->output, &outcome, verify ? &verdict : NULL, from->dry_run,
                             false };
    TRY(written_print(run, &result));
    if (verify) verdict_judge(run, &verdict);
done:
    eck_verdict_clear(&verdict);
    eck_outcome_clear(&outcome);
    eck_text_free(cache);
    return status;
}

// A plan file may be anybody's: what it asks for must be meant.
static eck_status check_plan(session *run, const compress_settings *from, const eck_plan *plan)
{
    if (plan->factored > 0 || from->allow_dense) return ECK_OK;
    return session_fail(run, ECK_E_NOTHING,
                        "plan '%s' factors no layer (--allow-dense writes a plain copy)",
                        from->plan);
}

static eck_status cmd_compress(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_model *model = NULL;
    eck_plan *plan = NULL;
    compress_settings from = { .plan = NULL };

    settings_init(&from.common);
    TRY(settings_parse(run, &command_compress, &from.common, &path, arguments));
    TRY(check_usage(run, &from));
    TRY(settings_open_model(&model, run, &from.common, path));
    if (eck_model_is_factored(model))
        TRY(session_fail(run, ECK_E_UNSUPPORTED,
                         "cannot compress '%s': it is compressed already (restore it first)",
                         path));
    interrupt_catch();
    if (from.plan) {
        TRY(planning_read(&plan, run, from.plan));
        TRY(check_plan(run, &from, plan));
        planning_warn_larger(run, plan, model);
    } else {
        TRY(planning_make(&plan, run, model, &from.common, from.allow_dense));
        // A plan file's totals are those of the day it was written; what it makes is printed at the end.
        if (!run->json) planning_print_totals(run, plan);
    }
    planning_warn(run, plan);
    TRY(write_model(run, &from, model, plan));
done:
    eck_plan_free(plan);
    eck_model_close(model);
    settings_clear(&from.common);
    return status;
}

const command command_compress = {
    .name = "compress",
    .run = cmd_compress,
    .summary = "write a smaller model within a budget, and verify it",
    .operands = "MODEL -o OUT BUDGET|--plan FILE [options]",
    .about =
        "Chooses the ranks with the least total error that fit the budget (or takes them from a\n"
        "plan), writes factors for those layers and every other tensor byte for byte, and checks\n"
        "the result from the files. OUT appears whole or not at all. What is interrupted goes on\n"
        "where it was: spectra and factors are kept in the cache.",
    .groups = groups,
    .examples = "eckart compress MODEL -o OUT --keep 0.7\n"
                "eckart compress model.safetensors -o small.safetensors --error 0.1 --dtype bf16\n"
                "eckart compress MODEL -o OUT --plan plan.json\n"
                "eckart compress MODEL -o OUT --size 80% --dry-run",
    .operand_count = 1,
};
