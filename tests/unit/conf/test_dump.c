/* The dump: everything there is, and read again it is the same. */
#include <dirent.h>

#include "conf/conf.h"
#include "reading.h"

#define TOP(path) UNIT_SRCDIR "/" path

static void check_fixed_point(const char *yaml)
{
    char *first = dump_of(yaml);
    char *second = dump_of(first);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
}

START_TEST(the_dump_has_every_key)
{
    char *dump = dump_of("weft: {workers: 3, user: root, group: '0', control: '/c #d'}\n"
                         "listeners:\n"
                         "  web: {bind: ['127.0.0.1:80', ':81'], pool: 'yes'}\n"
                         "pools:\n"
                         "  'yes':\n"
                         "    servers:\n"
                         "      - 10.0.0.1:80\n"
                         "      - {name: second one, address: 'unix:/s', weight: 2, backup: on}\n");
    ck_assert_str_eq(dump, "weft:\n"
                           "  workers: 3\n"
                           "  user: root\n"
                           "  group: \"0\"\n"
                           "  pid_file: off\n"
                           "  control: \"/c #d\"\n"
                           "  pin: false\n"
                           "  max_connections: auto\n"
                           "  drain_timeout: 30s\n"
                           "  busy_poll: off\n"
                           "log:\n"
                           "  access:\n"
                           "    output: stderr\n"
                           "    format: json\n"
                           "  error:\n"
                           "    output: stderr\n"
                           "    level: info\n"
                           "listeners:\n"
                           "  web:\n"
                           "    bind:\n"
                           "      - \"127.0.0.1:80\"\n"
                           "      - \":81\"\n"
                           "    pool: \"yes\"\n"
                           "    sni_timeout: 5s\n"
                           "    accept_proxy: false\n"
                           "    allow: []\n"
                           "    deny: []\n"
                           "    max_connections: off\n"
                           "    max_connections_per_source: off\n"
                           "    connection_rate_per_source: off\n"
                           "    idle_timeout: 10m\n"
                           "    half_close_timeout: 30s\n"
                           "    max_connection_age: off\n"
                           "    on_change: keep\n"
                           "    splice: auto\n"
                           "    nodelay: true\n"
                           "    keepalive:\n"
                           "      idle: 1m\n"
                           "      interval: 10s\n"
                           "      count: 3\n"
                           "    backlog: 4096\n"
                           "    defer_accept: off\n"
                           "    fastopen: off\n"
                           "    receive_buffer: auto\n"
                           "    send_buffer: auto\n"
                           "pools:\n"
                           "  \"yes\":\n"
                           "    balance: round_robin\n"
                           "    hash_key: source\n"
                           "    servers:\n"
                           "      - name: \"10.0.0.1:80\"\n"
                           "        address: \"10.0.0.1:80\"\n"
                           "        weight: 1\n"
                           "        max_connections: off\n"
                           "        backup: false\n"
                           "      - name: \"second one\"\n"
                           "        address: unix:/s\n"
                           "        weight: 2\n"
                           "        max_connections: off\n"
                           "        backup: true\n"
                           "    connect_timeout: 5s\n"
                           "    retries: 2\n"
                           "    queue:\n"
                           "      size: off\n"
                           "      timeout: 5s\n"
                           "    send_proxy: off\n"
                           "    outlier:\n"
                           "      failures: 5\n"
                           "      window: 10s\n"
                           "      eject: 10s\n"
                           "      max_ejected: 50%\n"
                           "    slow_start: off\n");
    free(dump);
}
END_TEST

START_TEST(read_again_it_is_the_same)
{
    check_fixed_point(WITH_TOP("weft: {workers: auto, max_connections: 1}\n"));
    check_fixed_point(WITH_TOP("weft: {user: 4294967294, pid_file: /run/p, control: off}\n"));
    check_fixed_point(WITH_TOP("log: {access: {output: /a b, format: text}, error: off}\n"));
    check_fixed_point(WITH_TOP("log: {access: {output: './:#', format: text}}\n"));
    check_fixed_point(WITH_LISTENER("    idle_timeout: 1.001s\n    half_close_timeout: off\n"
                                    "    keepalive: off\n    receive_buffer: 4097B\n"
                                    "    send_buffer: 4.5KiB\n"
                                    "    defer_accept: 90s\n    fastopen: 1\n"));
#ifdef HAVE_SYSTEMD
    check_fixed_point("listeners: {a: {bind: ['systemd:web#1', ':1'], pool: p}}\n"
                      "pools: {p: {servers: ['127.0.0.1:2']}}\n");
#endif
    check_fixed_point(WITH_LISTENER("    max_connections_per_source: 7\n"
                                    "    connection_rate_per_source: 50/s\n"
                                    "    max_connection_age: 1.5h\n"));
    check_fixed_point(WITH_LISTENER("    accept_proxy: on\n    sni_timeout: off\n"));
    check_fixed_point(WITH_POOL("    send_proxy: v2\n"));
    check_fixed_point("listeners:\n  a:\n    bind: 127.0.0.1:1\n    routes:\n"
                      "      - {sni: ['*.Example.org', b], source: '::1', alpn: [h2], pool: p}\n"
                      "      - {pool: p}\n"
                      "pools: {p: {servers: ['127.0.0.1:2']}}\n");
    check_fixed_point(WITH_LISTENER("    allow: [10.0.0.0/8, '::1', unix]\n    deny: 10.1.2.3\n"));
    check_fixed_point(WITH_POOL("    connect_timeout: off\n    retries: 0\n"));
}
END_TEST

