/*
 * Every way that a file can be wrong, and what is said of it, word for word: people and their
 * editors read these lines. One case may hold several faults: all of them are said.
 */
#include <stdio.h>

#include "base/error.h"
#include "reading.h"

int __real_addr_resolve(const struct addr_spec *spec, struct addr *ret);
int __wrap_addr_resolve(const struct addr_spec *spec, struct addr *ret);

/* No test asks the network: every name is this host, but for those that end in .invalid. */
int __wrap_addr_resolve(const struct addr_spec *spec, struct addr *ret)
{
    if (spec->kind != ADDR_NAME)
        return __real_addr_resolve(spec, ret);
    if (strstr(spec->host, ".invalid") != NULL)
        return -WEFT_ERESOLVE;
    *ret = (struct addr){.len = sizeof(ret->in)};
    ret->in.sin_family = AF_INET;
    ret->in.sin_port = htons(spec->port);
    ret->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return 0;
}

struct wrong {
    const char *yaml;
    const char *faults;
};

#define F(place, what) "F:" place ": error: " what "\n"

#ifdef HAVE_SYSTEMD
#define OUTPUTS "a path with a slash in it, or one of stderr, stdout, syslog, journal, off"
#else
#define OUTPUTS "a path with a slash in it, or one of stderr, stdout, syslog, off"
#endif

#define LABEL "12345678901234567890123456789012345678901234567890."

/* --- the YAML itself --------------------------------------------------------------------- */

static const struct wrong syntax[] = {
    {"listeners:\n\ta: 1\n",
     F("2:1", "found character that cannot start any token while scanning for the next token: "
              "indent with spaces, not tabs")},
    {"weft: x\n\tpin: on\n",
     F("2:1", "found a tab character that violates indentation while scanning a plain scalar that "
              "begins at line 1, column 7: indent with spaces, not tabs")},
    {"weft: pin: on\n", F("1:10", "mapping values are not allowed in this context")},
    {"weft: {pin: on\nlog: 1\n",
     F("2:4", "did not find expected ',' or '}' while parsing a flow mapping that begins at line "
              "1, column 7")},
    {"weft: [pin\n", F("2:1", "did not find expected ',' or ']' while parsing a flow sequence that "
                              "begins at line 1, column 7")},
    {"weft: {pin: on}}\n",
     F("1:16",
       "did not find expected key while parsing a block mapping that begins at line 1, column 1")},
    {"weft: 'x\n", F("2:1", "found unexpected end of stream while scanning a quoted scalar that "
                            "begins at line 1, column 7")},
    {"weft: \"\\q\"\n", F("1:8", "found unknown escape character while parsing a quoted scalar "
                                 "that begins at line 1, column 7")},
    {"weft:\n  pin: on\n log: 1\n",
     F("3:2", "did not find expected key while parsing a block mapping that begins at line 1, "
              "column 1")},
    {"- a\nb: 1\n", F("2:1", "did not find expected '-' indicator while parsing a block collection "
                             "that begins at line 1, column 1")},
    {"weft: @x\n", F("1:7", "found character that cannot start any token while scanning for the "
                            "next token")},
    {"weft: *\n", F("1:8", "did not find expected alphabetic or numeric character while scanning "
                           "an alias that begins at line 1, column 7")},
    {"%YAML 3.0\n---\nweft:\n", F("1:1", "found incompatible YAML document")},
    {"listeners: {a: {bind: [::]:80}}\n",
     F("1:24", "did not find expected node content while parsing a flow node: an address that "
               "begins with '[' or ':' needs quotes here")},
    {"listeners:\n  a:\n    bind: [::]:80\n",
     F("3:12", "did not find expected node content while parsing a flow node: an address that "
               "begins with '[' or ':' needs quotes here")},
    {"listeners:\n  a:\n    bind: [2001:db8::1]:80\n    pool: p\n",
     F("3:24", "did not find expected key while parsing a block mapping that begins at line 3, "
               "column 5: an address that begins with '[' or ':' needs quotes here")},
    {"listeners:\n  a:\n    bind: [:80, :81]\n",
     F("3:12", "did not find expected node content while parsing a flow node: an address that "
               "begins with '[' or ':' needs quotes here")},
    {"# \xc3\xa4\nweft: \xff\n",
     F("2:7", "invalid leading UTF-8 octet: the file must be text in UTF-8")},
    {"w\xc3\xa4: \xc3(\n",
     F("1:6", "invalid trailing UTF-8 octet: the file must be text in UTF-8")},
    {"weft: \x01\n",
     F("1:7", "control characters are not allowed: the file must be text in UTF-8")},
    {"a: 1\n---\nb: 2\n", F("2:1", "a second document: a file holds one")},
    {"a: 1\n...\n---\n", F("3:1", "a second document: a file holds one")},
};

