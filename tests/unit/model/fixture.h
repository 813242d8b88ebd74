/**
 * Small models on disk for the tests of src/model: a fresh folder, and safetensors files written by a few lines of
 * their own, so that what the library writes is never the only thing it is tested on.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdint.h>

/** One tensor of a made file: F32, values from a fixed pseudo-random sequence, scaled by rank-revealing decay. */
typedef struct fixture_tensor {
    const char *name;
    int32_t ndim;
    int64_t shape[4];
} fixture_tensor;

/** Makes a fresh folder; the path is owned by the caller, free(). */
char *fixture_folder(void);

/** Removes it with all it holds. */
void fixture_remove(char *folder);

/** `<folder>/<name>`, owned by the caller, free(). */
char *fixture_path(const char *folder, const char *name);

/** Writes F32 tensors; those of two and more dimensions have decaying spectra. Ends at an entry without a name. */
void fixture_safetensors(const char *path, const fixture_tensor *tensors);

/** The values fixture_safetensors() gives tensor `index`; owned by the caller, free(). */
float *fixture_values(const fixture_tensor *tensors, int index);

void fixture_text(const char *path, const char *text);

/** Whole content, owned by the caller, free(). */
char *fixture_read(const char *path, int64_t *length_out);

#endif
