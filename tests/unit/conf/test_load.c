/* What is made of files that have no fault. */
#include <sched.h>

#include "base/error.h"
#include "reading.h"

#define MS INT64_C(1000000)
#define S  (1000 * MS)

static const char minimal[] = WITH_TOP("");

static void addr_is(const struct addr *a, const char *text)
{
    char buf[ADDR_TEXT_SIZE];
    addr_format(a, buf);
    ck_assert_str_eq(buf, text);
}

START_TEST(every_default_of_the_process)
{
    const struct conf *c = accept_text(minimal);
    cpu_set_t cpus;
    ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    ck_assert_uint_eq(c->process.workers, (unsigned)CPU_COUNT(&cpus));
    ck_assert(!c->process.pin);
    ck_assert_uint_eq(c->process.max_connections, 0);
    ck_assert_int_eq(c->process.drain_timeout, 30 * S);
    ck_assert(!c->process.user.given && !c->process.group.given);
    ck_assert_ptr_null(c->process.pid_file.path);
    ck_assert(!c->process.pid_file.given);
    ck_assert_str_eq(c->process.control.path, RUNSTATEDIR "/weft/control.sock");
    ck_assert(!c->process.control.given);
    ck_assert_int_eq(c->log.access.output, LOG_OUTPUT_STDERR);
    ck_assert_int_eq(c->log.access_format, CONF_LOG_JSON);
    ck_assert_int_eq(c->log.error.output, LOG_OUTPUT_STDERR);
    ck_assert_int_eq(c->log.error_level, LOG_LEVEL_INFO);
    conf_unref(c);
}
END_TEST

START_TEST(every_default_of_a_listener)
{
    const struct conf *c = accept_text(minimal);
    ck_assert_uint_eq(c->listener_count, 1);
    const struct conf_listener *l = &c->listeners[0];
    ck_assert_str_eq(l->name, "a");
    ck_assert_str_eq(l->mark.file, "F");
    ck_assert_uint_eq(l->mark.line, 1);
    ck_assert_uint_eq(l->mark.column, 13);
    ck_assert_uint_eq(l->bind_count, 1);
    ck_assert_str_eq(l->binds[0].text, "127.0.0.1:1");
    addr_is(&l->binds[0].addr, "127.0.0.1:1");
    ck_assert_uint_eq(l->binds[0].mark.column, 23);
    ck_assert_ptr_eq(l->pool, &c->pools[0]);
    ck_assert_uint_eq(l->allow_count, 0);
    ck_assert_uint_eq(l->deny_count, 0);
    ck_assert_uint_eq(l->max_connections_per_source, 0);
    ck_assert_uint_eq(l->connection_rate_per_source.count, 0);
    ck_assert_int_eq(l->max_connection_age, 0);
    ck_assert_int_eq(l->idle_timeout, 600 * S);
    ck_assert_int_eq(l->half_close_timeout, 30 * S);
    ck_assert_uint_eq(l->max_connections, 0);
    ck_assert_int_eq(l->splice, CONF_SPLICE_AUTO);
    ck_assert(l->nodelay);
    ck_assert_int_eq(l->keepalive.idle, 60 * S);
    ck_assert_int_eq(l->keepalive.interval, 10 * S);
    ck_assert_uint_eq(l->keepalive.count, 3);
    ck_assert_uint_eq(l->backlog, 4096);
    ck_assert_int_eq(l->defer_accept, 0);
    ck_assert_uint_eq(l->fastopen, 0);
    ck_assert_uint_eq(l->receive_buffer, 0);
    ck_assert_uint_eq(l->send_buffer, 0);
    conf_unref(c);
}
END_TEST

START_TEST(every_default_of_a_pool)
{
    const struct conf *c = accept_text(minimal);
    ck_assert_uint_eq(c->pool_count, 1);
    const struct conf_pool *p = &c->pools[0];
    ck_assert_str_eq(p->name, "p");
    ck_assert_uint_eq(p->mark.line, 2);
    ck_assert_int_eq(p->balance, CONF_ROUND_ROBIN);
    ck_assert_int_eq(p->hash_key, CONF_HASH_SOURCE);
    ck_assert_int_eq(p->connect_timeout, 5 * S);
    ck_assert_uint_eq(p->retries, 2);
    ck_assert_uint_eq(p->queue.size, 0);
    ck_assert_int_eq(p->queue.timeout, 5 * S);
    ck_assert_uint_eq(p->outlier.failures, 5);
    ck_assert_int_eq(p->outlier.window, 10 * S);
    ck_assert_int_eq(p->outlier.eject, 10 * S);
    ck_assert_uint_eq(p->outlier.max_ejected, 50);
    ck_assert_int_eq(p->slow_start, 0);
    ck_assert_uint_eq(p->server_count, 1);
    ck_assert_str_eq(p->servers[0].name, "127.0.0.1:2");
    ck_assert_str_eq(p->servers[0].address.text, "127.0.0.1:2");
    ck_assert_uint_eq(p->servers[0].weight, 1);
    ck_assert_uint_eq(p->servers[0].max_connections, 0);
    ck_assert(!p->servers[0].backup);
    conf_unref(c);
}
END_TEST

