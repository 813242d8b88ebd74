// The kernels of chase_kernel_f64.c.
#define ECK_REAL 64
#include "chase_kernel_cases_tmpl.c"
