/**
 * Pickles as descriptions. A pickle is a program for a stack machine that can call anything; this machine calls nothing.
 * It knows the opcodes and the few names that checkpoints of tensors are made of, builds values of them, and refuses every
 * other opcode and name by what it is called.
 *
 * Of what can be called, a dictionary, a tensor, a parameter and a size are built; what their own state would do is
 * dropped. Strings are copied; everything lives as long as the pickle.
 */
#ifndef ECKI_PICKLE_H
#define ECKI_PICKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/array.h"
#include "format/format.h"
#include "format/wire.h"

typedef enum ecki_pickle_kind {
    ECKI_PICKLE_NONE = 1,
    ECKI_PICKLE_BOOL,
    ECKI_PICKLE_INT,
    ECKI_PICKLE_FLOAT,
    ECKI_PICKLE_LONG, /**< an integer of more than 64 bits, as text of its bytes */
    ECKI_PICKLE_TEXT,
    ECKI_PICKLE_TUPLE,
    ECKI_PICKLE_LIST,
    ECKI_PICKLE_DICT, /**< items are key, value, key, value, ... */
    ECKI_PICKLE_NAME, /**< of something that could be called; integer: which */
    ECKI_PICKLE_STORAGE, /**< items: its persistent id */
    ECKI_PICKLE_TENSOR /**< items: what it is rebuilt from */
} ecki_pickle_kind;

/** What a pickle may name. */
typedef enum ecki_pickle_name {
    ECKI_NAME_DICT,
    ECKI_NAME_TENSOR,
    ECKI_NAME_TENSOR_TYPED,
    ECKI_NAME_PARAMETER,
    ECKI_NAME_SIZE,
    ECKI_NAME_STORAGE, /**< of a type */
    ECKI_NAME_BYTES, /**< a storage without a type */
    ECKI_NAME_DTYPE
} ecki_pickle_name;

/** A value; others are named by index. */
typedef struct ecki_pickle_value {
    ecki_pickle_kind kind;
    eck_dtype dtype; /**< of a name of a storage or type */
    int64_t integer; /**< also: bool, name */
    const char *text;
    int32_t length; /**< of the text */
    int32_t first, last; /**< items: cells; -1 none */
    int32_t count;
} ecki_pickle_value;

/** One item of a container. */
typedef struct ecki_pickle_cell {
    int32_t value, next; /**< -1: the last */
} ecki_pickle_cell;

typedef struct ecki_pickle {
    ecki_container *container; /**< holds the strings */
    ecki_pickle_value *values;
    int64_t value_count;
    ecki_pickle_cell *cells;
    int64_t cell_count;
    int32_t root;
    int64_t end; /**< byte behind STOP */
} ecki_pickle;

/** Runs a pickle that begins at span.begin and ends with STOP at the latest at span.end. Zero `out` to start. */
eck_status ecki_pickle_read(ecki_pickle *out, ecki_container *container, const ecki_file *file,
                            ecki_span span, eck_error *err);
void ecki_pickle_clear(ecki_pickle *pickle);

/** Item `index` of a tuple, list or dictionary; NULL if it has fewer. O(index). */
const ecki_pickle_value *ecki_pickle_item(const ecki_pickle *pickle, const ecki_pickle_value *value,
                                          int64_t index);

/** The value of a text key of a dictionary, NULL none. */
const ecki_pickle_value *ecki_pickle_get(const ecki_pickle *pickle, const ecki_pickle_value *dict,
                                         const char *key);

#endif