START_TEST(every_key_of_the_process)
{
    const struct conf *c = accept_text(
        WITH_TOP("weft: {workers: 256, pin: on, max_connections: 10000000, drain_timeout: 1.5m,\n"
                 "  user: root, group: 7777, pid_file: ./p, control: off}\n"
                 "log:\n"
                 "  access: {output: /var/log/a.log, format: text}\n"
                 "  error: {output: syslog, level: warning}\n"));
    ck_assert_uint_eq(c->process.workers, 256);
    ck_assert(c->process.pin);
    ck_assert_uint_eq(c->process.max_connections, 10000000);
    ck_assert_int_eq(c->process.drain_timeout, 90 * S);
    ck_assert_str_eq(c->process.user.name, "root");
    ck_assert_uint_eq(c->process.user.id, 0);
    ck_assert_uint_eq(c->process.group.id, 7777);
    ck_assert_uint_eq(c->process.group.mark.line, 4);
    ck_assert_str_eq(c->process.pid_file.path, "./p");
    ck_assert_ptr_null(c->process.control.path);
    ck_assert(c->process.pid_file.given && c->process.control.given);
    ck_assert_uint_eq(c->process.control.mark.column, 52);
    ck_assert_int_eq(c->log.access.output, LOG_OUTPUT_FILE);
    ck_assert_str_eq(c->log.access.path, "/var/log/a.log");
    ck_assert_int_eq(c->log.access_format, CONF_LOG_TEXT);
    ck_assert_int_eq(c->log.error.output, LOG_OUTPUT_SYSLOG);
    ck_assert_int_eq(c->log.error_level, LOG_LEVEL_WARNING);
    conf_unref(c);
}
END_TEST

START_TEST(every_key_of_a_listener)
{
    const struct conf *c = accept_text(WITH_LISTENER("    idle_timeout: off\n"
                                                     "    half_close_timeout: 250ms\n"
                                                     "    max_connections: 7\n"
                                                     "    splice: off\n"
                                                     "    nodelay: no\n"
                                                     "    keepalive: {idle: 2m, interval: 3s, "
                                                     "count: 127}\n"
                                                     "    backlog: 65535\n"
                                                     "    defer_accept: 5s\n"
                                                     "    fastopen: 16\n"
                                                     "    receive_buffer: 1.5MiB\n"
                                                     "    send_buffer: 4096B\n"));
    const struct conf_listener *l = &c->listeners[0];
    ck_assert_int_eq(l->idle_timeout, 0);
    ck_assert_int_eq(l->half_close_timeout, 250 * MS);
    ck_assert_uint_eq(l->max_connections, 7);
    ck_assert_int_eq(l->splice, CONF_SPLICE_OFF);
    ck_assert(!l->nodelay);
    ck_assert_int_eq(l->keepalive.idle, 120 * S);
    ck_assert_int_eq(l->keepalive.interval, 3 * S);
    ck_assert_uint_eq(l->keepalive.count, 127);
    ck_assert_uint_eq(l->backlog, 65535);
    ck_assert_int_eq(l->defer_accept, 5 * S);
    ck_assert_uint_eq(l->fastopen, 16);
    ck_assert_uint_eq(l->receive_buffer, 1572864);
    ck_assert_uint_eq(l->send_buffer, 4096);
    conf_unref(c);
}
END_TEST

START_TEST(every_key_of_a_pool)
{
    const struct conf *c =
        accept_text(WITH_SERVERS("      - 10.0.0.1:80\n"
                                 "      - {name: b, address: '[::1]:80', weight: 256, backup: on}\n"
                                 "      - {address: 'unix:/run/s.sock'}\n"
                                 "      - {name: again, address: 10.0.0.1:80}\n"
                                 "    balance: round_robin\n"
                                 "    connect_timeout: off\n"
                                 "    retries: 16\n"));
    const struct conf_pool *p = &c->pools[0];
    ck_assert_uint_eq(p->server_count, 4);
    addr_is(&p->servers[0].address.addr, "10.0.0.1:80");
    ck_assert_str_eq(p->servers[1].name, "b");
    addr_is(&p->servers[1].address.addr, "[::1]:80");
    ck_assert_uint_eq(p->servers[1].weight, 256);
    ck_assert(p->servers[1].backup);
    ck_assert_str_eq(p->servers[2].name, "unix:/run/s.sock");
    ck_assert_int_eq(p->servers[2].address.addr.sa.sa_family, AF_UNIX);
    ck_assert_str_eq(p->servers[3].name, "again");
    ck_assert_int_eq(p->connect_timeout, 0);
    ck_assert_uint_eq(p->retries, 16);
    conf_unref(c);
}
END_TEST

