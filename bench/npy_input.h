/**
 * The little of .npy that both sides of a benchmark need: a two-dimensional little-endian float32
 * array in C order, version 1.0 of the format. Kept here so that the opponents need nothing of
 * ours.
 */
#ifndef BENCH_NPY_INPUT_H
#define BENCH_NPY_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline double bench_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/** The matrix of a .npy file, row-major; freed by the caller. Ends the process on anything
 * unexpected. */
static inline float *bench_npy_read(const char *path, int64_t *rows, int64_t *cols)
{
    FILE *const file = fopen(path, "rb");
    unsigned char start[10];
    char header[4096] = "";
    if (!file || fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7) != 0)
        bench_die("cannot read the input");
    const size_t length = (size_t)start[8] + 256 * (size_t)start[9];
    if (length >= sizeof header || fread(header, 1, length, file) != length)
        bench_die("the input has a strange header");
    const char *const shape = strstr(header, "'shape': (");
    if (!strstr(header, "'<f4'") || !strstr(header, "'fortran_order': False") || !shape ||
        sscanf(shape, "'shape': (%ld, %ld)", rows, cols) != 2)
        bench_die("the input is no float32 matrix in C order");
    const size_t count = (size_t)(*rows * *cols);
    float *const data = malloc(count * sizeof *data);
    if (!data || fread(data, sizeof *data, count, file) != count)
        bench_die("the input is too short");
    fclose(file);
    return data;
}

/** Writes a row-major float32 matrix as .npy. */
static inline void bench_npy_write(const char *path, const float *data, int64_t rows, int64_t cols)
{
    FILE *const file = fopen(path, "wb");
    char header[118];
    snprintf(header, sizeof header,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (%ld, %ld), }", (long)rows,
             (long)cols);
    const size_t count = (size_t)(rows * cols);
    if (!file) bench_die("cannot write");
    // Magic, version 1.0, header length 118 = 117 padded characters and a newline: 128 bytes in
    // all.
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fprintf(file, "%-117s\n", header);
    if (fwrite(data, sizeof *data, count, file) != count || fclose(file)) bench_die("cannot write");
}

#endif
