// Bytes as a .csv file. A number of 8 bytes takes two of text, and is held up to three times while the array grows.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    open_bytes(&ecki_reader_csv, "fuzz.csv", bytes, count, 14);
    return 0;
}
