#include "ctl/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

#define NO_GROUP ((gid_t)-1)

static char directory[64];
static char path[96];
static struct text why;

static void set_up(void)
{
    text_init(&why);
    strcpy(directory, "/tmp/weft-test-endpoint-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/control.sock", directory);
}

static void tear_down(void)
{
    text_free(&why);
    unlink(path);
    rmdir(directory);
}

static void open_here(struct endpoint *e)
{
    int err = endpoint_open(path, NO_GROUP, e, &why);
    ck_assert_msg(err == 0, "%s", why.data);
    ck_assert_uint_eq(why.length, 0);
}

static bool is_there(const char *where)
{
    struct stat st;
    return lstat(where, &st) == 0;
}

/* What kill -9 leaves: nobody listens, and the path is there. */
static void leave(struct endpoint *e)
{
    close(e->fd);
    free(e->path);
}

START_TEST(is_for_owner_and_group)
{
    struct endpoint e;
    struct stat st;
    mode_t before = umask(0077);
    ck_assert_int_eq(endpoint_open(path, getegid(), &e, &why), 0);
    ck_assert_int_eq(umask(before), 0077);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_int_eq(st.st_mode, S_IFSOCK | 0660);
    ck_assert_uint_eq(st.st_gid, e.group);
    ck_assert_uint_eq(e.group, getegid());
    int client = endpoint_connect(path);
    ck_assert_int_ge(client, 0);
    int accepted = accept(e.fd, NULL, NULL);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(client);
    endpoint_close(&e);
    ck_assert(!is_there(path));
    endpoint_close(&e);
}
END_TEST

START_TEST(a_group_is_given_the_socket)
{
    struct endpoint e;
    if (geteuid() != 0)
        return; /* nobody else may give files away */
    ck_assert_int_eq(endpoint_open(path, 7777, &e, &why), 0);
    ck_assert_uint_eq(e.group, 7777);
    endpoint_close(&e);
}
END_TEST

START_TEST(a_live_one_is_named)
{
    struct endpoint e, second;
    char expected[160];
    open_here(&e);
    ck_assert_int_eq(endpoint_open(path, NO_GROUP, &second, &why), -EADDRINUSE);
    snprintf(expected, sizeof(expected), "weft is already running: pid %d listens on %s",
             (int)getpid(), path);
    ck_assert_str_eq(why.data, expected);
    ck_assert(is_there(path));
    endpoint_close(&e);
}
END_TEST

START_TEST(one_with_a_full_queue_is_alive)
{
    struct endpoint e, second;
    int clients[256], count = 0, fd;
    open_here(&e);
    while ((fd = endpoint_connect(path)) >= 0) {
        ck_assert_int_lt(count, 256);
        clients[count++] = fd;
    }
    ck_assert_int_eq(fd, -EAGAIN);
    ck_assert_int_eq(endpoint_open(path, NO_GROUP, &second, &why), -EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(why.data, "somebody listens on"));
    while (count > 0)
        close(clients[--count]);
    endpoint_close(&e);
}
END_TEST

START_TEST(one_that_was_left_over_is_replaced)
{
    struct endpoint e;
    open_here(&e);
    leave(&e);
    ck_assert_int_eq(endpoint_connect(path), -ECONNREFUSED);
    struct endpoint second;
    open_here(&second);
    int client = endpoint_connect(path);
    ck_assert_int_ge(client, 0);
    close(client);
    endpoint_close(&second);
    ck_assert(!is_there(path));
}
END_TEST

START_TEST(what_is_no_socket_stays)
{
    struct endpoint e;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    ck_assert_int_eq(endpoint_open(path, NO_GROUP, &e, &why), -EEXIST);
    ck_assert_ptr_nonnull(strstr(why.data, "cannot listen on"));
    ck_assert_ptr_nonnull(strstr(why.data, "File exists"));
    ck_assert(is_there(path));
}
END_TEST

START_TEST(somebody_elses_socket_is_not_removed)
{
    struct endpoint e, second;
    open_here(&e);
    ck_assert_int_eq(unlink(path), 0);
    open_here(&second);
    endpoint_close(&e);
    ck_assert(is_there(path));
    endpoint_close(&second);
}
END_TEST

START_TEST(a_missing_directory_is_made_and_removed)
{
    struct endpoint e;
    char deeper[80], within[128];
    snprintf(deeper, sizeof(deeper), "%s/run", directory);
    snprintf(within, sizeof(within), "%s/control.sock", deeper);
    ck_assert_int_eq(endpoint_open(within, NO_GROUP, &e, &why), 0);
    ck_assert(is_there(within));
    endpoint_close(&e);
    ck_assert(!is_there(deeper));
    snprintf(within, sizeof(within), "%s/a/b/control.sock", directory);
    ck_assert_int_eq(endpoint_open(within, NO_GROUP, &e, &why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why.data, "No such file or directory"));
}
END_TEST

START_TEST(a_path_that_is_too_long_is_refused)
{
    struct endpoint e;
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(endpoint_connect(longer), -ENAMETOOLONG);
    ck_assert_int_eq(endpoint_open(longer, NO_GROUP, &e, &why), -ENAMETOOLONG);
}
END_TEST

/* Whoever holds the directory's lock for ever holds nobody up for ever. */
START_TEST(a_lock_that_is_held_only_delays)
{
    struct endpoint e;
    int lock = open(directory, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(lock, LOCK_EX), 0);
    open_here(&e);
    endpoint_close(&e);
    close(lock);
}
END_TEST

static int open_beside(void *ret)
{
    struct text said;
    text_init(&said);
    int err = endpoint_open(path, NO_GROUP, ret, &said);
    text_free(&said);
    return err;
}

static void *open_on_a_thread(void *arg)
{
    return (void *)(intptr_t)open_beside(arg);
}

/* Over a socket that was left over, as it is when both find it stale. */
START_TEST(of_many_at_once_one_gets_it)
{
    enum { THREADS = 8 };
    for (int round = 0; round < 20; round++) {
        struct endpoint left, all[THREADS];
        pthread_t threads[THREADS];
        open_here(&left);
        leave(&left);
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, open_on_a_thread, &all[i]);
        struct endpoint *winner = NULL;
        for (int i = 0; i < THREADS; i++) {
            void *err;
            pthread_join(threads[i], &err);
            if ((intptr_t)err == 0) {
                ck_assert_ptr_null(winner);
                winner = &all[i];
            } else {
                ck_assert_int_eq((intptr_t)err, -EADDRINUSE);
            }
        }
        ck_assert_ptr_nonnull(winner);
        int client = endpoint_connect(path);
        ck_assert_int_ge(client, 0);
        close(client);
        endpoint_close(winner);
    }
}
END_TEST

UNIT_MAIN_AROUND("endpoint", set_up, tear_down, is_for_owner_and_group, a_group_is_given_the_socket,
                 a_live_one_is_named, one_with_a_full_queue_is_alive,
                 one_that_was_left_over_is_replaced, what_is_no_socket_stays,
                 somebody_elses_socket_is_not_removed, a_missing_directory_is_made_and_removed,
                 a_path_that_is_too_long_is_refused, a_lock_that_is_held_only_delays,
                 of_many_at_once_one_gets_it)
