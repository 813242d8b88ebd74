// gram_tmpl.c for AVX2.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX2)
#define ECK_BUILD 256
#define ECK_NAME "avx2"
#define ECK_KERNELS ecki_gram_avx2
#include "linalg/gram_tmpl.c"
ECKI_TARGET_END
#endif