START_TEST(every_form_of_address_to_bind)
{
    const struct conf *c = accept_text("listeners:\n"
                                       "  a:\n"
                                       "    bind:\n"
                                       "      - :80\n"
                                       "      - 127.0.0.1:80\n"
                                       "      - '[::1]:80'\n"
                                       "      - localhost:81\n"
                                       "      - unix:/run/a b.sock\n"
                                       "      - unix:@abstract\n"
                                       "    pool: p\n"
                                       "  b: {bind: ':81', pool: p}\n"
                                       "pools: {p: {servers: ['localhost:2']}}\n");
    const struct conf_address *b = c->listeners[0].binds;
    ck_assert_uint_eq(c->listeners[0].bind_count, 6);
    ck_assert(b[0].any);
    addr_is(&b[0].addr, "[::]:80");
    ck_assert(!b[1].any && !b[2].any && !b[3].any && !b[4].any);
    ck_assert_uint_eq(addr_port(&b[3].addr), 81);
    ck_assert_str_eq(b[3].text, "localhost:81");
    addr_is(&b[4].addr, "unix:/run/a b.sock");
    addr_is(&b[5].addr, "unix:@abstract");
    ck_assert(c->listeners[1].binds[0].any);
    ck_assert_str_eq(c->pools[0].servers[0].name, "localhost:2");
    conf_unref(c);
}
END_TEST

START_TEST(sockets_that_systemd_hands_over)
{
#ifdef HAVE_SYSTEMD
    const struct conf *c = accept_text("listeners:\n"
                                       "  a: {bind: 'systemd:web', pool: p}\n"
                                       "  b: {bind: [':1', 'systemd:a.b'], pool: p}\n"
                                       "pools: {p: {servers: ['localhost:2']}}\n");
    const struct conf_address *a = c->listeners[0].binds, *b = c->listeners[1].binds;
    ck_assert_str_eq(a->text, "systemd:web");
    ck_assert_str_eq(a->systemd, "web");
    ck_assert_uint_eq(a->addr.len, 0);
    ck_assert(!a->any);
    ck_assert_uint_eq(a->mark.column, 13);
    ck_assert_ptr_null(b[0].systemd);
    ck_assert_str_eq(b[1].systemd, "a.b");
    conf_unref(c);
#else
    char *said = faults_of("listeners: {a: {bind: 'systemd:web', pool: p}}\n"
                           "pools: {p: {servers: ['localhost:2']}}\n");
    ck_assert_str_eq(said, "F:1:23: error: 'systemd:web': this weft is built without libsystemd\n");
    free(said);
#endif
}
END_TEST

START_TEST(a_pool_may_come_after_or_before_or_serve_several)
{
    const struct conf *c = accept_text("pools:\n"
                                       "  one: {servers: ['127.0.0.1:1']}\n"
                                       "  two: {servers: ['127.0.0.1:1']}\n"
                                       "  unused: {servers: ['127.0.0.1:1']}\n"
                                       "listeners:\n"
                                       "  a: {bind: ':1', pool: two}\n"
                                       "  b: {bind: ':2', pool: one}\n"
                                       "  c: {bind: ':3', pool: two}\n");
    ck_assert_uint_eq(c->listener_count, 3);
    ck_assert_ptr_eq(c->listeners[0].pool, &c->pools[1]);
    ck_assert_ptr_eq(c->listeners[1].pool, &c->pools[0]);
    ck_assert_ptr_eq(c->listeners[2].pool, &c->pools[1]);
    conf_unref(c);
}
END_TEST

