/*
 * Lineups: the servers of a pool in a generation. A server that was in the generation before, under
 * the same name and at the same address, is the same one: its connections count, and whatever is
 * known of it holds.
 */
#ifndef WEFT_PROXY_LINEUP_H
#define WEFT_PROXY_LINEUP_H

#include "base/attr.h"
#include "conf/conf.h"
#include "upstream/balancer.h"

/**
 * Make the balancer of a pool, with the servers of the one before as far as it has them.
 *
 * `before`, `before_conf`: the pool of that name in the generation before; NULL: there was none.
 * Nothing of its servers changes. Returns 0 or -ENOMEM.
 */
int lineup_make(struct balancer *ret, const struct conf_pool *conf,
                struct balancer_position *position, const struct balancer *before,
                const struct conf_pool *before_conf) WEFT_MUSTCHECK;

/** Have the servers be as they are configured from here on. */
void lineup_apply(const struct balancer *b, const struct conf_pool *conf);

#endif
