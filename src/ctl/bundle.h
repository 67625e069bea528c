/*
 * Bundles: the files of a configuration as somebody has read them, to be passed on as one
 * descriptor. Whoever gets it reads the same, wherever the files are by then and whoever may read
 * them.
 *
 *      {"path": "weft.yaml", "content": "...",
 *       "included": {"conf.d/?.yaml": [{"path": "conf.d/a.yaml", "content": "..."},
 *                                      {"path": "conf.d/b.yaml", "error": 13}]}}
 */
#ifndef WEFT_CTL_BUNDLE_H
#define WEFT_CTL_BUNDLE_H

#include <jansson.h>

#include "base/attr.h"
#include "base/expand.h"

struct bundle {
    json_t *root; /* owned */
};

/**
 * Begin one with the main file, which `fd` is open on.
 *
 * Returns 0 with a descriptor in `*ret_fd` to read the file from, which the caller closes; or
 * -errno. `fd` stays the caller's.
 */
int bundle_begin(struct bundle *b, const char *path, int fd, int *ret_fd) WEFT_MUSTCHECK;

/** As expand_open(), and put into the bundle, the first argument, what was handed out. */
int bundle_record(void *bundle, const char *pattern, expand_fn *take, void *taker) WEFT_MUSTCHECK;

/** Write it to memory that nobody can change any more. Returns a descriptor, which the caller owns,
 * or -errno. */
int bundle_pack(const struct bundle *b) WEFT_MUSTCHECK;

/** Read one from a descriptor, which stays the caller's. May take long. Returns 0; -EPROTO for what
 * is none; or another -errno. */
int bundle_unpack(struct bundle *b, int fd) WEFT_MUSTCHECK;

const char *bundle_path(const struct bundle *b);

/** Returns a descriptor to read the main file from, which the caller owns, or -errno. */
int bundle_open(const struct bundle *b) WEFT_MUSTCHECK;

/** As expand_open() was when the bundle, the first argument, was made. */
int bundle_replay(void *bundle, const char *pattern, expand_fn *take, void *taker) WEFT_MUSTCHECK;

/** Fine on one that was not begun. */
void bundle_free(struct bundle *b);

#endif
