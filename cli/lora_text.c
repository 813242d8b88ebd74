// What the lora commands share.
#include "lora_text.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "eckart/report.h"
#include "layers_text.h"
#include "table.h"

#define PLACE(member) offsetof(lora_settings, member)

// Only glibc needs to be told.
void lora_keep_memory(void)
{
#if defined(__GLIBC__)
    enum { LARGEST = 1 << 25, KEPT = 1 << 27 };
    (void)mallopt(M_MMAP_THRESHOLD, LARGEST);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT);
#endif
}

const opt_entry lora_output_options[] = {
    { OPT_TEXT, 'o', "output", "OUT", PLACE(all.output), 0, 0, "what to write" },
    { OPT_FLAG, 'f', "force", NULL, PLACE(all.force), 0, 0,
      "replace OUT, if it is a file or a directory made by eckart" },
    { OPT_FLAG, 'n', "dry-run", NULL, PLACE(dry_run), 0, 0, "do everything but write" },
    { OPT_CHOICE, '\0', "dtype", "same|f32|bf16|f16", PLACE(all.dtype), 0, 0,
      "storage type of the factors; default same, each module's own" },
    { OPT_CHOICE, '\0', "split", "balanced|left|right", PLACE(all.split), 0, 0,
      "where the singular values go; default balanced, into both factors" },
    { 0 }
};

const opt_entry lora_budget_options[] = {
    { OPT_INTEGER, '\0', "rank", "K", PLACE(all.rank), 1, 1e15,
      "rank K in every module; beside --size a cap" },
    { OPT_PART, '\0', "energy", "E", PLACE(all.energy), DBL_MIN, 1,
      "energy kept in every module, at least: 0.99 or 99%" },
    { OPT_PART, '\0', "error", "E", PLACE(all.error), 0, 1 - DBL_EPSILON,
      "relative error of every module, at most: 0.1 or 10%" },
    { OPT_SIZE_OR_PART, '\0', "size", "BYTES|P%", PLACE(all.size), 0, 0,
      "tensor bytes of the whole output; a rank for each module" },
    { 0 }
};

void lora_settings_init(lora_settings *out)
{
    memset(out, 0, sizeof *out);
    settings_init(&out->all);
}

void lora_settings_clear(lora_settings *out)
{
    settings_clear(&out->all);
    free(out->bases.items);
    out->bases = (opt_list){ NULL, 0 };
}

eck_adapter_budget lora_budget(const lora_settings *from)
{
    eck_adapter_budget budget = ECK_ADAPTER_BUDGET_INIT;
    budget.rank = from->all.rank;
    budget.energy = from->all.energy;
    budget.error = from->all.error;
    budget.bytes = from->all.size.bytes;
    budget.bytes_part = from->all.size.part;
    return budget;
}

eck_status lora_write_options(eck_adapter_write *out, session *run, const lora_settings *from)
{
    eck_adapter_write options = ECK_ADAPTER_WRITE_INIT;
    if (!from->all.output && !from->dry_run)
        return session_usage(run, "where to? give --output OUT");
    options.path = from->all.output;
    options.replace = from->all.force;
    options.dry_run = from->dry_run;
    options.store = settings_dtype(&from->all);
    options.split = (eck_split)from->all.split;
    *out = options;
    return from->dry_run ? ECK_OK : settings_check_output(run, options.path, options.replace);
}

eck_status lora_open(eck_adapter **out, session *run, const char *path)
{
    const eck_status status = eck_adapter_open(out, path, &run->error);
    for (int64_t i = 0; status == ECK_OK && eck_adapter_warning(*out, i); i++)
        session_warn(run, "%s: %s", path, eck_adapter_warning(*out, i));
    return status;
}

// Parts "PATH=0.5" at its last '=', unless the whole is a path that exists.
static eck_status part_weight(char **path_out, double *weight_out, session *run,
                              const char *operand)
{
    const char *const sign = strrchr(operand, '=');
    const size_t length =
        sign && access(operand, F_OK) != 0 ? (size_t)(sign - operand) : strlen(operand);
    char *end = NULL;
    *weight_out = 1;
    if (operand[length] == '=') {
        *weight_out = strtod(operand + length + 1, &end);
        if (end == operand + length + 1 || *end != '\0' || !(*weight_out - *weight_out == 0))
            return session_usage(run, "adapter '%s': found weight '%s', allowed: a number", operand,
                                 operand + length + 1);
    }
    *path_out = session_alloc(length + 1, 1);
    memcpy(*path_out, operand, length);
    return ECK_OK;
}

eck_status lora_terms_open(lora_terms *out, session *run, const char *const *operands)
{
    eck_status status = ECK_OK;
    char *path = NULL;
    for (; *operands; operands++) {
        TRY(part_weight(&path, &out->terms[out->count].weight, run, *operands));
        TRY(lora_open(&out->adapters[out->count], run, path));
        out->terms[out->count].adapter = out->adapters[out->count];
        out->count++;
        free(path);
        path = NULL;
    }
done:
    free(path);
    return status;
}

