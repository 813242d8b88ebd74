/**
 * Which layers may be factored: built-in reasons, what the user includes and excludes, and a least size.
 */
#include <stdio.h>
#include <string.h>

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
