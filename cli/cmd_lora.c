// eckart lora: the table of its commands, and the two that only look.
#include <math.h>

#include "commands.h"
#include "eckart/report.h"
#include "layers_text.h"
#include "lora_text.h"
#include "table.h"

static const opt_group looking[] = {
    { "Every command", run_options },
    { NULL, NULL },
};

static void print_info(session *run, const eck_adapter *adapter)
{
    static const char *const titles[] = { "module", "kind", "shape", "rank", "scale", "type" };
    table rows;
    int64_t parameters = 0, bytes = 0;
    table_init(&rows, "llrrrl", titles);
    for (int64_t i = 0; i < eck_adapter_module_count(adapter); i++) {
        const eck_adapter_module *const m = eck_adapter_get_module(adapter, i);
        int64_t shape[ECK_DIMS_MAX];
        const int32_t ndim = eck_stage_shape(&m->dense, shape);
        char dims[120] = "", kind[60];
        for (int32_t d = 0, at = 0; d < ndim; d++)
            at += snprintf(dims + at, sizeof dims - (size_t)at, "%s%lld", d ? "x" : "",
                           (long long)shape[d]);
        snprintf(kind, sizeof kind, "%s%s", eck_adapter_form_name(m->form),
                 m->dora ? ", dora" : "");
        table_add(&rows,
                  (const char *const[]){ m->name, kind, dims, figure_exact(m->rank).text,
                                         figure_number(m->scale).text, eck_dtype_name(m->dtype) });
        parameters += m->parameters;
        bytes += m->bytes;
    }
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    fputc('\n', run->out);
    table_clear(&rows);
    table_line(run->out, "layout", "%s", eck_adapter_layout_name(eck_adapter_get_layout(adapter)));
    if (eck_adapter_base_name(adapter))
        table_line(run->out, "base", "%s", eck_adapter_base_name(adapter));
    table_line(run->out, "modules", "%lld, %s parameters, %s",
               (long long)eck_adapter_module_count(adapter), figure_count(parameters).text,
               layer_bytes(run, bytes).text);
    for (int64_t i = 0; eck_adapter_extra(adapter, i); i++)
        table_line(run->out, i == 0 ? "whole tensors" : "", "%s", eck_adapter_extra(adapter, i));
}

static eck_status cmd_info(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    char *text = NULL;
    eck_adapter *adapter = NULL;
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_info, &from.all, &path, arguments));
    TRY(lora_open(&adapter, run, path));
    if (run->json) {
        TRY(eck_report_adapter(&text, adapter, &run->error));
        session_take(run, text);
    } else {
        print_info(run, adapter);
    }
done:
    eck_adapter_close(adapter);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_info = {
    .name = "lora info",
    .run = cmd_info,
    .summary = "what is in an adapter",
    .operands = "ADAPTER [options]",
    .about =
        "ADAPTER is a PEFT directory or a safetensors file of kohya, LyCORIS or diffusers. Prints\n"
        "every module with its rank, the scale that takes effect, and what else the file holds.",
    .groups = looking,
    .examples = "eckart lora info ADAPTER\n"
                "eckart lora info style.safetensors --json",
    .operand_count = 1,
};

static figure degrees(double radians)
{
    figure out;
    snprintf(out.text, sizeof out.text, "%.1f", radians * 180 / acos(-1));
    return out;
}

