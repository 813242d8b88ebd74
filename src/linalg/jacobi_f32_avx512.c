// jacobi_tmpl.c for F32 and AVX-512.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX512)
#define ECK_BUILD 512
#define ECK_REAL 32
#define ECK_SOLVE ecki_jacobi_f32_avx512
#include "linalg/jacobi_tmpl.c"
ECKI_TARGET_END
#endif
