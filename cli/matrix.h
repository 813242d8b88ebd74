/** The one matrix a command works on, from FILE, FILE::NAME or "-". */
#ifndef ECKART_CLI_MATRIX_H
#define ECKART_CLI_MATRIX_H

#include "eckart/model.h"
#include "session.h"

typedef struct matrix {
    eck_model *model;
    eck_operator *plain; /**< as it is in the file */
    eck_operator *centered; /**< or NULL */
    const eck_operator *a; /**< the one to work on, borrowed */
    int64_t bytes; /**< it has in the file; 0: no tensor of it alone */
} matrix;

/**
 * Opens it; wrong usage if the name is missing where there are several, or is not there. out must
 * be zeroed and is owned by the caller, matrix_close(), whatever this returns.
 */
eck_status matrix_open(matrix *out, session *run, const char *operand, bool center);
void matrix_close(matrix *open);

#endif
