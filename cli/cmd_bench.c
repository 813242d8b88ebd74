// eckart bench: what layers cost on this machine, dense and factored, and where smaller is slower.
#include <stdlib.h>
#include <string.h>

#include "bench_layers.h"
#include "commands.h"
#include "eckart/file.h"
#include "eckart/report.h"
#include "figures.h"
#include "interrupt.h"
#include "layers_text.h"
#include "settings.h"
#include "table.h"

typedef struct bench_settings {
    settings common; // first, so that the shared tables fit
    int64_t rounds;
} bench_settings;

#define PLACE(member) offsetof(bench_settings, member)

static const opt_entry place_options[] = {
    { OPT_LIST, '\0', "shape", "NAME=SIZES", PLACE(common.shapes), 0, 0,
      "of a graph's input, x=1x3x224x224; else of layers, *=128 or *=1x56x56" },
    { 0 }
};

static const opt_entry bench_options[] = {
    { OPT_CHOICE, '\0', "method", METHOD_WORDS, PLACE(common.method), 0, 0,
      "decomposition of convolutions to try; default svd; auto: all of them" },
    { OPT_INTEGER, '\0', "rank-multiple", "N", PLACE(common.rank_multiple), 1, 1e6,
      "try ranks that are multiples of N; default 8" },
    { OPT_INTEGER, '\0', "rounds", "N", PLACE(rounds), 3, 10000,
      "samples of every layer and rank; default 15" },
    { 0 }
};

static const opt_entry output_options[] = { { OPT_TEXT, 'o', "output", "FILE", PLACE(common.output),
                                              0, 0, "write the times, JSON for plan --timings" },
                                            { OPT_FLAG, 'f', "force", NULL, PLACE(common.force), 0,
                                              0, "replace the file if it exists" },
                                            { 0 } };

static const opt_group groups[] = {
    { "Where layers stand", place_options },
    { "What is tried", bench_options },
    { "Output", output_options },
    { "Which layers", selection_options },
    { "Every command", run_options },
    { NULL, NULL },
};

enum { CPU_BYTES_MAX = 1 << 20 };

// The processor's name as the system tells it, or what this machine's instructions are called.
static void find_cpu(char *out, size_t room)
{
    char *text = NULL;
    int64_t length = 0;
    snprintf(out, room, "unknown");
    if (eck_file_read(&text, &length, "/proc/cpuinfo", CPU_BYTES_MAX, NULL) != ECK_OK) return;
    const char *const line = strstr(text, "model name");
    const char *const name = line ? strchr(line, ':') : NULL;
    if (name) {
        const size_t count = strcspn(name + 1, "\n");
        snprintf(out, room, "%.*s", (int)(count > 1 ? count - 1 : 0), name + 2);
    }
    eck_text_free(text);
}

// ---- tables

static figure milliseconds(const eck_timing *timing)
{
    return figure_number(1e3 * timing->median);
}

static figure ranks_text(const eck_point *point)
{
    figure out = { "" };
    size_t length = 0;
    for (int32_t i = 0; i < point->rank_count && length < sizeof out.text; i++)
        length += (size_t)snprintf(out.text + length, sizeof out.text - length, "%s%lld",
                                   i > 0 ? "," : "", (long long)point->ranks[i]);
    return out;
}

// "slower", or "faster", where the quartiles are apart, and "same" where they are not.
static const char *verdict(const eck_timing *dense, const eck_timing *other)
{
    return other->low > dense->high ? "slower" : other->high < dense->low ? "faster" : "same";
}

static void add_row(table *rows, const bench_layer *layer, int64_t i)
{
    const eck_point *const point = &layer->what.points[i];
    const eck_timing *const dense = &layer->times[0], *const other = &layer->times[i + 1];
    char left[24], gain[24], spread[24];
    snprintf(left, sizeof left, "%.2f",
             (double)point->parameters / (double)eck_stage_parameters(layer->what.dense));
    snprintf(gain, sizeof gain, "%.2f", dense->median / other->median);
    snprintf(spread, sizeof spread, "%.0f %%", 100 * (other->high - other->low) / other->median);
    table_add(rows, (const char *const[]){
                        layer->what.name, eck_method_name(point->method), ranks_text(point).text,
                        point->parameters > 0 ? left : "-", milliseconds(dense).text,
                        milliseconds(other).text, spread, gain, verdict(dense, other) });
}

static void print_times(session *run, const bench_layers *layers)
{
    static const char *const titles[] = { "layer",    "method", "rank", "left", "dense ms",
                                          "factored", "spread", "gain", "" };
    table rows;
    double before = 0, after = 0;
    int64_t slower = 0, tried = 0;
    table_init(&rows, "llrrrrrrl", titles);
    for (int64_t i = 0; i < layers->count; i++) {
        const bench_layer *const layer = &layers->list[i];
        before += layer->times[0].median;
        for (int64_t j = 0; j < layer->what.count; j++) {
            add_row(&rows, layer, j);
            tried++;
            slower += layer->times[j + 1].low > layer->times[0].high;
            after += layer->times[j + 1].median;
        }
    }
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    table_clear(&rows);
    fputc('\n', run->out);
    table_line(run->out, "dense", "%s in %lld layers", figure_seconds(before).text,
               (long long)layers->count);
    if (tried == layers->count)
        table_line(run->out, "factored", "%s, gain %.2f", figure_seconds(after).text,
                   before / after);
    table_line(run->out, "slower", "%lld of %lld, though smaller", (long long)slower,
               (long long)tried);
}