/* --- the file as a whole ----------------------------------------------------------------- */

static const struct wrong shape[] = {
    {"", F("1:1", "no listener: at least one is needed")},
    {"# nothing\n", F("1:1", "no listener: at least one is needed")},
    {"5\n", F("1:1", "the file must be a mapping, not a value")},
    {"\n- a\n", F("2:1", "the file must be a mapping, not a list")},
    {"!x {}\n", F("1:1", "tags are not supported: '!x'")},
    {"{}\n", F("1:1", "no listener: at least one is needed")},
    {"pools: {p: {servers: ['1.1.1.1:1']}}\n", F("1:1", "no listener: at least one is needed")},
    {"listeners:\n", F("1:11", "no listener: at least one is needed")},
    {"listeners: {}\n", F("1:12", "no listener: at least one is needed")},
    {"listeners: []\n", F("1:12", "listeners: must be a mapping by name, not a list")},
    {"listeners: web\n", F("1:12", "listeners: must be a mapping by name, not a value")},
    {WITH_TOP("weft: 5\n"), F("3:7", "weft: must be a mapping, not a value")},
    {WITH_TOP("weft: off\n"), F("3:7", "weft: must be a mapping, not a value")},
    {WITH_TOP("log: []\n"), F("3:6", "log: must be a mapping, not a list")},
    {WITH_TOP("log: {access: stderr}\n"), F("3:15", "access: must be a mapping, not a value")},
    {WITH_TOP("log: {error: [stderr]}\n"), F("3:14", "error: must be a mapping, not a list")},
    {WITH_TOP("pols: {}\n"), F("3:1", "unknown key 'pols': did you mean 'pools'?")},
    {WITH_TOP("frontends: {}\n"), F("3:1", "unknown key 'frontends'")},
    {WITH_TOP("'': {}\n"), F("3:1", "unknown key ''")},
    {WITH_TOP("\"a\\nb\": {}\n"), F("3:1", "unknown key 'a?b'")},
    {WITH_TOP("[weft]: 1\n"), F("3:1", "a key must be a word, not a list")},
    {WITH_TOP("pools: {}\n"), F("3:1", "duplicate key 'pools', first at F:2:1")},
    {WITH_TOP("<<: {weft: 1}\n"),
     F("3:1", "merge keys (<<) are not supported: an alias stands for a whole value")},
    {WITH_TOP("weft: *w\n"), F("3:7", "alias '*w' has no anchor '&w' that ends before it")},
    {WITH_TOP("weft: {workers: &w 0, max_connections: *w}\n"),
     F("3:17", "workers: '0' is out of range: 1 to 256, or auto")
         F("3:17", "max_connections: '0' is out of range: 1 to 10000000, or auto")},
};

/* --- single values ----------------------------------------------------------------------- */

