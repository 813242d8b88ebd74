/**
 * Patterns as programs of a small machine that follows every way through the pattern at once
 * (Thompson 1968): one step for each byte of the name and each instruction, whatever the pattern.
 *
 * Jumps are relative to the instruction that makes them, so that a piece of program can be moved.
 */
#include "model/pattern.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { PROGRAM_MAX = 4096, DEPTH_MAX = 32, SET_BYTES = 32 };

typedef enum operation { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH } operation;

typedef struct instruction {
    operation op;
    int32_t x, y; /**< SPLIT: both ways; JUMP: x */
    uint8_t set[SET_BYTES]; /**< SET: the bytes it takes */
} instruction;

struct ecki_pattern {
    instruction *code;
    int32_t count;
    bool
        straight; /**< sets of bytes one after another, maybe `^` before and `$` behind: most are */
    bool anchored; /**< straight, with a `^` */
    int32_t first, length; /**< straight: where the sets are */
};

/** The compiler's place in the text. */
typedef struct compiler {
    const char *text, *at;
    ecki_pattern *pattern;
    int32_t depth;
    eck_error *err;
} compiler;

static eck_status compile_choice(compiler *c);

static eck_status refuse(const compiler *c, const char *what)
{
    char shown[200];
    ecki_name_escape(shown, sizeof shown, c->text);
    return ecki_error(c->err, ECK_E_UNSUPPORTED, c->at - c->text,
                      "pattern '%s': %s at character %lld is not understood", shown, what,
                      (long long)(c->at - c->text) + 1);
}

static void set_add(uint8_t *set, int first, int last)
{
    for (int b = first; b <= last; b++)
        set[b / 8] = (uint8_t)(set[b / 8] | (1u << (b % 8)));
}

static bool set_has(const uint8_t *set, unsigned char byte)
{
    return (set[byte / 8] >> (byte % 8)) & 1u;
}

/** Puts an instruction at `place`, moving what stands there. */
static eck_status insert(compiler *c, int32_t place, instruction one)
{
    ecki_pattern *p = c->pattern;
    if (p->count == PROGRAM_MAX) return refuse(c, "so long a pattern");
    memmove(p->code + place + 1, p->code + place, (size_t)(p->count - place) * sizeof one);
    p->code[place] = one;
    p->count++;
    return ECK_OK;
}

static eck_status append(compiler *c, instruction one)
{
    return insert(c, c->pattern->count, one);
}

/** \d, \w or an escaped character that is no letter or digit. */
static bool escaped_set(uint8_t *set, char letter)
{
    if (letter == 'd' || letter == 'w') set_add(set, '0', '9');
    if (letter == 'w') {
        set_add(set, 'a', 'z');
        set_add(set, 'A', 'Z');
        set_add(set, '_', '_');
    }
    if (letter == 'd' || letter == 'w') return true;
    const bool plain = letter > ' ' && letter < 0x7f && !(letter >= '0' && letter <= '9') &&
                       !(letter >= 'a' && letter <= 'z') && !(letter >= 'A' && letter <= 'Z');
    if (plain) set_add(set, letter, letter);
    return plain;
}

/** [abc], [0-9], [^x]; c->at stands on the '['. */
static eck_status compile_class(compiler *c)
{
    instruction one = { OP_SET, 0, 0, { 0 } };
    const char *at = c->at + 1;
    const bool negated = *at == '^';

    if (negated) at++;
    if (*at == ']') return refuse(c, "an empty class");
    for (; *at && *at != ']'; at++) {
        const unsigned char first = (unsigned char)*at;
        if (first == '\\') {
            if (!escaped_set(one.set, *++at)) return refuse(c, "a class");
            continue;
        }
        if (first >= 0x80 || first == '[') return refuse(c, "a class");
        if (at[1] != '-' || !at[2] || at[2] == ']') {
            set_add(one.set, first, first);
            continue;
        }
        const unsigned char last = (unsigned char)at[2];
        if (last < first || last >= 0x80 || last == '\\') return refuse(c, "a class");
        set_add(one.set, first, last);
        at += 2;
    }
    if (*at != ']') return refuse(c, "a class without end");
    for (int i = 0; negated && i < SET_BYTES; i++)
        one.set[i] = (uint8_t)~one.set[i];
    c->at = at + 1;
    return append(c, one);
}

