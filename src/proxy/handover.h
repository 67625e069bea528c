/*
 * Handing new connections over: where the kernel gave a shard clearly more than its share, another
 * one takes the next. Two choices are enough: the shard itself and another one at random
 * (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996).
 */
#ifndef WEFT_PROXY_HANDOVER_H
#define WEFT_PROXY_HANDOVER_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/attr.h"
#include "proxy/proxy.h"
#include "proxy/shard.h"

/**
 * Give an accepted connection to another shard that has clearly less to do.
 *
 * Returns whether one took it: the connection and its places at the gates are then that shard's.
 * Thread: the shard's.
 */
bool handover(struct shard *shard, struct proxy_listener *listener, int fd,
              const struct addr *peer) WEFT_MUSTCHECK;

#endif
