// gram_tmpl.c for AVX-512.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX512)
#define ECK_BUILD 512
#define ECK_NAME "avx512"
#define ECK_KERNELS ecki_gram_avx512
#include "linalg/gram_tmpl.c"
ECKI_TARGET_END
#endif
