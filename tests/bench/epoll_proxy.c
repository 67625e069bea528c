/*
 * The floor: what a proxy costs that does nothing but move bytes. Bare edge-triggered epoll, one
 * loop a thread, no timeouts, no log, no configuration, no choice of a server.
 *
 * Its order of calls is HAProxy's where that saves some:
 *
 *      accept -> read -> connect -> write -> epoll_ctl, epoll_ctl -> wait
 *
 * The first bytes are often there at once, and on a fast network the server's side takes them
 * before connect() is known to be done. A descriptor joins epoll once, for reading; only one that
 * ever refused a write asks for writing too. Nothing is held for an idle connection but its record.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "net.h"

#define EVENTS       256
#define ROUNDS       16         /* reads of a direction in a turn, before others have theirs */
#define BUFFER_BYTES (64 << 10) /* what one read takes at most, unless -b says otherwise */

struct buffer {
    struct buffer *next; /* while it is free */
    size_t begin, end;
    char bytes[];
};

/*
 * One of the two descriptors of a pair, and the direction that begins there.
 *
 *      pair.ends[0]: the client      reads here, writes to ends[1]
 *      pair.ends[1]: the server      reads here, writes to ends[0]
 */
struct end {
    int fd;
    bool server;
    bool blocked;          /* the other end takes no bytes now */
    bool eof;              /* read here; forwarded once the buffer is empty */
    bool forwarded;        /* that end of stream */
    bool readable;         /* may have more to read */
    bool hung_up;          /* the peer has sent its end of stream: a short read is not the last */
    uint32_t events;       /* what epoll is asked for */
    struct buffer *buffer; /* read here, not written there; NULL when empty */
};

struct pair {
    struct end ends[2];
    struct pair *next; /* in the list of those to go on with, or to free */
    bool queued;
    bool dead;
};

struct loop {
    int epoll;
    int listener;
    struct pair *again; /* stopped by ROUNDS */
    struct pair *dead;  /* closed in this turn; an event may still name them */
    struct buffer *free;
};

static struct {
    uint16_t port, backend;
    int threads;
    size_t buffer;
} options = {.threads = 1, .buffer = BUFFER_BYTES};

static struct pair *pair_of(struct end *e)
{
    return (struct pair *)(e - e->server);
}

static struct end *other(struct end *e)
{
    return e->server ? e - 1 : e + 1;
}

static struct buffer *buffer_get(struct loop *l)
{
    struct buffer *b = l->free;
    if (b != NULL)
        l->free = b->next;
    else
        b = malloc(sizeof(*b) + options.buffer);
    if (b == NULL)
        abort();
    b->begin = b->end = 0;
    return b;
}

static void buffer_put(struct loop *l, struct end *e)
{
    if (e->buffer == NULL)
        return;
    e->buffer->next = l->free;
    l->free = e->buffer;
    e->buffer = NULL;
}

static void ask(struct loop *l, struct end *e, uint32_t events)
{
    if (e->events == events)
        return;
    struct epoll_event ev = {.events = events | EPOLLRDHUP | EPOLLET, .data.ptr = e};
    int op = e->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(l->epoll, op, e->fd, &ev) < 0)
        abort();
    e->events = events;
}

/* Free it when no event of this turn can name it any more, and it is in no other list. */
static void bury(struct loop *l, struct pair *p)
{
    if (p->queued)
        return;
    p->next = l->dead;
    l->dead = p;
}

static void pair_close(struct loop *l, struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->ends[i].fd >= 0)
            close(p->ends[i].fd);
        buffer_put(l, &p->ends[i]);
    }
    p->dead = true;
    bury(l, p);
}

/*
 * A reset at one end becomes a reset at the other: the server's side then keeps no TIME_WAIT.
 * `gone`: the end that has met the reset and needs none; NULL: both do.
 */
static void pair_reset(struct loop *l, struct pair *p, const struct end *gone)
{
    for (int i = 0; i < 2; i++)
        if (&p->ends[i] != gone && p->ends[i].fd >= 0)
            net_reset_on_close(p->ends[i].fd);
    pair_close(l, p);
}

/* Go on with this pair in the next turn. */
static void queue(struct loop *l, struct pair *p)
{
    if (p->queued)
        return;
    p->queued = true;
    p->next = l->again;
    l->again = p;
}

enum step { MORE, WAIT, FAIL };

