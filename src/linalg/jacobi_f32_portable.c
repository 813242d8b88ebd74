// jacobi_tmpl.c for F32 and what every processor of the architecture has.
#define ECK_BUILD 128
#define ECK_REAL 32
#define ECK_SOLVE ecki_jacobi_f32_portable
#include "linalg/jacobi_tmpl.c"
