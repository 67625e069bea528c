#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_route.h"
#include "base/log_sink.h"
#include "base/pool.h"

#define QUEUE_MAX    8192 /* entries; past it they are dropped */
#define ENTRIES_KEPT 64   /* entries that a thread keeps in its pool */
#define FLUSH_EVERY  64   /* entries formatted before the sinks are written */
#define NAP          5    /* [ms] what gathers into one write while lines keep coming */
#define STOP_FLUSH   2000 /* [ms] what log_stop() gives blocked sinks to take the rest */
#define STOP_JOIN    3 /* [s] what it gives the thread in all: a dead disk may hold it in write() */

enum entry_kind {
    ENTRY_LINE,   /* the payload is an error line's text */
    ENTRY_RECORD, /* the payload is what `format` makes a record of */
    ENTRY_ROUTE,  /* the payload is a struct log_route: whatever comes behind it goes there */
};

struct entry {
    struct entry *next;
    enum entry_kind kind;
    enum log_level level;  /* of an error line */
    int64_t wall;          /* [ns since 1970] likewise */
    log_format_fn *format; /* of an access record */
    void (*release)(const void *payload);
    char payload[LOG_PAYLOAD_MAX] __attribute__((aligned(16)));
};

/*
 * The queue is a stack: producers push with a compare-and-swap, the log thread takes all of it with
 * one exchange and turns it round. While the thread sleeps the stack holds the mark below, and
 * whoever pushes onto that wakes it: one system call, however many lines follow.
 *
 *      NULL ──push──> e1 ──push──> e2 -> e1 ──push──> e3 -> e2 -> e1 ──take──> NULL
 *        └──sleep──> asleep ──push (and wake)──> e1
 */
static struct entry asleep;

static struct {
    struct entry *_Atomic queue;
    atomic_uint queued;       /* entries in it */
    _Atomic uint64_t dropped; /* ever, for whatever reason */
    atomic_int threshold;     /* the least level that is written */
    atomic_bool running;      /* there is a log thread */
    atomic_bool stopping;     /* an order to it */
    atomic_bool access;       /* access records are wanted */
    atomic_int direct;        /* descriptor for lines while there is no log thread */
    int wake;                 /* eventfd */
    pthread_t thread;
    struct pool *entries; /* made once, never freed: a late line may still use it */

    /* That of the thread which starts, sets and stops it: where lines go once all is written. */
    struct log_route newest;

    /* The log thread's alone: */
    struct log_sinks sinks;
    uint64_t dropped_seen, dropped_reported;
} self = {.threshold = LOG_LEVEL_INFO, .direct = STDERR_FILENO, .wake = -1};

/* --- the queue --------------------------------------------------------------------------- */

static void wake_thread(void)
{
    (void)!write(self.wake, &(uint64_t){1}, sizeof(uint64_t)); /* full: it is awake anyway */
}

static void count_dropped(uint64_t n)
{
    atomic_fetch_add_explicit(&self.dropped, n, memory_order_relaxed);
}

/* Returns NULL, and counts, when there is no room. */
static struct entry *new_entry(void)
{
    if (atomic_fetch_add_explicit(&self.queued, 1, memory_order_relaxed) < QUEUE_MAX) {
        struct entry *e = pool_get(self.entries);
        if (e != NULL)
            return e;
    }
    atomic_fetch_sub_explicit(&self.queued, 1, memory_order_relaxed);
    count_dropped(1);
    return NULL;
}

static void push(struct entry *e)
{
    struct entry *top = atomic_load_explicit(&self.queue, memory_order_relaxed);
    do
        e->next = top == &asleep ? NULL : top;
    while (!atomic_compare_exchange_weak_explicit(&self.queue, &top, e, memory_order_release,
                                                  memory_order_relaxed));
    if (top == &asleep)
        wake_thread();
}

/* Everything that is queued, oldest first. */
static struct entry *take_all(void)
{
    struct entry *e = atomic_exchange_explicit(&self.queue, NULL, memory_order_acquire);
    struct entry *oldest = NULL;
    while (e != NULL && e != &asleep) {
        struct entry *next = e->next;
        e->next = oldest;
        oldest = e;
        e = next;
    }
    return oldest;
}

/* --- the log thread ---------------------------------------------------------------------- */

static void write_line(struct log_sink *s, const struct entry *e)
{
    struct text *t = log_sink_begin(s);
    if (t == NULL) {
        count_dropped(1);
        return;
    }
    if (e->kind == ENTRY_RECORD) {
        e->format(t, e->payload);
    } else {
        log_sink_prefix(s, e->level, e->wall);
        text_add_string(t, e->payload);
    }
    if (!log_sink_end(s, e->kind == ENTRY_RECORD ? LOG_LEVEL_INFO : e->level))
        count_dropped(1);
}

