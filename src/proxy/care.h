/*
 * Care: what is done for the servers of the generation in effect, by the control thread alone and
 * so once in the process. Servers that were left alone are used again, and that is said.
 */
#ifndef WEFT_PROXY_CARE_H
#define WEFT_PROXY_CARE_H

#include "fiber/fiber.h"
#include "proxy/proxy.h"

struct care {
    struct proxy *proxy;  /* the generation in effect, not owned; NULL: none yet */
    struct fiber *tender; /* owned; NULL: not started */
};

/** Care for the servers of a generation, and no more for those of another one. Thread: control, or
 * before it runs. */
void care_take(struct care *c, struct proxy *p);

/** Begin. Thread: control, a fiber. */
void care_start(struct care *c);

/** End. Yields. Thread: control, a fiber. */
void care_stop(struct care *c);

#endif