static eck_status compile_group(compiler *c)
{
    eck_status status = ECK_OK;

    if (++c->depth > DEPTH_MAX) return refuse(c, "so deep a group");
    c->at++;
    if (c->at[0] == '?') {
        if (c->at[1] != ':') return refuse(c, "'(?'");
        c->at += 2;
    }
    ECK_TRY(compile_choice(c));
    if (*c->at != ')') return refuse(c, "a group without end");
    c->at++;
    c->depth--;
done:
    return status;
}

static eck_status compile_atom(compiler *c)
{
    instruction one = { OP_SET, 0, 0, { 0 } };
    const unsigned char byte = (unsigned char)*c->at;

    if (byte == '(') return compile_group(c);
    if (byte == '[') return compile_class(c);
    if (byte == '*' || byte == '+' || byte == '?' || byte == '{') return refuse(c, "a repetition");
    if (byte == '^') one.op = OP_BEGIN;
    if (byte == '$') one.op = OP_END;
    if (byte == '\\') {
        if (!escaped_set(one.set, *++c->at)) return refuse(c, "an escape");
    } else if (byte == '.') {
        set_add(one.set, 0, 255);
    } else if (one.op == OP_SET) {
        set_add(one.set, byte, byte);
    }
    c->at++;
    return append(c, one);
}

/** Puts the repetition that stands at c->at around the code from `start` on. */
static eck_status compile_repetition(compiler *c, int32_t start)
{
    eck_status status = ECK_OK;
    const char mark = *c->at;
    const int32_t length = c->pattern->count - start;

    if (mark == '*' || mark == '?') // split past the piece; for * the piece jumps back
        ECK_TRY(
            insert(c, start, (instruction){ OP_SPLIT, 1, length + (mark == '*' ? 2 : 1), { 0 } }));
    if (mark == '*') ECK_TRY(append(c, (instruction){ OP_JUMP, -(length + 1), 0, { 0 } }));
    if (mark == '+') ECK_TRY(append(c, (instruction){ OP_SPLIT, -length, 1, { 0 } }));
    c->at++;
    if (*c->at == '*' || *c->at == '+' || *c->at == '?' || *c->at == '{')
        return refuse(c, "a second repetition");
done:
    return status;
}

static eck_status compile_sequence(compiler *c)
{
    eck_status status = ECK_OK;

    while (*c->at && *c->at != '|' && *c->at != ')') {
        const int32_t start = c->pattern->count;
        ECK_TRY(compile_atom(c));
        if (*c->at == '*' || *c->at == '+' || *c->at == '?')
            ECK_TRY(compile_repetition(c, start));
        else if (*c->at == '{')
            return refuse(c, "a repetition");
    }
done:
    return status;
}

/** a|b: split to a or b; a jumps over b. */
static eck_status compile_choice(compiler *c)
{
    eck_status status = ECK_OK;
    const int32_t start = c->pattern->count;

    ECK_TRY(compile_sequence(c));
    if (*c->at != '|') goto done;
    c->at++;
    const int32_t length = c->pattern->count - start;
    ECK_TRY(insert(c, start, (instruction){ OP_SPLIT, 1, length + 2, { 0 } }));
    const int32_t jump = c->pattern->count;
    ECK_TRY(append(c, (instruction){ OP_JUMP, 0, 0, { 0 } }));
    ECK_TRY(compile_choice(c)); // as deep as PROGRAM_MAX allows: two instructions a level
    c->pattern->code[jump].x = c->pattern->count - jump;
done:
    return status;
}

/** Finds out whether the program has one way through only. */
static void find_straight(ecki_pattern *p)
{
    int32_t i = p->count > 0 && p->code[0].op == OP_BEGIN ? 1 : 0;

    p->anchored = i == 1;
    p->first = i;
    while (p->code[i].op == OP_SET)
        i++;
    p->length = i - p->first;
    if (p->code[i].op == OP_END) i++;
    p->straight = p->code[i].op == OP_MATCH;
}

/** A straight pattern has one place in the name where it can be: its end. */
static bool matches_straight(const ecki_pattern *p, const char *name)
{
    const int64_t start = (int64_t)strlen(name) - p->length;

    if (start < 0 || (start > 0 && (p->anchored || name[start - 1] != '.'))) return false;
    for (int32_t i = p->length - 1; i >= 0; i--)
        if (!set_has(p->code[p->first + i].set, (unsigned char)name[start + i])) return false;
    return true;
}

