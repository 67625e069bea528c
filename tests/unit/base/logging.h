/* What the tests of the log have in common: files to write to, and what is in them. */
#ifndef WEFT_UNIT_BASE_LOGGING_H
#define WEFT_UNIT_BASE_LOGGING_H

#include <fcntl.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static char dir[32];
static char error_path[96], access_path[96];

static inline void make_dir(void)
{
    strcpy(dir, "/tmp/weft-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(error_path, sizeof(error_path), "%s/error", dir);
    snprintf(access_path, sizeof(access_path), "%s/access", dir);
}

static inline void remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* Read until the end of the file, or until all writers of a pipe are gone. */
static inline void read_all(int fd, char *text, size_t size)
{
    size_t n = 0;
    for (ssize_t got; (got = read(fd, text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
}

/* The content of a file as a string, in place until the next call. */
static inline const char *content(const char *path)
{
    static char text[4 << 20];
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    read_all(fd, text, sizeof(text));
    close(fd);
    return text;
}

static inline uint64_t count(const char *text, const char *what)
{
    uint64_t n = 0;
    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

static inline void expect_match(const char *text, const char *pattern)
{
    regex_t re;
    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0)
        ck_abort_msg("\"%s\" does not match %s", text, pattern);
    regfree(&re);
}

static inline void start(struct log_target error, enum log_level level, struct log_target access)
{
    struct log_options o = {.error = error, .error_level = level, .access = access};
    const char *path = NULL;
    int rc = log_start(&o, &path);
    if (rc != 0)
        ck_abort_msg("%s: %s", path, strerror(-rc));
}

static inline struct log_target file(const char *path)
{
    return (struct log_target){.output = LOG_OUTPUT_FILE, .path = path, .fd = -1};
}

static const struct log_target off = {.output = LOG_OUTPUT_OFF};
static const struct log_target to_stderr = {.output = LOG_OUTPUT_STDERR};

/* A record as the proxy has them: the payload is copied, what it points to is released. */
static atomic_int released;

static inline void format_record(struct text *out, const void *payload)
{
    text_format(out, "record %d", *(const int *)payload);
}

static inline void release_record(const void *payload)
{
    unit_assert(payload != NULL);
    atomic_fetch_add(&released, 1);
}

static inline void add_record(int n)
{
    log_access(format_record, release_record, &n, sizeof(n));
}

/* stderr becomes a pipe; returns its other end. */
static inline int pipe_for_stderr(void)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
    return fds[0];
}

static inline bool has_text(const char *path, const char *text)
{
    return access(path, F_OK) == 0 && strstr(content(path), text) != NULL;
}

/* Wait, however long it takes. */
static inline void wait_for_text(const char *path, const char *text)
{
    while (!has_text(path, text))
        usleep(1000);
}

#endif
