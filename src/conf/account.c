#include "conf/account.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/text.h"
#include "conf/fault.h"
#include "conf/value.h"

#define OWN      "weft"     /* the account that an installation makes for it */
#define NOBODY   "nobody"   /* the one there is on every system, or should be */
#define OVERFLOW 65534      /* its number, where it is not */
#define ID_LIMIT UINT32_MAX /* no account has this number: it is the -1 of chown(2) */

/* What the C library's look-ups put their strings into. */
struct scratch {
    char *bytes; /* owned */
    size_t size;
};

/* What there is to know of a user. */
struct user {
    id_t uid;
    id_t gid; /* of its own group */
};

/* Returns 0 or ENOMEM, as the functions do between whose calls it stands. */
static int scratch_grow(struct scratch *s)
{
    size_t size = s->size > 0 ? s->size * 2 : 1024;
    char *bytes = realloc(s->bytes, size);
    if (bytes == NULL)
        return ENOMEM;
    *s = (struct scratch){bytes, size};
    return 0;
}

/* getpwnam_r(3) lists the errors that mean no more than that there is none. */
static int verdict(const void *found, int err)
{
    if (found != NULL)
        return 0;
    bool none = err == 0 || err == ENOENT || err == ESRCH || err == EBADF || err == EPERM;
    return none ? -ENOENT : -err;
}

static int user_by_name(struct scratch *s, const char *name, struct user *ret)
{
    struct passwd entry, *found = NULL;
    int err;
    do
        err = getpwnam_r(name, &entry, s->bytes, s->size, &found);
    while (err == ERANGE && (err = scratch_grow(s)) == 0);
    if (found != NULL)
        *ret = (struct user){found->pw_uid, found->pw_gid};
    return verdict(found, err);
}

static int user_by_id(struct scratch *s, id_t id, struct user *ret)
{
    struct passwd entry, *found = NULL;
    int err;
    do
        err = getpwuid_r(id, &entry, s->bytes, s->size, &found);
    while (err == ERANGE && (err = scratch_grow(s)) == 0);
    if (found != NULL)
        *ret = (struct user){found->pw_uid, found->pw_gid};
    return verdict(found, err);
}

static int group_by_name(struct scratch *s, const char *name, id_t *ret)
{
    struct group entry, *found = NULL;
    int err;
    do
        err = getgrnam_r(name, &entry, s->bytes, s->size, &found);
    while (err == ERANGE && (err = scratch_grow(s)) == 0);
    if (found != NULL)
        *ret = found->gr_gid;
    return verdict(found, err);
}

/* The name stays in the scratch. */
static int group_name(struct scratch *s, id_t id, const char **ret)
{
    struct group entry, *found = NULL;
    int err;
    do
        err = getgrgid_r(id, &entry, s->bytes, s->size, &found);
    while (err == ERANGE && (err = scratch_grow(s)) == 0);
    if (found != NULL)
        *ret = found->gr_name;
    return verdict(found, err);
}

static bool read_id(const char *text, id_t *ret)
{
    int64_t value;
    if (value_number(text, &value) != VALUE_OK || value < 0 || value >= ID_LIMIT)
        return false;
    *ret = (id_t)value;
    return true;
}

/* --- who it is to be --------------------------------------------------------------------- */

static void complain(struct draft *d, const struct conf_account *a, const char *kind, int err)
{
    struct fault_shown shown = fault_show(a->name);
    if (err == -ENOMEM)
        fault_no_memory(d->faults);
    else if (err == -ENOENT)
        fault_add(d->faults, &a->mark, "%s: there is no %s '%s'", kind, kind, shown.text);
    else
        fault_add(d->faults, &a->mark, "%s: cannot look up '%s': %s", kind, shown.text,
                  error_text(err));
}

static int find_user(struct scratch *s, const char *text, struct user *ret)
{
    int rc = user_by_name(s, text, ret);
    if (rc != -ENOENT || !read_id(text, &ret->uid))
        return rc;
    rc = user_by_id(s, ret->uid, ret);
    if (rc != -ENOENT)
        return rc;
    ret->gid = ret->uid; /* as such a user's own group usually has it */
    return 0;
}

static int find_group(struct scratch *s, const char *text, id_t *ret)
{
    int rc = group_by_name(s, text, ret);
    return rc == -ENOENT && read_id(text, ret) ? 0 : rc;
}

static const char *number_text(struct draft *d, id_t id)
{
    char digits[16];
    snprintf(digits, sizeof(digits), "%" PRIu32, id);
    return draft_copy(d, digits);
}

/* Look for the first default there is; a system's trouble with it is that of who writes a name. */
static void default_user(struct draft *d, struct scratch *s, struct user *ret)
{
    struct conf_account *a = &d->conf->process.user;
    a->name = OWN;
    int rc = user_by_name(s, a->name, ret);
    if (rc < 0 && rc != -ENOMEM) {
        a->name = NOBODY;
        rc = user_by_name(s, a->name, ret);
    }
    if (rc == -ENOMEM) {
        fault_no_memory(d->faults);
    } else if (rc < 0) {
        *ret = (struct user){OVERFLOW, OVERFLOW};
        a->name = number_text(d, OVERFLOW);
    }
}

/* The group of this number, by its name where it has one. */
static void own_group(struct draft *d, struct scratch *s, id_t id)
{
    struct conf_account *a = &d->conf->process.group;
    const char *name;
    int rc = group_name(s, id, &name);
    a->id = id;
    if (rc == -ENOMEM)
        fault_no_memory(d->faults);
    else
        a->name = rc == 0 ? draft_copy(d, name) : number_text(d, id);
}

static bool settle_user(struct draft *d, struct scratch *s, struct user *ret)
{
    struct conf_account *a = &d->conf->process.user;
    if (!a->given) {
        default_user(d, s, ret);
    } else if (a->name == NULL) {
        return false; /* a fault was noted */
    } else {
        int rc = find_user(s, a->name, ret);
        if (rc < 0)
            complain(d, a, "user", rc);
        if (rc < 0)
            return false;
    }
    a->id = ret->uid;
    return true;
}

static void default_group(struct draft *d, struct scratch *s, const struct user *user)
{
    struct conf_account *a = &d->conf->process.group;
    int rc = d->conf->process.user.given ? -ENOENT : group_by_name(s, OWN, &a->id);
    if (rc == 0)
        a->name = OWN;
    else if (rc == -ENOMEM)
        fault_no_memory(d->faults);
    else
        own_group(d, s, user->gid);
}

/* `user`: NULL where there is none. */
static void settle_group(struct draft *d, struct scratch *s, const struct user *user)
{
    struct conf_account *a = &d->conf->process.group;
    if (!a->given && user != NULL) {
        default_group(d, s, user);
    } else if (a->given && a->name != NULL) {
        int rc = find_group(s, a->name, &a->id);
        if (rc < 0)
            complain(d, a, "group", rc);
    }
}

void account_settle(struct draft *d)
{
    struct scratch s = {.bytes = NULL};
    struct user user = {.uid = 0};
    if (scratch_grow(&s) != 0) { /* it may not be nothing */
        fault_no_memory(d->faults);
        return;
    }
    bool found = settle_user(d, &s, &user);
    settle_group(d, &s, found ? &user : NULL);
    free(s.bytes);
}