eck_status ecki_pattern_create(ecki_pattern **out, const char *text, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_pattern *pattern = NULL;

    ECK_ALLOC(pattern, 1);
    ECK_ALLOC(pattern->code, PROGRAM_MAX);
    compiler c = { text, text, pattern, 0, err };
    ECK_TRY(compile_choice(&c));
    if (*c.at) {
        status = refuse(&c, "')'");
        goto done;
    }
    ECK_TRY(append(&c, (instruction){ OP_MATCH, 0, 0, { 0 } }));
    find_straight(pattern);
    *out = pattern;
    pattern = NULL;
done:
    ecki_pattern_free(pattern);
    return status;
}

void ecki_pattern_free(ecki_pattern *pattern)
{
    if (!pattern) return;
    ecki_free(pattern->code);
    ecki_free(pattern);
}

/** The instructions waiting for the next byte; mark[i] == stamp: i is among them. */
typedef struct threads {
    int32_t *list, count;
} threads;

typedef struct run {
    const ecki_pattern *pattern;
    threads now, next;
    int32_t *mark, stamp, *stack;
    bool matched;
} run;

/** Adds an instruction and all that are reached from it without a byte. */
static void follow(run *r, threads *to, int32_t start, bool begin, bool end)
{
    int32_t depth = 0;

    r->stack[depth++] = start;
    while (depth > 0) {
        const int32_t i = r->stack[--depth];
        const instruction *one = &r->pattern->code[i];
        if (r->mark[i] == r->stamp) continue;
        r->mark[i] = r->stamp;
        switch (one->op) {
        case OP_SET:
            to->list[to->count++] = i;
            break;
        case OP_MATCH:
            r->matched = r->matched || end;
            break;
        case OP_SPLIT:
            r->stack[depth++] = i + one->y;
            r->stack[depth++] = i + one->x;
            break;
        case OP_JUMP:
            r->stack[depth++] = i + one->x;
            break;
        case OP_BEGIN:
            if (begin) r->stack[depth++] = i + 1;
            break;
        case OP_END:
            if (end) r->stack[depth++] = i + 1;
            break;
        }
    }
}

static eck_status run_init(run *r, const ecki_pattern *pattern, eck_error *err)
{
    eck_status status = ECK_OK;

    r->pattern = pattern;
    ECK_ALLOC(r->now.list, pattern->count);
    ECK_ALLOC(r->next.list, pattern->count);
    ECK_ALLOC(r->mark, pattern->count);
    ECK_ALLOC(r->stack, 2 * pattern->count + 2);
done:
    return status;
}

static void run_clear(run *r)
{
    ecki_free(r->now.list);
    ecki_free(r->next.list);
    ecki_free(r->mark);
    ecki_free(r->stack);
}

eck_status ecki_pattern_matches(bool *out, const ecki_pattern *pattern, const char *name,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    run r = { 0 };

    if (pattern->straight) {
        *out = matches_straight(pattern, name);
        return ECK_OK;
    }
    ECK_TRY(run_init(&r, pattern, err));
    r.stamp = 1;
    follow(&r, &r.now, 0, true, name[0] == '\0');
    for (const char *at = name; *at; at++) {
        r.stamp++;
        r.next.count = 0;
        for (int32_t i = 0; i < r.now.count; i++)
            if (set_has(pattern->code[r.now.list[i]].set, (unsigned char)*at))
                follow(&r, &r.next, r.now.list[i] + 1, false, at[1] == '\0');
        if (*at == '.') follow(&r, &r.next, 0, false, at[1] == '\0');
        const threads keep = r.now;
        r.now = r.next;
        r.next = keep;
    }
    *out = r.matched;
done:
    run_clear(&r);
    return status;
}

char *ecki_pattern_literal(const char *name)
{
    ecki_text text = { 0 };

    ecki_text_add(&text, "^", 1);
    for (const char *at = name; *at; at++) {
        if (strchr(".^$*+?()[]{}|\\", *at)) ecki_text_add(&text, "\\", 1);
        ecki_text_add(&text, at, 1);
    }
    return ecki_text_take(&text);
}
