// Edit distance with neighbours swapped (optimal string alignment), for suggestions.
#include "nearest.h"

#include <stdbool.h>
#include <string.h>

enum { LONGEST = 64 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

// d[i][j] = distance of the first i characters of a and the first j of b; three rows are kept.
static int distance(const char *a, const char *b)
{
    int rows[3][LONGEST + 1];
    const int length_a = (int)strlen(a);
    const int length_b = (int)strlen(b);
    if (length_a > LONGEST || length_b > LONGEST) return LONGEST;
    for (int i = 0; i <= length_a; i++) {
        int *const row = rows[i % 3];
        const int *const above = rows[(i + 2) % 3];
        const int *const second = rows[(i + 1) % 3];
        for (int j = 0; j <= length_b; j++) {
            if (i == 0 || j == 0) {
                row[j] = i + j;
                continue;
            }
            const int change = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = least(row[j], second[j - 2] + 1);
        }
    }
    return rows[length_a % 3][length_b];
}

void nearest_try(nearest *search, const char *candidate)
{
    const int longest = (int)strlen(search->word) > (int)strlen(candidate)
                            ? (int)strlen(search->word)
                            : (int)strlen(candidate);
    // A third of the letters may be wrong; the beginning of a word counts as near.
    const size_t typed = strlen(search->word);
    const bool begins = typed >= 3 && strncmp(candidate, search->word, typed) == 0;
    const int found = begins ? 1 : distance(search->word, candidate);
    if (found > (longest + 2) / 3 || found >= longest ||
        (search->best && found >= search->distance))
        return;
    search->best = candidate;
    search->distance = found;
}
