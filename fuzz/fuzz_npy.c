// Bytes as a .npy file.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    open_bytes(&ecki_reader_npy, "fuzz.npy", bytes, count, 1);
    return 0;
}
