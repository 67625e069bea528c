/* A thread that answers a worker process's orders as the master would, with what the test says. */
#ifndef WORKER_ANSWERING_H
#define WORKER_ANSWERING_H

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "ctl/message.h"
#include "unit.h"
#include "worker/opener.h"

typedef void answering_fn(int socket, struct message *order);

struct answering {
    struct opener opener; /* for the code under test */
    answering_fn *answer;
    int socket;
    pthread_t thread;
};

static inline void *answering_run(void *arg)
{
    struct answering *a = arg;
    struct message m;
    while (message_receive(a->socket, &m, true) == 0) {
        a->answer(a->socket, &m);
        message_free(&m);
    }
    return NULL;
}

static inline void answering_start(struct answering *a, answering_fn *answer)
{
    int pair[2];
    ck_assert_int_eq(message_pair(pair), 0);
    a->socket = pair[0];
    a->answer = answer;
    opener_init(&a->opener, pair[1]);
    ck_assert_int_eq(pthread_create(&a->thread, NULL, answering_run, a), 0);
}

static inline void answering_stop(struct answering *a)
{
    opener_destroy(&a->opener);
    pthread_join(a->thread, NULL);
    close(a->socket);
}

/* `body`: NULL for an empty one. */
static inline void answer_with(int socket, json_t *body, const int *fds, unsigned count)
{
    if (body == NULL)
        body = json_object();
    ck_assert_int_eq(message_send(socket, MESSAGE_OPENED, body, fds, count, true), 0);
}

static inline void answer_no(int socket, int error, const char *text)
{
    json_t *body = json_pack("{s:i, s:s}", "error", error, "text", text);
    ck_assert_int_eq(message_send(socket, MESSAGE_REFUSED, body, NULL, 0, true), 0);
}

#endif
