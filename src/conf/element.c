#include "conf/element.h"

#include <errno.h>
#include <string.h>

#include "base/prefix.h"
#include "conf/fault.h"
#include "conf/utf8.h"
#include "conf/value.h"

#define HOST_MAX     253 /* [bytes] of a name in the DNS */
#define LABEL_MAX    63  /* [bytes] between two dots */
#define PROTOCOL_MAX 255 /* [bytes] RFC 7301 section 3.1 */

/* --- networks ---------------------------------------------------------------------------- */

static int set_network(const char *text, void *at, struct arena *arena, struct text *why)
{
    const char *reason;
    (void)arena;
    if (prefix_parse(text, at, &reason) == 0)
        return 0;
    text_format(why, "bad network '%s': %s", fault_show(text).text, reason);
    return -EINVAL;
}

static void write_network(const void *at, struct text *out)
{
    struct text plain;
    text_init(&plain);
    prefix_write(at, &plain);
    if (plain.failed)
        out->failed = true;
    else
        value_write_string(out, plain.data);
    text_free(&plain);
}

/* --- strings ----------------------------------------------------------------------------- */

static int copy(const char *text, void *at, struct arena *arena)
{
    char *string = arena_copy(arena, text, strlen(text));
    if (string == NULL)
        return -ENOMEM;
    *(char **)at = string;
    return 0;
}

static void write_string(const void *at, struct text *out)
{
    value_write_string(out, *(char *const *)at);
}

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool host_right(const char *name)
{
    size_t label = 0, n = strlen(name);
    if (n > HOST_MAX)
        return false;
    for (; *name != '\0'; name++) {
        if (*name == '.' ? label == 0 : !host_char(*name))
            return false;
        label = *name == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return label > 0;
}

/* Names are compared in small letters, as the client's is made. */
static int set_host(const char *text, void *at, struct arena *arena, struct text *why)
{
    bool wildcard = strncmp(text, "*.", 2) == 0;
    if (!host_right(wildcard ? text + 2 : text)) {
        text_format(why,
                    "bad server name '%s': it has letters, digits, '-', '_' and '.', with '*.' "
                    "in front for all names below it",
                    fault_show(text).text);
        return -EINVAL;
    }
    int rc = copy(text, at, arena);
    for (char *c = rc == 0 ? *(char **)at : ""; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return rc;
}

static int set_protocol(const char *text, void *at, struct arena *arena, struct text *why)
{
    if (text[0] != '\0' && strlen(text) <= PROTOCOL_MAX && utf8_printable(text))
        return copy(text, at, arena);
    text_format(why, "bad protocol '%s': it has 1 to %d bytes, as h2 and http/1.1 have",
                fault_show(text).text, PROTOCOL_MAX);
    return -EINVAL;
}

/* --- by type ----------------------------------------------------------------------------- */

static const struct {
    size_t size; /* [bytes] */
    const char *noun;
    int (*set)(const char *text, void *at, struct arena *arena, struct text *why);
    void (*write)(const void *at, struct text *out);
} types[SCHEMA_RESERVED + 1] = {
    [SCHEMA_NETWORKS] = {sizeof(struct prefix), "a network", set_network, write_network},
    [SCHEMA_HOSTS] = {sizeof(char *), "a server name", set_host, write_string},
    [SCHEMA_PROTOCOLS] = {sizeof(char *), "a protocol", set_protocol, write_string},
};

size_t element_size(enum schema_type type)
{
    return types[type].size;
}

const char *element_noun(enum schema_type type)
{
    return types[type].noun;
}

int element_set(enum schema_type type, const char *text, void *at, struct arena *arena,
                struct text *why)
{
    return types[type].set(text, at, arena, why);
}

void element_write(enum schema_type type, const void *at, struct text *out)
{
    types[type].write(at, out);
}
