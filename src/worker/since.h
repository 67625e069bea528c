/* When a process was started, by the kernel's account: it outlives an exec. */
#ifndef WEFT_WORKER_SINCE_H
#define WEFT_WORKER_SINCE_H

#include <stdint.h>
#include <sys/types.h>

/** Returns when it was [monotonic ns], to a hundredth of a second, or now where the kernel does not
 * say. */
int64_t since_started(pid_t pid);

#endif