static const struct wrong values[] = {
    {WITH_TOP("weft: {workers: four}\n"),
     F("3:17", "workers: 'four' is not a whole number in decimal digits")},
    {WITH_TOP("weft: {workers: 0}\n"),
     F("3:17", "workers: '0' is out of range: 1 to 256, or auto")},
    {WITH_TOP("weft: {workers: 257}\n"),
     F("3:17", "workers: '257' is out of range: 1 to 256, or auto")},
    {WITH_TOP("weft: {workers: -1}\n"),
     F("3:17", "workers: '-1' is out of range: 1 to 256, or auto")},
    {WITH_TOP("weft: {workers: 99999999999999999999}\n"),
     F("3:17", "workers: '99999999999999999999' is out of range: 1 to 256, or auto")},
    {WITH_TOP("weft: {workers: 2.5}\n"),
     F("3:17", "workers: '2.5' is not a whole number in decimal digits")},
    {WITH_TOP("weft: {workers: 010}\n"),
     F("3:17", "workers: '010' is not a whole number in decimal digits")},
    {WITH_TOP("weft: {workers: off}\n"),
     F("3:17", "workers: 'off' is not a whole number in decimal digits")},
    {WITH_TOP("weft: {workers: }\n"), F("3:17", "workers: has no value")},
    {WITH_TOP("weft: {workers: null}\n"), F("3:17", "workers: has no value")},
    {WITH_TOP("weft: {workers: ''}\n"),
     F("3:17", "workers: '' is not a whole number in decimal digits")},
    {WITH_TOP("weft: {workers: [4]}\n"),
     F("3:17", "workers: must be a whole number, 1 to 256, or auto, not a list")},
    {WITH_TOP("weft: {workers: {n: 4}}\n"),
     F("3:17", "workers: must be a whole number, 1 to 256, or auto, not a mapping")},
    {WITH_TOP("weft: {workers: !!int 4}\n"),
     F("3:17", "tags are not supported: 'tag:yaml.org,2002:int'")},
    {WITH_TOP("weft: {pin: 1}\n"), F("3:13", "pin: '1' is not a boolean: use on or off")},
    {WITH_TOP("weft: {pin: [on]}\n"), F("3:13", "pin: must be a boolean, not a list")},
    {WITH_TOP("weft: {max_connections: 10000001}\n"),
     F("3:25", "max_connections: '10000001' is out of range: 1 to 10000000, or auto")},
    {WITH_TOP("weft: {drain_timeout: 30}\n"),
     F("3:23", "drain_timeout: durations need a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: 0}\n"),
     F("3:23", "drain_timeout: durations need a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: 0s}\n"),
     F("3:23", "drain_timeout: '0s' is out of range: 1ms to 720h")},
    {WITH_TOP("weft: {drain_timeout: off}\n"),
     F("3:23", "drain_timeout: 'off' is not a duration: write a number and a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: 721h}\n"),
     F("3:23", "drain_timeout: '721h' is out of range: 1ms to 720h")},
    {WITH_TOP("weft: {drain_timeout: 9999999999999h}\n"),
     F("3:23", "drain_timeout: '9999999999999h' is out of range: 1ms to 720h")},
    {WITH_TOP("weft: {drain_timeout: -30s}\n"),
     F("3:23", "drain_timeout: '-30s' is out of range: 1ms to 720h")},
    {WITH_TOP("weft: {drain_timeout: 999us}\n"),
     F("3:23", "drain_timeout: '999us' is out of range: 1ms to 720h")},
    {WITH_TOP("weft: {drain_timeout: 30sec}\n"),
     F("3:23", "drain_timeout: '30sec' has an unknown unit: use us, ms, s, m or h")},
    {WITH_TOP("weft: {drain_timeout: 1d}\n"),
     F("3:23", "drain_timeout: '1d' has an unknown unit: use us, ms, s, m or h")},
    {WITH_TOP("weft: {drain_timeout: 30 s}\n"),
     F("3:23", "drain_timeout: '30 s' is not a duration: write a number and a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: soon}\n"),
     F("3:23", "drain_timeout: 'soon' is not a duration: write a number and a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: 1.0000001s}\n"),
     F("3:23", "drain_timeout: '1.0000001s' is finer than a microsecond")},
    {WITH_TOP("weft: {drain_timeout: \"1s\\n\\e[2J\"}\n"),
     F("3:23", "drain_timeout: '1s??[2J' is not a duration: write a number and a unit, as in 30s")},
    {WITH_TOP("weft: {drain_timeout: \"1s\\0\"}\n"),
     F("3:23", "a value can't have a zero byte in it")},
    {WITH_TOP("weft: {user: no-such-user, group: no-such-group}\n"),
     F("3:14", "user: there is no user 'no-such-user'")
         F("3:35", "group: there is no group 'no-such-group'")},
    {WITH_TOP("weft: {user: 4294967295, group: -1}\n"),
     F("3:14", "user: there is no user '4294967295'") F("3:33", "group: there is no group '-1'")},
    {WITH_TOP("weft: {user: , group: [root]}\n"),
     F("3:14", "user: has no value")
         F("3:23", "group: must be the name or number of a group, not a list")},
    {WITH_TOP("weft: {user: ''}\n"), F("3:14", "user: there is no user ''")},
    {WITH_TOP("weft: {pid_file: weft.pid, control: on}\n"),
     F("3:18", "pid_file: 'weft.pid' is not a path with a slash in it, or off")
         F("3:37", "control: 'on' is not a path with a slash in it, or off")},
    {WITH_TOP("weft: {pid_file: \"/a\\tb\", control: {a: b}}\n"),
     F("3:18", "pid_file: '/a?b' has characters that can't be shown")
         F("3:36", "control: must be a path with a slash in it, or off, not a mapping")},
    {WITH_TOP("weft: {control: /" LABEL LABEL "/123}\n"), ""},
    {WITH_TOP("weft: {control: /" LABEL LABEL "/1234}\n"),
     F("3:17", "control: '/" LABEL "1234567890123456789012345678...' has more than 107 bytes")},
    {WITH_TOP("log: {access: {output: stdrr}}\n"),
     F("3:24", "output: 'stdrr' is not " OUTPUTS ": did you mean 'stderr'?")},
    {WITH_TOP("log: {access: {output: access.log}}\n"),
     F("3:24", "output: 'access.log' is not " OUTPUTS)},
    {WITH_TOP("log: {access: {output: on}}\n"), F("3:24", "output: 'on' is not " OUTPUTS)},
#ifndef HAVE_SYSTEMD
    {WITH_TOP("log: {access: {output: journal}}\n"),
     F("3:24", "output: 'journal' is not built into this version yet")},
#endif
    {WITH_TOP("log: {access: {output: \"/a\\tb\"}}\n"),
     F("3:24", "output: '/a?b' has characters that can't be shown")},
    {WITH_TOP("log: {access: {format: jsno}}\n"),
     F("3:24", "format: 'jsno' is not one of json, text: did you mean 'json'?")},
    {WITH_TOP("log: {access: {format: JSON}}\n"),
     F("3:24", "format: 'JSON' is not one of json, text: did you mean 'json'?")},
    {WITH_TOP("log: {access: {format: apache}}\n"),
     F("3:24", "format: 'apache' is not one of json, text")},
    {WITH_TOP("log: {access: {level: info}}\n"), F("3:16", "unknown key 'level'")},
    {WITH_TOP("log: {error: {level: warn}}\n"),
     F("3:22", "level: 'warn' is not one of debug, info, notice, warning, error")},
    {WITH_TOP("log: {error: {level: warnin}}\n"),
     F("3:22", "level: 'warnin' is not one of debug, info, notice, warning, error: did you mean "
               "'warning'?")},
};

