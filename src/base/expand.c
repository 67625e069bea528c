#include "base/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stddef.h>
#include <string.h>

static const char special[] = "*?[";

/* Non-blocking, which a file ignores: a FIFO that nobody writes to is empty, and holds nobody up.
 */
static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd >= 0 ? fd : -errno;
}

/* The error that ended glob(3), which tells no more of it than this. */
static _Thread_local int unreadable;

/* A directory that is not there has no file that matches. */
static int note_unreadable(const char *path, int err)
{
    (void)path;
    unreadable = err;
    return err != ENOENT && err != ENOTDIR;
}

static int expand_glob(const char *pattern, expand_fn *take, void *arg)
{
    glob_t found;
    int rc = 0;
    switch (glob(pattern, 0, note_unreadable, &found)) {
    case 0:
        for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
            rc = take(arg, found.gl_pathv[i], open_file(found.gl_pathv[i]));
        break;
    case GLOB_NOMATCH:
        break;
    case GLOB_ABORTED:
        rc = -unreadable;
        break;
    default:
        rc = -ENOMEM;
    }
    globfree(&found);
    return rc;
}

int expand_open(const char *pattern, expand_fn *take, void *arg)
{
    if (expand_is_pattern(pattern))
        return expand_glob(pattern, take, arg);
    return take(arg, pattern, open_file(pattern));
}

bool expand_is_pattern(const char *text)
{
    return strpbrk(text, special) != NULL;
}

void expand_quote(struct text *pattern, const char *literal)
{
    for (; *literal != '\0'; literal++) {
        if (*literal == '\\' || strchr(special, *literal) != NULL)
            text_add_string(pattern, "\\");
        text_add(pattern, literal, 1);
    }
}
