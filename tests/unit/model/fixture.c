/** Made models. Nothing here uses the library. */
#include "fixture.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *fixture_folder(void)
{
    char *path = strdup("/tmp/eckart-test-XXXXXX");
    assert(path && mkdtemp(path));
    return path;
}

void fixture_remove(char *folder)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    const int failed = system(command);
    assert(!failed);
    free(folder);
}

char *fixture_path(const char *folder, const char *name)
{
    const size_t room = strlen(folder) + strlen(name) + 2;
    char *path = malloc(room);
    assert(path);
    snprintf(path, room, "%s/%s", folder, name);
    return path;
}

static int64_t count_of(const fixture_tensor *t)
{
    int64_t count = 1;
    for (int32_t i = 0; i < t->ndim; i++)
        count *= t->shape[i];
    return count;
}

/** A number in (-1,1) from a 64-bit mixer (splitmix64). */
static double noise(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)(int64_t)(x ^ (x >> 31)) / 9223372036854775808.0;
}

/** w = sum_k 2^-k a_k b_k^T + small noise: a spectrum that falls by halves, over rows x everything else. */
float *fixture_values(const fixture_tensor *tensors, int index)
{
    const fixture_tensor *t = &tensors[index];
    const int64_t count = count_of(t), rows = t->ndim > 1 ? t->shape[0] : 1, cols = count / rows;
    const uint64_t seed = (uint64_t)(index + 1) << 40;
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert(values);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 1e-3 * noise(seed + (uint64_t)(i * cols + j));
            for (uint64_t k = 0; k < 12; k++)
                sum += ldexp(noise(seed + (k << 32) + (uint64_t)i) *
                                 noise(seed + (k << 32) + (1u << 20) + (uint64_t)j),
                             -(int)k);
            values[i * cols + j] = (float)sum;
        }
    return values;
}

void fixture_safetensors(const char *path, const fixture_tensor *tensors)
{
    char header[16384];
    int length = snprintf(header, sizeof header, "{");
    int64_t offset = 0;
    FILE *file = fopen(path, "wb");
    assert(file);
    for (int i = 0; tensors[i].name; i++) {
        const int64_t bytes = count_of(&tensors[i]) * 4;
        length +=
            snprintf(header + length, sizeof header - (size_t)length,
                     "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "", tensors[i].name);
        for (int32_t d = 0; d < tensors[i].ndim; d++)
            length += snprintf(header + length, sizeof header - (size_t)length, "%s%lld",
                               d ? "," : "", (long long)tensors[i].shape[d]);
        length += snprintf(header + length, sizeof header - (size_t)length,
                           "],\"data_offsets\":[%lld,%lld]}", (long long)offset,
                           (long long)(offset + bytes));
        offset += bytes;
    }
    length += snprintf(header + length, sizeof header - (size_t)length, "}");
    const uint64_t size = (uint64_t)length;
    fwrite(&size, 8, 1, file);
    fwrite(header, 1, (size_t)length, file);
    for (int i = 0; tensors[i].name; i++) {
        float *values = fixture_values(tensors, i);
        fwrite(values, 4, (size_t)count_of(&tensors[i]), file);
        free(values);
    }
    const int failed = fclose(file);
    assert(!failed);
}

void fixture_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert(file);
    fputs(text, file);
    const int failed = fclose(file);
    assert(!failed);
}

char *fixture_read(const char *path, int64_t *length_out)
{
    FILE *file = fopen(path, "rb");
    assert(file);
    fseek(file, 0, SEEK_END);
    const long length = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)length + 1);
    assert(bytes);
    const size_t got = fread(bytes, 1, (size_t)length, file);
    assert((long)got == length);
    bytes[length] = '\0';
    fclose(file);
    *length_out = length;
    return bytes;
}
