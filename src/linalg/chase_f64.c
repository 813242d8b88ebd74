// chase_tmpl.c for F64.
#define ECK_REAL 64
#include "linalg/chase_tmpl.c"
