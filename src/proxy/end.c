#include "proxy/end.h"

#include "base/attr.h"

static const char *const names[] = {
    [END_NONE] = "none",
    [END_CLIENT_CLOSED] = "client_closed",
    [END_SERVER_CLOSED] = "server_closed",
    [END_CLIENT_RESET] = "client_reset",
    [END_SERVER_RESET] = "server_reset",
    [END_IDLE_TIMEOUT] = "idle_timeout",
    [END_HALF_CLOSE_TIMEOUT] = "half_close_timeout",
    [END_CONNECT_FAILED] = "connect_failed",
    [END_CONNECT_TIMEOUT] = "connect_timeout",
    [END_NO_SERVER] = "no_server",
    [END_QUEUE_TIMEOUT] = "queue_timeout",
    [END_DENIED] = "denied",
    [END_RATE_LIMITED] = "rate_limited",
    [END_LIMIT] = "limit",
    [END_MAX_AGE] = "max_age",
    [END_PROXY_HEADER_INVALID] = "proxy_header_invalid",
    [END_SNI_TIMEOUT] = "sni_timeout",
    [END_DRAINED] = "drained",
    [END_SHUTDOWN] = "shutdown",
    [END_ERROR] = "error",
};

_Static_assert(array_size(names) == END_LAST, "an end without a name");

const char *end_name(enum session_end end)
{
    return names[end];
}
