#include "master/notify.h"

#include <errno.h>

#include "base/clock.h"
#include "places.h"

static int manager; /* what systemd has of the notify socket */

static void set_up(void)
{
    make_directory();
    struct addr a = unix_address(path_of("notify"));
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, &a.sa, a.len), 0);
    setenv("NOTIFY_SOCKET", path_of("notify"), 1);
}

static void tear_down(void)
{
    close(manager);
    unsetenv("NOTIFY_SOCKET");
    remove_directory();
}

/* The next message; in place until the next call. */
static const char *heard(unsigned *ret_fds)
{
    static char text[4096];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int)) + CMSG_SPACE(64)];
    } ancillary;
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &ancillary,
                       .msg_controllen = sizeof(ancillary)};
    ssize_t n = recvmsg(manager, &h, 0);
    *ret_fds = 0;
    if (n < 0)
        return NULL;
    text[n] = '\0';
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c)) {
        if (c->cmsg_type != SCM_RIGHTS)
            continue;
        *ret_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < *ret_fds; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            close(fd);
        }
    }
    return text;
}

#ifdef HAVE_SYSTEMD

static void expect_heard(const char *expected)
{
    unsigned fds;
    const char *text = heard(&fds);
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, expected);
}

START_TEST(each_says_what_systemd_wants_to_hear)
{
    unsigned fds;
    notify_ready();
    expect_heard("READY=1");
    notify_stopping();
    expect_heard("STOPPING=1");
    notify_status("generation %d, %s", 3, "well");
    expect_heard("STATUS=generation 3, well");
    notify_alive();
    expect_heard("WATCHDOG=1");
    notify_extend(1500 * NSEC_PER_MSEC);
    expect_heard("EXTEND_TIMEOUT_USEC=1500000");
    notify_reloading();
    ck_assert_int_eq(strncmp(heard(&fds), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
}
END_TEST

START_TEST(a_status_is_cut)
{
    unsigned fds;
    char *text = malloc(100000);
    memset(text, 'a', 99999);
    text[99999] = '\0';
    notify_status("%s", text);
    size_t n = strlen(heard(&fds));
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_lt(n, 1000);
    free(text);
}
END_TEST

static const char *stored_as(const char *key)
{
    unsigned fds;
    static char name[512];
    const int fd = STDERR_FILENO;
    if (!notify_store(key, &fd, 1))
        return NULL;
    const char *text = heard(&fds);
    ck_assert_uint_eq(fds, 1);
    ck_assert_int_eq(sscanf(text, "FDSTORE=1\nFDNAME=%511s\nFDPOLL=0", name), 1);
    ck_assert_ptr_nonnull(strstr(text, "\nFDPOLL=0"));
    return name;
}

START_TEST(a_key_is_found_again_by_its_name)
{
    static const char *const keys[] = {
        "10.0.0.1:80",       ":80",
        "[2001:db8::1]:443", "unix:/run/a b/a.sock",
        "unix:@abstract",    "control:/run/weft/control.sock",
    };
    for (size_t i = 0; i < array_size(keys); i++) {
        unsigned fds;
        char *key, expected[300];
        const int fd = STDERR_FILENO;
        ck_assert(notify_store(keys[i], &fd, 1));
        char *name = strstr(heard(&fds), "FDNAME=") + strlen("FDNAME=");
        *strchr(name, '\n') = '\0';
        ck_assert_ptr_null(strchr(name, ':'));
        ck_assert(notify_is_stored(name, &key));
        ck_assert_str_eq(key, keys[i]);
        notify_unstore(keys[i]);
        snprintf(expected, sizeof(expected), "FDSTOREREMOVE=1\nFDNAME=weft=%s", keys[i]);
        for (char *c = expected + strlen("FDSTOREREMOVE=1\nFDNAME="); *c != '\0'; c++)
            *c = *c == ':' ? ';' : *c;
        expect_heard(expected);
        free(key);
    }
}
END_TEST

/* systemd would throw the descriptors away, or call them something else. */
START_TEST(a_key_that_can_not_be_a_name_is_not_stored)
{
    char long_key[300];
    unsigned fds;
    memset(long_key, 'a', sizeof(long_key));
    long_key[sizeof(long_key) - 1] = '\0';
    ck_assert_ptr_null(stored_as(long_key));
    ck_assert_ptr_null(stored_as("unix:/caf\xc3\xa9"));
    ck_assert_ptr_null(stored_as("unix:/a;b"));
    ck_assert_ptr_null(stored_as("unix:/a\nREADY=1"));
    notify_unstore(long_key);
    notify_unstore("unix:/a\nREADY=1");
    ck_assert_ptr_null(heard(&fds));
    ck_assert_str_eq(stored_as("unix:/a"), "weft=unix;/a");
}
END_TEST

START_TEST(hundreds_of_sockets_are_stored_in_several_messages)
{
    int fds[600];
    unsigned sum = 0, got;
    for (size_t i = 0; i < array_size(fds); i++)
        fds[i] = STDERR_FILENO;
    ck_assert(notify_store(":80", fds, array_size(fds)));
    while (heard(&got) != NULL) {
        ck_assert_uint_le(got, 253);
        sum += got;
    }
    ck_assert_uint_eq(sum, array_size(fds));
}
END_TEST

START_TEST(nothing_is_stored_where_nobody_listens)
{
    const int fd = STDERR_FILENO;
    unsetenv("NOTIFY_SOCKET");
    ck_assert(!notify_store(":80", &fd, 1));
    notify_ready();
    setenv("NOTIFY_SOCKET", path_of("missing"), 1);
    ck_assert(!notify_store(":80", &fd, 1));
    notify_ready();
    notify_unstore(":80");
}
END_TEST

#else

START_TEST(each_says_what_systemd_wants_to_hear)
{
    unsigned fds;
    notify_ready();
    notify_stopping();
    notify_status("%d", 3);
    notify_alive();
    notify_extend(1);
    notify_reloading();
    ck_assert_ptr_null(heard(&fds));
}
END_TEST

START_TEST(nothing_is_stored_where_nobody_listens)
{
    const int fd = STDERR_FILENO;
    unsigned fds;
    ck_assert(!notify_store(":80", &fd, 1));
    notify_unstore(":80");
    ck_assert_ptr_null(heard(&fds));
}
END_TEST

#endif

START_TEST(a_name_of_a_unit_is_no_key)
{
    char *key;
    static const char *const names[] = {"web", "", "weft", "WEFT=a", " weft=a"};
    for (size_t i = 0; i < array_size(names); i++) {
        ck_assert(!notify_is_stored(names[i], &key));
        ck_assert_ptr_null(key);
    }
}
END_TEST

START_TEST(what_was_handed_to_another_process_is_not_ours)
{
    int first;
    char **names = NULL;
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "3", 1);
    setenv("LISTEN_FDNAMES", "a:b:c", 1);
    ck_assert_int_eq(notify_handed(&first, &names), 0);
    free(names);
}
END_TEST

#ifdef HAVE_SYSTEMD
UNIT_MAIN_AROUND("notify", set_up, tear_down, each_says_what_systemd_wants_to_hear, a_status_is_cut,
                 a_key_is_found_again_by_its_name, a_key_that_can_not_be_a_name_is_not_stored,
                 hundreds_of_sockets_are_stored_in_several_messages,
                 nothing_is_stored_where_nobody_listens, a_name_of_a_unit_is_no_key,
                 what_was_handed_to_another_process_is_not_ours)
#else
UNIT_MAIN_AROUND("notify", set_up, tear_down, each_says_what_systemd_wants_to_hear,
                 nothing_is_stored_where_nobody_listens, a_name_of_a_unit_is_no_key,
                 what_was_handed_to_another_process_is_not_ours)
#endif
