// SHA-256 against the vectors of FIPS 180-4 and its examples.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

static void digest(const char *bytes, int64_t count, int64_t piece, char hex_out[ECKI_HASH_HEX])
{
    ecki_hash *hash = NULL;
    assert_int_equal(ecki_hash_create(&hash, NULL), ECK_OK);
    for (int64_t i = 0; i < count; i += piece)
        ecki_hash_add(hash, bytes + i, piece < count - i ? piece : count - i);
    ecki_hash_hex(hash, hex_out);
    ecki_hash_free(hash);
}

static void known_answers(void **state)
{
    (void)state;
    static char million[1000000];
    memset(million, 'a', sizeof million);
    char hex[ECKI_HASH_HEX];
    digest("", 0, 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest("abc", 3, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest(million, sizeof million, 4093, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_do_not_matter(void **state)
{
    (void)state;
    const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char hex[ECKI_HASH_HEX];
    for (int64_t piece = 1; piece <= 56; piece++) {
        digest(text, 56, piece, hex);
        assert_string_equal(hex,
                            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

static void nothing_is_left(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    ecki_hash *hash = NULL;
    assert_int_equal(ecki_hash_create(&hash, NULL), ECK_OK);
    assert_true(ecki_memory_now() > before);
    ecki_hash_free(hash);
    ecki_hash_free(NULL);
    assert_true(ecki_memory_now() == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
