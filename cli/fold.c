// Folding names. A name is parts between dots; parts that are numbers are its places. Names alike
// have the same places and differ at some of them.
#include "fold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

enum { PLACES = 8, DIGITS = 9 };

// Length of the part that starts here, and whether it is a number we can hold.
static size_t part_length(const char *text, bool *is_number)
{
    const size_t length = strcspn(text, ".");
    *is_number = length > 0 && length <= DIGITS && strspn(text, "0123456789") >= length &&
                 !(length > 1 && text[0] == '0');
    return length;
}

bool fold_alike(const char *a, const char *b)
{
    for (;;) {
        bool number_a, number_b;
        const size_t length_a = part_length(a, &number_a);
        const size_t length_b = part_length(b, &number_b);
        const bool same = length_a == length_b && memcmp(a, b, length_a) == 0;
        if (!same && !(number_a && number_b)) return false;
        a += length_a;
        b += length_b;
        if (*a != *b) return false;
        if (*a == '\0') return true;
        a++;
        b++;
    }
}

// The numbers of a name; returns how many, at most PLACES.
static int numbers_of(const char *name, long numbers[PLACES])
{
    int count = 0;
    for (;;) {
        bool is_number;
        const size_t length = part_length(name, &is_number);
        if (is_number && count < PLACES) numbers[count++] = strtol(name, NULL, 10);
        if (name[length] == '\0') return count;
        name += length + 1;
    }
}

static int compare_longs(const void *a, const void *b)
{
    const long x = *(const long *)a;
    const long y = *(const long *)b;
    return (x > y) - (x < y);
}

// The different numbers at one place, ascending.
typedef struct number_set {
    long *numbers;
    int64_t count;
} number_set;

static number_set set_at(const char *const *names, int64_t count, int place)
{
    number_set set = { session_alloc((size_t)count, sizeof *set.numbers), 0 };
    for (int64_t i = 0; i < count; i++) {
        long numbers[PLACES] = { 0 };
        numbers_of(names[i], numbers);
        set.numbers[i] = numbers[place];
    }
    qsort(set.numbers, (size_t)count, sizeof *set.numbers, compare_longs);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || set.numbers[i] != set.numbers[set.count - 1])
            set.numbers[set.count++] = set.numbers[i];
    return set;
}

// "7", "{0..5}", "{0,2,4..6}"
static void put_set(FILE *stream, const number_set *set)
{
    if (set->count > 1) fputc('{', stream);
    for (int64_t i = 0; i < set->count; i++) {
        int64_t end = i;
        while (end + 1 < set->count && set->numbers[end + 1] == set->numbers[end] + 1)
            end++;
        fprintf(stream, "%s%ld", i > 0 ? "," : "", set->numbers[i]);
        if (end > i) fprintf(stream, "..%ld", set->numbers[end]);
        i = end;
    }
    if (set->count > 1) fputc('}', stream);
}

static char *folded_name(const char *name, const number_set *sets, int places)
{
    char *text = NULL;
    size_t length = 0;
    FILE *const stream = open_memstream(&text, &length);
    if (!stream) return NULL;
    for (int place = 0;;) {
        bool is_number;
        const size_t part = part_length(name, &is_number);
        if (is_number && place < places)
            put_set(stream, &sets[place++]);
        else
            fwrite(name, 1, part, stream);
        if (name[part] == '\0') break;
        fputc('.', stream);
        name += part + 1;
    }
    fclose(stream);
    return text;
}

// Folds all names if they are every combination of their numbers; NULL if not.
static char *fold_all(const char *const *names, int64_t count)
{
    number_set sets[PLACES] = { { NULL, 0 } };
    long first[PLACES];
    char *text = NULL;
    int64_t product = 1;
    const int places = numbers_of(names[0], first);
    for (int i = 0; i < places; i++) {
        sets[i] = set_at(names, count, i);
        product = product <= count ? product * sets[i].count : product;
    }
    if (product == count) text = folded_name(names[0], sets, places);
    for (int i = 0; i < places; i++)
        free(sets[i].numbers);
    return text;
}

// Moves the names that agree with the first in all numbers but the one at `place` to the front.
static int64_t gather(const char **names, int64_t count, int place)
{
    long first[PLACES] = { 0 };
    const int places = numbers_of(names[0], first);
    int64_t taken = 1;
    for (int64_t i = 1; i < count; i++) {
        long numbers[PLACES] = { 0 };
        bool same = true;
        numbers_of(names[i], numbers);
        for (int j = 0; j < places; j++)
            same = same && (j == place || numbers[j] == first[j]);
        if (!same) continue;
        const char *const name = names[i];
        memmove(names + taken + 1, names + taken, (size_t)(i - taken) * sizeof *names);
        names[taken++] = name;
    }
    return taken;
}

int64_t fold_names(char **out, const char **names, int64_t count)
{
    *out = NULL;
    if (count < 2) return count;
    *out = fold_all(names, count);
    if (*out) return count;
    long numbers[PLACES];
    for (int place = numbers_of(names[0], numbers) - 1; place >= 0; place--) {
        const int64_t taken = gather(names, count, place);
        if (taken > 1) *out = fold_all(names, taken);
        if (*out) return taken;
    }
    return 1;
}
