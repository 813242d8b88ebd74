// Bytes as a checkpoint of PyTorch, of the old form or in an archive, which the first byte decides.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const bool archive = count > 0 && bytes[0] == 'P';
    // an opcode of one byte makes a value; arrays grow by doubling
    open_bytes(archive ? &ecki_reader_npz : &ecki_reader_torch, "fuzz.pt", bytes, count,
               1032 + 512);
    return 0;
}
