/* Whom weft becomes, on systems with and without the accounts it is made for. */
#include "conf/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "reading.h"

/* The system's tables; a test says which of them are there. */
static struct passwd users[] = {
    {.pw_name = "weft", .pw_uid = 101, .pw_gid = 201},
    {.pw_name = "nobody", .pw_uid = 102, .pw_gid = 202},
    {.pw_name = "www", .pw_uid = 103, .pw_gid = 203},
    {.pw_name = "77", .pw_uid = 104, .pw_gid = 204},
};
static struct group groups[] = {
    {.gr_name = "weft", .gr_gid = 301},
    {.gr_name = "nogroup", .gr_gid = 202},
    {.gr_name = "www-data", .gr_gid = 203},
};
static const char *missing = ""; /* names that are not there, between blanks */
static int trouble;              /* the error that each look-up comes to, if any */

static bool there(const char *name)
{
    char word[32];
    snprintf(word, sizeof(word), " %s ", name);
    return strstr(missing, word) == NULL;
}

/* As the functions do: an entry needs room, and one that is not there is no error. */
static int found_user(const char *name, uid_t uid, struct passwd *entry, size_t n,
                      struct passwd **ret)
{
    *ret = NULL;
    if (trouble != 0)
        return trouble;
    for (size_t i = 0; i < array_size(users); i++) {
        bool meant = name != NULL ? strcmp(users[i].pw_name, name) == 0 : users[i].pw_uid == uid;
        if (!meant || !there(users[i].pw_name))
            continue;
        if (n < 3000)
            return ERANGE;
        *entry = users[i];
        *ret = entry;
    }
    return 0;
}

static int found_group(const char *name, gid_t gid, struct group *entry, char *buf, size_t n,
                       struct group **ret)
{
    *ret = NULL;
    if (trouble != 0)
        return trouble;
    for (size_t i = 0; i < array_size(groups); i++) {
        bool meant = name != NULL ? strcmp(groups[i].gr_name, name) == 0 : groups[i].gr_gid == gid;
        if (!meant || !there(groups[i].gr_name))
            continue;
        if (n < 5000)
            return ERANGE;
        *entry = groups[i];
        entry->gr_name = strcpy(buf, groups[i].gr_name);
        *ret = entry;
    }
    return 0;
}

int __wrap_getpwnam_r(const char *name, struct passwd *entry, char *buf, size_t n,
                      struct passwd **ret);
int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t n, struct passwd **ret);
int __wrap_getgrnam_r(const char *name, struct group *entry, char *buf, size_t n,
                      struct group **ret);
int __wrap_getgrgid_r(gid_t gid, struct group *entry, char *buf, size_t n, struct group **ret);

int __wrap_getpwnam_r(const char *name, struct passwd *entry, char *buf, size_t n,
                      struct passwd **ret)
{
    (void)buf;
    return found_user(name, 0, entry, n, ret);
}

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t n, struct passwd **ret)
{
    (void)buf;
    return found_user(NULL, uid, entry, n, ret);
}

int __wrap_getgrnam_r(const char *name, struct group *entry, char *buf, size_t n,
                      struct group **ret)
{
    return found_group(name, 0, entry, buf, n, ret);
}

int __wrap_getgrgid_r(gid_t gid, struct group *entry, char *buf, size_t n, struct group **ret)
{
    return found_group(NULL, gid, entry, buf, n, ret);
}

/* What the lines about both come to, where some accounts are not there. */
static void becomes(const char *lines, const char *absent, const char *user, id_t uid,
                    const char *group, id_t gid)
{
    char yaml[400];
    snprintf(yaml, sizeof(yaml), WITH_TOP("weft: {%s}\n"), lines);
    missing = absent;
    const struct conf *c = accept_text(yaml);
    ck_assert_str_eq(c->process.user.name, user);
    ck_assert_uint_eq(c->process.user.id, uid);
    ck_assert_str_eq(c->process.group.name, group);
    ck_assert_uint_eq(c->process.group.id, gid);
    ck_assert_int_eq(c->process.user.given, strstr(lines, "user") != NULL);
    ck_assert_int_eq(c->process.group.given, strstr(lines, "group") != NULL);
    conf_unref(c);
}

START_TEST(defaults_that_there_are)
{
    becomes("", "", "weft", 101, "weft", 301);
    becomes("", " weft ", "nobody", 102, "nogroup", 202);
    becomes("", " weft nogroup ", "nobody", 102, "202", 202);
    becomes("", " weft  nobody ", "65534", 65534, "65534", 65534);
    becomes("group: www-data", " weft ", "nobody", 102, "www-data", 203);
}
END_TEST

START_TEST(a_users_own_group)
{
    becomes("user: www", "", "www", 103, "www-data", 203);
    becomes("user: www", " www-data ", "www", 103, "203", 203);
    becomes("user: www, group: nogroup", "", "www", 103, "nogroup", 202);
}
END_TEST

START_TEST(numbers_do_for_names)
{
    becomes("user: 103", "", "103", 103, "www-data", 203);
    becomes("user: 5000", "", "5000", 5000, "5000", 5000);
    becomes("user: 0, group: 5000", "", "0", 0, "5000", 5000);
    becomes("user: 77", "", "77", 104, "204", 204); /* a name first of all */
}
END_TEST

START_TEST(quick_mode_has_the_defaults)
{
    const struct conf *c;
    struct conf_faults *faults;
    const char *listen = ":1", *backend = "127.0.0.1:1";
    ck_assert_int_eq(conf_quick(&listen, 1, &backend, 1, &c, &faults), 0);
    ck_assert_str_eq(c->process.user.name, "weft");
    ck_assert_uint_eq(c->process.group.id, 301);
    conf_unref(c);
}
END_TEST

/* A system that can't tell has no account called weft; what is asked for by name is a fault. */
START_TEST(a_table_that_cannot_be_read)
{
    trouble = EIO;
    becomes("", "", "65534", 65534, "65534", 65534);
    char *said = faults_of(WITH_TOP("weft: {user: www, group: weft}\n"));
    ck_assert_str_eq(said, "F:3:14: error: user: cannot look up 'www': Input/output error\n"
                           "F:3:26: error: group: cannot look up 'weft': Input/output error\n");
    free(said);
}
END_TEST

UNIT_MAIN("account", defaults_that_there_are, a_users_own_group, numbers_do_for_names,
          quick_mode_has_the_defaults, a_table_that_cannot_be_read)