void lora_terms_clear(lora_terms *terms)
{
    for (int64_t i = 0; i < terms->count; i++)
        eck_adapter_close(terms->adapters[i]);
    terms->count = 0;
}

// ---- results -----------------------------------------------------------------------------------

static figure rank_figure(int64_t rank)
{
    return rank < 0 ? (figure){ "-" } : figure_exact(rank);
}

static void add_change(table *rows, const eck_adapter_change *change, bool extracted)
{
    const figure before = rank_figure(change->rank_before), rank = rank_figure(change->rank);
    const figure norm = change->norm < 0 ? (figure){ "-" } : figure_number(change->norm);
    const figure error = change->error < 0 ? (figure){ "-" } : figure_error(change->error);
    if (!extracted) {
        table_add(rows, (const char *const[]){ change->name, before.text, rank.text, norm.text,
                                               change->kept ? "kept" : error.text });
        return;
    }
    figure ranks;
    // Ranks have fewer digits than 18; the compiler is to see that three of them fit.
    snprintf(ranks.text, sizeof ranks.text, "%.18s / %.18s / %.18s",
             rank_figure(change->rank50).text, rank_figure(change->rank80).text,
             rank_figure(change->rank90).text);
    table_add(rows, (const char *const[]){ change->name, rank.text, norm.text,
                                           figure_energy(change->energy).text,
                                           figure_energy(change->energy_clean).text, ranks.text });
}

static void print_changes(session *run, const eck_adapter_outcome *outcome)
{
    static const char *const written[] = { "module", "rank before", "rank", "norm", "error" };
    static const char *const extracted[] = { "module", "rank",       "norm",
                                             "energy", "less noise", "rank for 50 / 80 / 90 %" };
    const bool extract = outcome->energy >= 0;
    table rows;
    table_init(&rows, extract ? "lrrrrr" : "lrrrr", extract ? extracted : written);
    for (int64_t i = 0; i < outcome->count; i++)
        add_change(&rows, &outcome->changes[i], extract);
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    fputc('\n', run->out);
    table_clear(&rows);
}

static void print_remarks(session *run, const eck_adapter_outcome *outcome)
{
    enum { SHOWN = 6 };
    const int64_t count = outcome->remark_count;
    for (int64_t i = 0; i < count && (i < SHOWN || run->verbose > 0); i++)
        table_line(run->out, i == 0 ? "remarks" : "", "%s", outcome->remarks[i]);
    if (count > SHOWN && run->verbose == 0)
        table_line(run->out, "", "and %lld more (-v lists them)", (long long)(count - SHOWN));
}

// By how much the worst module may be above the best change of its rank, as stored; and who found it.
static void print_optimum(session *run, const eck_adapter_outcome *outcome)
{
    double excess = 0;
    for (int64_t i = 0; i < outcome->count; i++) {
        const eck_adapter_change *const c = &outcome->changes[i];
        if (c->error > c->optimum_high) excess = fmax(excess, c->error / c->optimum_low - 1);
    }
    if (outcome->count == 0) return;
    table_line(run->out, "engine", "%s", eck_engine_name(outcome->changes[0].engine));
    if (excess < 1)
        table_line(run->out, "optimum", "this error is at most %s %% above that of the best change",
                   figure_upper(100 * excess).text);
}

eck_status lora_print(session *run, const lora_settings *from, const eck_adapter_outcome *outcome)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    const char *const path = from->dry_run ? NULL : from->all.output;
    if (run->json) {
        TRY(eck_report_adapter_outcome(&text, path, outcome, &run->error));
        session_take(run, text);
        return ECK_OK;
    }
    print_changes(run, outcome);
    table_line(run->out, path ? "wrote" : "would write", "%s",
               from->all.output ? from->all.output : "an adapter");
    table_line(run->out, "size", "%s, from %s", layer_bytes(run, outcome->bytes_after).text,
               layer_bytes(run, outcome->bytes_before).text);
    table_line(run->out, "modules", "%lld, %lld kept as they were", (long long)outcome->count,
               (long long)outcome->kept);
    if (outcome->norm > 0)
        table_line(run->out, "error", "%s of the whole change, worst %s; measured as stored",
                   figure_error(outcome->error).text, figure_error(outcome->worst).text);
    if (outcome->energy >= 0)
        table_line(run->out, "energy kept", "%s; %s of the change less its rounding noise",
                   figure_energy(outcome->energy).text, figure_energy(outcome->energy_clean).text);
    if (outcome->energy >= 0) print_optimum(run, outcome);
    print_remarks(run, outcome);
    table_line(run->out, "time", "%s", figure_seconds(outcome->seconds).text);
done:
    return status;
}
