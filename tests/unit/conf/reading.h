/* What the tests of conf have in common: read a text, and have the verdict as a string. */
#ifndef WEFT_UNIT_CONF_READING_H
#define WEFT_UNIT_CONF_READING_H

#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/load.h"
#include "unit.h"

/* As conf_load(), from the text of a file F that is nowhere. */
static inline int load_bytes(const char *bytes, size_t size, const struct conf **ret,
                             struct conf_faults **ret_faults)
{
    const struct conf_source source = {.path = "F", .fd = -1};
    struct content main = {.bytes = (char *)bytes, .size = size};
    return load_source(&source, &main, ret, ret_faults);
}

/* The faults of a text that is read as the file F, "" where it has none. The caller frees it. */
static inline char *faults_of_bytes(const char *bytes, size_t size)
{
    const struct conf *c;
    struct conf_faults *faults;
    struct text out;
    text_init(&out);
    text_add_string(&out, "");
    if (load_bytes(bytes, size, &c, &faults) == 0) {
        conf_unref(c);
    } else {
        ck_assert_uint_gt(conf_faults_count(faults), 0);
        conf_faults_write(faults, &out);
        conf_faults_free(faults);
    }
    return out.data;
}

static inline char *faults_of(const char *yaml)
{
    return faults_of_bytes(yaml, strlen(yaml));
}

/* What is made of a text that must have no fault. The caller drops the reference. */
static inline const struct conf *accept_text(const char *yaml)
{
    const struct conf *c;
    struct conf_faults *faults;
    if (load_bytes(yaml, strlen(yaml), &c, &faults) == 0)
        return c;
    struct text out;
    text_init(&out);
    conf_faults_write(faults, &out);
    ck_abort_msg("refused:\n%s\n%s", yaml, out.data);
}

/* The dump of what must have no fault. The caller frees it. */
static inline char *dump_of(const char *yaml)
{
    const struct conf *c = accept_text(yaml);
    struct text out;
    text_init(&out);
    conf_dump(c, &out);
    conf_unref(c);
    ck_assert(!out.failed);
    return out.data;
}

/* A text with one listener and one pool, both sound, around lines of the test's. */
#define WITH_LISTENER(lines)                                                                       \
    "listeners:\n"                                                                                 \
    "  a:\n"                                                                                       \
    "    bind: 127.0.0.1:1\n"                                                                      \
    "    pool: p\n" lines "pools: {p: {servers: ['127.0.0.1:2']}}\n"
#define WITH_POOL(lines)                                                                           \
    "listeners: {a: {bind: '127.0.0.1:1', pool: p}}\n"                                             \
    "pools:\n"                                                                                     \
    "  p:\n"                                                                                       \
    "    servers: ['127.0.0.1:2']\n" lines
#define WITH_SERVERS(lines)                                                                        \
    "listeners: {a: {bind: '127.0.0.1:1', pool: p}}\n"                                             \
    "pools:\n"                                                                                     \
    "  p:\n"                                                                                       \
    "    servers:\n" lines
#define WITH_TOP(lines)                                                                            \
    "listeners: {a: {bind: '127.0.0.1:1', pool: p}}\n"                                             \
    "pools: {p: {servers: ['127.0.0.1:2']}}\n" lines

#endif
