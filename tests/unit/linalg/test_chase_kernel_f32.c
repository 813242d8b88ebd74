// The kernels of chase_kernel_f32.c, which is chase_kernel_tmpl.c for F32.
#define ECK_REAL 32
#include "chase_kernel_cases_tmpl.c"