/* --- listeners --------------------------------------------------------------------------- */

static const struct wrong listeners[] = {
    {"listeners: {a: }\n", F("1:13", "listener 'a' has no 'bind'")
                               F("1:13", "listener 'a' has neither 'pool' nor 'routes'")},
    {"listeners: {a: 80}\n", F("1:16", "listener 'a' must be a mapping, not a value")},
    {"listeners: {a: ['127.0.0.1:1']}\n", F("1:16", "listener 'a' must be a mapping, not a list")},
    {"listeners: {a: {bind: ':1', pool: p}, b: {pool: p}}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:39", "listener 'b' has no 'bind'")},
    {"listeners: {a: {bind: ':1', pool: p}, b: {bind: ':2'}}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:39", "listener 'b' has neither 'pool' nor 'routes'")},
    {"listeners: {'': {bind: ':1', pool: p}}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:13", "a name can't be empty")},
    {"listeners: {\"a\\rb\": {bind: ':1', pool: p}}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:13", "'a?b' has characters that can't be shown")},
    {"listeners:\n  a: {bind: ':1', pool: p}\n  b: {bind: ':2', pool: p}\n"
     "  a: {bind: ':3', pool: p}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("4:3", "duplicate listener 'a', first at F:2:3")},
    {"listeners: {a: {bind: ':1', pool: wbe}}\npools: {web: {servers: ['[::1]:2']}}\n",
     F("1:35", "pool: unknown pool 'wbe': did you mean 'web'?")},
    {"listeners: {a: {bind: ':1', pool: wweb}}\npools: {\"w\\tweb\": {servers: ['[::1]:2']}}\n",
     F("1:35", "pool: unknown pool 'wweb': did you mean 'w?web'?")
         F("2:9", "'w?web' has characters that can't be shown")},
    {"listeners: {a: {bind: ':1', pool: other}}\npools: {web: {servers: ['[::1]:2']}}\n",
     F("1:35", "pool: unknown pool 'other'")},
    {"listeners: {a: {bind: ':1', pool: p}}\n", F("1:35", "pool: unknown pool 'p'")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools:\n", F("1:35", "pool: unknown pool 'p'")},
    {"listeners: {a: {bind: ':1', pool: [p]}}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:35", "pool: must be the name of a pool, not a list")},
    {"listeners: {a: {bind: ':1', pool: }}\npools: {p: {servers: ['[::1]:2']}}\n",
     F("1:35", "pool: has no value")},
    {WITH_LISTENER("    bind: 127.0.0.1:9\n"), F("5:5", "duplicate key 'bind', first at F:3:5")},
    {WITH_LISTENER("    idletimeout: 1s\n"),
     F("5:5", "unknown key 'idletimeout': did you mean 'idle_timeout'?")},
    {WITH_LISTENER("    Bind: 1s\n"), F("5:5", "unknown key 'Bind': did you mean 'bind'?")},
    {WITH_LISTENER("    ssl: on\n"), F("5:5", "unknown key 'ssl'")},
    {WITH_LISTENER("    splice: always\n"),
     F("5:13", "splice: 'always' is not one of auto, on, off")},
    {WITH_LISTENER("    routes: [{pool: p}]\n"),
     F("5:13", "'pool' and 'routes' exclude each other")},
    {"listeners: {a: {bind: ':1', routes: [{sni: [a, 'b c'], pool: q}, {alpn: h2}, x]}}\n"
     "pools: {p: {servers: ['[::1]:2']}}\n",
     F("1:48", "sni: bad server name 'b c': it has letters, digits, '-', '_' and '.', with '*.' "
               "in front for all names below it") F("1:62", "pool: unknown pool 'q'")
         F("1:66", "the route has no 'pool'") F("1:78", "routes: must be a mapping, not a value")},
    {WITH_LISTENER("    allow: 10.0.0.0/33\n"),
     F("5:12", "allow: bad network '10.0.0.0/33': an IPv4 network has 0 to 32 bits")},
    {WITH_LISTENER("    deny: ['::1', office, ~, [10.0.0.1]]\n"),
     F("5:19", "deny: bad network 'office': a network is an IPv4 or IPv6 address, alone or with "
               "/BITS behind it, or the word unix") F("5:27", "deny: has no value")
         F("5:30", "deny: must be a network, not a list")},
    {WITH_LISTENER("    allow: {10.0.0.0/8: on}\n"),
     F("5:12", "allow: must be a network or a list of networks, not a mapping")},
    {WITH_LISTENER("    allow:\n"), F("5:11", "allow: has no value")},
    {WITH_LISTENER("    connection_rate_per_source: 50\n"),
     F("5:33", "connection_rate_per_source: rates need a unit, as in 50/s")},
    {WITH_LISTENER("    connection_rate_per_source: 0.5/s\n"),
     F("5:33",
       "connection_rate_per_source: '0.5/s' is not a rate: write a number and a unit, as in "
       "50/s")},
    {WITH_LISTENER("    connection_rate_per_source: 1000001/h\n"),
     F("5:33",
       "connection_rate_per_source: '1000001/h' is out of range: 1/s to 1000000/s, or off")},
    {WITH_LISTENER("    max_connections: -1\n"),
     F("5:22", "max_connections: '-1' is out of range: 1 to 10000000, or off")},
    {WITH_LISTENER("    max_connections: auto\n"),
     F("5:22", "max_connections: 'auto' is not a whole number in decimal digits")},
    {WITH_LISTENER("    idle_timeout: 600\n"),
     F("5:19", "idle_timeout: durations need a unit, as in 30s")},
    {WITH_LISTENER("    idle_timeout: 1000h\n"),
     F("5:19", "idle_timeout: '1000h' is out of range: 1ms to 720h, or off")},
    {WITH_LISTENER("    half_close_timeout: on\n"),
     F("5:25", "half_close_timeout: 'on' is not a duration: write a number and a unit, as in 30s")},
    {WITH_LISTENER("    nodelay: maybe\n"),
     F("5:14", "nodelay: 'maybe' is not a boolean: use on or off")},
    {WITH_LISTENER("    keepalive: on\n"), F("5:16", "keepalive: must be a mapping, not a value")},
    {WITH_LISTENER("    keepalive: 60s\n"), F("5:16", "keepalive: must be a mapping, not a value")},
    {WITH_LISTENER("    keepalive: {idle: 1500ms, interval: off, count: 128}\n"),
     F("5:23", "idle: '1500ms' is not a multiple of 1s")
         F("5:41", "interval: 'off' is not a duration: write a number and a unit, as in 30s")
             F("5:53", "count: '128' is out of range: 1 to 127")},
    {WITH_LISTENER("    keepalive: {time: 1s}\n"), F("5:17", "unknown key 'time'")},
    {WITH_LISTENER("    backlog: 65536\n"),
     F("5:14", "backlog: '65536' is out of range: 1 to 65535")},
    {WITH_LISTENER("    backlog: 0\n"), F("5:14", "backlog: '0' is out of range: 1 to 65535")},
    {WITH_LISTENER("    defer_accept: 100ms\n"),
     F("5:19", "defer_accept: '100ms' is out of range: 1s to 10m, or off")},
    {WITH_LISTENER("    fastopen: on\n"),
     F("5:15", "fastopen: 'on' is not a whole number in decimal digits")},
    {WITH_LISTENER("    receive_buffer: 65536\n"),
     F("5:21", "receive_buffer: sizes need a unit, as in 16KiB")},
    {WITH_LISTENER("    receive_buffer: 64KB\n"),
     F("5:21", "receive_buffer: '64KB' has an unknown unit: use B, KiB, MiB or GiB")},
    {WITH_LISTENER("    receive_buffer: 1KiB\n"),
     F("5:21", "receive_buffer: '1KiB' is out of range: 4KiB to 256MiB, or auto")},
    {WITH_LISTENER("    send_buffer: 1GiB\n"),
     F("5:18", "send_buffer: '1GiB' is out of range: 4KiB to 256MiB, or auto")},
    {WITH_LISTENER("    send_buffer: large\n"),
     F("5:18", "send_buffer: 'large' is not a size: write a number and a unit, as in 16KiB")},
    {WITH_LISTENER("    send_buffer: 4096.5B\n"),
     F("5:18", "send_buffer: '4096.5B' is not a whole number of bytes")},
};

