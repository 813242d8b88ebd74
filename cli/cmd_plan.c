// eckart plan: what a size costs (the frontier), or the best choice of ranks within a budget.
#include <string.h>

#include "commands.h"
#include "eckart/file.h"
#include "eckart/report.h"
#include "interrupt.h"
#include "layers_text.h"
#include "planning.h"
#include "table.h"

typedef struct plan_settings {
    settings common; // first, so that the shared tables fit
    bool allow_dense;
} plan_settings;

static const opt_entry plan_options[] = {
    { OPT_TEXT, 'o', "output", "FILE", offsetof(plan_settings, common.output), 0, 0,
      "write the plan, JSON to look at, edit and give to compress --plan" },
    { OPT_FLAG, 'f', "force", NULL, offsetof(plan_settings, common.force), 0, 0,
      "replace the file if it exists" },
    { OPT_FLAG, '\0', "allow-dense", NULL, offsetof(plan_settings, allow_dense), 0, 0,
      "a plan that factors nothing is no error" },
    { 0 }
};

static const opt_group groups[] = {
    { "Budget (all given must hold; without one: the frontier)", budget_options },
    { "Output", plan_options },
    { "Which layers", selection_options },
    { "What the file does not tell", graph_options },
    { "Factors", factor_options },
    { "Between runs", cache_options },
    { "Every command", run_options },
    { NULL, NULL },
};

enum { FRONTIER_ROWS = 10 };

static void print_frontier(session *run, const eck_model *model, const eck_frontier_row *rows)
{
    static const char *const titles[] = { "--keep", "factored",   "parameters", "bytes",
                                          "file",   "mean error", "worst",      "root of squares" };
    table lines;
    int64_t bytes = 0;
    for (int64_t i = 0; i < eck_model_tensor_count(model); i++)
        bytes += eck_model_tensor(model, i)->bytes;
    table_init(&lines, "rrrrrrrr", titles);
    for (int i = 0; i < FRONTIER_ROWS; i++) {
        char keep[24], factored[24], file[24];
        snprintf(keep, sizeof keep, "%.2f", rows[i].keep);
        snprintf(factored, sizeof factored, "%lld", (long long)rows[i].factored);
        snprintf(file, sizeof file, "%.2f", bytes > 0 ? (double)rows[i].bytes / (double)bytes : 1);
        const figure cells[] = { layer_count(run, rows[i].parameters),
                                 layer_bytes(run, rows[i].bytes), figure_error(rows[i].mean),
                                 figure_error(rows[i].worst), figure_error(rows[i].error) };
        table_add(&lines, (const char *const[]){ keep, factored, cells[0].text, cells[1].text, file,
                                                 cells[2].text, cells[3].text, cells[4].text });
    }
    table_print(&lines, run->out, layer_width(run));
    table_clear(&lines);
    session_hint(run, "choose a row: eckart compress %s -o OUT --keep R", eck_model_path(model));
}

static eck_status do_frontier(session *run, const eck_model *model, const settings *from)
{
    eck_status status = ECK_OK;
    char *cache = NULL;
    char *text = NULL;
    eck_analysis *analysis = NULL;
    eck_store_options store;
    eck_frontier_row rows[FRONTIER_ROWS];

    settings_store(&store, &cache, run, from);
    TRY(eck_model_analyze(&analysis, model, &store, &run->context, &run->error));
    TRY(eck_plan_frontier(rows, FRONTIER_ROWS, model, analysis, &store, &run->error));
    if (run->json) {
        TRY(eck_report_frontier(&text, model, rows, FRONTIER_ROWS, &run->error));
        session_take(run, text);
    } else {
        print_frontier(run, model, rows);
    }
done:
    eck_analysis_free(analysis);
    eck_text_free(cache);
    return status;
}

static eck_status do_plan(session *run, const eck_model *model, const plan_settings *from)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    eck_plan *plan = NULL;
    const settings *const common = &from->common;
    const bool to_stdout = common->output && strcmp(common->output, "-") == 0;

    TRY(planning_make(&plan, run, model, common, from->allow_dense));
    planning_warn(run, plan);
    TRY(eck_report_plan(&text, plan, &run->error));
    if (common->output && !to_stdout)
        TRY(eck_file_write(common->output, text, (int64_t)strlen(text), common->force,
                           &run->error));
    if (run->json || to_stdout)
        fputs(text, run->out);
    else
        planning_print(run, plan);
done:
    eck_text_free(text);
    eck_plan_free(plan);
    return status;
}

static eck_status cmd_plan(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_model *model = NULL;
    plan_settings from = { .allow_dense = false };
    const settings *const common = &from.common;

    settings_init(&from.common);
    TRY(settings_parse(run, &command_plan, &from.common, &path, arguments));
    if (common->output && !settings_has_budget(common))
        TRY(session_usage(
            run, "a plan to write needs a budget: --keep, --size, --latency, --macs, --rank, "
                 "--energy or --error"));
    if (common->timings && !settings_has_budget(common))
        TRY(session_usage(run, "--timings goes with a budget: --latency, --keep, --size, --rank, "
                               "--energy or --error"));
    if (common->output) TRY(settings_check_output(run, common->output, common->force));
    TRY(settings_open_model(&model, run, common, path));
    if (eck_model_is_factored(model))
        TRY(session_fail(run, ECK_E_UNSUPPORTED,
                         "cannot plan '%s': it is compressed already (restore it first)", path));
    interrupt_catch();
    if (settings_has_budget(common))
        TRY(do_plan(run, model, &from));
    else
        TRY(do_frontier(run, model, common));
done:
    eck_model_close(model);
    settings_clear(&from.common);
    return status;
}

const command command_plan = {
    .name = "plan",
    .run = cmd_plan,
    .summary = "what a size costs, and the best ranks within a budget",
    .operands = "MODEL [BUDGET] [-o plan.json] [options]",
    .about =
        "Without a budget: ten sizes and what each costs. With one: the choice of ranks with the\n"
        "least total error that fits, and how far it can be from the best there is.\n"
        "Errors are relative Frobenius norms of weights, not losses of the model.",
    .groups = groups,
    .examples = "eckart plan MODEL\n"
                "eckart plan MODEL --keep 0.7\n"
                "eckart plan MODEL --size 60MB --error 0.2 -o plan.json\n"
                "eckart plan model.onnx --latency 0.7 --no-slower --timings timings.json\n"
                "eckart compress MODEL -o OUT --plan plan.json",
    .operand_count = 1,
};
