// gram_tmpl.c for 128 bits: the twin of the other builds, and the fast one where such vectors can fuse (NEON).
#include "base/compiler.h"

#define ECK_BUILD 128
#define ECK_NAME "portable"
#define ECK_KERNELS ecki_gram_portable
#include "linalg/gram_tmpl.c"
