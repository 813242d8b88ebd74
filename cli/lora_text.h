/** What the lora commands share: their settings, adapters given as PATH or PATH=weight, and what they print. */
#ifndef ECKART_CLI_LORA_TEXT_H
#define ECKART_CLI_LORA_TEXT_H

#include "eckart/adapter.h"
#include "settings.h"

/** The settings of every command, then those of adapters. */
typedef struct lora_settings {
    settings all;
    int layout, start, engine; /**< words of --to, --init and --engine */
    opt_list bases;
    const char *component, *residual, *base, *tuned;
    int64_t alpha;
    bool full_modules, unrelated, dry_run;
} lora_settings;

void lora_settings_init(lora_settings *out);
void lora_settings_clear(lora_settings *out);

/** Modules one after another, or panels, take and give back the same few megabytes. The C library would return them to the
 * system each time and fault them in again: a tenth of the whole time. Before anything large is allocated. */
void lora_keep_memory(void);

/** --output, --force, --dtype, --split, --dry-run as the library takes them; the output is checked early. */
eck_status lora_write_options(eck_adapter_write *out, session *run, const lora_settings *from);

/** Opens an adapter and says its warnings. */
eck_status lora_open(eck_adapter **out, session *run, const char *path);

/** Adapters with their weights, opened. Zero it first; lora_terms_clear(). */
typedef struct lora_terms {
    eck_adapter *adapters[OPERANDS_MANY];
    eck_weighted_adapter terms[OPERANDS_MANY];
    int64_t count;
} lora_terms;

/** operands end with NULL; "PATH=0.5" unless a file of that whole name exists. */
eck_status lora_terms_open(lora_terms *out, session *run, const char *const *operands);
void lora_terms_clear(lora_terms *terms);

/** What was done, as a table or as JSON. */
eck_status lora_print(session *run, const lora_settings *from, const eck_adapter_outcome *outcome);

/** The budget of --rank --energy --error --size. */
eck_adapter_budget lora_budget(const lora_settings *from);

extern const opt_entry lora_output_options[]; /**< --output --force --dtype --split --dry-run */
extern const opt_entry lora_budget_options[]; /**< --rank --energy --error --size */

extern const command command_lora_resize, command_lora_combine, command_lora_convert,
    command_lora_compare, command_lora_info, command_lora_extract, command_lora_merge,
    command_lora_init;

#endif
