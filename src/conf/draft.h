/*
 * A configuration in the making, from a file or from the command line: its memory, its faults and
 * what must be unique in it.
 */
#ifndef WEFT_CONF_DRAFT_H
#define WEFT_CONF_DRAFT_H

#include "base/attr.h"
#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/names.h"
#include "conf/schema.h"

struct draft {
    struct conf *conf;          /* owned until draft_finish(); defaults filled in */
    struct arena *arena;        /* the configuration's */
    struct conf_faults *faults; /* owned until draft_finish() */
    struct names binds;         /* every address that is listened on */
};

/** Returns false when there is no memory; draft_finish() is then still due. */
bool draft_begin(struct draft *d) WEFT_MUSTCHECK;

/**
 * End the making: with the configuration where no fault was noted, else with the faults.
 *
 * Returns and owns as conf_load().
 */
int draft_finish(struct draft *d, const struct conf **ret,
                 struct conf_faults **ret_faults) WEFT_MUSTCHECK;

/** Memory that lives as long as the configuration. Returns NULL with the lack of it noted. */
void *draft_alloc(struct draft *d, size_t n) WEFT_MUSTCHECK;
char *draft_copy(struct draft *d, const char *text) WEFT_MUSTCHECK;

/** Begin a listener or a pool, whose place `into` is: its name, its mark and its defaults. */
void draft_element(struct draft *d, const struct schema_group *g, const char *name,
                   const struct conf_mark *mark, void *into);

/**
 * Enter the name of a `what` into an index.
 *
 * Returns whether it was new; where it was not, a fault names both places.
 */
bool draft_unique(struct draft *d, struct names *in, const char *what, const char *text,
                  const struct conf_mark *mark);

/** Read an address to listen on. Returns false with a fault noted. May block in the resolver. */
bool draft_bind(struct draft *d, const char *text, const struct conf_mark *mark,
                struct conf_address *ret);

/** Read the address of a server. Returns false with a fault noted. May block in the resolver. */
bool draft_server_address(struct draft *d, const char *text, const struct conf_mark *mark,
                          struct conf_address *ret);

/**
 * Name a server after its address where it has no name, and enter it among its pool's servers.
 * `mark` is where its name or else its address stands.
 */
void draft_server_name(struct draft *d, struct names *in, struct conf_server *s,
                       const struct conf_mark *mark);

#endif