static void print_comparison(session *run, const eck_adapter_comparison *c)
{
    static const char *const titles[] = { "module",   "norm A",      "norm B",     "cosine",
                                          "distance", "overlap out", "overlap in", "angle" };
    table rows;
    table_init(&rows, "lrrrrrrr", titles);
    for (int64_t i = 0; i < c->count; i++) {
        const eck_adapter_relation *const r = &c->relations[i];
        const bool both = r->rank_a > 0 && r->rank_b > 0;
        table_add(&rows, (const char *const[]){
                             r->name, r->rank_a > 0 ? figure_number(r->norm_a).text : "-",
                             r->rank_b > 0 ? figure_number(r->norm_b).text : "-",
                             both ? figure_number(r->cosine).text : "-",
                             both ? figure_number(r->distance).text : "-",
                             both ? figure_number(r->overlap_left).text : "-",
                             both ? figure_number(r->overlap_right).text : "-",
                             both ? degrees(fmax(r->angle_left, r->angle_right)).text : "-" });
    }
    table_print(&rows, run->out, layer_width(run));
    fputc('\n', run->out);
    table_clear(&rows);
    table_line(run->out, "modules", "%lld, %lld in both", (long long)c->count,
               (long long)c->common);
    table_line(run->out, "norms", "%s and %s", figure_number(c->norm_a).text,
               figure_number(c->norm_b).text);
    table_line(run->out, "cosine", "%s", figure_number(c->cosine).text);
    table_line(run->out, "distance", "%s of the larger", figure_number(c->distance).text);
}

static eck_status cmd_compare(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *paths[OPERANDS_MAX] = { NULL };
    char *text = NULL;
    eck_adapter *a = NULL, *b = NULL;
    eck_adapter_comparison comparison = { 0 };
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_compare, &from.all, paths, arguments));
    TRY(lora_open(&a, run, paths[0]));
    TRY(lora_open(&b, run, paths[1]));
    TRY(eck_adapter_compare(&comparison, a, b, &run->context, &run->error));
    if (run->json) {
        TRY(eck_report_adapter_comparison(&text, &comparison, &run->error));
        session_take(run, text);
    } else {
        print_comparison(run, &comparison);
    }
done:
    eck_adapter_comparison_clear(&comparison);
    eck_adapter_close(a);
    eck_adapter_close(b);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_compare = {
    .name = "lora compare",
    .run = cmd_compare,
    .summary = "how alike two adapters are",
    .operands = "A B [options]",
    .about =
        "Norms, cosine and distance of the changes, and the principal angles between their column\n"
        "spaces (out) and row spaces (in): overlap is the mean squared cosine, angle the largest "
        "in\n"
        "degrees. A and B may be of different layouts.",
    .groups = looking,
    .examples = "eckart lora compare A B\n"
                "eckart lora compare A B --json",
    .operand_count = 2,
};

// ---- the table ---------------------------------------------------------------------------------

static const command *const parts[] = {
    &command_lora_info,    &command_lora_resize,  &command_lora_extract,
    &command_lora_merge,   &command_lora_combine, &command_lora_compare,
    &command_lora_convert, &command_lora_init,    NULL,
};

static eck_status cmd_lora(session *run, char **arguments)
{
    (void)arguments;
    return session_usage(run, "a command is missing: eckart lora info, resize, extract, merge, "
                              "combine, compare, convert or init");
}

const command command_lora = {
    .name = "lora",
    .run = cmd_lora,
    .summary = "adapters: resize, extract, merge, combine, compare, convert, init",
    .operands = "COMMAND [options]",
    .about =
        "LoRA adapters of PEFT, kohya, LyCORIS and diffusers, exactly and in seconds: a change is\n"
        "never multiplied out.\n"
        "\n"
        "info      what is in an adapter\n"
        "resize    smaller ranks: one for all, or one a module under a budget\n"
        "extract   the change from a base model to a tuned one\n"
        "merge     a base model with adapters, any weights\n"
        "combine   a weighted sum of adapters\n"
        "compare   norms, cosines and angles between two adapters\n"
        "convert   the same changes under the names of PEFT, kohya or diffusers\n"
        "init      an adapter to begin training with\n"
        "\n"
        "eckart lora COMMAND --help says more.",
    .groups = looking,
    .examples = "eckart lora info ADAPTER\n"
                "eckart lora resize ADAPTER -o OUT --rank 8\n"
                "eckart lora merge BASE ADAPTER=0.8 -o OUT",
    .operand_count = 0,
    .parts = parts,
};
