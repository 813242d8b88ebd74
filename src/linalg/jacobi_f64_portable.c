// jacobi_tmpl.c for F64 and what every processor of the architecture has.
#define ECK_BUILD 128
#define ECK_REAL 64
#define ECK_SOLVE ecki_jacobi_f64_portable
#include "linalg/jacobi_tmpl.c"
