// The kernels of chase_kernel_f32.c.
#define ECK_REAL 32
#include "chase_kernel_cases_tmpl.c"
