#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-journal.h>
#endif

#include "base/clock.h"

#define FLUSH_AT 65536          /* [bytes] enough for one write() */
#define KEEP_MAX (4 * FLUSH_AT) /* [bytes] what a blocked descriptor may have waiting */

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",     [LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_NOTICE] = "notice",
    [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_ERROR] = "error",
};

/* syslog's and sd-daemon's numbers are the same. */
static const int level_priority[] = {
    [LOG_LEVEL_DEBUG] = LOG_DEBUG,     [LOG_LEVEL_INFO] = LOG_INFO, [LOG_LEVEL_NOTICE] = LOG_NOTICE,
    [LOG_LEVEL_WARNING] = LOG_WARNING, [LOG_LEVEL_ERROR] = LOG_ERR,
};

/* --- opening ----------------------------------------------------------------------------- */

/* Non-blocking, which a file ignores: a FIFO that nobody reads is an error instead of a hang. */
int log_open_file(const char *path)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags, 0640);
    return fd >= 0 ? fd : -errno;
}

/* systemd names the stream that it connected (systemd.exec(5)); a shell may have redirected it. */
static bool is_journal_stream(const struct stat *st)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t dev, ino;
    return stream != NULL && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) == 2 &&
           dev == st->st_dev && ino == st->st_ino;
}

static void set_fd(struct log_sink *s, int fd)
{
    struct stat st;
    s->fd = fd;
    s->kind = LOG_SINK_OTHER;
    if (fstat(fd, &st) != 0)
        return;
    if (S_ISREG(st.st_mode))
        s->kind = LOG_SINK_REGULAR;
    else if (S_ISSOCK(st.st_mode))
        s->kind = LOG_SINK_SOCKET;
    s->journal_stream = is_journal_stream(&st);
}

static int open_target(struct log_sink *s, const struct log_target *t)
{
    s->path = strdup(t->path);
    if (s->path == NULL)
        return -ENOMEM;
    int fd = t->fd >= 0 ? t->fd : log_open_file(t->path);
    if (fd < 0) {
        free(s->path);
        s->path = NULL;
        return fd;
    }
    set_fd(s, fd);
    return 0;
}

int log_sink_open(struct log_sink *s, const struct log_target *t)
{
    *s = (struct log_sink){.output = t->output, .fd = -1};
    switch (t->output) {
    case LOG_OUTPUT_OFF:
        break;
    case LOG_OUTPUT_STDERR:
        set_fd(s, STDERR_FILENO);
        break;
    case LOG_OUTPUT_STDOUT:
        set_fd(s, STDOUT_FILENO);
        break;
    case LOG_OUTPUT_SYSLOG:
        openlog("weft", LOG_PID | LOG_NDELAY, LOG_DAEMON);
        break;
    case LOG_OUTPUT_JOURNAL:
#ifdef HAVE_SYSTEMD
        break;
#else
        return -EOPNOTSUPP;
#endif
    case LOG_OUTPUT_FILE:
        return open_target(s, t);
    }
    return 0;
}

void log_sink_close(struct log_sink *s)
{
    if (s->path != NULL)
        close(s->fd);
    if (s->output == LOG_OUTPUT_SYSLOG)
        closelog();
    free(s->path);
    text_free(&s->lines);
    *s = (struct log_sink){.output = LOG_OUTPUT_OFF, .fd = -1};
}

/* --- lines ------------------------------------------------------------------------------- */

struct text *log_sink_begin(struct log_sink *s)
{
    if (s->lines.length >= KEEP_MAX)
        return NULL;
    s->line_start = s->lines.length;
    return &s->lines;
}

void log_sink_prefix(struct log_sink *s, enum log_level level, int64_t wall)
{
    if (s->fd < 0)
        return;
    if (s->journal_stream) {
        text_format(&s->lines, "<%d>", level_priority[level]);
        return;
    }
    text_add_time(&s->lines, wall);
    text_format(&s->lines, " %s: ", level_names[level]);
}