static void flush_sinks(void)
{
    size_t lost = log_sinks_flush(&self.sinks);
    if (lost > 0)
        count_dropped(lost);
}

/* What is written here and now can't come behind what follows it, in a file of the same name. */
static void take_route(const struct entry *e)
{
    struct log_route route;
    flush_sinks();
    memcpy(&route, e->payload, sizeof(route));
    size_t lost = log_sinks_take(&self.sinks, &route);
    if (lost > 0)
        count_dropped(lost);
}

static void write_entry(const struct entry *e)
{
    switch (e->kind) {
    case ENTRY_LINE:
        write_line(self.sinks.route.error, e);
        break;
    case ENTRY_RECORD:
        write_line(self.sinks.route.access, e);
        if (e->release != NULL)
            e->release(e->payload);
        break;
    case ENTRY_ROUTE:
        take_route(e);
        break;
    }
}

/* Returns how many entries there were. */
static unsigned write_entries(struct entry *e)
{
    unsigned n = 0;
    while (e != NULL) {
        struct entry *next = e->next;
        write_entry(e);
        pool_put(self.entries, e);
        e = next;
        if (++n % FLUSH_EVERY == 0)
            flush_sinks();
    }
    atomic_fetch_sub_explicit(&self.queued, n, memory_order_relaxed);
    return n;
}

/* A line of the log's own, past the queue. */
static void write_own(const char *format, ...) WEFT_PRINTF(1, 2);
static void write_own(const char *format, ...)
{
    va_list args;
    struct entry e = {.wall = clock_wall(), .level = LOG_LEVEL_WARNING};
    if (!log_enabled(e.level))
        return;
    va_start(args, format);
    vsnprintf(e.payload, sizeof(e.payload), format, args);
    va_end(args);
    write_line(self.sinks.route.error, &e);
}

/* One line for all that was dropped in a row: once nothing more is, and the sink takes lines. */
static void report_dropped(void)
{
    uint64_t dropped = log_dropped();
    bool over = dropped == self.dropped_seen && !log_sink_pending(self.sinks.route.error);
    self.dropped_seen = dropped;
    if (!over || dropped == self.dropped_reported)
        return;
    write_own("%llu log lines dropped", (unsigned long long)(dropped - self.dropped_reported));
    self.dropped_reported = dropped;
}

/* Wait for a wake-up, for a sink that takes more, or for `timeout` [ms, -1: for ever]. */
static void wait_for_work(int timeout)
{
    struct pollfd fds[1 + LOG_SINKS_MAX] = {{.fd = self.wake, .events = POLLIN}};
    nfds_t n = 1;
    for (size_t i = 0; i < self.sinks.count; i++)
        if (log_sink_pending(self.sinks.all[i]))
            fds[n++] = (struct pollfd){.fd = self.sinks.all[i]->fd, .events = POLLOUT};
    uint64_t count;
    if (poll(fds, n, timeout) > 0 && (fds[0].revents & POLLIN) != 0)
        (void)!read(self.wake, &count, sizeof(count));
}

/* Go to sleep, unless something came meanwhile. */
static void sleep_until_woken(void)
{
    struct entry *none = NULL;
    if (atomic_compare_exchange_strong_explicit(&self.queue, &none, &asleep, memory_order_relaxed,
                                                memory_order_relaxed))
        wait_for_work(-1);
}

/* The last lines, as far as the sinks take them in time. */
static void finish(void)
{
    int64_t deadline = clock_update() + STOP_FLUSH * NSEC_PER_MSEC;
    write_entries(take_all());
    for (;;) {
        flush_sinks();
        self.dropped_seen = log_dropped(); /* no more will come */
        report_dropped();
        flush_sinks();
        int64_t left = deadline - clock_update();
        if (!log_sinks_pending(&self.sinks) || left <= 0)
            return;
        wait_for_work((int)(left / NSEC_PER_MSEC) + 1);
    }
}

static void *run(void *arg)
{
    (void)arg;
    pthread_setname_np(pthread_self(), "weft-log");
    while (!atomic_load(&self.stopping)) {
        unsigned n = write_entries(take_all());
        flush_sinks();
        bool dropping = log_dropped() != self.dropped_seen;
        report_dropped();
        flush_sinks();
        if (n > 0 || dropping)
            wait_for_work(NAP);
        else
            sleep_until_woken();
    }
    finish();
    pool_flush(self.entries);
    return NULL;
}

/* --- start and stop ---------------------------------------------------------------------- */

/* What threads ask before they make a line. */
static void set_wanted(const struct log_options *o)
{
    bool off = o->error.output == LOG_OUTPUT_OFF;
    atomic_store(&self.threshold, off ? LOG_LEVEL_ERROR + 1 : (int)o->error_level);
    atomic_store(&self.access, o->access.output != LOG_OUTPUT_OFF);
}

