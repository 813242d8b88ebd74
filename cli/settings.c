// Options that several commands share.
#include "settings.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE(member) offsetof(settings, member)

const opt_entry run_options[] = {
    { OPT_INTEGER, '\0', "threads", "N", PLACE(threads), 1, 4096,
      "use N threads; default: as many as the process may use" },
    { OPT_SIZE, '\0', "memory", "SIZE", PLACE(memory), 0, 0,
      "hold at most SIZE of memory, or refuse; default: no limit" },
    { OPT_FLAG, '\0', "json", NULL, PLACE(json), 0, 0,
      "print one JSON document; errors become one JSON object too" },
    { OPT_FLAG, 'q', "quiet", NULL, PLACE(quiet), 0, 0, "no progress, remarks or warnings" },
    { OPT_COUNT, 'v', "verbose", NULL, PLACE(verbose), 0, 0, "say more: exact figures, every row" },
    { OPT_FLAG, 'h', "help", NULL, PLACE(help), 0, 0, "print this help" },
    { 0 }
};

const opt_entry selection_options[] = {
    { OPT_LIST, '\0', "include", "GLOB", PLACE(include), 0, 0,
      "factor exactly the layers whose names match; * crosses dots; repeatable" },
    { OPT_LIST, '\0', "exclude", "GLOB", PLACE(exclude), 0, 0,
      "leave out layers whose names match; repeatable" },
    { OPT_INTEGER, '\0', "min-size", "N", PLACE(min_size), 0, 1e18,
      "leave out weights of fewer than N numbers; default 4096" },
    { OPT_TEXT, '\0', "key", "KEY", PLACE(key), 0, 0,
      "of a PyTorch checkpoint, the dictionary to read; default: found" },
    { 0 }
};

const opt_entry graph_options[] = {
    { OPT_LIST, '\0', "shape", "NAME=SIZES", PLACE(shapes), 0, 0,
      "of an input of a graph whose sizes are open: x=1x3x224x224; repeatable" },
    { OPT_LIST, '\0', "groups", "GLOB=G", PLACE(groups), 0, 0,
      "of convolutions of a file without a graph: features.*=32; repeatable" },
    { 0 }
};

const opt_entry factor_options[] = {
    { OPT_CHOICE, '\0', "method", METHOD_WORDS, PLACE(method), 0, 0,
      "decomposition of convolutions; default svd; auto: the best of all" },
    { OPT_CHOICE, '\0', "dtype", "same|f32|bf16|f16", PLACE(dtype), 0, 0,
      "storage type of the factors; default same, each layer's own" },
    { OPT_CHOICE, '\0', "split", "balanced|left|right", PLACE(split), 0, 0,
      "where the singular values go; default balanced, into both factors" },
    { OPT_INTEGER, '\0', "rank-multiple", "N", PLACE(rank_multiple), 1, 1e6,
      "choose ranks that are multiples of N; default 1" },
    { 0 }
};

const opt_entry cache_options[] = {
    { OPT_TEXT, '\0', "cache", "DIR", PLACE(cache), 0, 0,
      "keep spectra and factors in DIR; default $ECKART_CACHE or ~/.cache/eckart" },
    { OPT_FLAG, '\0', "no-cache", NULL, PLACE(no_cache), 0, 0, "keep nothing between runs" },
    { 0 }
};

const opt_entry budget_options[] = {
    { OPT_PART, '\0', "keep", "R", PLACE(keep), DBL_MIN, 1,
      "parameters left / before in the selected layers: 0.5 or 50%" },
    { OPT_SIZE_OR_PART, '\0', "size", "BYTES|P%", PLACE(size), 0, 0,
      "tensor bytes of the whole output: 60M, 512MiB or 80%" },
    { OPT_TIME_OR_PART, '\0', "latency", "MS|R", PLACE(latency), 0, 0,
      "time of one pass, with --timings: 12.5, 800us, 0.7 or 70%" },
    { OPT_FLAG, '\0', "no-slower", NULL, PLACE(no_slower), 0, 0,
      "leave layers dense whose factors are not faster, with --timings" },
    { OPT_TEXT, '\0', "timings", "FILE", PLACE(timings), 0, 0,
      "times of layers on the target, by bench or python -m eckart.measure" },
    { OPT_COUNT_OR_PART, '\0', "macs", "N|R", PLACE(macs), 0, 0,
      "multiply-adds of the selected layers in one pass: 600M, 0.5 or 50%" },
    { OPT_INTEGER, '\0', "rank", "K", PLACE(rank), 1, 1e15,
      "rank K in every layer where that pays" },
    { OPT_PART, '\0', "energy", "E", PLACE(energy), DBL_MIN, 1,
      "energy kept in every layer, at least: 0.99 or 99%" },
    { OPT_PART, '\0', "error", "E", PLACE(error), 0, 1 - DBL_EPSILON,
      "relative error of every layer, at most: 0.1 or 10%" },
    { 0 }
};

