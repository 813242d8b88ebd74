// chase_kernel_tmpl.c for F32.
#define ECK_REAL 32
#include "linalg/chase_kernel_tmpl.c"