/* --- addresses to bind ------------------------------------------------------------------- */

#define BIND(value)                                                                                \
    "listeners:\n  a:\n    bind: " value "\n    pool: p\npools: {p: {servers: ['[::1]:2']}}\n"

static const struct wrong binds[] = {
    {BIND(""), F("3:10", "bind: has no value")},
    {BIND("[]"), F("3:11", "bind: the list is empty")},
    {BIND("{a: b}"), F("3:11", "bind: must be an address or a list of addresses, not a mapping")},
    {BIND("[[':1']]"), F("3:12", "bind: must be an address, not a list")},
    {BIND("[':1', ~]"), F("3:18", "bind: has no value")},
    {BIND("8080"), F("3:11", "bad address '8080': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, "
                             "unix:@NAME or systemd:NAME is expected")},
    {BIND("127.0.0.1:http"),
     F("3:11", "bad address '127.0.0.1:http': the port must be a number from 1 to 65535")},
    {BIND("127.0.0.1:0"),
     F("3:11", "bad address '127.0.0.1:0': the port must be a number from 1 to 65535")},
    {BIND("127.0.0.1:65536"),
     F("3:11", "bad address '127.0.0.1:65536': the port must be a number from 1 to 65535")},
    {BIND("256.0.0.1:80"),
     F("3:11", "bad address '256.0.0.1:80': an IPv4 address has four numbers from 0 to 255")},
    {BIND("'::1:80'"),
     F("3:11", "bad address '::1:80': an IPv6 address needs brackets and a port: [IPV6]:PORT")},
    {BIND("'[::g]:80'"),
     F("3:11", "bad address '[::g]:80': what is in the brackets is not an IPv6 address")},
    {BIND("'*:80'"), F("3:11", "bad address '*:80': write :PORT to mean every address")},
    {BIND("unix:run/a"),
     F("3:11", "bad address 'unix:run/a': a UNIX address is unix:/PATH (absolute) or unix:@NAME")},
    {BIND("\"unix:/a\\tb\""),
     F("3:11", "bad address 'unix:/a?b': it has characters that can't be shown")},
#ifdef HAVE_SYSTEMD
    {BIND("[systemd:web, ':1', systemd:web]"),
     F("3:31", "duplicate bind address 'systemd:web', first at F:3:12")},
#else
    {BIND("systemd:web"), F("3:11", "'systemd:web': this weft is built without libsystemd")},
#endif
    {BIND("'systemd:'"),
     F("3:11", "bad address 'systemd:': a systemd socket has a name of at most 255 "
               "visible characters, without ':'")},
    {BIND("no-such-host.invalid:80"),
     F("3:11", "'no-such-host.invalid:80': host name does not resolve")},
    {BIND("[':1', '127.0.0.1:2', '127.0.0.1:2']"),
     F("3:33", "duplicate bind address '127.0.0.1:2', first at F:3:18")},
    {BIND("['127.0.0.1:2', '[::ffff:127.0.0.1]:2']"),
     F("3:27", "duplicate bind address '127.0.0.1:2', first at F:3:12")},
    {BIND("[':1', '0.0.0.0:1']"), F("3:18", "duplicate bind address '0.0.0.0:1', first at F:3:12")},
    {BIND("['0.0.0.0:1', '[::]:1', ':1']"),
     F("3:35", "duplicate bind address '[::]:1', first at F:3:25")},
    {BIND("['unix:/run/a', 'unix:/run/a']"),
     F("3:27", "duplicate bind address 'unix:/run/a', first at F:3:12")},
    {"listeners:\n  a: {bind: ':80', pool: p}\n  b: {bind: [':81', ':80'], pool: p}\n"
     "pools: {p: {servers: ['[::1]:2']}}\n",
     F("3:21", "duplicate bind address '[::]:80', first at F:2:13")},
    {"listeners:\n  a: &a {bind: ':80', pool: p}\n  b: *a\npools: {p: {servers: ['[::1]:2']}}\n",
     F("2:16", "duplicate bind address '[::]:80', first at F:2:16")},
};