void settings_init(settings *out)
{
    memset(out, 0, sizeof *out);
    out->min_size = 4096;
    out->rank_multiple = 1;
    out->keep = out->energy = out->error = -1;
    out->size = out->macs = (opt_size){ -1, -1 };
    out->latency = (opt_time){ -1, -1 };
    out->rank = -1;
}

void settings_clear(settings *out)
{
    free(out->include.items);
    free(out->exclude.items);
    free(out->shapes.items);
    free(out->groups.items);
    out->include = out->exclude = out->shapes = out->groups = (opt_list){ NULL, 0 };
}

eck_status settings_parse(session *run, const command *about, settings *out, const char **operands,
                          char **arguments)
{
    const eck_status status = opt_parse(run, about, out, operands, arguments);
    if (status != ECK_OK) return status;
    run->json = out->json;
    run->quiet = out->quiet;
    run->verbose = out->verbose;
    run->context.threads = (int32_t)out->threads;
    run->context.memory = out->memory;
    if (out->cache && out->no_cache)
        return session_usage(run, "--cache and --no-cache contradict each other");
    if (!out->timings &&
        (out->latency.milliseconds >= 0 || out->latency.part >= 0 || out->no_slower))
        return session_usage(run,
                             "%s is judged by times of the target machine: give --timings FILE "
                             "(python -m eckart.measure or eckart bench --json makes one)",
                             out->no_slower ? "--no-slower" : "--latency");
    return ECK_OK;
}

int32_t settings_sizes(int64_t *out, const char *text)
{
    int32_t count = 0;
    for (; count < ECK_DIMS_MAX; text++) {
        const size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 12) return -1;
        out[count++] = strtoll(text, NULL, 10);
        text += digits;
        if (*text == '\0') return count;
        if (*text != 'x') return -1;
    }
    return -1;
}

// The name in "NAME=1x3x224", owned by the caller, and the sizes behind it with their count; NULL: it is not of that form.
static char *named_sizes(int64_t sizes[ECK_DIMS_MAX], int32_t *count_out, const char *text)
{
    const char *const equals = strrchr(text, '=');
    *count_out = equals ? settings_sizes(sizes, equals + 1) : -1;
    if (*count_out < 0 || equals == text) return NULL;
    const size_t length = (size_t)(equals - text);
    char *const name = session_alloc(length + 1, 1);
    memcpy(name, text, length);
    return name;
}

eck_status settings_set_shape(session *run, eck_model *model, const char *text)
{
    int64_t sizes[ECK_DIMS_MAX];
    int32_t count = 0;
    char *const name = named_sizes(sizes, &count, text);
    if (!name)
        return session_usage(run,
                             "option '--shape': found '%s', allowed: an input's name and its "
                             "sizes, as in x=1x3x224x224",
                             text);
    const eck_status status = eck_model_set_input(model, name, count, sizes, &run->error);
    free(name);
    if (status == ECK_E_RANGE) run->exit_code = EXIT_USAGE;
    return status;
}

// Gives "GLOB=G" to the convolutions it names.
static eck_status set_groups(session *run, eck_model *model, const char *text)
{
    int64_t sizes[ECK_DIMS_MAX];
    int32_t count = 0;
    char *const glob = named_sizes(sizes, &count, text);
    if (!glob || count != 1) {
        free(glob);
        return session_usage(run,
                             "option '--groups': found '%s', allowed: names of layers and a "
                             "number, as in features.*=32",
                             text);
    }
    const eck_status status = eck_model_set_groups(model, glob, sizes[0], &run->error);
    free(glob);
    if (status == ECK_E_RANGE || status == ECK_E_SHAPE) run->exit_code = EXIT_USAGE;
    return status;
}

