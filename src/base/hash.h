/** SHA-256, from libcrypto. */
#ifndef ECKI_HASH_H
#define ECKI_HASH_H

#include <stdint.h>

#include "base/error.h"

enum { ECKI_HASH_HEX = 65 }; /**< 64 digits and NUL */

typedef struct ecki_hash ecki_hash;

eck_status ecki_hash_create(ecki_hash **out, eck_error *err);
void ecki_hash_add(ecki_hash *hash, const void *bytes, int64_t count);
/** Finishes and writes the digits; the object can only be freed after. */
void ecki_hash_hex(ecki_hash *hash, char hex_out[ECKI_HASH_HEX]);
void ecki_hash_free(ecki_hash *hash);

#endif
