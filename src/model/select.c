/**
 * Which layers may be factored: built-in reasons, what the user includes and excludes, and a least size.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "eckart/model.h"
#include "model/model.h"

/** True if any of the globs matches; marks those that do. */
static bool matches(bool *used, const char *const *globs, int64_t count, const char *name)
{
    bool any = false;
    for (int64_t i = 0; i < count; i++) {
        if (!ecki_glob(globs[i], name)) continue;
        used[i] = true;
        any = true;
    }
    return any;
}

/** Writes why a layer is left out under a selection; "" = selected. */
static void reason_under(char *out, size_t room, const ecki_layer *layer,
                         const eck_selection *selection, bool included)
{
    const char *reason = "";

    if (layer->impossible)
        reason = layer->reason;
    else if (selection->include_count > 0 && !included)
        reason = "not included";
    else if (selection->include_count == 0 && layer->reason)
        reason = layer->reason;
    snprintf(out, room, "%s", reason);
    if (!out[0] && eck_stage_parameters(&layer->view.dense) < selection->min_size)
        snprintf(out, room, "smaller than %lld elements", (long long)selection->min_size);
}

static eck_status layer_select(ecki_layer *layer, const eck_selection *selection, bool included,
                               bool excluded, eck_error *err)
{
    eck_status status = ECK_OK;
    char reason[500];
    char *copy = NULL;

    reason_under(reason, sizeof reason, layer, selection, included);
    if (excluded && !layer->impossible) snprintf(reason, sizeof reason, "excluded");
    if (reason[0]) {
        copy = ecki_strdup(reason);
        ECK_HAVE(copy);
    }
    ecki_free(layer->selected_reason);
    layer->selected_reason = copy;
    layer->view.skipped = copy;
done:
    return status;
}

/** True for a convolution whose groups the file does not tell. */
static bool takes_groups(const ecki_layer *layer)
{
    return layer->module < 0 && !layer->impossible && layer->view.dense.kind == ECK_STAGE_CONV;
}

eck_status eck_model_set_groups(eck_model *model, const char *glob, int64_t groups, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t found = 0, in = 0;

    ECK_REQUIRE(groups >= 1, ECK_E_RANGE, -1, "%lld groups for '%s' in '%s': at least 1 is needed",
                (long long)groups, glob, model->path);
    ECK_REQUIRE(!model->container->onnx, ECK_E_UNSUPPORTED, -1,
                "the groups of '%s' stand in its graph", model->path);
    for (int64_t i = 0; i < model->layer_count; i++) {
        const ecki_layer *layer = &model->layers[i];
        const eck_stage *dense = &layer->view.dense;
        if (!takes_groups(layer) || !ecki_glob(glob, layer->name)) continue;
        ECK_REQUIRE(dense->out % groups == 0 && ecki_mul(dense->in / dense->groups, groups, &in),
                    ECK_E_SHAPE, -1, "%lld groups do not divide the %lld outputs of '%s' in '%s'",
                    (long long)groups, (long long)dense->out, layer->name, model->path);
        found++;
    }
    ECK_REQUIRE(found > 0, ECK_E_RANGE, -1,
                "groups '%s' matches no convolution of '%s' that may be factored", glob,
                model->path);
    for (int64_t i = 0; i < model->layer_count; i++) {
        ecki_layer *layer = &model->layers[i];
        eck_stage *dense = &layer->view.dense;
        if (!takes_groups(layer) || !ecki_glob(glob, layer->name)) continue;
        dense->in = dense->in / dense->groups * groups;
        dense->groups = groups;
    }
done:
    return status;
}

eck_status eck_model_select(eck_model *model, const eck_selection *selection, eck_error *err)
{
    eck_status status = ECK_OK;
    bool *used = NULL;

    ECK_ALLOC(used, selection->include_count + selection->exclude_count);
    for (int64_t i = 0; i < model->layer_count; i++) {
        ecki_layer *layer = &model->layers[i];
        const bool included =
            matches(used, selection->include, selection->include_count, layer->name);
        const bool excluded = matches(used + selection->include_count, selection->exclude,
                                      selection->exclude_count, layer->name);
        ECK_TRY(layer_select(layer, selection, included, excluded, err));
    }
    for (int64_t i = 0; i < selection->include_count + selection->exclude_count; i++) {
        const bool is_include = i < selection->include_count;
        ECK_REQUIRE(used[i], ECK_E_RANGE, -1,
                    "%s '%s' matches no layer of '%s' (%lld layers; inspect lists them)",
                    is_include ? "include" : "exclude",
                    is_include ? selection->include[i]
                               : selection->exclude[i - selection->include_count],
                    model->path, (long long)model->layer_count);
    }
done:
    ecki_free(used);
    return status;
}
