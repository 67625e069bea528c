/* The ring nodes that all copying of a process shares. */
#ifndef WEFT_IO_BUFFERS_H
#define WEFT_IO_BUFFERS_H

#include "base/attr.h"
#include "base/pool.h"

/** Make the pool, once a process, before any thread copies. Returns 0 or -ENOMEM. */
int io_buffers_init(void) WEFT_MUSTCHECK;

/** Free it, after the last copy. */
void io_buffers_free(void);

struct pool *io_buffers(void);

#endif
