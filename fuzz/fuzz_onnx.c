// Bytes as an .onnx file. A node of two bytes takes a struct, a varint of one byte up to eight when it is decoded.
#include "opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    open_bytes(&ecki_reader_onnx, "fuzz.onnx", bytes, count, 512);
    return 0;
}
