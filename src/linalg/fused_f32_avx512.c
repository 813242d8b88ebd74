// fused_tmpl.c for F32 and AVX-512.
#include "base/compiler.h"

#if defined(__x86_64__)
ECKI_TARGET_BEGIN(ECKI_AVX512)
#define ECK_BUILD 512
#define ECK_REAL 32
#define ECK_PACK ecki_fused_pack_f32_avx512
#define ECK_INNER ecki_fused_inner_f32_avx512
#define ECK_OUTER ecki_fused_outer_f32_avx512
#include "linalg/fused_tmpl.c"
ECKI_TARGET_END
#endif
