// Names from untrusted files: what is let through, and what is shown of the rest.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

// One code point encoded by the definition, also where UTF-8 forbids it; returns its bytes.
static int encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    const int length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00 >> length & 0xff) | point);
    return length;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x120000; point++) {
        char bytes[4];
        const int length = encode(point, bytes);
        const bool valid = point != 0 && point < 0x110000 && !(point >= 0xd800 && point < 0xe000);
        if (ecki_utf8_valid(bytes, length) != valid) fail_msg("U+%04X", (unsigned)point);
        const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
        if (ecki_name_valid(bytes, length) != (valid && !control))
            fail_msg("U+%04X as a name", (unsigned)point);
        if (length > 1 && ecki_utf8_valid(bytes, length - 1))
            fail_msg("U+%04X cut", (unsigned)point);
    }
}

static void bad_utf8(void **state)
{
    (void)state;
    const char *const bad[] = { "\x80",
                                "\xc0\x80",
                                "\xc1\xbf",
                                "\xe0\x80\x80",
                                "\xe0\x9f\xbf",
                                "\xf0\x80\x80\x80",
                                "\xf0\x8f\xbf\xbf",
                                "\xed\xa0\x80",
                                "\xf4\x90\x80\x80",
                                "\xf8\x88\x80\x80\x80",
                                "\xff",
                                "a\xc3",
                                "\xc3(",
                                "\xe2\x28\xa1" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ecki_utf8_valid(bad[i], (int64_t)strlen(bad[i])));
    assert_true(ecki_utf8_valid("", 0));
    assert_false(ecki_utf8_valid("a\0b", 3));
}

static void name_lengths(void **state)
{
    (void)state;
    char name[1025];
    memset(name, 'w', sizeof name);
    assert_false(ecki_name_valid(name, 0));
    assert_true(ecki_name_valid(name, 1));
    assert_true(ecki_name_valid(name, 1024));
    assert_false(ecki_name_valid(name, 1025));
}

static void shown(const char *name, int64_t room, const char *wanted)
{
    char out[64];
    memset(out, '#', sizeof out);
    ecki_name_escape(out, room, name);
    assert_string_equal(out, wanted);
    for (size_t i = (size_t)room; i < sizeof out; i++)
        assert_int_equal(out[i], '#');
}

static void escapes(void **state)
{
    (void)state;
    shown("plain.name-1", 40, "plain.name-1");
    shown("caf\xc3\xa9", 40, "caf\xc3\xa9");
    shown("a\x1b[31mb", 40, "a\\x1b[31mb");
    shown("a\nb\x7f", 40, "a\\x0ab\\x7f");
    shown("\xc2\x85", 40, "\\u{0085}");
    shown("\xe2\x80\xae"
          "fdp.exe",
          40, "\\u{202e}fdp.exe");
    shown("\xe2\x81\xa6", 40, "\\u{2066}");
    shown("bad\xff\xc3", 40, "bad\\xff\\xc3");
}

static void shortens(void **state)
{
    (void)state;
    shown("abcdefghij", 11, "abcdefghij");
    shown("abcdefghij", 10, "abc...hij");
    shown("abcdefghij", 5, "...j");
    shown("abcdefghij", 4, "...");
    shown("abcdefghij", 3, "");
    shown("abcdefghij", 1, "");
    // Never half of an escape or a character.
    shown("\x01\x01\x01\x01", 12, "\\x01...\\x01");
    shown("\x01\x01\x01\x01", 11, "...\\x01");
    shown("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 10, "\xe2\x82\xac...\xe2\x82\xac");
}

// Whatever the bytes and the room: ends with NUL in the room, is valid UTF-8 and has no control
// characters.
static void every_room(void **state)
{
    (void)state;
    char name[64];
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        const int length = round % 63;
        for (int i = 0; i < length; i++) {
            seed = seed * 1664525 + 1013904223;
            name[i] = (char)(seed >> 24 ? seed >> 24 : 1);
        }
        name[length] = '\0';
        const int64_t room = 1 + round % 40;
        char *const out = ecki_malloc(room, 1); // the sanitizers watch its end
        ecki_name_escape(out, room, name);
        const int64_t got = (int64_t)strlen(out);
        assert_true(got < room);
        assert_true(ecki_utf8_valid(out, got));
        assert_true(got == 0 || ecki_name_valid(out, got));
        ecki_free(out);
    }
}

