// FILE::NAME. NAME is a tensor, or a module, whose weight is then meant; factored modules too.
#include "matrix.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nearest.h"

// Place of the last "::" that parts a file from a name; NULL if the operand is all file.
static const char *find_separator(const char *operand)
{
    const char *found = NULL;
    for (const char *at = strstr(operand, "::"); at; at = strstr(at + 1, "::"))
        found = at;
    // A file may be called so.
    return found && access(operand, F_OK) == 0 ? NULL : found;
}

// Names of the first few tensors, for a message.
static void list_tensors(char *out, size_t room, const eck_model *model)
{
    enum { SHOWN = 5 };
    size_t length = 0;
    const int64_t count = eck_model_tensor_count(model);
    for (int64_t i = 0; i < count && i < SHOWN; i++) {
        const int added = snprintf(out + length, room - length, "%s'%s'", i > 0 ? ", " : "",
                                   eck_model_tensor(model, i)->name);
        length += (size_t)added;
        if (length >= room) return;
    }
    if (count > SHOWN) snprintf(out + length, room - length, ", ...");
}

static eck_status choose_only(eck_operator **out, session *run, const eck_model *model)
{
    char names[600];
    if (eck_model_tensor_count(model) == 1)
        return eck_model_tensor_operator(out, model, 0, &run->error);
    list_tensors(names, sizeof names, model);
    return session_usage(run, "'%s' holds %lld tensors, name one as '%s::NAME': %s",
                         eck_model_path(model), (long long)eck_model_tensor_count(model),
                         eck_model_path(model), names);
}

static eck_status choose_named(eck_operator **out, session *run, const eck_model *model,
                               const char *name)
{
    nearest search = { name, NULL, 0 };
    for (int64_t i = 0; i < eck_model_tensor_count(model); i++) {
        const char *const candidate = eck_model_tensor(model, i)->name;
        if (strcmp(candidate, name) == 0)
            return eck_model_tensor_operator(out, model, i, &run->error);
        nearest_try(&search, candidate);
    }
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const char *const candidate = eck_model_layer(model, i)->name;
        if (strcmp(candidate, name) == 0)
            return eck_model_layer_operator(out, model, i, &run->error);
        nearest_try(&search, candidate);
    }
    if (search.best)
        return session_usage(run, "'%s' holds no tensor or module '%s', did you mean '%s'?",
                             eck_model_path(model), name, search.best);
    return session_usage(run, "'%s' holds no tensor or module '%s'", eck_model_path(model), name);
}

// Bytes of the tensor that was opened; 0 for a factored module.
static int64_t tensor_bytes(const matrix *open, const char *name)
{
    const eck_model *const model = open->model;
    for (int64_t i = 0; i < eck_model_tensor_count(model); i++)
        if (!name || strcmp(eck_model_tensor(model, i)->name, name) == 0)
            return eck_model_tensor(model, i)->bytes;
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        if (strcmp(layer->name, name) == 0 && !layer->factored)
            return eck_model_tensor(model, layer->weight)->bytes;
    }
    return 0;
}

eck_status matrix_open(matrix *out, session *run, const char *operand, bool center)
{
    eck_status status = ECK_OK;
    const char *const separator = find_separator(operand);
    const size_t length = separator ? (size_t)(separator - operand) : strlen(operand);
    char *const path = session_alloc(length + 1, 1);
    memcpy(path, operand, length);

    TRY(eck_model_open(&out->model, path, &run->error));
    for (int64_t i = 0; eck_model_warning(out->model, i); i++)
        session_warn(run, "%s", eck_model_warning(out->model, i));
    if (separator)
        TRY(choose_named(&out->plain, run, out->model, separator + 2));
    else
        TRY(choose_only(&out->plain, run, out->model));
    if (center) TRY(eck_operator_centered(&out->centered, out->plain, &run->context, &run->error));
    out->a = center ? out->centered : out->plain;
    out->bytes = tensor_bytes(out, separator ? separator + 2 : NULL);
done:
    free(path);
    return status;
}

void matrix_close(matrix *open)
{
    eck_operator_free(open->centered);
    eck_operator_free(open->plain);
    eck_model_close(open->model);
    *open = (matrix){ NULL, NULL, NULL, NULL, 0 };
}
