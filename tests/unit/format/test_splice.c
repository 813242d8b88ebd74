// A file with spans replaced: lengths of the messages around a change follow it, everything else stays, holes lie where
// they are said to lie.
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/splice.h"

typedef struct collected {
    char bytes[4096];
    int64_t end;
} collected;

static eck_status collect(void *self, int64_t offset, const void *bytes, int64_t count,
                          eck_error *err)
{
    collected *c = self;
    (void)err;
    assert_true(offset + count <= (int64_t)sizeof c->bytes);
    memcpy(c->bytes + offset, bytes, (size_t)count);
    if (offset + count > c->end) c->end = offset + count;
    return ECK_OK;
}

// "head", then a message of field 1 that holds field 2 of `inner` letters, then "tail".
static ecki_file nested(int64_t inner, ecki_frame frames[3])
{
    ecki_text deep = { 0 }, message = { 0 }, whole = { 0 };
    char letters[200];
    memset(letters, 'i', sizeof letters);
    ecki_put_bytes(&deep, 2, letters, inner);
    ecki_put_bytes(&message, 1, deep.data, deep.length);
    ecki_text_add(&whole, "head", 4);
    ecki_text_add(&whole, message.data, message.length);
    ecki_text_add(&whole, "tail", 4);
    const int64_t first = 4 + message.length - deep.length, second = first + deep.length - inner;
    frames[0] = (ecki_frame){ -1, { 0, whole.length }, -1 };
    frames[1] = (ecki_frame){ 5, { first, first + deep.length }, 0 };
    frames[2] = (ecki_frame){ first + 1, { second, second + inner }, 1 };
    ecki_file file = {
        .name = ecki_strdup("m"), .path = ecki_strdup("m"), .descriptor = -1, .size = whole.length
    };
    file.memory = ecki_malloc(whole.length, 1);
    memcpy(file.memory, whole.data, (size_t)whole.length);
    ecki_text_clear(&deep);
    ecki_text_clear(&message);
    ecki_text_clear(&whole);
    return file;
}

// Replaces one letter by `more` bytes and a hole; the output must be what nested() would have made of it.
static void grow_by(int64_t inner, int64_t more, int64_t hole)
{
    eck_error err = ECK_ERROR_INIT;
    ecki_frame frames[3], wanted_frames[3];
    ecki_file file = nested(inner, frames), wanted = nested(inner - 1 + more + hole, wanted_frames);
    ecki_splice *splice;
    collected found = { .end = 0 };
    int64_t size;
    char letters[200];
    memset(letters, 'i', sizeof letters);
    const ecki_span letter = { frames[2].content.begin, frames[2].content.begin + 1 };
    assert_int_equal(ecki_splice_create(&splice, &file, frames, 3, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 2, letter, &err), ECK_OK);
    assert_int_equal(ecki_splice_hole(splice, hole, &err), ECK_OK);
    assert_int_equal(ecki_splice_add(splice, letters, more, &err), ECK_OK);
    assert_int_equal(ecki_splice_lay_out(&size, splice, &err), ECK_OK);
    assert_int_equal(size, wanted.size);
    assert_int_equal(ecki_splice_place(splice, 0), wanted_frames[2].content.begin);
    memset(found.bytes, 'i', sizeof found.bytes);
    assert_int_equal(ecki_splice_emit(splice, collect, &found, &err), ECK_OK);
    assert_int_equal(found.end, size);
    assert_memory_equal(found.bytes, wanted.memory, (size_t)size);
    ecki_splice_free(splice);
    ecki_input_close(&file);
    ecki_input_close(&wanted);
}

static void test_lengths_follow(void **state)
{
    (void)state;
    grow_by(10, 3, 5);
    grow_by(10, 1, 0); // the same size: no length is touched
    grow_by(10, 0, 0); // shrinks
    grow_by(120, 4, 7); // the lengths need a second byte
    grow_by(126, 2, 1);
    grow_by(130, 0, 0);
    grow_by(128, 0, 0); // and lose one
}

static void test_nothing_changed(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    ecki_frame frames[3];
    ecki_file file = nested(7, frames);
    ecki_splice *splice;
    collected found = { .end = 0 };
    int64_t size;
    assert_int_equal(ecki_splice_create(&splice, &file, frames, 3, &err), ECK_OK);
    assert_int_equal(ecki_splice_lay_out(&size, splice, &err), ECK_OK);
    assert_int_equal(ecki_splice_emit(splice, collect, &found, &err), ECK_OK);
    assert_int_equal(size, file.size);
    assert_memory_equal(found.bytes, file.memory, (size_t)size);
    ecki_splice_free(splice);
    ecki_input_close(&file);
}

static void test_order_and_overlap(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    ecki_frame frames[3];
    ecki_file file = nested(7, frames);
    ecki_splice *splice;
    collected found = { .end = 0 };
    int64_t size;
    assert_int_equal(ecki_splice_create(&splice, &file, frames, 3, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ file.size, file.size }, &err), ECK_OK);
    assert_int_equal(ecki_splice_add(splice, "1", 1, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ 0, 4 }, &err), ECK_OK);
    assert_int_equal(ecki_splice_add(splice, "H", 1, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ file.size, file.size }, &err), ECK_OK);
    assert_int_equal(ecki_splice_add(splice, "2", 1, &err), ECK_OK);
    // before what is replaced there, although it was said later
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ 0, 0 }, &err), ECK_OK);
    assert_int_equal(ecki_splice_add(splice, ">", 1, &err), ECK_OK);
    assert_int_equal(ecki_splice_lay_out(&size, splice, &err), ECK_OK);
    assert_int_equal(ecki_splice_emit(splice, collect, &found, &err), ECK_OK);
    assert_int_equal(size, file.size);
    assert_memory_equal(found.bytes, ">H", 2);
    assert_memory_equal(found.bytes + size - 6, "tail12", 6);
    ecki_splice_free(splice);
    assert_int_equal(ecki_splice_create(&splice, &file, frames, 3, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ 0, 4 }, &err), ECK_OK);
    assert_int_equal(ecki_splice_cut(splice, 0, (ecki_span){ 3, 4 }, &err), ECK_OK);
    assert_int_equal(ecki_splice_lay_out(&size, splice, &err), ECK_E_FORMAT);
    ecki_splice_free(splice);
    ecki_input_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_follow),
        cmocka_unit_test(test_nothing_changed),
        cmocka_unit_test(test_order_and_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
