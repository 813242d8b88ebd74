// fused_tmpl.c for F32 and AVX2.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX2)
#define ECK_BUILD 256
#define ECK_REAL 32
#define ECK_PACK ecki_fused_pack_f32_avx2
#define ECK_INNER ecki_fused_inner_f32_avx2
#define ECK_OUTER ecki_fused_outer_f32_avx2
#include "linalg/fused_tmpl.c"
ECKI_TARGET_END
#endif
