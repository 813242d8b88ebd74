// two_stage_tmpl.c for F64.
#define ECK_REAL 64
#include "linalg/two_stage_tmpl.c"
