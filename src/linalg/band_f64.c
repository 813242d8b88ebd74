// band_tmpl.c for F64.
#define ECK_REAL 64
#include "linalg/band_tmpl.c"