START_TEST(aliases_stand_for_whole_values)
{
    const struct conf *c = accept_text("pools:\n"
                                       "  one: {servers: &s ['127.0.0.1:1', &t '127.0.0.1:2']}\n"
                                       "  two: {servers: *s, connect_timeout: &u 3s}\n"
                                       "  three: {servers: [*t]}\n"
                                       "listeners:\n"
                                       "  a: {bind: ':1', pool: &p one, idle_timeout: *u}\n"
                                       "  b: {bind: ':2', pool: *p}\n");
    ck_assert_uint_eq(c->pools[1].server_count, 2);
    ck_assert_str_eq(c->pools[1].servers[1].name, "127.0.0.1:2");
    ck_assert_str_eq(c->pools[2].servers[0].name, "127.0.0.1:2");
    ck_assert_int_eq(c->listeners[0].idle_timeout, 3 * S);
    ck_assert_ptr_eq(c->listeners[1].pool, &c->pools[0]);
    conf_unref(c);
}
END_TEST

START_TEST(off_is_short_for_a_group_that_is_off)
{
    const struct conf *c = accept_text("log: {access: 0, error: false}\n"
                                       "listeners:\n"
                                       "  a: {bind: ':1', pool: p, keepalive: off}\n"
                                       "  b: {bind: ':2', pool: p, keepalive: 0}\n"
                                       "  c: {bind: ':3', pool: p, keepalive: {idle: No}}\n"
                                       "pools: {p: {servers: ['127.0.0.1:2']}}\n");
    ck_assert_int_eq(c->log.access.output, LOG_OUTPUT_OFF);
    ck_assert_int_eq(c->log.access_format, CONF_LOG_JSON);
    ck_assert_int_eq(c->log.error.output, LOG_OUTPUT_OFF);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(c->listeners[i].keepalive.idle, 0);
        ck_assert_int_eq(c->listeners[i].keepalive.interval, 10 * S);
        ck_assert_uint_eq(c->listeners[i].keepalive.count, 3);
    }
    conf_unref(c);
}
END_TEST

START_TEST(a_group_with_all_its_keys_commented_out)
{
    const struct conf *c = accept_text(WITH_TOP("weft:\n"
                                                "#  workers: 7\n"
                                                "log: {access: , error: ~}\n"));
    ck_assert_int_eq(c->process.drain_timeout, 30 * S);
    ck_assert_int_eq(c->log.access.output, LOG_OUTPUT_STDERR);
    conf_unref(c);
}
END_TEST

START_TEST(every_output_of_a_log)
{
    static const struct {
        const char *word;
        enum log_output output;
    } cases[] = {
        {"stderr", LOG_OUTPUT_STDERR},   {"stdout", LOG_OUTPUT_STDOUT},
        {"syslog", LOG_OUTPUT_SYSLOG},
#ifdef HAVE_SYSTEMD
        {"journal", LOG_OUTPUT_JOURNAL},
#endif
        {"off", LOG_OUTPUT_OFF},         {"./x.log", LOG_OUTPUT_FILE},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text yaml;
        text_init(&yaml);
        text_format(&yaml, "%slog: {access: {output: %s}, error: {output: %s}}\n", minimal,
                    cases[i].word, cases[i].word);
        const struct conf *c = accept_text(yaml.data);
        ck_assert_int_eq(c->log.access.output, cases[i].output);
        ck_assert_int_eq(c->log.error.output, cases[i].output);
        ck_assert((c->log.error.path != NULL) == (cases[i].output == LOG_OUTPUT_FILE));
        conf_unref(c);
        text_free(&yaml);
    }
}
END_TEST

START_TEST(very_many_of_everything)
{
    struct text yaml;
    text_init(&yaml);
    text_add_string(&yaml, "listeners:\n");
    for (int i = 1; i <= 2000; i++)
        text_format(&yaml, "  l%d: {bind: 'unix:@%d', pool: p%d}\n", i, i, 2001 - i);
    text_add_string(&yaml, "pools:\n");
    for (int i = 1; i <= 2000; i++)
        text_format(&yaml, "  p%d: {servers: ['10.0.0.1:%d', '10.0.0.2:%d']}\n", i, i, i);
    const struct conf *c = accept_text(yaml.data);
    ck_assert_uint_eq(c->listener_count, 2000);
    for (size_t i = 0; i < 2000; i++)
        ck_assert_ptr_eq(c->listeners[i].pool, &c->pools[1999 - i]);
    conf_unref(c);
    text_free(&yaml);
}
END_TEST

UNIT_MAIN("load", every_default_of_the_process, every_default_of_a_listener,
          every_default_of_a_pool, every_key_of_the_process, every_key_of_a_listener,
          every_key_of_a_pool, every_form_of_address_to_bind, sockets_that_systemd_hands_over,
          a_pool_may_come_after_or_before_or_serve_several, aliases_stand_for_whole_values,
          off_is_short_for_a_group_that_is_off, a_group_with_all_its_keys_commented_out,
          every_output_of_a_log, very_many_of_everything)