eck_status settings_open_model(eck_model **out, session *run, const settings *from,
                               const char *path)
{
    eck_status status = ECK_OK;
    eck_model *model = NULL;
    eck_selection selection = ECK_SELECTION_INIT;

    status = eck_model_open_key(&model, path, from->key, &run->error);
    if (status == ECK_E_RANGE) run->exit_code = EXIT_USAGE;
    TRY(status);
    for (int64_t i = 0; eck_model_warning(model, i); i++)
        session_warn(run, "%s", eck_model_warning(model, i));
    for (int64_t i = 0; i < from->groups.count; i++)
        TRY(set_groups(run, model, from->groups.items[i]));
    selection.include = from->include.items;
    selection.include_count = from->include.count;
    selection.exclude = from->exclude.items;
    selection.exclude_count = from->exclude.count;
    selection.min_size = from->min_size;
    status = eck_model_select(model, &selection, &run->error);
    if (status == ECK_E_RANGE) run->exit_code = EXIT_USAGE;
    TRY(status);
    for (int64_t i = 0; i < from->shapes.count; i++)
        TRY(settings_set_shape(run, model, from->shapes.items[i]));
    *out = model;
    model = NULL;
done:
    eck_model_close(model);
    return status;
}

eck_dtype settings_dtype(const settings *from)
{
    static const eck_dtype types[] = { ECK_DTYPE_NONE, ECK_DTYPE_F32, ECK_DTYPE_BF16,
                                       ECK_DTYPE_F16 };
    return types[from->dtype];
}

uint32_t settings_methods(const settings *from)
{
    // The words in the order of METHOD_WORDS: svd, auto, then the other methods by number.
    if (from->method <= 1) return from->method == 0 ? 0 : (uint32_t)ECK_METHODS_ALL;
    return 1u << from->method;
}

void settings_store(eck_store_options *out, char **cache_out, session *run, const settings *from)
{
    eck_store_options options = ECK_STORE_OPTIONS_INIT;
    char *cache = NULL;
    eck_error unknown = ECK_ERROR_INIT;
    options.store = settings_dtype(from);
    options.split = (eck_split)from->split;
    options.rank_multiple = from->rank_multiple;
    options.methods = settings_methods(from);
    options.cache = from->cache;
    if (!from->cache && !from->no_cache) {
        // Nobody's home is no reason not to work.
        if (eck_cache_default(&cache, &unknown) != ECK_OK)
            session_warn(run, "nothing is kept for the next run: %s", unknown.message);
        options.cache = cache;
    }
    *out = options;
    *cache_out = cache;
}

bool settings_has_budget(const settings *from)
{
    return from->keep >= 0 || from->size.bytes >= 0 || from->size.part >= 0 ||
           from->latency.milliseconds >= 0 || from->latency.part >= 0 || from->rank >= 0 ||
           from->energy >= 0 || from->error >= 0 || from->macs.bytes >= 0 || from->macs.part >= 0;
}

eck_budget settings_budget(const settings *from)
{
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = from->keep;
    budget.bytes = from->size.bytes;
    budget.bytes_part = from->size.part;
    budget.rank = from->rank;
    budget.energy = from->energy;
    budget.error = from->error;
    budget.latency = from->latency.milliseconds;
    budget.latency_part = from->latency.part;
    budget.no_slower = from->no_slower;
    budget.macs = from->macs.bytes;
    budget.macs_part = from->macs.part;
    return budget;
}

// The folder a path lies in; free() it.
static char *folder_of(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *const folder = session_alloc(length + 2, 1);
    memcpy(folder, length > 0 ? path : ".", length > 0 ? length : 1);
    return folder;
}

// True for a directory without our manifest: nothing makes us replace that.
static bool is_strange(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return false;
    const size_t room = strlen(path) + sizeof "/eckart.json";
    char *const manifest = session_alloc(room, 1);
    snprintf(manifest, room, "%s/eckart.json", path);
    const bool strange = access(manifest, F_OK) != 0;
    free(manifest);
    return strange;
}

eck_status settings_check_output(session *run, const char *path, bool force)
{
    if (strcmp(path, "-") == 0) return ECK_OK;
    if (!force && access(path, F_OK) == 0)
        return session_fail(run, ECK_E_EXISTS, "cannot write '%s': %s", path,
                            is_strange(path) ? "it is a directory that eckart did not write"
                                             : "it exists (--force replaces it)");
    char *const folder = folder_of(path);
    const bool open = access(folder, W_OK | X_OK) == 0;
    const int number = errno;
    if (!open)
        session_fail(run, ECK_E_IO, "cannot write '%s': folder '%s': %s", path, folder,
                     strerror(number));
    free(folder);
    return open ? ECK_OK : ECK_E_IO;
}