/* A line is one line: what it quotes may hold anything. */
static void blank_controls(char *p)
{
    for (; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

/* Neither of the two says reliably whether it took the line; both may block, this thread alone. */
static bool send_line(const struct log_sink *s, enum log_level level)
{
    int priority = level_priority[level];
    if (s->output == LOG_OUTPUT_SYSLOG)
        syslog(priority, "%s", s->lines.data);
#ifdef HAVE_SYSTEMD
    if (s->output == LOG_OUTPUT_JOURNAL)
        return sd_journal_send("MESSAGE=%s", s->lines.data, "PRIORITY=%d", priority,
                               "SYSLOG_IDENTIFIER=weft", NULL) >= 0;
#endif
    return true;
}

bool log_sink_end(struct log_sink *s, enum log_level level)
{
    struct text *t = &s->lines;
    text_add(t, "", 0); /* even an empty line has its NUL */
    if (t->failed) {
        t->failed = false;
        t->length = s->line_start;
        return false;
    }
    blank_controls(t->data + s->line_start);
    if (s->fd < 0) {
        bool sent = send_line(s, level);
        text_clear(t);
        return sent;
    }
    text_add(t, "\n", 1);
    bool kept = !t->failed;
    if (!kept)
        t->length = s->line_start;
    t->failed = false;
    return kept;
}

/* --- writing ----------------------------------------------------------------------------- */

/*
 * How much of the lines to write at once. A pipe that poll() calls writable takes PIPE_BUF bytes
 * without blocking, and takes them in one piece; so whole lines, where they fit. (Another process
 * that writes to the same pipe at that moment may still hold this thread up, and this thread
 * alone.)
 */
static size_t chunk_size(const struct log_sink *s)
{
    size_t n = s->lines.length;
    if (s->kind != LOG_SINK_OTHER || n <= PIPE_BUF)
        return n;
    const char *newline = memrchr(s->lines.data, '\n', PIPE_BUF);
    return newline != NULL ? (size_t)(newline + 1 - s->lines.data) : PIPE_BUF;
}

/* The descriptor may be blocking and not ours to change: its mode belongs to others as well. */
static ssize_t write_some(const struct log_sink *s)
{
    size_t n = chunk_size(s);
    if (s->kind == LOG_SINK_SOCKET)
        return send(s->fd, s->lines.data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->kind == LOG_SINK_OTHER) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(s->fd, s->lines.data, n);
}

static void forget(struct text *t, size_t n)
{
    t->length -= n;
    memmove(t->data, t->data + n, t->length + 1);
}

size_t log_sink_lines(const struct log_sink *s)
{
    size_t lines = 0;
    for (size_t i = 0; i < s->lines.length; i++)
        lines += s->lines.data[i] == '\n';
    return lines;
}

size_t log_sink_flush(struct log_sink *s)
{
    struct text *t = &s->lines;
    size_t lost = 0;
    while (s->fd >= 0 && t->length > 0) {
        ssize_t n = write_some(s);
        if (n > 0) {
            forget(t, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            return 0;
        } else if (n == 0 || errno != EINTR) {
            lost = log_sink_lines(s);
            text_clear(t);
        }
    }
    if (t->capacity > FLUSH_AT)
        text_free(t);
    return lost;
}

bool log_sink_pending(const struct log_sink *s)
{
    return s->fd >= 0 && s->lines.length > 0;
}

void log_sink_direct(int fd, enum log_level level, int64_t wall, const char *line)
{
    struct log_sink s = {.output = LOG_OUTPUT_STDERR, .fd = -1};
    set_fd(&s, fd);
    log_sink_prefix(&s, level, wall);
    text_add_string(&s.lines, line);
    if (log_sink_end(&s, level))
        (void)!write(s.fd, s.lines.data, s.lines.length);
    log_sink_close(&s);
}
