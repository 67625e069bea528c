/* Compiler attributes, spelt once. */
#ifndef WEFT_BASE_ATTR_H
#define WEFT_BASE_ATTR_H

#include <stddef.h>

#define WEFT_MUSTCHECK    __attribute__((warn_unused_result))
#define WEFT_NORETURN     __attribute__((noreturn))
#define WEFT_NOINLINE     __attribute__((noinline))
#define WEFT_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define WEFT_CACHE_LINE 64 /* [bytes] what two threads must not share */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define array_size(a) (sizeof(a) / sizeof((a)[0]))

/** The structure of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
