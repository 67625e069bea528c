#include "worker/privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "unit.h"

#define NOBODY 65534

static struct text why;

static void set_up(void)
{
    text_init(&why);
}

static void tear_down(void)
{
    text_free(&why);
}

static struct conf_process account(const char *user, id_t uid, const char *group, id_t gid)
{
    return (struct conf_process){.user = {.name = user, .id = uid},
                                 .group = {.name = group, .id = gid}};
}

/* What the kernel says of this process; in place until the next call. */
static const char *status(const char *key)
{
    static char line[512];
    FILE *f = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':') {
            fclose(f);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(key) + 2;
        }
    }
    ck_abort_msg("no %s", key);
}

static unsigned long long capabilities(const char *set)
{
    return strtoull(status(set), NULL, 16);
}

static void expect_none_left(void)
{
    ck_assert_uint_eq(capabilities("CapInh"), 0);
    ck_assert_uint_eq(capabilities("CapPrm"), 0);
    ck_assert_uint_eq(capabilities("CapEff"), 0);
    ck_assert_uint_eq(capabilities("CapAmb"), 0);
    ck_assert_str_eq(status("NoNewPrivs"), "1");
}

START_TEST(root_becomes_the_user)
{
    const struct conf_process p = account("nobody", NOBODY, "daemon", 1);
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(setgroups(3, (gid_t[]){0, 4, 6}), 0);
    ck_assert_msg(privileges_drop(&p, &why) == 0, "%s", why.data);
    ck_assert_str_eq(status("Uid"), "65534\t65534\t65534\t65534");
    ck_assert_str_eq(status("Gid"), "1\t1\t1\t1");
    ck_assert_str_eq(status("Groups"), "1 ");
    expect_none_left();
    ck_assert_uint_eq(capabilities("CapBnd"), 0);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    ck_assert_int_lt(setuid(0), 0);
}
END_TEST

/* As where the file names a number. */
START_TEST(a_user_that_has_no_name_has_no_other_groups)
{
    const struct conf_process p = account("61234", 61234, "61235", 61235);
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(setgroups(2, (gid_t[]){0, 4}), 0);
    ck_assert_msg(privileges_drop(&p, &why) == 0, "%s", why.data);
    ck_assert_str_eq(status("Uid"), "61234\t61234\t61234\t61234");
    ck_assert_str_eq(status("Groups"), "61235 ");
    expect_none_left();
}
END_TEST

/* Who says `user: root` wants what only root may: the capabilities stay. */
START_TEST(root_that_stays_root_keeps_its_rights)
{
    const struct conf_process p = account("root", 0, "root", 0);
    if (geteuid() != 0)
        return;
    unsigned long long before = capabilities("CapEff"), bounds = capabilities("CapBnd");
    ck_assert_msg(privileges_drop(&p, &why) == 0, "%s", why.data);
    ck_assert_str_eq(status("Uid"), "0\t0\t0\t0");
    ck_assert_uint_eq(capabilities("CapEff"), before);
    ck_assert_uint_eq(capabilities("CapBnd"), bounds);
    ck_assert_str_eq(status("NoNewPrivs"), "1");
}
END_TEST

static void become_nobody_with(cap_value_t right)
{
    cap_t set = cap_get_proc();
    ck_assert_int_eq(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(cap_clear(set), 0);
    ck_assert_int_eq(cap_set_flag(set, CAP_PERMITTED, 1, &right, CAP_SET), 0);
    ck_assert_int_eq(cap_set_flag(set, CAP_EFFECTIVE, 1, &right, CAP_SET), 0);
    ck_assert_int_eq(cap_set_flag(set, CAP_INHERITABLE, 1, &right, CAP_SET), 0);
    ck_assert_int_eq(cap_set_proc(set), 0);
    ck_assert_int_eq(cap_set_ambient(right, CAP_SET), 0);
    cap_free(set);
}

/* As systemd starts the service: AmbientCapabilities=CAP_NET_BIND_SERVICE */
START_TEST(what_a_service_was_given_goes)
{
    const struct conf_process p = account("weft", 999, "weft", 999);
    if (geteuid() != 0)
        return;
    become_nobody_with(CAP_NET_BIND_SERVICE);
    ck_assert_uint_eq(capabilities("CapAmb"), 1ULL << CAP_NET_BIND_SERVICE);
    ck_assert_uint_eq(capabilities("CapEff"), 1ULL << CAP_NET_BIND_SERVICE);
    ck_assert_msg(privileges_drop(&p, &why) == 0, "%s", why.data);
    expect_none_left();
    ck_assert_str_eq(status("Uid"), "65534\t65534\t65534\t65534");
}
END_TEST

START_TEST(an_ordinary_user_stays_what_it_is)
{
    const struct conf_process p = account("root", 0, "root", 0);
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    uid_t before = getuid();
    ck_assert_msg(privileges_drop(&p, &why) == 0, "%s", why.data);
    ck_assert_uint_eq(getuid(), before);
    expect_none_left();
}
END_TEST

/*
 * As in a container that lets root have nothing. ThreadSanitizer has a thread of its own, which
 * this leaves its capabilities; the C library does not bear it that threads differ.
 */
START_TEST(root_that_may_not_become_another_is_refused)
{
    const struct conf_process p = account("nobody", NOBODY, "daemon", 1);
#ifdef __SANITIZE_THREAD__
    return;
#endif
    if (geteuid() != 0)
        return;
    cap_t none = cap_init();
    ck_assert_int_eq(cap_set_proc(none), 0);
    cap_free(none);
    ck_assert_int_eq(privileges_drop(&p, &why), -EPERM);
    ck_assert_str_eq(why.data,
                     "error: cannot set the groups of user nobody: Operation not permitted");
    ck_assert_uint_eq(getuid(), 0);
}
END_TEST

UNIT_MAIN_AROUND("privileges", set_up, tear_down, root_becomes_the_user,
                 a_user_that_has_no_name_has_no_other_groups, root_that_stays_root_keeps_its_rights,
                 what_a_service_was_given_goes, an_ordinary_user_stays_what_it_is,
                 root_that_may_not_become_another_is_refused)