// ---- the command

static eck_status make_report(char **out, session *run, const bench_settings *from,
                              const bench_layers *layers, const char *path)
{
    eck_status status = ECK_OK;
    char cpu[200];
    eck_bench_layer *const what = session_alloc((size_t)layers->count, sizeof *what);
    const eck_timing **const times = session_alloc((size_t)layers->count, sizeof *times);
    for (int64_t i = 0; i < layers->count; i++) {
        what[i] = layers->list[i].what;
        times[i] = layers->list[i].times;
    }
    find_cpu(cpu, sizeof cpu);
    const eck_bench_report report = { path, cpu,   &run->context, from->rounds,
                                      what, times, layers->count };
    TRY(eck_report_timings(out, &report, &run->error));
done:
    free(what);
    free(times);
    return status;
}

static eck_status do_bench(session *run, const bench_settings *from, const bench_wish *wish)
{
    eck_status status = ECK_OK;
    bench_layers layers = { NULL, 0 };
    char *text = NULL;
    const settings *const common = &from->common;

    TRY(bench_find(&layers, run, wish));
    TRY(bench_time(&layers, run, wish));
    TRY(make_report(&text, run, from, &layers, eck_model_path(wish->model)));
    if (common->output)
        TRY(eck_file_write(common->output, text, (int64_t)strlen(text), common->force,
                           &run->error));
    if (run->json)
        fputs(text, run->out);
    else
        print_times(run, &layers);
done:
    eck_text_free(text);
    bench_clear(&layers);
    return status;
}

// Shapes are of a graph's inputs; a model that is none has them for its layers.
static eck_status give_shapes(bool *graph_out, session *run, eck_model *model,
                              const opt_list *shapes)
{
    eck_status status = ECK_OK;
    *graph_out = false;
    for (int64_t i = 0; i < shapes->count; i++) {
        status = settings_set_shape(run, model, shapes->items[i]);
        if (status == ECK_E_UNSUPPORTED) return ECK_OK;
        TRY(status);
    }
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        *graph_out = *graph_out || layer->use_count > 0 || shapes->count > 0;
    }
done:
    return status;
}

static eck_status cmd_bench(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *paths[2] = { NULL, NULL };
    eck_model *model = NULL, *after = NULL;
    bench_settings from = { .rounds = 15 };
    bench_wish wish = { .timing = ECK_TIMING_OPTIONS_INIT };

    settings_init(&from.common);
    from.common.rank_multiple = 8;
    TRY(settings_parse(run, &command_bench, &from.common, paths, arguments));
    if (from.common.output) TRY(settings_check_output(run, from.common.output, from.common.force));
    const opt_list shapes = from.common.shapes;
    from.common.shapes = (opt_list){ NULL, 0 };
    status = settings_open_model(&model, run, &from.common, paths[0]);
    from.common.shapes = shapes;
    TRY(status);
    if (paths[1]) TRY(eck_model_open(&after, paths[1], &run->error));
    interrupt_catch();
    TRY(give_shapes(&wish.graph, run, model, &shapes));
    wish.model = model;
    wish.after = after;
    wish.shapes = &from.common.shapes;
    wish.methods = settings_methods(&from.common);
    if (wish.methods == 0) wish.methods = 1u << ECK_METHOD_SVD;
    wish.multiple = from.common.rank_multiple;
    wish.timing.rounds = from.rounds;
    TRY(do_bench(run, &from, &wish));
done:
    eck_model_close(model);
    eck_model_close(after);
    settings_clear(&from.common);
    return status;
}

const command command_bench = {
    .name = "bench",
    .run = cmd_bench,
    .summary = "what layers cost on this machine, dense and factored",
    .operands = "MODEL [OUT] [options]",
    .about = "Times every layer as it is and factored, side by side, with oneDNN: at the ranks OUT "
             "has, or\n"
             "at a few, to see what factoring would bring. Medians of alternating rounds; where "
             "quartiles\n"
             "overlap neither is faster. With --json or -o: times that plan and compress --timings "
             "plan\n"
             "with. For ONNX Runtime, on any machine: python -m eckart.measure.",
    .groups = groups,
    .examples = "eckart bench model.onnx\n"
                "eckart bench model.onnx small.onnx\n"
                "eckart bench model.onnx --method auto -o timings.json\n"
                "eckart bench MODEL --shape '*=128'\n"
                "eckart bench cnn.safetensors --shape 'features.*=1x56x56' --shape '*=1'",
    .operand_count = 1,
    .operand_most = 2,
};
