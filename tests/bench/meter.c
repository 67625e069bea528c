#include "meter.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "loop.h"

#define NS_PER_S     1e9
#define PATIENCE_NS  10000000000 /* for the first of anything */
#define EXTENSION_NS 50000000

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_CONNECT] = "connect", [FAULT_RESET] = "reset", [FAULT_CLOSED] = "closed",
    [FAULT_CONTENT] = "content", [FAULT_STUCK] = "stuck", [FAULT_OTHER] = "other",
};

static int64_t own_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

void meter_begin(struct meter *m, double warmup, double seconds)
{
    m->state = METER_WARMING;
    m->opens = clock_now() + (int64_t)(warmup * NS_PER_S);
    m->closes = m->opens + (int64_t)(seconds * NS_PER_S);
}

static void take_account(struct meter *m, struct account *ret_account)
{
    int err = account_read(m->watch, ret_account);
    if (err < 0)
        m->account_error = err;
}

/*
 * On a machine that is busy with something else it may take a while until anything comes through:
 * a window that is still empty is made longer, up to a point.
 */
static void extend(struct meter *m, int64_t now)
{
    bool empty = m->operations == 0 && m->bytes == 0 && m->closes > m->opens;
    if (m->state == METER_OPEN && now >= m->closes && empty && now - m->opens < PATIENCE_NS)
        m->closes = now + EXTENSION_NS;
}

/* A window that opens late by the turn of the loop is as long as asked, and is counted from then.
 */
bool meter_running(struct meter *m, int64_t now)
{
    if (m->state == METER_WARMING && now >= m->opens) {
        m->closes += now - m->opens;
        m->opens = now;
        take_account(m, &m->at_open);
        m->own_at_open = own_clock();
        m->state = METER_OPEN;
    }
    extend(m, now);
    if (m->state == METER_OPEN && now >= m->closes) {
        take_account(m, &m->at_close);
        m->own_at_close = own_clock();
        m->closes = now;
        m->state = METER_CLOSED;
    }
    return m->state != METER_CLOSED;
}

int64_t meter_next(const struct meter *m)
{
    return m->state == METER_WARMING ? m->opens : m->closes;
}

void meter_operation(struct meter *m, int64_t began, int64_t now, uint64_t bytes)
{
    if (m->state != METER_OPEN)
        return;
    m->operations++;
    m->bytes += bytes;
    histogram_add(&m->latency, (uint64_t)(now - began));
}

void meter_due(struct meter *m, int64_t due, int64_t now, uint64_t bytes)
{
    if (m->state == METER_OPEN) {
        m->operations++;
        m->bytes += bytes;
    }
    bool opened = m->state == METER_OPEN || m->state == METER_CLOSED;
    if (opened && due >= m->opens && due < m->closes)
        histogram_add(&m->latency, (uint64_t)(now - due));
}

void meter_bytes(struct meter *m, uint64_t bytes)
{
    if (m->state == METER_OPEN)
        m->bytes += bytes;
}

static enum fault fault_of(int err)
{
    switch (-err) {
    case ECONNREFUSED:
    case EADDRNOTAVAIL:
    case ETIMEDOUT:
    case EMFILE:
    case ENFILE:
        return FAULT_CONNECT;
    case ECONNRESET:
        return FAULT_RESET;
    case EPIPE:
    case ECONNABORTED:
        return FAULT_CLOSED;
    case EBADMSG:
        return FAULT_CONTENT;
    default:
        return FAULT_OTHER;
    }
}

void meter_fault(struct meter *m, int err)
{
    m->faults[fault_of(err)]++;
}

void meter_stuck(struct meter *m, unsigned count)
{
    m->faults[FAULT_STUCK] += count;
}

static void print_latency(const struct histogram *h, FILE *out)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50", 0.5},     {"p75", 0.75},      {"p90", 0.9},
                  {"p95", 0.95},    {"p99", 0.99},      {"p99.5", 0.995},
                  {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}};
    fprintf(out, "\"latency_us\": {");
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        fprintf(out, "%s\"%s\": %.2f", i == 0 ? "" : ", ", points[i].name,
                (double)histogram_quantile(h, points[i].share) / 1e3);
    fprintf(out, "}");
}

static void print_faults(const struct meter *m, FILE *out)
{
    const char *separator = "";
    fprintf(out, "\"faults\": {");
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (m->faults[i] == 0)
            continue;
        fprintf(out, "%s\"%s\": %" PRIu64, separator, fault_names[i], m->faults[i]);
        separator = ", ";
    }
    fprintf(out, "}");
}

static void print_cpu(const struct meter *m, FILE *out)
{
    fprintf(out, "\"load_cpu_s\": %.6f, ", (double)(m->own_at_close - m->own_at_open) / NS_PER_S);
    if (m->watch->count == 0 || m->account_error < 0)
        return;
    fprintf(out, "\"cpu_s\": %.6f, \"cpu_clock_s\": %.6f, ",
            (double)(m->at_close.schedstat - m->at_open.schedstat) / NS_PER_S,
            (double)(m->at_close.clock - m->at_open.clock) / NS_PER_S);
}

void meter_print(const struct meter *m, FILE *out)
{
    double seconds = (double)(m->closes - m->opens) / NS_PER_S;
    double divisor = seconds > 0 ? seconds : 1;
    fprintf(out, "\"seconds\": %.6f, \"operations\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ",
            seconds, m->operations, m->bytes);
    fprintf(out, "\"rate\": %.1f, \"bytes_rate\": %.0f, ", (double)m->operations / divisor,
            (double)m->bytes / divisor);
    print_cpu(m, out);
    print_latency(&m->latency, out);
    fprintf(out, ", ");
    print_faults(m, out);
}