static void components(void **state)
{
    (void)state;
    const char *const good[] = {
        "model-00001-of-00002.safetensors", "a", "a b", "ab:c", "1:", "caf\xc3\xa9", "a..b", "a."
    };
    const char *const bad[] = { "",   ".",   "..",    ".hidden", "a/b",  "/a",   "a\\b",
                                "C:", "c:x", "Z:\\x", "a\nb",    "\xff", "a\x7f" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(ecki_component_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ecki_component_valid(bad[i]));
    char name[257];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    assert_true(ecki_component_valid(name));
    name[255] = 'n';
    name[256] = '\0';
    assert_false(ecki_component_valid(name));
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        { "", "", true },
        { "", "a", false },
        { "*", "", true },
        { "*", "a.b.c", true },
        { "a", "a", true },
        { "a", "ab", false },
        { "a*", "a.b", true },
        { "*.weight", "layer.0.weight", true },
        { "*.weight", "layer.0.weight2", false },
        { "h.?.attn", "h.3.attn", true },
        { "h.?.attn", "h.31.attn", false },
        { "h.[0-3].*", "h.2.mlp", true },
        { "h.[0-3].*", "h.4.mlp", false },
        { "h.[!0-3].*", "h.4.mlp", true },
        { "h.[!0-3].*", "h.1.mlp", false },
        { "[]]", "]", true },
        { "[]a]", "a", true },
        { "[!]]", "]", false },
        { "[!]]", "x", true },
        { "[a-]", "-", true },
        { "[a", "[a", true },
        { "[a", "a", false },
        { "[*]", "*", true },
        { "[*]", "x", false },
        { "[", "[", true },
        { "a*b*c", "aXbYbZc", true },
        { "a*b*c", "aXbYbZ", false },
        { "**a**", "a", true },
        { "*?", "", false },
        { "*?", "a", true },
        { "?*?", "ab", true },
        { "?*?", "a", false },
        { "*ab", "aab", true },
        { "*aab", "aaab", true },
        { "a?", "a", false },
        { "[z-a]", "m", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (ecki_glob(cases[i].pattern, cases[i].name) != cases[i].matches)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].name);
}

// The definition, by recursion: what ecki_glob must agree with on every short pattern and name.
static bool glob_by_definition(const char *pattern, const char *name)
{
    if (!*pattern) return !*name;
    if (*pattern == '*')
        return glob_by_definition(pattern + 1, name) ||
               (*name && glob_by_definition(pattern, name + 1));
    return *name && (*pattern == '?' || *pattern == *name) &&
           glob_by_definition(pattern + 1, name + 1);
}

// The number written with the digits of an alphabet.
static void spell(int number, const char *alphabet, char *out)
{
    const int base = (int)strlen(alphabet);
    for (; number > 0; number = (number - 1) / base)
        *out++ = alphabet[(number - 1) % base];
    *out = '\0';
}

static void every_short_glob(void **state)
{
    (void)state;
    for (int p = 0; p < 1365; p++) { // all of at most five letters
        for (int n = 0; n < 127; n++) { // all of at most six
            char pattern[8], name[8];
            spell(p, "ab*?", pattern);
            spell(n, "ab", name);
            if (ecki_glob(pattern, name) != glob_by_definition(pattern, name))
                fail_msg("'%s' on '%s'", pattern, name);
        }
    }
}

static void hostile_glob_ends(void **state)
{
    (void)state;
    // A recursive matcher needs 2^20 steps and more for this one.
    char pattern[64], name[2001];
    for (int i = 0; i < 20; i++)
        memcpy(pattern + 2 * i, "*a", 3);
    memcpy(pattern + 40, "*b", 3);
    memset(name, 'a', 2000);
    name[2000] = '\0';
    assert_false(ecki_glob(pattern, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point), cmocka_unit_test(bad_utf8),
        cmocka_unit_test(name_lengths),     cmocka_unit_test(escapes),
        cmocka_unit_test(shortens),         cmocka_unit_test(every_room),
        cmocka_unit_test(components),       cmocka_unit_test(globs),
        cmocka_unit_test(every_short_glob), cmocka_unit_test(hostile_glob_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
