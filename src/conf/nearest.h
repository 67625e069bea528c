/*
 * "Did you mean": of some right words, the one nearest to a wrong one.
 */
#ifndef WEFT_CONF_NEAREST_H
#define WEFT_CONF_NEAREST_H

#define NEAREST_WORD_MAX 64 /* [bytes] no longer word is looked at */

/* A search; the words belong to the caller. */
struct nearest {
    const char *word;
    const char *best; /* NULL: none is near enough */
    unsigned distance;
};

void nearest_init(struct nearest *n, const char *word);

/** Compare one candidate. */
void nearest_try(struct nearest *n, const char *candidate);

#endif
