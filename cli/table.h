/**
 * A table of text for people, at most 100 columns wide. Rows that agree in everything but their
 * name share one: the names are folded, encoder.layer.{0..5}.output.dense, and their number printed
 * beside, x6.
 */
#ifndef ECKART_CLI_TABLE_H
#define ECKART_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 12, TABLE_WIDTH = 100 };

typedef struct table_row {
    char *cells[TABLE_COLUMNS]; /**< owned; the first is the name */
    int64_t count; /**< rows it stands for */
} table_row;

typedef struct table {
    int columns;
    const char *align; /**< a letter a column: 'l' or 'r' */
    const char *const *titles; /**< borrowed */
    table_row *rows;
    int64_t count, room;
} table;

/** align "lrr": three columns; titles as many. Both borrowed until table_clear(). */
void table_init(table *out, const char *align, const char *const *titles);

/** Copies as many cells as there are columns. Control characters become '?'. */
void table_add(table *rows, const char *const *cells);

/** Lets rows that differ in their name alone share one, at the place of the first. */
void table_fold(table *rows);

/** Prints titles and rows. width 0: no limit; else names, then the last column, are shortened to
 * fit. */
void table_print(const table *rows, FILE *stream, int width);

void table_clear(table *rows);

/** Adds "label   text" to a stream, for the few lines that are no table. */
void table_line(FILE *stream, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
