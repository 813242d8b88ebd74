// The version of the library.
#include "eckart/context.h"

const char *eck_version(void)
{
    return ECKI_VERSION;
}
