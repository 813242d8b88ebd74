/** The word somebody meant. */
#ifndef ECKART_CLI_NEAREST_H
#define ECKART_CLI_NEAREST_H

/** Keeps the best of the words tried; start with best NULL and word the one to look for. */
typedef struct nearest {
    const char *word;
    const char *best; /**< near enough to be meant, or NULL */
    int distance;
} nearest;

void nearest_try(nearest *search, const char *candidate);

#endif
