/*
 * Needs nothing but context.h, so that it is built for other machines, too (aarch64.sh). Prints
 * what is wrong and exits 1.
 */
#include "fiber/context.h"

#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#define STACK (64 * 1024)

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

struct thread {
    struct context context;
    void *stack;
    uint64_t number;
    uint64_t sum; /* of what it worked out */
    int laps;
    int mode; /* of rounding */
};

static struct context loop;

static void make(struct thread *t, void (*entry)(void *))
{
    t->stack = malloc(STACK);
    CHECK(t->stack != NULL);
    context_make(&t->context, t->stack, STACK - 8, entry, t); /* aligned by it */
}

static void enter(struct thread *t)
{
    context_enter(&loop, &t->context);
}

static void leave(struct thread *t)
{
    context_leave(&t->context, &loop);
}

/* --- a context begins where it was told --------------------------------------------------- */

static void begin(void *arg)
{
    struct thread *t = arg;
    char here;
    long double aligned = 1.0L; /* its moves fault on a stack that is not aligned */

    CHECK((uintptr_t)&aligned % 16 == 0);
    CHECK(&here > (char *)t->stack && &here < (char *)t->stack + STACK);
    for (;;) {
        t->laps++;
        leave(t);
    }
}

static void test_begins(void)
{
    struct thread t = {0};

    make(&t, begin);
    for (int i = 1; i <= 3; i++) {
        enter(&t);
        CHECK(t.laps == i);
    }
    free(t.stack);
}

/* --- registers ----------------------------------------------------------------------------- */

#ifdef __aarch64__
#define FP_REGISTER "+w"
#else
#define FP_REGISTER "+x"
#endif

static volatile uint64_t seed = 0x9e3779b97f4a7c15;

/*
 * Keep more values alive across a switch than any ABI lets a callee keep in registers; the compiler
 * chooses which ones it keeps there.
 */
static void keep(uint64_t number, void (*change)(struct thread *), struct thread *t)
{
    uint64_t s = seed + number;
    uint64_t a = s * 3, b = s * 5, c = s * 7, d = s * 9, e = s * 11, f = s * 13;
    uint64_t g = s * 15, h = s * 17, i = s * 19, j = s * 21, k = s * 23, l = s * 25;
    double m = (double)number;
    double n = m + 1, o = m + 2, p = m + 3, q = m + 4, r = m + 5, u = m + 6, v = m + 7, w = m + 8;

    /* From here on the compiler can't work them out again. */
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    __asm__ volatile("" : "+r"(g), "+r"(h), "+r"(i), "+r"(j), "+r"(k), "+r"(l));
    __asm__ volatile("" : FP_REGISTER(n), FP_REGISTER(o), FP_REGISTER(p), FP_REGISTER(q));
    __asm__ volatile("" : FP_REGISTER(r), FP_REGISTER(u), FP_REGISTER(v), FP_REGISTER(w));
    change(t);
    CHECK(a == s * 3 && b == s * 5 && c == s * 7 && d == s * 9 && e == s * 11 && f == s * 13);
    CHECK(g == s * 15 && h == s * 17 && i == s * 19 && j == s * 21 && k == s * 23 && l == s * 25);
    CHECK(n == m + 1 && o == m + 2 && p == m + 3 && q == m + 4);
    CHECK(r == m + 5 && u == m + 6 && v == m + 7 && w == m + 8);
}

static void registers(void *arg)
{
    struct thread *t = arg;

    for (;;)
        keep(t->number++, leave, t);
}

static void test_registers(void)
{
    struct thread one = {.number = 1000};
    struct thread other = {.number = 2000};

    make(&one, registers);
    make(&other, registers);
    for (uint64_t i = 0; i < 10; i++) {
        keep(i, enter, &one);
        keep(i + 100, enter, &other);
    }
    free(one.stack);
    free(other.stack);
}

/* --- floating-point control --------------------------------------------------------------- */

static const volatile double ten = 10;
static const volatile long double long_ten = 10;

/* What the rounding mode does, in the units that have a control word each. */
static int rounds_like(int mode)
{
    volatile double tenth = 1 / ten; /* volatile: not to be moved beyond fesetround() */
    volatile long double long_tenth = 1 / long_ten;
    int now = fegetround();

    fesetround(mode);
    volatile double expected = 1 / ten;
    volatile long double long_expected = 1 / long_ten;
    fesetround(now);
    return now == mode && tenth == expected && long_tenth == long_expected;
}

static void rounding(void *arg)
{
    struct thread *t = arg;

    CHECK(rounds_like(FE_TONEAREST));
    CHECK(fesetround(t->mode) == 0);
    for (;;) {
        leave(t);
        CHECK(rounds_like(t->mode));
    }
}

static void test_rounding(void)
{
    struct thread up = {.mode = FE_UPWARD};
    struct thread down = {.mode = FE_DOWNWARD};
    struct thread nearest = {.mode = FE_TONEAREST};

    make(&up, rounding);
    make(&down, rounding);
    make(&nearest, rounding);
    for (int i = 0; i < 3; i++) {
        enter(&up);
        CHECK(rounds_like(FE_TONEAREST));
        enter(&down);
        CHECK(rounds_like(FE_TONEAREST));
        enter(&nearest);
        CHECK(rounds_like(FE_TONEAREST));
    }
    free(up.stack);
    free(down.stack);
    free(nearest.stack);
}

/* --- many contexts, left at any depth ------------------------------------------------------ */

#define THREADS 50

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t descend(struct thread *t, uint64_t *state, int depth)
{
    uint64_t mine = next_random(state);

    if (mine % 3 == 0)
        leave(t);
    uint64_t below = depth > 0 ? descend(t, state, depth - 1) : 0;
    if (below % 3 == 0)
        leave(t);
    return mine + below * 31;
}

static void work(void *arg)
{
    struct thread *t = arg;
    uint64_t state = t->number + 1;

    for (;;) {
        t->sum = t->sum * 31 + descend(t, &state, (int)(next_random(&state) % 40));
        t->laps++;
        leave(t);
    }
}

/* Interleaved in whatever way, a thread works out the same. */
static void test_interleaving(void)
{
    static struct thread alone[THREADS];
    static struct thread mixed[THREADS];
    uint64_t state = 42;

    for (int i = 0; i < THREADS; i++) {
        alone[i].number = mixed[i].number = (uint64_t)i;
        make(&alone[i], work);
        make(&mixed[i], work);
        while (alone[i].laps < 50)
            enter(&alone[i]);
    }
    for (int left = THREADS; left > 0;) {
        struct thread *t = &mixed[next_random(&state) % THREADS];
        if (t->laps == 50)
            continue;
        enter(t);
        left -= t->laps == 50;
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(alone[i].sum == mixed[i].sum);
        free(alone[i].stack);
        free(mixed[i].stack);
    }
}

/* --- a backtrace ends ----------------------------------------------------------------------- */

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    ++*(int *)arg;
    return _URC_NO_REASON;
}

static void unwind(void *arg)
{
    struct thread *t = arg;

    CHECK(_Unwind_Backtrace(count_frame, &t->laps) == _URC_END_OF_STACK);
    leave(t);
}

static void test_backtrace_ends(void)
{
    struct thread t = {0};

    make(&t, unwind);
    enter(&t);
    CHECK(t.laps >= 1 && t.laps < 8);
    free(t.stack);
}

int main(void)
{
    test_begins();
    test_registers();
    test_rounding();
    test_interleaving();
    test_backtrace_ends();
    puts("context: 5 tests passed");
    return 0;
}
