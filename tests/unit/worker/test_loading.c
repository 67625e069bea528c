#include "worker/loading.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "answering.h"
#include "base/error.h"

static struct answering master;
static struct text why;

/* A file in memory, as the master passes one. */
static int file_of(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static struct message hello(json_t *body, int fd)
{
    struct message m = {.type = MESSAGE_HELLO, .body = body};
    if (fd >= 0) {
        m.fds = malloc(sizeof(int));
        m.fds[0] = fd;
        m.fd_count = 1;
    }
    return m;
}

static const char *const sound = "listeners: {a: {bind: 127.0.0.1:80, pool: p}}\n"
                                 "pools: {p: {servers: [127.0.0.1:81]}}\n";

static const char *included; /* what an include is answered with; NULL: a refusal */

static void answer_include(int socket, struct message *order)
{
    ck_assert_int_eq(order->type, MESSAGE_OPEN_INCLUDE);
    ck_assert_str_eq(message_string(order, "pattern"), "/etc/weft/*.inc");
    if (included == NULL) {
        answer_no(socket, EPERM, "Operation not permitted");
        return;
    }
    int fd = file_of(included);
    answer_with(socket,
                json_pack("{s:[{s:s, s:i}]}", "files", "path", "/etc/weft/a.inc", "error", 0), &fd,
                1);
    close(fd);
}

static void set_up(void)
{
    text_init(&why);
    included = NULL;
    answering_start(&master, answer_include);
}

static void tear_down(void)
{
    answering_stop(&master);
    text_free(&why);
}

static int load(struct message *m, const struct conf **ret)
{
    int err = loading_read(m, &master.opener, ret, &why);
    message_free(m);
    return err;
}

static int load_text(const char *text, const struct conf **ret)
{
    struct message m = hello(json_pack("{s:s}", "path", "/etc/weft/weft.yaml"), file_of(text));
    return load(&m, ret);
}

START_TEST(the_file_that_came_is_read)
{
    const struct conf *c;
    ck_assert_msg(load_text(sound, &c) == 0, "%s", why.data);
    ck_assert_uint_eq(c->listener_count, 1);
    ck_assert_str_eq(c->listeners[0].name, "a");
    conf_unref(c);
}
END_TEST

START_TEST(the_descriptor_is_closed)
{
    const struct conf *c;
    int before = dup(STDERR_FILENO);
    close(before);
    ck_assert_int_eq(load_text(sound, &c), 0);
    conf_unref(c);
    ck_assert_int_eq(load_text("nonsense", &c), -WEFT_ECONF);
    int after = dup(STDERR_FILENO);
    ck_assert_int_eq(after, before);
    close(after);
}
END_TEST

START_TEST(faults_are_told_with_their_place)
{
    const struct conf *c;
    ck_assert_int_eq(load_text("listeners:\n  a: {bnd: 1}\n", &c), -WEFT_ECONF);
    ck_assert_ptr_nonnull(strstr(why.data, "/etc/weft/weft.yaml:2:7: error: "));
}
END_TEST

START_TEST(an_include_comes_from_the_master)
{
    const struct conf *c;
    included = sound;
    ck_assert_msg(load_text("include: '*.inc'\n", &c) == 0, "%s", why.data);
    ck_assert_str_eq(c->listeners[0].name, "a");
    conf_unref(c);
    included = "listeners: {a: {bnd: 1}}\n";
    ck_assert_int_eq(load_text("include: '*.inc'\n", &c), -WEFT_ECONF);
    ck_assert_ptr_nonnull(strstr(why.data, "/etc/weft/a.inc:1:17: error: "));
}
END_TEST

START_TEST(an_include_that_the_master_refuses_is_a_fault)
{
    const struct conf *c;
    ck_assert_int_eq(load_text("include: '*.inc'\n", &c), -WEFT_ECONF);
    ck_assert_ptr_nonnull(strstr(why.data, "/etc/weft/weft.yaml:1:10: error: include: "));
    ck_assert_ptr_nonnull(strstr(why.data, "Operation not permitted"));
}
END_TEST

START_TEST(without_a_path_it_is_quick_mode)
{
    const struct conf *c;
    struct message m = hello(json_pack("{s:n, s:[s, s], s:[s]}", "path", "listen", "127.0.0.1:80",
                                       "127.0.0.1:81", "backend", "127.0.0.1:82"),
                             -1);
    ck_assert_msg(load(&m, &c) == 0, "%s", why.data);
    ck_assert_uint_eq(c->listeners[0].bind_count, 2);
    conf_unref(c);
    m = hello(json_pack("{s:[s], s:[i]}", "listen", "nonsense", "backend", 7), -1);
    ck_assert_int_eq(load(&m, &c), -WEFT_ECONF);
    ck_assert_uint_gt(why.length, 0);
}
END_TEST

START_TEST(a_message_that_lacks_something_is_an_error)
{
    const struct conf *c;
    struct message m = hello(json_pack("{s:s}", "path", "/etc/weft/weft.yaml"), -1);
    ck_assert_int_lt(load(&m, &c), 0);
    ck_assert_uint_gt(why.length, 0);
    text_clear(&why);
    m = hello(json_object(), -1);
    ck_assert_int_lt(load(&m, &c), 0);
    ck_assert_uint_gt(why.length, 0);
}
END_TEST

UNIT_MAIN_AROUND("loading", set_up, tear_down, the_file_that_came_is_read, the_descriptor_is_closed,
                 faults_are_told_with_their_place, an_include_comes_from_the_master,
                 an_include_that_the_master_refuses_is_a_fault, without_a_path_it_is_quick_mode,
                 a_message_that_lacks_something_is_an_error)