/* Names that YAML would take for something else, were they not in quotes. */
START_TEST(every_name_survives)
{
    static const char *const names[] = {
        "true", "No",         "null", "~",    "8080",        "1.5",
        "0x10", "2001-01-01", "a: b", "a #b", "- a",         "?",
        "*a",   "&a",         "!a",   "%a",   "@a",          "`a",
        "'a'",  "\\\"a\\\"",  "{a}",  "[a",   "a,b",         "a\\\\nb",
        "=",    "<<",         " a ",  ".",    "...",         "---",
        "|",    ">",          "a:",   ":a",   "k\xc3\xa4se", "\xf0\x9f\x98\x80",
    };
    struct text yaml;
    text_init(&yaml);
    text_add_string(&yaml, "listeners:\n");
    for (size_t i = 0; i < array_size(names); i++)
        text_format(&yaml, "  \"%s\": {bind: 'unix:@%zu', pool: \"%s\"}\n", names[i], i, names[i]);
    text_add_string(&yaml, "pools:\n");
    for (size_t i = 0; i < array_size(names); i++)
        text_format(&yaml, "  \"%s\": {servers: [{name: \"%s\", address: 'unix:/%zu'}]}\n",
                    names[i], names[i], i);
    check_fixed_point(yaml.data);
    text_free(&yaml);
}
END_TEST

/* One is about sockets that systemd hands over, which not every build takes. */
static bool is_example(const char *name)
{
    size_t n = strlen(name);
#ifndef HAVE_SYSTEMD
    if (strcmp(name, "socket-activation.yaml") == 0)
        return false;
#endif
    return n > 5 && strcmp(name + n - 5, ".yaml") == 0;
}

static void check_example(const char *name)
{
    const struct conf *c;
    struct conf_faults *faults;
    struct text path, dump;
    text_init(&path);
    text_init(&dump);
    text_format(&path, "%s/%s", TOP("conf"), name);
    if (conf_load(path.data, &c, &faults) < 0) {
        conf_faults_write(faults, &dump);
        ck_abort_msg("%s", dump.data);
    }
    conf_dump(c, &dump);
    conf_unref(c);
    check_fixed_point(dump.data);
    text_free(&dump);
    text_free(&path);
}

START_TEST(every_example_is_accepted)
{
    DIR *dir = opendir(TOP("conf"));
    ck_assert_ptr_nonnull(dir);
    int count = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (!is_example(e->d_name))
            continue;
        check_example(e->d_name);
        count++;
    }
    closedir(dir);
    ck_assert_int_ge(count, 5);
}
END_TEST

START_TEST(the_full_example_is_the_defaults)
{
    const struct conf *c;
    struct conf_faults *faults;
    ck_assert_int_eq(conf_load(TOP("conf/weft.yaml"), &c, &faults), 0);
    struct text full;
    text_init(&full);
    conf_dump(c, &full);
    conf_unref(c);
    char *bare = dump_of("listeners:\n"
                         "  web: {bind: ['0.0.0.0:8080', '[::]:8080'], pool: web}\n"
                         "pools:\n"
                         "  web:\n"
                         "    servers:\n"
                         "      - 127.0.0.1:8081\n"
                         "      - {name: second, address: 127.0.0.1:8082}\n");
    ck_assert_str_eq(full.data, bare);
    text_free(&full);
    free(bare);
}
END_TEST

UNIT_MAIN("dump", the_dump_has_every_key, read_again_it_is_the_same, every_name_survives,
          every_example_is_accepted, the_full_example_is_the_defaults)
