// fused_tmpl.c for F64: the twin of the other builds, and the fast one where vectors of 128 bits can fuse (NEON).
#include "base/compiler.h"

#define ECK_BUILD 128
#define ECK_REAL 64
#define ECK_PACK ecki_fused_pack_f64_portable
#define ECK_INNER ecki_fused_inner_f64_portable
#include "linalg/fused_tmpl.c"