static int open_sinks(const struct log_options *o, const char **ret_path)
{
    static const struct log_route nothing = {NULL, NULL};
    int rc = log_route_open(&self.newest, o, &nothing, ret_path);
    if (rc == 0)
        (void)!log_sinks_take(&self.sinks, &self.newest); /* there is room */
    return rc;
}

/* Signals are for other threads; and SIGPIPE, blocked, does no harm. */
static int start_thread(void)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&self.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

static int make_queue(void)
{
    if (self.entries == NULL)
        self.entries = pool_new("log entry", sizeof(struct entry), ENTRIES_KEPT);
    if (self.entries == NULL)
        return -ENOMEM;
    self.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self.wake >= 0 ? 0 : -errno;
}

int log_start(const struct log_options *o, const char **ret_path)
{
    assert(!atomic_load(&self.running));
    int rc = open_sinks(o, ret_path);
    if (rc != 0)
        return rc;
    *ret_path = "log thread";
    rc = make_queue();
    if (rc == 0) {
        atomic_store(&self.stopping, false);
        rc = start_thread();
    }
    if (rc != 0) {
        if (self.wake >= 0)
            close(self.wake);
        self.wake = -1;
        log_sinks_close(&self.sinks);
        return rc;
    }
    set_wanted(o);
    atomic_store(&self.running, true);
    return 0;
}

/* The order goes through the queue, past its bound, so that it stands between the lines. */
int log_set(const struct log_options *o, const char **ret_path)
{
    assert(atomic_load(&self.running));
    struct log_route route;
    int rc = log_route_open(&route, o, &self.newest, ret_path);
    if (rc != 0)
        return rc;
    struct entry *e = pool_get(self.entries);
    if (e == NULL) {
        log_route_discard(&route, &self.newest);
        *ret_path = "log";
        return -ENOMEM;
    }
    atomic_fetch_add_explicit(&self.queued, 1, memory_order_relaxed);
    e->kind = ENTRY_ROUTE;
    memcpy(e->payload, &route, sizeof(route));
    push(e);
    self.newest = route;
    set_wanted(o);
    return 0;
}

void log_stop(void)
{
    if (!atomic_exchange(&self.running, false))
        return;
    atomic_store(&self.access, false);
    atomic_store(&self.threshold, LOG_LEVEL_INFO);
    atomic_store(&self.stopping, true);
    wake_thread();
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += STOP_JOIN;
    if (pthread_timedjoin_np(self.thread, NULL, &deadline) != 0) {
        pthread_detach(self.thread); /* what it holds stays open: it may come back */
        return;
    }
    log_sinks_close(&self.sinks);
    close(self.wake);
    self.wake = -1;
}

void log_direct_to(int fd)
{
    atomic_store(&self.direct, fd >= 0 ? fd : STDERR_FILENO);
}

/* --- what threads call ------------------------------------------------------------------- */

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&self.threshold, memory_order_relaxed);
}

/* Cut at a character's start, and show that it is cut. */
static void cut(char *line, size_t size)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    size_t end = size - sizeof(ellipsis);
    while (end > 0 && ((unsigned char)line[end] & 0xc0) == 0x80)
        end--;
    memcpy(line + end, ellipsis, sizeof(ellipsis));
}

static void format_line(char *line, size_t size, const char *format, va_list args)
{
    int n = vsnprintf(line, size, format, args);
    if (n < 0)
        line[0] = '\0';
    else if ((size_t)n >= size)
        cut(line, size);
}

static WEFT_NOINLINE void log_direct(enum log_level level, const char *format, va_list args)
{
    char line[LOG_PAYLOAD_MAX];
    format_line(line, sizeof(line), format, args);
    log_sink_direct(atomic_load(&self.direct), level, clock_wall(), line);
}

static void queue_line(enum log_level level, const char *format, va_list args)
{
    struct entry *e = new_entry();
    if (e == NULL)
        return;
    e->kind = ENTRY_LINE;
    e->level = level;
    e->wall = clock_wall();
    format_line(e->payload, sizeof(e->payload), format, args);
    push(e);
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    if (atomic_load_explicit(&self.running, memory_order_acquire))
        queue_line(level, format, args);
    else
        log_direct(level, format, args);
    va_end(args);
    errno = saved;
}

bool log_access_enabled(void)
{
    return atomic_load_explicit(&self.access, memory_order_acquire);
}

void log_access(log_format_fn *format, void (*release)(const void *payload), const void *payload,
                size_t size)
{
    assert(size <= LOG_PAYLOAD_MAX);
    struct entry *e = log_access_enabled() ? new_entry() : NULL;
    if (e == NULL) {
        if (release != NULL)
            release(payload);
        return;
    }
    e->kind = ENTRY_RECORD;
    e->format = format;
    e->release = release;
    memcpy(e->payload, payload, size);
    push(e);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&self.dropped, memory_order_relaxed);
}
