// The kernels of chase_kernel_f64.c, which is chase_kernel_tmpl.c for F64.
#define ECK_REAL 64
#include "chase_kernel_cases_tmpl.c"
