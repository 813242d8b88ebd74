// Bytes as a .npz file. Deflate makes 1032 bytes of one at most.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    open_bytes(&ecki_reader_npz, "fuzz.npz", bytes, count, 1032 + 32);
    return 0;
}
