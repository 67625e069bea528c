/*
 * An allocator that counts and that can be told to fail, for a program linked with
 * COUNTED_ALLOC. To be included once.
 */
#ifndef WEFT_UNIT_ALLOC_H
#define WEFT_UNIT_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static atomic_long alloc_live;   /* blocks allocated by the code under test and not freed */
static atomic_long alloc_budget; /* allocations that may still succeed, while alloc_limited */
static atomic_bool alloc_limited;

/* Let `n` more allocations succeed and all others fail; -1: no limit. */
static inline void alloc_limit(long n)
{
    atomic_store(&alloc_budget, n);
    atomic_store(&alloc_limited, n >= 0);
}

static inline bool alloc_refused(void)
{
    return atomic_load(&alloc_limited) && atomic_fetch_sub(&alloc_budget, 1) <= 0;
}

static inline void *alloc_counted(void *p)
{
    if (p != NULL)
        atomic_fetch_add(&alloc_live, 1);
    return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
void __real_free(void *p);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);

void *__wrap_malloc(size_t n)
{
    return alloc_refused() ? NULL : alloc_counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return alloc_refused() ? NULL : alloc_counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (alloc_refused())
        return NULL;
    void *q = __real_realloc(p, n);
    return p == NULL ? alloc_counted(q) : q;
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return alloc_refused() ? NULL : alloc_counted(__real_aligned_alloc(align, n));
}

char *__wrap_strdup(const char *s)
{
    return alloc_refused() ? NULL : alloc_counted(__real_strdup(s));
}

void __wrap_free(void *p)
{
    if (p != NULL)
        atomic_fetch_sub(&alloc_live, 1);
    __real_free(p);
}

#endif
