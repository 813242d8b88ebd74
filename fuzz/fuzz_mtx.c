// Bytes as a .mtx file. An entry of 4 bytes of text is held as up to two triples and as two layouts, a row or column that
// stands in no byte as three starts; so many of these are free.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const memory_bound bound = { 160, 28 << 20 };
    open_bytes_within(&ecki_reader_mtx, "fuzz.mtx", bytes, count, bound);
    return 0;
}
