// fused_tmpl.c for F64 and AVX2.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX2)
#define ECK_BUILD 256
#define ECK_REAL 64
#define ECK_PACK ecki_fused_pack_f64_avx2
#define ECK_INNER ecki_fused_inner_f64_avx2
#include "linalg/fused_tmpl.c"
ECKI_TARGET_END
#endif
