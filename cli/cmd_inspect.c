// eckart inspect: what is in a model, and what may be factored.
#include <string.h>

#include "commands.h"
#include "eckart/report.h"
#include "layers_text.h"
#include "settings.h"
#include "table.h"

static const opt_group groups[] = {
    { "Which layers", selection_options },
    { "What the file does not tell", graph_options },
    { "Every command", run_options },
    { NULL, NULL },
};

// What becomes of a layer: "yes", "no: embedding", "factored (svd)".
static void tell_state(char *out, size_t room, const eck_layer *layer)
{
    if (layer->factored)
        snprintf(out, room, "factored (%s)", eck_method_name(layer->method));
    else if (layer->skipped)
        snprintf(out, room, "no: %s", layer->skipped);
    else
        snprintf(out, room, "yes");
}

// `macs`: with a column for them, before the last.
static void add_layer(table *rows, session *run, const eck_model *model, const eck_layer *layer,
                      bool macs)
{
    char state[300];
    const eck_tensor *const weight =
        layer->weight >= 0 ? eck_model_tensor(model, layer->weight) : NULL;
    const figure shape = layer_shape(&layer->dense);
    const figure count = layer_count(run, eck_stage_parameters(&layer->dense));
    const figure cost = layer_macs(run, layer->macs);
    tell_state(state, sizeof state, layer);
    table_add(rows, (const char *const[]){ layer->name, layer_kind(&layer->dense), shape.text,
                                           weight ? eck_dtype_name(weight->dtype) : "-", count.text,
                                           macs ? cost.text : state, state });
}

static void print_layers(session *run, const eck_model *model)
{
    static const char *const titles[] = { "layer", "kind",    "shape",
                                          "type",  "numbers", "may be factored" };
    static const char *const with_macs[] = { "layer",   "kind", "shape",          "type",
                                             "numbers", "MACs", "may be factored" };
    table rows;
    const bool macs = layers_have_macs(model);
    table_init(&rows, macs ? "llrlrrl" : "llrlrl", macs ? with_macs : titles);
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        add_layer(&rows, run, model, eck_model_layer(model, i), macs);
    if (run->verbose == 0) table_fold(&rows);
    table_print(&rows, run->out, layer_width(run));
    table_clear(&rows);
}

// Multiply-adds of a graph, or why they are not known.
static void print_macs(session *run, const eck_model *model)
{
    int64_t macs = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        if (layer->macs < 0) continue;
        macs += layer->macs;
        counted++;
    }
    if (counted > 0)
        table_line(run->out, "MACs", "%s multiply-adds of %lld layers in one pass",
                   layer_count(run, macs).text, (long long)counted);
    layers_tell_unknown(run, model);
}

static void print_model(session *run, const eck_model *model)
{
    int64_t bytes = 0;
    int64_t parameters = 0;
    int64_t selected = 0;
    int64_t selected_parameters = 0;
    const int64_t tensors = eck_model_tensor_count(model);
    const int64_t layers = eck_model_layer_count(model);
    for (int64_t i = 0; i < tensors; i++)
        bytes += eck_model_tensor(model, i)->bytes;
    for (int64_t i = 0; i < layers; i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        const int64_t size = layer->tied_to ? 0 : eck_stage_parameters(&layer->dense);
        parameters += size;
        selected += !layer->skipped;
        selected_parameters += layer->skipped ? 0 : size;
    }
    table_line(run->out, "model", "%s%s", eck_model_path(model),
               eck_model_is_factored(model) ? ", made by eckart" : "");
    table_line(run->out, "tensors", "%lld, %s", (long long)tensors, layer_bytes(run, bytes).text);
    table_line(run->out, "layers", "%lld with %s parameters; %lld of them with %s may be factored",
               (long long)layers, layer_count(run, parameters).text, (long long)selected,
               layer_count(run, selected_parameters).text);
    if (strcmp(eck_model_format(model), "onnx") == 0) print_macs(run, model);
}

static eck_status cmd_inspect(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    char *text = NULL;
    eck_model *model = NULL;
    settings from;

    settings_init(&from);
    TRY(settings_parse(run, &command_inspect, &from, &path, arguments));
    TRY(settings_open_model(&model, run, &from, path));
    if (run->json) {
        TRY(eck_report_inspect(&text, model, &run->error));
        session_take(run, text);
    } else {
        print_model(run, model);
        fputc('\n', run->out);
        print_layers(run, model);
    }
done:
    eck_model_close(model);
    settings_clear(&from);
    return status;
}

const command command_inspect = {
    .name = "inspect",
    .run = cmd_inspect,
    .summary = "what is in a model, what may be factored, and why not",
    .operands = "MODEL [options]",
    .about = "MODEL is a Hugging Face directory, a directory made by eckart, or one .safetensors,\n"
             ".onnx, .npz or .npy file. Only indexes and configuration are read. Layers that "
             "differ in their\n"
             "numbers alone share a row, x6.",
    .groups = groups,
    .examples = "eckart inspect all-MiniLM-L6-v2\n"
                "eckart inspect model.safetensors --json\n"
                "eckart inspect MODEL --include '*.attention.*' -v",
    .operand_count = 1,
};
