// What a storage type is: its name, its size and the spacing of its numbers. How its bits become
// numbers: codec.c.
#include <strings.h>

#include "base/checked.h"
#include "eckart/array.h"
#include "tensor/codec.h"

typedef struct row {
    eck_dtype dtype;
    const char *name; // as safetensors spells it
    int32_t bits;
    double epsilon; // of the floating types we compute with
} row;

static const row rows[] = {
    { ECK_DTYPE_F64, "F64", 64, 0x1p-52 },
    { ECK_DTYPE_F32, "F32", 32, 0x1p-23 },
    { ECK_DTYPE_F16, "F16", 16, 0x1p-10 },
    { ECK_DTYPE_BF16, "BF16", 16, 0x1p-7 },
    { ECK_DTYPE_F8_E4M3, "F8_E4M3", 8, 0x1p-3 },
    { ECK_DTYPE_F8_E5M2, "F8_E5M2", 8, 0x1p-2 },
    { ECK_DTYPE_I8, "I8", 8, 0.0 },
    { ECK_DTYPE_U8, "U8", 8, 0.0 },
    { ECK_DTYPE_I16, "I16", 16, 0.0 },
    { ECK_DTYPE_U16, "U16", 16, 0.0 },
    { ECK_DTYPE_I32, "I32", 32, 0.0 },
    { ECK_DTYPE_U32, "U32", 32, 0.0 },
    { ECK_DTYPE_I64, "I64", 64, 0.0 },
    { ECK_DTYPE_U64, "U64", 64, 0.0 },
    { ECK_DTYPE_BOOL, "BOOL", 8, 0.0 },
    { ECK_DTYPE_F4, "F4", 4, 0.0 },
    { ECK_DTYPE_F6_E2M3, "F6_E2M3", 6, 0.0 },
    { ECK_DTYPE_F6_E3M2, "F6_E3M2", 6, 0.0 },
    { ECK_DTYPE_F8_E8M0, "F8_E8M0", 8, 0.0 },
    { ECK_DTYPE_F8_E4M3FNUZ, "F8_E4M3FNUZ", 8, 0.0 },
    { ECK_DTYPE_F8_E5M2FNUZ, "F8_E5M2FNUZ", 8, 0.0 },
    { ECK_DTYPE_C64, "C64", 64, 0.0 },
};

enum { ROWS = sizeof rows / sizeof rows[0] };

// The row of a dtype; NULL for a value that is none.
static const row *find(eck_dtype dtype)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].dtype == dtype) return &rows[i];
    return NULL;
}

int32_t eck_dtype_bits(eck_dtype dtype)
{
    const row *const found = find(dtype);
    return found ? found->bits : 0;
}

const char *eck_dtype_name(eck_dtype dtype)
{
    const row *const found = find(dtype);
    return found ? found->name : "?";
}

eck_dtype eck_dtype_parse(const char *name)
{
    for (int i = 0; name && i < ROWS; i++)
        if (strcasecmp(rows[i].name, name) == 0) return rows[i].dtype;
    return ECK_DTYPE_NONE;
}

bool eck_dtype_is_weight(eck_dtype dtype)
{
    return dtype >= ECK_DTYPE_F64 && dtype <= ECK_DTYPE_BF16;
}

bool eck_dtype_is_readable(eck_dtype dtype)
{
    return find(dtype) && dtype <= ECK_DTYPE_BOOL;
}

double eck_dtype_epsilon(eck_dtype dtype)
{
    const row *const found = find(dtype);
    return found ? found->epsilon : 0.0;
}

bool ecki_dtype_bytes(eck_dtype dtype, int64_t count, int64_t *bytes_out)
{
    const int64_t bits = eck_dtype_bits(dtype);
    int64_t all;
    if (bits == 0 || count < 0) return false;
    if (bits % 8 == 0) return ecki_mul(count, bits / 8, bytes_out);
    if (!ecki_mul(count, bits, &all) || all % 8 != 0) return false;
    *bytes_out = all / 8;
    return true;
}
