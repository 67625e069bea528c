#include "fiber/crash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fiber/sched_internal.h"

#define ALTSTACK_SIZE ((size_t)64 * 1024) /* [bytes] AVX-512 state alone takes 3 KiB of a frame */

/* write(2) only: this runs in a signal handler. */
static void say(const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = write(STDERR_FILENO, text, left);
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
    }
}

static crash_describe_fn *describe;

void sched_describe_crash(crash_describe_fn *fn)
{
    describe = fn;
}

static void report(const struct fiber *f, const char *what)
{
    say("weft: ");
    if (f != NULL) {
        say("fiber '");
        say(f->name);
        say("' ");
        if (describe != NULL)
            describe(f, say);
    } else {
        say("the loop ");
    }
    say(what);
    say("\n");
}

static const char overflowed[] = "overflowed its stack of 64 KiB";
static_assert(STACK_SIZE == 64 * 1024, "the message has the size in words");

void crash_by_overflow(const struct fiber *f)
{
    report(f, overflowed);
    signal(SIGABRT, SIG_DFL); /* there is no more to say */
    abort();
}

#ifdef FIBER_ASAN

/* AddressSanitizer has handlers of its own, which know more. */
int sched_catch_crash(void)
{
    return 0;
}

#else

static const struct {
    int number;
    const char *what;
} caught[] = {
    {SIGSEGV, "crashed: SIGSEGV"}, {SIGBUS, "crashed: SIGBUS"}, {SIGFPE, "crashed: SIGFPE"},
    {SIGILL, "crashed: SIGILL"},   {SIGABRT, "aborted"},
};

static const char *what_of(int signal)
{
    size_t i = 0;

    while (caught[i].number != signal)
        i++;
    return caught[i].what;
}

/* A signal that somebody has sent says nothing about what we were doing; abort() sends one too. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    const struct sched *s = sched_current;
    bool ours = info->si_code > 0 || signal == SIGABRT;

    (void)context;
    if (s != NULL && ours) {
        bool overflow =
            signal == SIGSEGV && s->current != NULL && stack_is_guard(s->stacks, info->si_addr);
        report(s->current, overflow ? overflowed : what_of(signal));
    }
    /* Returning runs the faulting instruction again, for a core dump that shows it. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    if (info->si_code <= 0)
        raise(signal);
}

static pthread_key_t altstack_key;
static int install_result;

static void altstack_free(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    sigaltstack(&off, NULL);
    munmap(stack, ALTSTACK_SIZE);
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    install_result = -pthread_key_create(&altstack_key, altstack_free);
    for (size_t i = 0; install_result == 0 && i < array_size(caught); i++)
        if (sigaction(caught[i].number, &action, NULL) != 0)
            install_result = -errno;
}

int sched_catch_crash(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    stack_t stack = {.ss_size = ALTSTACK_SIZE};

    pthread_once(&once, install);
    if (install_result != 0 || pthread_getspecific(altstack_key) != NULL)
        return install_result;
    stack.ss_sp =
        mmap(NULL, ALTSTACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return -ENOMEM;
    int r = -pthread_setspecific(altstack_key, stack.ss_sp);
    if (r == 0 && sigaltstack(&stack, NULL) != 0)
        r = -errno;
    if (r != 0) {
        pthread_setspecific(altstack_key, NULL);
        munmap(stack.ss_sp, ALTSTACK_SIZE);
    }
    return r;
}

#endif