/* --- pools and servers ------------------------------------------------------------------- */

static const struct wrong pools[] = {
    {WITH_TOP("") "  q: {servers: ['1.1.1.1:1']}\n",
     F("3:3", "did not find expected key while parsing a block mapping that begins at line 1, "
              "column 1")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: [p]\n",
     F("1:35", "pool: unknown pool 'p'") F("2:8", "pools: must be a mapping by name, not a list")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: }\n",
     F("2:9", "pool 'p' has no 'servers'")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: ['1.1.1.1:1']}\n",
     F("2:12", "pool 'p' must be a mapping, not a list")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: {server: ['1.1.1.1:1']}}\n",
     F("2:9", "pool 'p' has no 'servers'")
         F("2:13", "unknown key 'server': did you mean 'servers'?")},
    {"listeners: {a: {bind: ':1', pool: p}}\n"
     "pools:\n  p: {servers: ['1.1.1.1:1']}\n  p: {servers: ['1.1.1.1:2']}\n",
     F("4:3", "duplicate pool 'p', first at F:3:3")},
    {WITH_POOL("    hash_key: sni\n"),
     F("5:15", "hash_key: 'sni' is not built into this version yet")},
    {WITH_POOL("    balance: roundrobin\n"),
     F("5:14", "balance: 'roundrobin' is not one of round_robin, least_conn, random, source_hash, "
               "maglev: did you mean 'round_robin'?")},
    {WITH_POOL("    balance: fastest\n"),
     F("5:14", "balance: 'fastest' is not one of round_robin, least_conn, random, source_hash, "
               "maglev")},
    {WITH_POOL("    outlier: {max_ejected: 50}\n"),
     F("5:28", "max_ejected: shares need a unit, as in 50%")},
    {WITH_POOL("    outlier: {max_ejected: half}\n"),
     F("5:28", "max_ejected: 'half' is not a share: write whole per cent, as in 50%")},
    {WITH_POOL("    outlier: {max_ejected: 101%}\n"),
     F("5:28", "max_ejected: '101%' is out of range: 1% to 100%")},
    {WITH_POOL("    check: {type: tcp}\n"), F("5:5", "'check' is not built into this version yet")},
    {WITH_POOL("    source_address: null\n"),
     F("5:5", "'source_address' is not built into this version yet")},
    {WITH_POOL("    connect_timeout: 11m\n"),
     F("5:22", "connect_timeout: '11m' is out of range: 1ms to 10m, or off")},
    {WITH_POOL("    connect_timeout: 5\n"),
     F("5:22", "connect_timeout: durations need a unit, as in 30s")},
    {WITH_POOL("    retries: 17\n"), F("5:14", "retries: '17' is out of range: 0 to 16")},
    {WITH_POOL("    retries: off\n"),
     F("5:14", "retries: 'off' is not a whole number in decimal digits")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: {servers: }}\n",
     F("2:22", "servers: has no value")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: {servers: []}}\n",
     F("2:22", "servers: the list is empty")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: {servers: 1.1.1.1:1}}\n",
     F("2:22", "servers: must be a list of servers, not a value")},
    {"listeners: {a: {bind: ':1', pool: p}}\npools: {p: {servers: {a: 1.1.1.1:1}}}\n",
     F("2:22", "servers: must be a list of servers, not a mapping")},
    {WITH_SERVERS("      - [10.0.0.1:80]\n"),
     F("5:9", "servers: must be an address or a mapping, not a list")},
    {WITH_SERVERS("      -\n"), F("5:8", "servers: has no value")},
    {WITH_SERVERS("      - {name: a}\n"), F("5:9", "the server has no 'address'")},
    {WITH_SERVERS("      - {}\n"), F("5:9", "the server has no 'address'")},
    {WITH_SERVERS("      - {adress: '10.0.0.1:80'}\n"),
     F("5:9", "the server has no 'address'")
         F("5:10", "unknown key 'adress': did you mean 'address'?")},
    {WITH_SERVERS("      - {address: ['10.0.0.1:80']}\n"),
     F("5:19", "address: must be an address, not a list")},
    {WITH_SERVERS("      - {address: }\n"), F("5:19", "address: has no value")},
    {WITH_SERVERS("      - 10.0.0.1\n"),
     F("5:9", "bad address '10.0.0.1': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or "
              "systemd:NAME is expected")},
    {WITH_SERVERS("      - :80\n"),
     F("5:9", "bad address ':80': a server needs a host, as in 127.0.0.1:80")},
    {WITH_SERVERS("      - systemd:web\n"),
     F("5:9", "bad address 'systemd:web': systemd hands over sockets to listen on, not servers")},
    {WITH_SERVERS("      - no-such-host.invalid:80\n"),
     F("5:9", "'no-such-host.invalid:80': host name does not resolve")},
    {WITH_SERVERS("      - 10.0.0.1:80\n      - 10.0.0.1:80\n"),
     F("6:9", "duplicate server '10.0.0.1:80', first at F:5:9")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', name: x}\n      - {name: x, address: 'b'}\n"),
     F("6:16", "duplicate server 'x', first at F:5:40")
         F("6:28", "bad address 'b': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or "
                   "systemd:NAME is expected")},
    {WITH_SERVERS("      - " LABEL LABEL LABEL "example:80\n"),
     F("5:9", "the server needs a name: '" LABEL
              "12345678901234567890123456789...' is longer than 128 bytes")},
    {WITH_SERVERS("      - {name: short, address: '" LABEL LABEL LABEL "example:80'}\n"), ""},
    {WITH_SERVERS("      - {name: '', address: '10.0.0.1:80'}\n"),
     F("5:16", "name: a name can't be empty")},
    {WITH_SERVERS("      - {name: , address: '10.0.0.1:80'}\n"), F("5:16", "name: has no value")},
    {WITH_SERVERS("      - {name: [b], address: '10.0.0.1:80'}\n"),
     F("5:16", "name: must be a name, not a list")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', weight: 0}\n"),
     F("5:42", "weight: '0' is out of range: 1 to 256")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', weight: 257}\n"),
     F("5:42", "weight: '257' is out of range: 1 to 256")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', backup: 2}\n"),
     F("5:42", "backup: '2' is not a boolean: use on or off")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', resolve: a}\n"),
     F("5:34", "'resolve' is not built into this version yet")},
    {WITH_SERVERS("      - {address: '10.0.0.1:80', max_connections: many}\n"),
     F("5:51", "max_connections: 'many' is not a whole number in decimal digits")},
};

