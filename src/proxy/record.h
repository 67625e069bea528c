/*
 * Access records: one for each connection, at its end. The session's facts are copied as they are;
 * the log thread makes a line of them.
 */
#ifndef WEFT_PROXY_RECORD_H
#define WEFT_PROXY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/text.h"
#include "conf/conf.h"
#include "proxy/end.h"
#include "proxy/session.h"

/* An address of a record: a socket name as the kernel gives it. Room for TCP; UNIX ends have no
 * name worth a copy. */
struct record {
    const struct conf *conf; /* a reference: the names below are in it */
    const struct conf_listener *listener;
    const struct conf_pool *pool;     /* NULL: none was chosen */
    const struct conf_server *server; /* NULL: none was chosen */
    char *sni;                        /* the name the client asked for, owned; NULL: none */
    int64_t time;                     /* [wall ns] end of the connection */
    int64_t duration;                 /* [ns] */
    int64_t connect_duration;         /* [ns] -1: no connect came through */
    int64_t queue_duration;           /* [ns] -1: it did not wait for a server */
    uint64_t id;
    uint64_t bytes_in;  /* [bytes] from the client */
    uint64_t bytes_out; /* [bytes] to the client */
    uint64_t generation;
    struct addr source;
    struct addr destination;
    struct addr upstream_source; /* len 0: no connect came through */
    unsigned worker;
    unsigned retries;
    bool spliced; /* some of the bytes did not come through weft's memory */
    enum session_end end;
};

/** Have records written in this format from now on, whichever generation their connections are of.
 * Thread: any. */
void record_set_format(enum conf_log_format format);

/** Queue the record of a session that is about to close; its sockets are still open. Does not
 * yield. */
void record_session(const struct session *s, enum session_end end);

/** Write a record as a JSON object. */
void record_format_json(struct text *out, const void *record);

/** Write a record as a line for people, in the manner of nginx's stream log. */
void record_format_text(struct text *out, const void *record);

#endif
