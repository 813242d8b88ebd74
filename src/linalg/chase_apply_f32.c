// chase_apply_tmpl.c for F32.
#define ECK_REAL 32
#include "linalg/chase_apply_tmpl.c"
