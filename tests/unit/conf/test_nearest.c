#include "conf/nearest.h"

#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "unit.h"

static const char *nearest_of(const char *word, const char *const *words, size_t count)
{
    struct nearest n;
    nearest_init(&n, word);
    for (size_t i = 0; i < count; i++)
        nearest_try(&n, words[i]);
    return n.best;
}

START_TEST(the_nearest_word_is_found)
{
    static const char *const words[] = {
        "idle_timeout", "half_close_timeout", "bind", "backlog", "pool", "web"};
    static const struct {
        const char *word, *best;
    } cases[] = {
        {"idle_timout", "idle_timeout"},   /* one left out */
        {"idle_timeoutt", "idle_timeout"}, /* one too many */
        {"idle-timeout", "idle_timeout"},  /* one wrong */
        {"dile_timeout", "idle_timeout"},  /* two swapped */
        {"IDLE_TIMEOUT", "idle_timeout"},  /* case */
        {"idletimout", "idle_timeout"},
        {"half_closed_timeout", "half_close_timeout"},
        {"bin", "bind"},
        {"back_log", "backlog"},
        {"wbe", "web"},
        {"x", NULL},
        {"xy", NULL},
        {"", NULL},
        {"frontend", NULL},
        {"timeout", NULL},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        const char *best = nearest_of(cases[i].word, words, array_size(words));
        if (cases[i].best == NULL)
            ck_assert_msg(best == NULL, "%s: %s", cases[i].word, best);
        else
            ck_assert_msg(best != NULL && strcmp(best, cases[i].best) == 0, "%s: %s", cases[i].word,
                          best);
    }
}
END_TEST

START_TEST(the_first_of_two_equally_near_ones)
{
    static const char *const words[] = {"abcx", "abcy"};
    ck_assert_str_eq(nearest_of("abcz", words, array_size(words)), "abcx");
}
END_TEST

START_TEST(very_long_words_are_left_alone)
{
    char longest[NEAREST_WORD_MAX + 1], longer[NEAREST_WORD_MAX + 2];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_ptr_eq(nearest_of(longest, (const char *const[]){longest}, 1), longest);
    ck_assert_ptr_null(nearest_of(longest, (const char *const[]){longer}, 1));
    ck_assert_ptr_null(nearest_of(longer, (const char *const[]){longest}, 1));
}
END_TEST

UNIT_MAIN("nearest", the_nearest_word_is_found, the_first_of_two_equally_near_ones,
          very_long_words_are_left_alone)
