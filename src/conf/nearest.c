#include "conf/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

void nearest_init(struct nearest *n, const char *word)
{
    /* One slip in three letters: more would suggest words that share nothing. */
    size_t length = strlen(word);
    size_t slips = length < 2 ? 0 : (length + 2) / 3;
    *n = (struct nearest){.word = word, .distance = (unsigned)(slips < 4 ? slips : 4) + 1};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * Optimal string alignment distance: insert, delete, replace, and swap of two neighbours, each 1
 * (Damerau 1964; the row-by-row method of Wagner and Fischer 1974). Case does not count.
 */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned char rows[3][NEAREST_WORD_MAX + 1];
    unsigned char *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned char)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned char *oldest = before;
        before = above, above = row, row = oldest;
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned d = least(above[j] + 1, row[j - 1] + 1,
                               above[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                d = least(d, before[j - 2] + 1, d);
            row[j] = (unsigned char)d;
        }
    }
    return row[b_len];
}

void nearest_try(struct nearest *n, const char *candidate)
{
    size_t a = strlen(n->word), b = strlen(candidate);
    size_t apart = a > b ? a - b : b - a;
    if (a > NEAREST_WORD_MAX || b > NEAREST_WORD_MAX || apart >= n->distance)
        return;
    unsigned d = distance(n->word, a, candidate, b);
    if (d < n->distance) {
        n->distance = d;
        n->best = candidate;
    }
}
