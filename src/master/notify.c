#include "master/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/clock.h"
#include "base/text.h"

/*
 * A name in the descriptor store: a key with this in front. A name has no colon and nothing but
 * ASCII, and it may have 255 bytes; what can't be one is not stored.
 */
#define STORED_PREFIX "weft="
#define COLON         ';'
#define NAME_MAX_SIZE 256
#define FDS_AT_ONCE   250 /* descriptors in one message; the kernel takes 253 */

static void say(const char *state)
{
#ifdef HAVE_SYSTEMD
    (void)sd_notify(0, state);
#else
    (void)state;
#endif
}

void notify_ready(void)
{
    say("READY=1");
}

void notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             clock_update() / NSEC_PER_USEC);
    say(state);
}

void notify_stopping(void)
{
    say("STOPPING=1");
}

void notify_status(const char *format, ...)
{
    char state[512] = "STATUS=";
    va_list args;
    va_start(args, format);
    vsnprintf(state + strlen(state), sizeof(state) - strlen(state), format, args);
    va_end(args);
    say(state);
}

void notify_alive(void)
{
    say("WATCHDOG=1");
}

void notify_extend(int64_t more)
{
    char state[64];
    snprintf(state, sizeof(state), "EXTEND_TIMEOUT_USEC=%" PRId64, more / NSEC_PER_USEC);
    say(state);
}

/* --- the descriptor store ---------------------------------------------------------------- */

static bool stored_name(const char *key, char *name, size_t size)
{
    int n = snprintf(name, size, STORED_PREFIX "%s", key);
    if (n < 0 || (size_t)n >= size)
        return false;
    for (char *c = name; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~' || *c == COLON)
            return false;
        if (*c == ':')
            *c = COLON;
    }
    return true;
}

bool notify_is_stored(const char *name, char **ret_key)
{
    size_t prefix = strlen(STORED_PREFIX);
    *ret_key = NULL;
    if (strncmp(name, STORED_PREFIX, prefix) != 0)
        return false;
    *ret_key = strdup(name + prefix);
    for (char *c = *ret_key; c != NULL && *c != '\0'; c++) {
        if (*c == COLON)
            *c = ':';
    }
    return true;
}

bool notify_store(const char *key, const int *fds, unsigned count)
{
#ifdef HAVE_SYSTEMD
    char name[NAME_MAX_SIZE], state[NAME_MAX_SIZE + 64];
    if (!stored_name(key, name, sizeof(name)))
        return false;
    /* Unpolled: a listening socket has no end that systemd should look for. */
    snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    bool stored = count > 0;
    for (unsigned done = 0; stored && done < count; done += FDS_AT_ONCE) {
        unsigned n = count - done < FDS_AT_ONCE ? count - done : FDS_AT_ONCE;
        stored = sd_pid_notify_with_fds(0, 0, state, fds + done, n) > 0;
    }
    return stored;
#else
    (void)key;
    (void)fds;
    (void)count;
    return false;
#endif
}

void notify_unstore(const char *key)
{
    char name[NAME_MAX_SIZE], state[NAME_MAX_SIZE + 64];
    if (!stored_name(key, name, sizeof(name)))
        return;
    snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    say(state);
}

int notify_handed(int *ret_first, char ***ret_names)
{
    *ret_names = NULL;
#ifdef HAVE_SYSTEMD
    *ret_first = SD_LISTEN_FDS_START;
    int count = sd_listen_fds_with_names(1, ret_names);
    return count > 0 ? count : 0;
#else
    *ret_first = -1;
    return 0;
#endif
}
