// chase_tmpl.c for F32.
#define ECK_REAL 32
#include "linalg/chase_tmpl.c"
