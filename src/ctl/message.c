#include "ctl/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

static const char *const names[] = {
    [MESSAGE_HELLO] = "hello",
    [MESSAGE_RELOAD] = "reload",
    [MESSAGE_DRAIN] = "drain",
    [MESSAGE_END] = "end",
    [MESSAGE_REOPEN] = "reopen",
    [MESSAGE_FAMILY] = "family",
    [MESSAGE_READY] = "ready",
    [MESSAGE_FAILED] = "failed",
    [MESSAGE_ALIVE] = "alive",
    [MESSAGE_STUCK] = "stuck",
    [MESSAGE_ASK] = "ask",
    [MESSAGE_VERDICT] = "verdict",
    [MESSAGE_OPEN_LISTEN] = "open_listen",
    [MESSAGE_OPEN_CONTROL] = "open_control",
    [MESSAGE_OPEN_LOG] = "open_log",
    [MESSAGE_OPEN_INCLUDE] = "open_include",
    [MESSAGE_WRITE_PID] = "write_pid",
    [MESSAGE_FORGET] = "forget",
    [MESSAGE_OPENED] = "opened",
    [MESSAGE_REFUSED] = "refused",
};

_Static_assert(array_size(names) == MESSAGE_LAST, "a message without a name");

const char *message_name(enum message_type type)
{
    return names[type];
}

/* A record is sent and received whole, its descriptors with it. */
int message_pair(int ret[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) == 0 ? 0 : -errno;
}

/* --- sending ----------------------------------------------------------------------------- */

union ancillary {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

static void attach(struct msghdr *h, union ancillary *a, const int *fds, unsigned count)
{
    if (count == 0)
        return;
    h->msg_control = a;
    h->msg_controllen = CMSG_SPACE(count * sizeof(int));
    memset(a, 0, h->msg_controllen);
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

static int send_bytes(int socket, char *bytes, size_t n, const int *fds, unsigned count, bool wait)
{
    union ancillary ancillary;
    struct iovec iov = {.iov_base = bytes, .iov_len = n};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    attach(&h, &ancillary, fds, count);
    ssize_t sent;
    do
        sent = sendmsg(socket, &h, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    return errno == ECONNRESET ? -EPIPE : -errno;
}

int message_send(int socket, enum message_type type, json_t *body, const int *fds, unsigned count,
                 bool wait)
{
    char *text = NULL;
    if (count > MESSAGE_FDS_MAX) {
        json_decref(body);
        return -EMSGSIZE;
    }
    if (json_object_set_new(body, "type", json_string(names[type])) == 0)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL)
        return -ENOMEM;
    size_t n = strlen(text);
    int err = n <= MESSAGE_SIZE_MAX ? send_bytes(socket, text, n, fds, count, wait) : -EMSGSIZE;
    free(text);
    return err;
}

/* --- receiving --------------------------------------------------------------------------- */

static void close_fds(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* The kernel puts all descriptors of a record into one of these. */
static int take_fds(struct message *m, struct msghdr *h)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(h);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    int fds[MESSAGE_FDS_MAX];
    size_t size = c->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(c), size);
    m->fds = malloc(size);
    if (m->fds == NULL) {
        close_fds(fds, (unsigned)(size / sizeof(int)));
        return -ENOMEM;
    }
    memcpy(m->fds, fds, size);
    m->fd_count = (unsigned)(size / sizeof(int));
    return 0;
}

static int take_type(struct message *m)
{
    const char *type = message_string(m, "type");
    for (unsigned i = 0; i < MESSAGE_LAST; i++) {
        if (strcmp(type, names[i]) == 0) {
            m->type = (enum message_type)i;
            return 0;
        }
    }
    return -EPROTO;
}

static int receive_into(int socket, struct message *m, char *bytes, bool wait)
{
    union ancillary ancillary;
    struct iovec iov = {.iov_base = bytes, .iov_len = MESSAGE_SIZE_MAX};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &ancillary,
                       .msg_controllen = sizeof(ancillary)};
    ssize_t n;
    do /* a reset, as when the other side left messages unread, is told once: before its last ones
        */
        n = recvmsg(socket, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0)
        return -errno;
    int err = take_fds(m, &h);
    if (err < 0)
        return err;
    if (n == 0)
        return -EPIPE;
    if ((h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return -EPROTO;
    m->body = json_loadb(bytes, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(m->body) ? take_type(m) : -EPROTO;
}

int message_receive(int socket, struct message *ret, bool wait)
{
    struct message m = {.body = NULL};
    char *bytes = malloc(MESSAGE_SIZE_MAX);
    if (bytes == NULL)
        return -ENOMEM;
    int err = receive_into(socket, &m, bytes, wait);
    free(bytes);
    if (err < 0)
        message_free(&m);
    else
        *ret = m;
    return err;
}

void message_free(struct message *m)
{
    close_fds(m->fds, m->fd_count);
    free(m->fds);
    json_decref(m->body);
    *m = (struct message){.body = NULL};
}

int message_take_fd(struct message *m, unsigned n)
{
    if (n >= m->fd_count)
        return -1;
    int fd = m->fds[n];
    m->fds[n] = -1;
    return fd;
}

/* --- what is in it ----------------------------------------------------------------------- */

/* As much as there may be, in whole lines where there are several. */
static size_t fitting(const char *bytes)
{
    size_t n = strnlen(bytes, MESSAGE_TEXT_MAX + 1);
    if (n <= MESSAGE_TEXT_MAX)
        return n;
    const char *end = memrchr(bytes, '\n', MESSAGE_TEXT_MAX);
    return end != NULL ? (size_t)(end + 1 - bytes) : MESSAGE_TEXT_MAX;
}

json_t *message_text(const char *bytes)
{
    size_t n = fitting(bytes);
    json_t *string = bytes[n] == '\0' ? json_string(bytes) : NULL;
    if (string != NULL)
        return string;
    struct text plain, quoted;
    text_init(&plain);
    text_init(&quoted);
    text_add(&plain, bytes, n);
    if (bytes[n] != '\0')
        text_add_string(&plain, "... and more\n");
    if (!plain.failed)
        text_add_json(&quoted, plain.data);
    if (!plain.failed && !quoted.failed)
        string = json_loads(quoted.data, JSON_DECODE_ANY, NULL);
    text_free(&plain);
    text_free(&quoted);
    return string;
}

const char *message_string(const struct message *m, const char *key)
{
    const char *value = json_string_value(json_object_get(m->body, key));
    return value != NULL ? value : "";
}

json_int_t message_integer(const struct message *m, const char *key)
{
    return json_integer_value(json_object_get(m->body, key));
}

bool message_true(const struct message *m, const char *key)
{
    return json_is_true(json_object_get(m->body, key));
}
