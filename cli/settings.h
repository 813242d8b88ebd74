/**
 * Options that several commands share: their tables, their targets, and the library's structs made
 * of them. Every command's settings begin with these, so that one table fits all.
 */
#ifndef ECKART_CLI_SETTINGS_H
#define ECKART_CLI_SETTINGS_H

#include "eckart/model.h"
#include "opt.h"

typedef struct settings {
    bool json, quiet, help;
    int verbose;
    int64_t threads, memory;
    const char *output;
    bool force;
    opt_list include, exclude;
    int64_t min_size;
    int method, dtype, split; /**< words of their options */
    int64_t rank_multiple;
    const char *cache;
    bool no_cache;
    double keep, energy, error; /**< -1 not given */
    opt_size size;
    int64_t rank;
    const char *key;
    const char *timings;
    opt_time latency;
    bool no_slower;
    opt_size macs; /**< a count or a part */
    opt_list shapes; /**< NAME=1x3x224x224 */
    opt_list groups; /**< GLOB=32 */
} settings;

/** Defaults; the rest of a command's own struct is left alone. */
void settings_init(settings *out);
void settings_clear(settings *out);

/** --method: the word number m from 2 on is eck_method m. */
#define METHOD_WORDS "svd|auto|spatial|tucker1|tucker2|cp|tt|depthwise"

extern const opt_entry run_options[]; /**< --threads --memory --json --quiet --verbose --help */
extern const opt_entry selection_options[]; /**< --include --exclude --min-size --key */
extern const opt_entry graph_options[]; /**< --shape --groups */
extern const opt_entry factor_options[]; /**< --method --dtype --split --rank-multiple */
extern const opt_entry cache_options[]; /**< --cache --no-cache */
extern const opt_entry budget_options[]; /**< --keep --size --latency --no-slower --timings --macs
                                          --rank --energy --error */

/** Parses, and tells the session and its context what all commands share. */
eck_status settings_parse(session *run, const command *about, settings *out, const char **operands,
                          char **arguments);

/** The sizes of "1x3x224x224"; -1 if they are none, or too many. out ECK_DIMS_MAX numbers. */
int32_t settings_sizes(int64_t *out, const char *text);

/** Gives "NAME=SIZES" to an input of a graph; ECK_E_UNSUPPORTED if the model is none. */
eck_status settings_set_shape(session *run, eck_model *model, const char *text);

/** Opens a model, says its warnings, applies groups, the selection and the shapes of inputs; a glob
 * that matches nothing and a shape or groups that fit nothing are wrong usage. */
eck_status settings_open_model(eck_model **out, session *run, const settings *from,
                               const char *path);

/** Factor and cache options; cache_out: text to free with eck_text_free() after use, or NULL. */
void settings_store(eck_store_options *out, char **cache_out, session *run, const settings *from);

/** Bits of the methods --method names; 0 for svd, the default. */
uint32_t settings_methods(const settings *from);

bool settings_has_budget(const settings *from);
/** The budget, without its timings. */
eck_budget settings_budget(const settings *from);

/** Storage type a --dtype word names; NONE for "same". */
eck_dtype settings_dtype(const settings *from);

/** Says early what would go wrong late: the output exists (without --force) or its folder does not
 * or is locked. */
eck_status settings_check_output(session *run, const char *path, bool force);

#endif
