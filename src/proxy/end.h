/* Why a connection ended, as the access record says it. */
#ifndef WEFT_PROXY_END_H
#define WEFT_PROXY_END_H

enum session_end {
    END_NONE, /* it lives */
    END_CLIENT_CLOSED,
    END_SERVER_CLOSED,
    END_CLIENT_RESET,
    END_SERVER_RESET,
    END_IDLE_TIMEOUT,
    END_HALF_CLOSE_TIMEOUT,
    END_CONNECT_FAILED,
    END_CONNECT_TIMEOUT,
    END_NO_SERVER,
    END_QUEUE_TIMEOUT,
    END_DENIED,
    END_RATE_LIMITED,
    END_LIMIT,
    END_MAX_AGE,
    END_PROXY_HEADER_INVALID,
    END_SNI_TIMEOUT,
    END_DRAINED,
    END_SHUTDOWN,
    END_ERROR,
    END_LAST
};

/** The reason's name in records and metrics; never freed. */
const char *end_name(enum session_end end);

#endif