/* Write what is buffered. MORE: the buffer is empty. */
static enum step step_write(struct loop *l, struct end *e)
{
    struct buffer *b = e->buffer;
    struct end *to = other(e);
    ssize_t n = send(to->fd, b->bytes + b->begin, b->end - b->begin, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        return FAIL;
    if (n > 0)
        b->begin += (size_t)n;
    e->blocked = b->begin < b->end;
    if (e->blocked) {
        ask(l, to, EPOLLIN | EPOLLOUT);
        return WAIT;
    }
    buffer_put(l, e);
    return MORE;
}

/* Fill a buffer. WAIT: nothing came. A short read has drained the socket. */
static enum step step_read(struct loop *l, struct end *e)
{
    struct buffer *b = buffer_get(l);
    e->buffer = b;
    ssize_t n = recv(e->fd, b->bytes, options.buffer, 0);
    if (n > 0) {
        b->end = (size_t)n;
        e->readable = b->end == options.buffer || e->hung_up;
        return MORE;
    }
    buffer_put(l, e);
    if (n < 0 && errno != EAGAIN)
        return FAIL;
    e->readable = false;
    e->eof = n == 0;
    return WAIT;
}

/* Move what this end has to the other, as far as both go now. */
static enum step move(struct loop *l, struct end *e)
{
    if (e->buffer != NULL && step_write(l, e) != MORE)
        return e->blocked ? WAIT : FAIL;
    for (int i = 0; i < ROUNDS && e->readable; i++) {
        enum step s = step_read(l, e);
        if (s == MORE)
            s = step_write(l, e);
        if (s != MORE)
            return s;
    }
    return e->readable ? MORE : WAIT;
}

/* Returns false when both directions have ended. */
static bool forward_eof(struct end *e)
{
    if (e->eof && !e->forwarded && e->buffer == NULL) {
        e->forwarded = true;
        if (!other(e)->forwarded)
            shutdown(other(e)->fd, SHUT_WR);
    }
    return !(e->forwarded && other(e)->forwarded);
}

static void serve(struct loop *l, struct end *e)
{
    enum step s = move(l, e);
    if (s == FAIL)
        pair_reset(l, pair_of(e), NULL);
    else if (!forward_eof(e))
        pair_close(l, pair_of(e));
    else if (s == MORE)
        queue(l, pair_of(e));
}

static void on_event(struct loop *l, struct end *e, uint32_t events)
{
    struct pair *p = pair_of(e);
    if (p->dead)
        return;
    if (events & EPOLLERR) {
        pair_reset(l, p, e);
        return;
    }
    if ((events & EPOLLOUT) && other(e)->blocked)
        serve(l, other(e));
    if (p->dead || !(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
        return;
    e->readable = true;
    e->hung_up = events & (EPOLLRDHUP | EPOLLHUP);
    if (!e->blocked)
        serve(l, e);
}

/*
 * What was read before the connect goes out with it. Where the handshake is not done yet, the
 * write is refused, and step_write() has epoll asked for when it is.
 */
static void start(struct loop *l, struct pair *p)
{
    struct end *client = &p->ends[0], *server = &p->ends[1];
    if (client->buffer != NULL && step_write(l, client) == FAIL) {
        pair_reset(l, p, NULL);
        return;
    }
    ask(l, client, EPOLLIN);
    if (server->events == 0)
        ask(l, server, EPOLLIN);
    if (!forward_eof(client))
        pair_close(l, p);
}

/* One connection a turn, so that no accept finds nothing: the listener is level-triggered. */
static void on_accept(struct loop *l)
{
    int fd = net_accept(l->listener);
    if (fd < 0)
        return;
    struct pair *p = calloc(1, sizeof(*p));
    if (p == NULL)
        abort();
    p->ends[0].fd = fd;
    p->ends[1].server = true;
    if (step_read(l, &p->ends[0]) != FAIL)
        p->ends[1].fd = net_connect(options.backend);
    else
        p->ends[1].fd = -1;
    if (p->ends[1].fd >= 0)
        start(l, p);
    else
        pair_reset(l, p, NULL);
}

static void run_pair(struct loop *l, struct pair *p)
{
    if (p->dead)
        bury(l, p);
    for (int i = 0; i < 2 && !p->dead; i++)
        if (p->ends[i].readable && !p->ends[i].blocked)
            serve(l, &p->ends[i]);
}

/* A pair that is queued meanwhile has to wait for the next turn. */
static void run_again(struct loop *l)
{
    struct pair *p = l->again;
    l->again = NULL;
    while (p != NULL) {
        struct pair *next = p->next;
        p->queued = false;
        run_pair(l, p);
        p = next;
    }
}

static void free_dead(struct loop *l)
{
    while (l->dead != NULL) {
        struct pair *p = l->dead;
        l->dead = p->next;
        free(p);
    }
}

static void turn(struct loop *l)
{
    struct epoll_event ready[EVENTS];
    int n = epoll_wait(l->epoll, ready, EVENTS, l->again != NULL ? 0 : -1);
    for (int i = 0; i < n; i++) {
        if (ready[i].data.ptr == NULL)
            on_accept(l);
        else
            on_event(l, ready[i].data.ptr, ready[i].events);
    }
    run_again(l);
    free_dead(l);
}

static int loop_open(struct loop *l)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    l->listener = net_listen(options.port, options.threads > 1);
    if (l->listener < 0)
        return l->listener;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->listener, &ev) < 0)
        return -errno;
    return 0;
}

static void *loop_run(void *arg)
{
    struct loop *l = arg;
    for (;;)
        turn(l);
    return NULL;
}

/* The listeners are opened one after the other, so that a port that is taken ends the program. */
static int run(void)
{
    struct loop *loops = calloc((size_t)options.threads, sizeof(*loops));
    if (loops == NULL)
        return -ENOMEM;
    for (int i = 0; i < options.threads; i++) {
        int err = loop_open(&loops[i]);
        if (err < 0)
            return err;
    }
    for (int i = 1; i < options.threads; i++) {
        pthread_t thread;
        int err = pthread_create(&thread, NULL, loop_run, &loops[i]);
        if (err != 0)
            return -err;
    }
    loop_run(&loops[0]);
    return 0;
}

int main(int argc, char **argv)
{
    for (int c = getopt(argc, argv, "t:b:"); c != -1; c = getopt(argc, argv, "t:b:")) {
        if (c == 't')
            options.threads = atoi(optarg);
        else if (c == 'b')
            options.buffer = (size_t)atol(optarg);
        else
            return 2;
    }
    if (argc - optind != 2 || options.threads < 1 || options.buffer < 1) {
        fprintf(stderr, "usage: epoll_proxy [-t THREADS] [-b BUFFER_BYTES] PORT BACKEND_PORT\n");
        return 2;
    }
    options.port = (uint16_t)atoi(argv[optind]);
    options.backend = (uint16_t)atoi(argv[optind + 1]);
    net_raise_limit();
    fprintf(stderr, "epoll_proxy: %s\n", strerror(-run()));
    return EXIT_FAILURE;
}