/* --- many at once ------------------------------------------------------------------------ */

static const struct wrong many[] = {
    {"pools:\n"
     "  web:\n"
     "    servers: [nowhere]\n"
     "    retrys: 3\n"
     "listeners:\n"
     "  a: {bind: 80, pool: wep, idle_timeout: 5}\n"
     "  b: {pool: web, backlog: 0}\n"
     "admin: {listen: ':9900'}\n"
     "weft: {workers: 0, workers: 1}\n",
     F("3:15", "bad address 'nowhere': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or "
               "systemd:NAME is expected") F("4:5", "unknown key 'retrys': did you mean 'retries'?")
         F("6:13", "bad address '80': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or "
                   "systemd:NAME is expected")
             F("6:23", "pool: unknown pool 'wep': did you mean 'web'?")
                 F("6:42", "idle_timeout: durations need a unit, as in 30s")
                     F("7:3", "listener 'b' has no 'bind'")
                         F("7:27", "backlog: '0' is out of range: 1 to 65535")
                             F("8:1", "'admin' is not built into this version yet")
                                 F("9:17", "workers: '0' is out of range: 1 to 256, or auto")
                                     F("9:20", "duplicate key 'workers', first at F:9:8")},
};

static void check(const struct wrong *cases, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        char *said = faults_of(cases[i].yaml);
        if (strcmp(said, cases[i].faults) != 0) {
            fprintf(stderr, "--- of\n%s--- expected\n%s--- said\n%s\n", cases[i].yaml,
                    cases[i].faults, said);
            failed++;
        }
        free(said);
    }
    ck_assert_msg(failed == 0, "%d of %zu are said otherwise", failed, count);
}

START_TEST(faults_of_syntax)
{
    check(syntax, array_size(syntax));
}
END_TEST

START_TEST(faults_of_shape)
{
    check(shape, array_size(shape));
}
END_TEST

START_TEST(faults_of_values)
{
    check(values, array_size(values));
}
END_TEST

START_TEST(faults_of_listeners)
{
    check(listeners, array_size(listeners));
}
END_TEST

START_TEST(faults_of_binds)
{
    check(binds, array_size(binds));
}
END_TEST

START_TEST(faults_of_pools)
{
    check(pools, array_size(pools));
}
END_TEST

START_TEST(all_faults_at_once)
{
    check(many, array_size(many));
}
END_TEST

UNIT_MAIN("faults", faults_of_syntax, faults_of_shape, faults_of_values, faults_of_listeners,
          faults_of_binds, faults_of_pools, all_faults_at_once)
