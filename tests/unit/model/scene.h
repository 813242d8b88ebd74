/**
 * What the tests of src/model do again and again with the library: a made model in a folder, a plan for it, an output.
 */
#ifndef SCENE_H
#define SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eckart/model.h"
#include "fixture.h"

/** Fails the test with the message of a call that fails; `err_` is the call's error. */
#define OK(call) \
    do { \
        eck_error problem = ECK_ERROR_INIT, *const err_ = &problem; \
        if ((call) != ECK_OK) fail_msg("%s: %s", #call, problem.message); \
    } while (0)

/** Fails the test unless the call gives the status and a message with `part`. */
#define REFUSED(code, part, call) \
    do { \
        eck_error problem = ECK_ERROR_INIT, *const err_ = &problem; \
        const eck_status got = (call); \
        if (got != (code) || !strstr(problem.message, part)) \
            fail_msg("%s: status %d, \"%s\"; wanted %d and \"%s\"", #call, (int)got, \
                     problem.message, (int)(code), part); \
    } while (0)

/** Linear, linear with bias, convolution, embedding, norm: eight tensors, three layers that may be factored. */
extern const fixture_tensor scene_tensors[];

/** A folder with the made model in it, and names beside it. */
typedef struct scene {
    char *folder, *in, *out;
} scene;

/** directory: a Hugging Face directory with files that are carried and files that are not; else one file. */
scene scene_make(bool directory);
void scene_remove(scene *s);

eck_model *scene_open(const char *path);

/** A plan that keeps this part of the parameters, without a cache. Owned by the caller. */
eck_plan *scene_plan(const eck_model *model, double keep);

/** Compresses s->in to out. */
void scene_compress(const scene *s, double keep, int32_t threads, const char *out);

/** What verify says of out. Owned by the caller. */
eck_verdict scene_verify(const scene *s, const char *out);

#endif
