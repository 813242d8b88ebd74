// How layers look in tables.
#include "layers_text.h"

#include "table.h"

figure layer_shape(const eck_stage *dense)
{
    figure out = { "" };
    int64_t shape[ECK_DIMS_MAX];
    size_t length = 0;
    const int32_t count = eck_stage_shape(dense, shape);
    for (int32_t i = 0; i < count && length < sizeof out.text; i++)
        length += (size_t)snprintf(out.text + length, sizeof out.text - length, "%s%lld",
                                   i > 0 ? "x" : "", (long long)shape[i]);
    return out;
}

const char *layer_kind(const eck_stage *dense)
{
    switch (dense->kind) {
    case ECK_STAGE_LINEAR:
        return "linear";
    case ECK_STAGE_CONV:
        return "conv";
    case ECK_STAGE_CONV_TRANSPOSE:
        return "conv_transpose";
    case ECK_STAGE_LOOKUP:
        return "embedding";
    case ECK_STAGE_SCALE:
        return "scale";
    }
    return "?";
}

figure layer_count(const session *run, int64_t count)
{
    return run->verbose > 0 ? figure_exact(count) : figure_count(count);
}

figure layer_bytes(const session *run, int64_t bytes)
{
    const figure human = figure_bytes(bytes);
    if (run->verbose == 0) return human;
    const figure exact = figure_exact(bytes);
    figure out;
    snprintf(out.text, sizeof out.text, "%.16s (%.32s B)", human.text, exact.text);
    return out;
}

figure layer_macs(const session *run, int64_t macs)
{
    return macs < 0 ? (figure){ "-" } : layer_count(run, macs);
}

bool layers_have_macs(const eck_model *model)
{
    for (int64_t i = 0; i < eck_model_layer_count(model); i++)
        if (eck_model_layer(model, i)->macs >= 0) return true;
    return false;
}

void layers_tell_unknown(session *run, const eck_model *model)
{
    const eck_layer *first = NULL;
    int64_t unknown = 0;
    const int64_t count = eck_model_layer_count(model);
    for (int64_t i = 0; i < count; i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        if (layer->macs >= 0 || layer->skipped) continue;
        if (!first) first = layer;
        unknown++;
    }
    if (first)
        table_line(run->out, "MACs", "unknown of %lld layers, '%s' for one: %s", (long long)unknown,
                   first->name, first->macs_unknown);
}

int layer_width(const session *run)
{
    return run->verbose > 0 ? 0 : TABLE_WIDTH;
}
