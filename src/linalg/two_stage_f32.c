// two_stage_tmpl.c for F32.
#define ECK_REAL 32
#include "linalg/two_stage_tmpl.c"
