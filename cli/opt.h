/**
 * Options as data: one table says how an option is called, what it takes, where its value goes and
 * what it is for. The same table parses, prints --help and thereby feeds completion and the
 * comparison with the man pages.
 */
#ifndef ECKART_CLI_OPT_H
#define ECKART_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"

typedef enum opt_kind {
    OPT_FLAG, /**< bool */
    OPT_COUNT, /**< int: how often it was given */
    OPT_TEXT, /**< const char *: not empty */
    OPT_LIST, /**< opt_list: may be repeated */
    OPT_INTEGER, /**< int64_t in low..high; units allowed for bytes only */
    OPT_PART, /**< double in low..high: 0.5 or 50% */
    OPT_NUMBER, /**< double in low..high */
    OPT_SIZE, /**< int64_t: bytes, K M G T = 1000, KiB MiB GiB TiB = 1024 */
    OPT_SIZE_OR_PART, /**< opt_size */
    OPT_TIME_OR_PART, /**< opt_time: 12.5, 800us, 0.9ms; 0.7 or 70% */
    OPT_COUNT_OR_PART, /**< opt_size: 600M, or a part: 0.5 or 50% */
    OPT_CHOICE /**< int: which of the words of `argument` */
} opt_kind;

typedef struct opt_list {
    const char **items; /**< owned by the list, free() */
    int64_t count;
} opt_list;

typedef struct opt_size {
    int64_t bytes; /**< -1 not given */
    double part; /**< -1 not given */
} opt_size;

typedef struct opt_time {
    double milliseconds; /**< -1 not given */
    double part; /**< -1 not given */
} opt_time;

typedef struct opt_entry {
    opt_kind kind;
    char letter; /**< '\0' none */
    const char *name; /**< without dashes; NULL ends a table */
    const char *argument; /**< as help shows it: "K"; CHOICE: "auto|exact"; NULL for flags */
    size_t place; /**< offset of the target in the settings */
    double low, high; /**< INTEGER, PART and NUMBER */
    const char *help; /**< one line, lower case, no full stop */
} opt_entry;

typedef struct opt_group {
    const char *title; /**< NULL ends the list */
    const opt_entry *entries;
} opt_group;

/** A command: main's table, its options and its help. */
typedef struct command {
    const char *name;
    eck_status (*run)(session *run, char **arguments);
    const char *summary; /**< one line */
    const char *operands; /**< "MODEL -o OUT BUDGET" */
    const char *about; /**< a paragraph or two, lines at most 90 columns */
    const opt_group *groups;
    const char *examples; /**< lines as they would be typed */
    int operand_count; /**< operands that are needed, neither more nor less */
    int operand_most; /**< more of them allowed, up to this many; 0: no more */
    const struct command *const
        *parts; /**< commands of its own ("lora resize"), NULL-ended, or NULL */
} command;

enum { OPERANDS_MAX = 2, OPERANDS_MANY = 64 };

/**
 * Parses the arguments after the command's name into the settings; the operands in the order given.
 * settings  set to its defaults; holds the targets of all groups
 * operands  room for operand_count of them, or operand_most; behind the last one stays what was there
 * Errors    wrong usage: the option, what was found, what is allowed
 */
eck_status opt_parse(session *run, const command *about, void *settings, const char **operands,
                     char **arguments);

/** Adds the help text of a command to the results. */
void opt_help(session *run, const command *about);

/** True if a flag is among the arguments before "--", before anything is parsed. */
bool opt_present(char **arguments, const char *flag);

/** The name of a CHOICE's word number `index`, borrowed from the table; length in *length_out. */
const char *opt_choice(const char *words, int index, int *length_out);

/** A number of bytes ("4G", "512 MiB", "100") or an error of the form the options use. */
bool opt_parse_size(const char *text, int64_t *bytes_out);

/** 0.25 or 25%; plain decimals only. */
bool opt_parse_part(const char *text, double *part_out);

/** Stores one value; used by opt_parse(). shown is the option as the user wrote it. */
eck_status opt_store(session *run, const opt_entry *entry, void *settings, const char *shown,
                     const char *value);

#endif
