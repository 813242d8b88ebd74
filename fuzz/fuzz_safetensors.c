// Bytes as a .safetensors file. An entry takes 136 bytes and its place in two orders, arrays grow by doubling, and the
// shortest tensor takes 44 bytes of header: ten times the file is enough.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    open_bytes(&ecki_reader_safetensors, "fuzz.safetensors", bytes, count, 12);
    return 0;
}
