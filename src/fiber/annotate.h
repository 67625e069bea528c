/*
 * What AddressSanitizer, ThreadSanitizer and valgrind have to be told about fibers. Everything here
 * is nothing in a plain build.
 */
#ifndef WEFT_FIBER_ANNOTATE_H
#define WEFT_FIBER_ANNOTATE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(WEFT_DEBUG) && defined(HAVE_VALGRIND_VALGRIND_H)
#include <valgrind/valgrind.h>
#define FIBER_VALGRIND 1
#endif

/* A stack as a sanitizer sees it: a fiber's, or the loop's. */
struct annotate_stack {
    const void *low; /* its lowest byte */
    size_t size;     /* [bytes] */
    void *thread;    /* ThreadSanitizer's record of what runs on it */
};

/* Before a switch to `to`. `fake` keeps ASan's fake stack of the one that is left, NULL: it is left
 * for good. Always inlined: ThreadSanitizer would record its end on the other fiber. */
__attribute__((always_inline)) static inline void annotate_leave(void **fake,
                                                                 const struct annotate_stack *to)
{
    (void)fake;
    (void)to;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(fake, to->low, to->size);
#endif
#ifdef FIBER_TSAN
    __tsan_switch_to_fiber(to->thread, 0);
#endif
}

/* After a switch, on the stack that goes on. `fake` is what its annotate_leave() kept, NULL at its
 * beginning; `ret_from` (may be NULL) learns where the stack lies that was left. */
static inline void annotate_arrive(void *fake, struct annotate_stack *ret_from)
{
    (void)fake;
    (void)ret_from;
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake, ret_from ? &ret_from->low : NULL,
                                    ret_from ? &ret_from->size : NULL);
#endif
}

/* The record of a context that begins on a stack; NULL where nobody wants one. */
static inline void *annotate_thread_new(const char *name)
{
    (void)name;
#ifdef FIBER_TSAN
    void *thread = __tsan_create_fiber(0);
    __tsan_set_fiber_name(thread, name);
    return thread;
#else
    return NULL;
#endif
}

static inline void annotate_thread_free(void *thread)
{
    (void)thread;
#ifdef FIBER_TSAN
    __tsan_destroy_fiber(thread);
#endif
}

static inline void *annotate_thread_self(void)
{
#ifdef FIBER_TSAN
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

/* Frames that were abandoned on a stack leave poison behind. */
static inline void annotate_stack_reset(void *stack, size_t size)
{
    (void)stack;
    (void)size;
#ifdef FIBER_ASAN
    __asan_unpoison_memory_region(stack, size);
#endif
}

#endif
