/**
 * What of a model's directory goes with its weights into an output: configuration, tokenizer and text files. Other
 * weight files, hidden files, folders with weights in them and links that lead out of the directory stay behind, and are
 * listed.
 */
#ifndef ECKI_CARRIED_H
#define ECKI_CARRIED_H

#include <stdint.h>

#include "base/error.h"

/** Zero it to start. Names are relative to the directory, with '/' between components, sorted. */
typedef struct ecki_carried {
    char **files;
    int64_t file_count;
    char **left_out;
    int64_t left_out_count; /**< folders with a final '/' */
    char *config; /**< text that takes the place of config.json, or NULL; owned */
} ecki_carried;

eck_status ecki_carried_find(ecki_carried *out, const char *directory, eck_error *err);
/** Takes a name off the list of what was left out: its content is in the output in another form. */
void ecki_carried_forget(ecki_carried *carried, const char *name);
void ecki_carried_clear(ecki_carried *carried);

#endif
