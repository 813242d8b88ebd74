/** Names that differ only in numbers, as one: layer.0.query, layer.1.query -> layer.{0..1}.query.
 */
#ifndef ECKART_CLI_FOLD_H
#define ECKART_CLI_FOLD_H

#include <stdbool.h>
#include <stdint.h>

/** True if two names are equal but for numbers that are whole parts between dots. */
bool fold_alike(const char *a, const char *b);

/**
 * Folds names[0] with as many of the names alike to it as form a full product of their numbers: all
 * of them, or else those that differ from the first in the last number only. out    owned by the
 * caller, free(); NULL when fewer than two were taken names  [count], all alike; reordered: those
 * taken come first Returns how many were taken
 */
int64_t fold_names(char **out, const char **names, int64_t count);

#endif
