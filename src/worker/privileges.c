#include "worker/privileges.h"

#include <errno.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"

static int failed(struct text *why, const char *what, const char *name)
{
    int err = -errno;
    text_format(why, "error: cannot %s%s: %s", what, name, error_text(err));
    return err;
}

/* What no program may ever get back, whatever its file says. */
static void drop_bounds(void)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

/* Its supplementary groups are those of the user, so that it may read what members may. */
static int become(const struct conf_process *p, struct text *why)
{
    gid_t group = (gid_t)p->group.id;
    if (p->user.id != 0)
        drop_bounds();
    if (initgroups(p->user.name, group) < 0 && setgroups(1, &group) < 0)
        return failed(why, "set the groups of user ", p->user.name);
    if (setresgid(group, group, group) < 0)
        return failed(why, "become group ", p->group.name);
    uid_t user = (uid_t)p->user.id;
    if (setresuid(user, user, user) < 0)
        return failed(why, "become user ", p->user.name);
    return 0;
}

/* Beyond those that root has: a service may have been started with some. */
static int drop_capabilities(struct text *why)
{
    cap_t none = cap_init();
    int rc = none != NULL ? cap_set_proc(none) : -1;
    int err = rc < 0 ? failed(why, "give up capabilities", "") : 0;
    cap_free(none);
    return err;
}

/* The kernel takes the right to dump core away with the user; who has crashes to explain wants it.
 */
static void allow_core(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int privileges_drop(const struct conf_process *p, struct text *why)
{
    int err = geteuid() == 0 ? become(p, why) : 0;
    bool root = geteuid() == 0; /* as the file says: it is to reach what only root does */
    if (err == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        err = failed(why, "give up privileges for good", "");
    if (err == 0 && !root)
        err = drop_capabilities(why);
    allow_core();
    return err;
}
