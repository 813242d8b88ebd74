/** Reading back what was written. */
#ifndef TEST_REPORT_EXPECT_H
#define TEST_REPORT_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "eckart/model.h"

/** Parses a document and frees its text; it must be an object and end in one newline. */
json_t *expect_document(char *text);

/** The keys of an object, in order, as "a b c". */
void expect_keys(const json_t *object, const char *keys);

/** A member by path, "certificate.optimum.1"; it must be there. */
json_t *expect_member(json_t *document, const char *path);

void expect_text(json_t *document, const char *path, const char *value);
void expect_real(json_t *document, const char *path, double value); /**< bit for bit */
void expect_integer(json_t *document, const char *path, int64_t value);
void expect_null(json_t *document, const char *path);
void expect_true(json_t *document, const char *path, int value);

/** A model of a [96,64] F32 weight 'encoder.dense' of numerical rank 5, its bias and a [2,3] table 'small'; the file
 *  lies in a temporary folder that goes with written_model_close(). */
eck_model *written_model_open(void);
void written_model_close(eck_model *model);

#endif
