"""The configuration file: every fault at its place, and what a good one means."""

import re

import pytest
import yaml

import net
import ports
from backends import echo, greeter
from daemon import run

GOOD = """
listeners:
  web:
    bind: "127.0.0.1:8080"
    pool: app
pools:
  app:
    servers: ["127.0.0.1:9000"]
"""

# In the cases below:
#   ^ in front of a token: one fault is reported there, at that line and column;
#   the words must be in each fault's message, in any case of letters.
# WEB and APP are the lines that a case needs beside the one it is about.
WEB = "listeners:\n  web: {bind: ':8080', pool: app}\n"
APP = "pools:\n  app: {servers: ['127.0.0.1:9000']}\n"


def listener(setting):
    """A file whose listener has one more setting."""
    return f"listeners:\n  web:\n    bind: ':8080'\n    pool: app\n    {setting}\n{APP}"


def pool(setting):
    """A file whose pool has one more setting."""
    return f"{WEB}pools:\n  app:\n    servers: ['127.0.0.1:9000']\n    {setting}\n"


def servers(value):
    """A file with these servers."""
    return f"{WEB}pools:\n  app:\n    servers: {value}\n"


def process(setting):
    return f"weft:\n  {setting}\n{WEB}{APP}"


def bind(value):
    return f"listeners:\n  web:\n    bind: {value}\n    pool: app\n{APP}"


FAULTS = {
    # unknown keys, and the nearest right one
    "top-level key": (f"^listener: {{}}\n{WEB}{APP}", ["unknown", "listeners"]),
    "top-level key far from any": (f"^zzzzzzzzzz: 1\n{WEB}{APP}", ["unknown"]),
    "process key": (process("^worker: 2"), ["unknown", "workers"]),
    "process key transposed": (process("^drain_timeuot: 2s"), ["unknown", "drain_timeout"]),
    "listener key": (listener("^idle_timout: 1s"), ["unknown", "idle_timeout"]),
    "listener key binds": (f"listeners:\n  web:\n    ^binds: ':1'\n    bind: ':2'\n    pool: app\n{APP}", ["unknown", "bind"]),
    "listener key bind_": (listener("^half_close_timeouts: 1s"), ["half_close_timeout"]),
    "pool key": (pool("^connect_timout: 1s"), ["unknown", "connect_timeout"]),
    "pool key retry": (pool("^retrys: 1"), ["unknown", "retries"]),
    "server key": (servers("[{^adress: '127.0.0.1:1', address: '127.0.0.1:1'}]"), ["unknown", "address"]),
    "server key weigth": (servers("[{address: '127.0.0.1:1', ^weigth: 1}]"), ["weight"]),
    "log key": (f"log: {{^acces: {{output: off}}}}\n{WEB}{APP}", ["unknown", "access"]),
    "access key": (f"log: {{access: {{^outptu: off}}}}\n{WEB}{APP}", ["unknown", "output"]),
    "error key": (f"log: {{error: {{^levle: info}}}}\n{WEB}{APP}", ["unknown", "level"]),
    "keepalive key": (listener("keepalive: {^idel: 60s}"), ["unknown", "idle"]),
    "key in the wrong place": (f"^workers: 2\n{WEB}{APP}", ["unknown"]),
    # duplicates
    "duplicate top-level key": (f"{WEB}{APP}^{WEB}", ["duplicate", "listeners"]),
    "duplicate listener": (f"listeners:\n  web: {{bind: ':1', pool: app}}\n  ^web: {{bind: ':2', pool: app}}\n{APP}", ["duplicate", "web"]),
    "duplicate pool": (f"{WEB}{APP}  ^app: {{servers: ['127.0.0.1:1']}}\n", ["duplicate", "app"]),
    "duplicate setting": (listener("idle_timeout: 1s\n    ^idle_timeout: 2s"), ["duplicate", "idle_timeout"]),
    "duplicate server setting": (servers("[{address: '127.0.0.1:1', weight: 1, ^weight: 2}]"), ["duplicate", "weight"]),
    "duplicate server name": (servers("[{name: a, address: '127.0.0.1:1'}, {name: ^a, address: '127.0.0.1:2'}]"), ["a"]),
    # durations
    "duration without unit": (listener("idle_timeout: ^10"), ["unit"]),
    "duration with a wrong unit": (listener("idle_timeout: ^10parsecs"), ["unit"]),
    "duration with a size's unit": (listener("idle_timeout: ^10KiB"), ["unit", "ms"]),
    "duration in letters": (listener("half_close_timeout: ^soon"), ["duration"]),
    "duration negative": (listener("idle_timeout: ^-1s"), ["out of range", "1ms"]),
    "duration empty": (listener("idle_timeout: ^''"), ["duration"]),
    "duration too long": (listener("idle_timeout: ^721h"), ["out of range", "720h"]),
    "duration that overflows": (listener("idle_timeout: ^99999999999999999999h"), ["idle_timeout"]),
    "duration as a list": (listener("idle_timeout: ^[1s]"), ["duration"]),
    "duration as a mapping": (listener("idle_timeout: ^{a: 1s}"), ["duration"]),
    "drain_timeout without unit": (process("drain_timeout: ^30"), ["unit"]),
    "connect_timeout without unit": (pool("connect_timeout: ^5"), ["unit"]),
    "keepalive interval without unit": (listener("keepalive: {interval: ^10}"), ["unit"]),
    "defer_accept without unit": (listener("defer_accept: ^10"), ["unit"]),
    # sizes
    "size without unit": (listener("receive_buffer: ^65536"), ["unit"]),
    "size with a wrong unit": (listener("send_buffer: ^64s"), ["unit"]),
    "size in letters": (listener("send_buffer: ^big"), ["size"]),
    "size too large": (listener("receive_buffer: ^99999999TiB"), ["receive_buffer"]),
    # numbers
    "workers zero": (process("workers: ^0"), ["workers"]),
    "workers negative": (process("workers: ^-1"), ["workers"]),
    "workers too many": (process("workers: ^100000"), ["workers"]),
    "workers in letters": (process("workers: ^two"), ["workers"]),
    "workers a fraction": (process("workers: ^1.5"), ["workers"]),
    "max_connections negative": (process("max_connections: ^-5"), ["max_connections"]),
    "listener max_connections in letters": (listener("max_connections: ^many"), ["max_connections"]),
    "weight zero": (servers("[{address: '127.0.0.1:1', weight: ^0}]"), ["weight"]),
    "weight too large": (servers("[{address: '127.0.0.1:1', weight: ^257}]"), ["weight", "256"]),
    "weight in letters": (servers("[{address: '127.0.0.1:1', weight: ^heavy}]"), ["weight"]),
    "retries negative": (pool("retries: ^-1"), ["retries"]),
    "backlog zero": (listener("backlog: ^0"), ["backlog"]),
    "fastopen negative": (listener("fastopen: ^-1"), ["fastopen"]),
    "keepalive count zero": (listener("keepalive: {count: ^0}"), ["count"]),
    "number overflows": (listener("max_connections: ^99999999999999999999"), ["max_connections"]),
    # what YAML can do and weft does not want
    "merge key": (pool("^<<: {retries: 1}"), []),
    "tag": (pool("retries: ^!!int 1"), ["tag"]),
    "unknown alias": (pool("retries: ^*nothing"), ["nothing"]),
    # switches and words
    "switch": (process("pin: ^maybe"), ["pin"]),
    "nodelay": (listener("nodelay: ^3"), ["nodelay"]),
    "backup": (servers("[{address: '127.0.0.1:1', backup: ^perhaps}]"), ["backup"]),
    "balance": (pool("balance: ^round_robbin"), ["round_robin"]),
    "log format": (f"log: {{access: {{format: ^xml}}}}\n{WEB}{APP}", ["json"]),
    "log level": (f"log: {{error: {{level: ^loud}}}}\n{WEB}{APP}", ["level"]),
    "log output": (f"log: {{access: {{output: ^somewhere}}}}\n{WEB}{APP}", ["output"]),
    # accounts and paths
    "unknown user": (process("user: ^no-such-user"), ["no user", "no-such-user"]),
    "unknown group": (process("group: ^no-such-group"), ["no group", "no-such-group"]),
    "pid_file without a slash": (process("pid_file: ^weft.pid"), ["slash"]),
    "control without a slash": (process("control: ^weft.sock"), ["slash"]),
    "control too long": (process(f"control: ^/{'x' * 107}"), ["107"]),
    # addresses
    "address without port": (servers("[^127.0.0.1]"), ["port"]),
    "address with an empty port": (servers("[^'127.0.0.1:']"), ["port"]),
    "address with port 0": (servers("[^'127.0.0.1:0']"), ["port"]),
    "address with a port too large": (servers("[^'127.0.0.1:65536']"), ["port"]),
    "address with a port in letters": (servers("[^'127.0.0.1:http']"), ["port"]),
    "address with an unclosed bracket": (servers("[^'[::1:80']"), []),
    "address v6 without brackets": (servers("[^'fe80::1:80']"), ["["]),
    "address v6 that is none": (servers("[^'[::zz]:80']"), []),
    "address empty": (servers("[^'']"), []),
    "address unix empty": (servers("[^'unix:']"), []),
    "address unix relative": (servers("[^'unix:relative']"), []),
    "address unix too long": (servers(f"[^'unix:/{'x' * 120}']"), ["107"]),
    "address abstract empty": (servers("[^'unix:@']"), []),
    "address in a mapping": (servers("[{address: ^'127.0.0.1'}]"), ["port"]),
    "address of no such host": (servers("[^'no-such-host.invalid:80']"), ["no-such-host.invalid"]),
    "address of a server :PORT": (servers("[^':80']"), []),
    "bind without port": (bind("^127.0.0.1"), ["port"]),
    "bind one wrong of two": (bind("['127.0.0.1:80', ^'127.0.0.1']"), ["port"]),
    "bind as a mapping": (bind("^{a: b}"), ["bind"]),
    "bind of a nameless socket of systemd": (bind("^'systemd:'"), ["name"]),
    "bind empty list": (bind("^[]"), ["bind"]),
    "same address bound twice": (f"listeners:\n  one: {{bind: '127.0.0.1:80', pool: app}}\n  two: {{bind: ^'127.0.0.1:80', pool: app}}\n{APP}", ["127.0.0.1:80"]),
    "allow no network": (listener("allow: [10.0.0.0/8, ^localhost]"), ["allow", "localhost"]),
    "deny too many bits": (listener("deny: ^'::/129'"), ["deny", "128"]),
    "deny a list in a list": (listener("deny: [^[10.0.0.0/8]]"), ["deny"]),
    "rate without a unit": (listener("connection_rate_per_source: ^5"), ["unit", "5"]),
    "rate with a wrong unit": (listener("connection_rate_per_source: ^5/day"), ["5/day"]),
    "rate out of range": (listener("connection_rate_per_source: ^10000000/s"), ["range"]),
    "accept_proxy with a version": (listener("accept_proxy: ^v2"), ["accept_proxy", "v2"]),
    "send_proxy without a version": (pool("send_proxy: ^on"), ["send_proxy", "v1"]),
    "pool and routes": (f"listeners:\n  web:\n    bind: ':1'\n    pool: app\n    routes: ^[{{pool: app}}]\n{APP}", ["pool", "routes"]),
    "no routes": (f"listeners:\n  web:\n    bind: ':1'\n    routes: ^[]\n{APP}", ["routes"]),
    "route without a pool": (f"listeners:\n  web:\n    bind: ':1'\n    routes: [^{{sni: a.org}}]\n{APP}", ["pool"]),
    "route to an unknown pool": (f"listeners:\n  web:\n    bind: ':1'\n    routes: [{{pool: ^ap}}]\n{APP}", ["ap"]),
    "route with a bad name": (f"listeners:\n  web:\n    bind: ':1'\n    routes: [{{sni: ^'*a.org', pool: app}}]\n{APP}", ["*a.org"]),
    "route as a word": (f"listeners:\n  web:\n    bind: ':1'\n    routes: [^app]\n{APP}", ["routes"]),
    # names that must exist, settings that must be there
    "unknown pool": (f"listeners:\n  web: {{bind: ':1', pool: ^ap}}\n{APP}", ["ap", "pool"]),
    "no pool": (f"listeners:\n  ^web: {{bind: ':1'}}\n{APP}", ["pool"]),
    "no bind": (f"listeners:\n  ^web: {{pool: app}}\n{APP}", ["bind"]),
    "no servers": (f"{WEB}pools:\n  ^app: {{retries: 1}}\n", ["servers"]),
    "empty servers": (servers("^[]"), ["servers"]),
    "server without address": (servers("[^{name: a}]"), ["address"]),
    "server as a list": (servers("[^[a]]"), []),
    "servers as a word": (servers("^'127.0.0.1:1'"), ["servers"]),
    # shapes
    "file is a list": ("^- a\n", []),
    "file is a word": ("^word\n", []),
    "listeners is a list": (f"listeners: ^[a]\n{APP}", ["listeners"]),
    "pools is a word": ("listeners:\n  web: {bind: ':1', pool: ^app}\npools: ^app\n", ["pool"]),
    "listener is a word": (f"listeners:\n  web: ^app\n{APP}", []),
    "log is a word": (f"log: ^stderr\n{WEB}{APP}", ["log"]),
    "weft is a list": (f"weft: ^[1]\n{WEB}{APP}", ["weft"]),
    "setting is a mapping": (listener("max_connections: ^{a: 1}"), ["max_connections"]),
    # known, but of a later issue
    **{
        f"not built: {key}": (text, ["not", key])
        for key, text in {
            "admin": f"^admin: {{listen: '127.0.0.1:9900'}}\n{WEB}{APP}",
            "transparent": listener("^transparent: on"),
            "resolve_interval": pool("^resolve_interval: 10s"),
            "resolvers": pool("^resolvers: ['127.0.0.1:53']"),
            "source_address": pool("^source_address: 127.0.0.2"),
            "check": pool("^check: {type: tcp}"),
            "on_down": pool("^on_down: close"),
            "resolve": servers("[{address: '127.0.0.1:1', ^resolve: a}]"),
        }.items()
    },
    "not built: hash_key": (pool("hash_key: ^sni"), ["not", "sni"]),
}  # fmt: skip

OFF = ("off", False, 0)
FAULT = re.compile(r"^(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): error: (?P<what>.+)$")


def unmark(text):
    """Take the ^ marks out; returns the text and the (line, column) each mark stood for."""
    places, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        while (at := line.find("^")) >= 0:
            line = line[:at] + line[at + 1 :]
            places.append((number, at + 1))
        lines.append(line)
    return "\n".join(lines), places


@pytest.fixture
def check(tmp_path):
    """Factory: write a file, run -t on it; returns (exit code, faults, output)."""
    path = tmp_path / "weft.yaml"

    def make(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = run("-t", "-c", path)
        faults = []
        for line in done.stderr.splitlines():
            match = FAULT.match(line)
            assert match, f"not FILE:LINE:COL: error: WHAT: {line!r}"
            assert match["file"] == str(path)
            faults.append((int(match["line"]), int(match["column"]), match["what"]))
        return done.returncode, faults, done.stdout

    make.path = path
    return make


@pytest.mark.parametrize("name", FAULTS)
def test_fault(check, name):
    marked, words = FAULTS[name]
    text, places = unmark(marked)
    code, faults, output = check(text)
    assert code == 1, f"taken as good:\n{text}"
    assert output == ""
    assert [(line, column) for line, column, _ in faults] == places, f"{faults} in\n{text}"
    for _, _, what in faults:
        for word in words:
            assert word.lower() in what.lower()


def test_every_fault_of_a_file_is_reported(check):
    marked = """
weft:
  ^worker: 2
  drain_timeout: ^30
listeners:
  web:
    bind: ^127.0.0.1
    pool: ^nowhere
    idle_timeout: ^soon
    splice: ^always
pools:
  app:
    balance: ^magic
    servers:
      - ^127.0.0.1
      - {address: 127.0.0.1:9000, weight: ^0}
    retries: ^-1
"""
    text, places = unmark(marked)
    code, faults, _ = check(text)
    assert code == 1
    assert sorted((line, column) for line, column, _ in faults) == places


@pytest.mark.parametrize(
    "text, line",
    [
        ("listeners: [\n", 2),
        ("listeners: }\n", 1),
        ("a: b: c\n", 1),
        ("listeners:\n\tweb: {}\n", 2),
        ("listeners: 'unclosed\n", None),
        (b"listeners: \xff\xfe\n", 1),
        (b"listeners: \x00\n", 1),
        (b"listeners: \x07\n", 1),
    ],
)
def test_not_yaml(check, text, line):
    code, faults, _ = check(text)
    assert code == 1
    assert len(faults) == 1
    assert line in (None, faults[0][0])


def test_empty_file(check):
    for text in ("", "# nothing\n", "---\n"):
        code, faults, _ = check(text)
        assert code == 1
        assert faults


def test_two_documents_in_a_file(check):
    code, faults, _ = check(GOOD + "---\n" + GOOD)
    assert code == 1
    assert len(faults) == 1


def test_deep_nesting_is_refused_not_crashed_on(check):
    code, faults, _ = check("listeners: " + "[" * 100000)
    assert code == 1
    assert faults


def test_many_faults(check):
    lines = "".join(f"  l{n}: {{bind: ':1{n:04}', pool: nowhere}}\n" for n in range(1000))
    code, faults, _ = check(f"listeners:\n{lines}{APP}")
    assert code == 1
    assert len(faults) == 1000


def test_aliases(check):
    """A fault behind an alias is found where the value stands."""
    text = f"{WEB}pools:\n  app: {{connect_timeout: &t 3s, servers: ['127.0.0.1:1']}}\n"
    assert check(text + "  two: {connect_timeout: *t, servers: ['127.0.0.1:1']}\n")[:2] == (0, [])
    code, faults, _ = check(text + "  two: {retries: *t, servers: ['127.0.0.1:1']}\n")
    assert code == 1
    assert len(faults) == 1


# --- good files ---------------------------------------------------------------------------------

ACCEPTED = {
    "durations": listener("idle_timeout: 250ms\n    half_close_timeout: 1.5h\n    defer_accept: 1s"),
    "durations off": listener("idle_timeout: off\n    half_close_timeout: 0\n    defer_accept: off"),
    "sizes": listener("receive_buffer: 16KiB\n    send_buffer: 1MiB"),
    "sizes auto": listener("receive_buffer: auto\n    send_buffer: auto"),
    "switches": listener("nodelay: yes") + "weft: {pin: on}\n",
    "keepalive off": listener("keepalive: off"),
    "keepalive in part": listener("keepalive: {idle: 5s}"),
    "auto": process("workers: auto\n  max_connections: auto"),
    "accounts": process("user: root\n  group: 0"),
    "paths": process("pid_file: /run/weft.pid\n  control: off"),
    "zero is unlimited": listener("max_connections: 0"),
    "weights": servers("[{address: '127.0.0.1:1', weight: 256}, {address: '127.0.0.1:2', backup: true}]"),
    "servers as a block": f"{WEB}pools:\n  app:\n    servers:\n      - 127.0.0.1:9000\n      - 'unix:/x'\n      - 'unix:@y'\n      - '[::1]:80'\n",
    "binds": bind("[':1', '127.0.0.1:2', '[::1]:3', 'unix:/tmp/x', 'unix:@y']"),
    "name for an address": servers("['localhost:80']"),
    "log": f"log:\n  access: {{output: syslog, format: text}}\n  error: {{output: /tmp/x, level: debug}}\n{WEB}{APP}",
    "unused pool": f"{WEB}{APP}  spare: {{servers: ['127.0.0.1:1']}}\n",
    "no newline at the end": GOOD.rstrip(),
    "byte order mark": "\ufeff" + GOOD.lstrip(),
    "carriage returns": GOOD.replace("\n", "\r\n"),
    "quoted keys": GOOD.replace("pool:", '"pool":'),
    "comments": "# first\n" + GOOD + "# last\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(check, name):
    code, faults, output = check(ACCEPTED[name])
    assert faults == []
    assert code == 0
    assert output == f"{check.path}: ok\n"


def test_testing_touches_nothing(check, backend, address):
    """-t neither binds nor opens logs: it may run beside the daemon."""
    server = backend(echo)
    records = check.path.parent / "records"
    code, faults, _ = check(
        f"log: {{access: {{output: {records}}}}}\n"
        f"listeners: {{web: {{bind: '{server.address}', pool: app}}}}\n{APP}"
    )
    assert (code, faults) == (0, [])
    assert not records.exists()


# --- the dump -----------------------------------------------------------------------------------


def dump(path):
    done = run("-T", "-c", path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ACCEPTED)
def test_dump_is_accepted_and_a_fixed_point(tmp_path, name):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(ACCEPTED[name], encoding="utf-8")
    text = dump(first)
    second.write_text(text, encoding="utf-8")
    tested = run("-t", "-c", second)
    assert tested.returncode == 0, tested.stderr
    assert dump(second) == text


def test_dump_fills_in_every_default(check):
    check.path.write_text(GOOD, encoding="utf-8")
    tree = yaml.safe_load(dump(check.path))
    web, app = tree["listeners"]["web"], tree["pools"]["app"]
    assert web["pool"] == "app"
    assert web["bind"] in ("127.0.0.1:8080", ["127.0.0.1:8080"])
    assert (web["idle_timeout"], web["half_close_timeout"]) == ("10m", "30s")
    assert web["max_connections"] in OFF
    assert web["nodelay"] is True
    assert web["keepalive"] == {"idle": "60s", "interval": "10s", "count": 3} or web[
        "keepalive"
    ] == {"idle": "1m", "interval": "10s", "count": 3}
    assert web["backlog"] == 4096
    assert web["defer_accept"] in OFF
    assert web["fastopen"] in OFF
    assert (web["receive_buffer"], web["send_buffer"]) == ("auto", "auto")
    assert app["balance"] == "round_robin"
    assert app["hash_key"] == "source"
    assert app["connect_timeout"] == "5s"
    assert app["retries"] == 2
    assert app["queue"].pop("size") in OFF
    assert app["queue"] == {"timeout": "5s"}
    assert list(app["outlier"].values()) == [5, "10s", "10s", "50%"]
    assert app["slow_start"] in OFF
    assert tree["log"]["access"] == {"output": "stderr", "format": "json"}
    assert tree["log"]["error"] == {"output": "stderr", "level": "info"}
    assert tree["weft"]["busy_poll"] in OFF
    assert set(tree["weft"]) == {
        "workers", "user", "group", "pid_file", "control",
        "pin", "max_connections", "drain_timeout", "busy_poll",
    }  # fmt: skip
    assert tree["weft"]["user"] in ("weft", "nobody")
    assert tree["weft"]["group"]
    assert tree["weft"]["pid_file"] in OFF
    assert tree["weft"]["control"].endswith("/weft/control.sock")
    assert tree["weft"]["drain_timeout"] == "30s"


def test_dump_keeps_what_was_set(check):
    text = listener("idle_timeout: 90s\n    max_connections: 7\n    receive_buffer: 96KiB")
    text += "  spare:\n    servers: [{name: 'a b: c', address: 'unix:@x', weight: 3, backup: true}]\n"
    check.path.write_text(text, encoding="utf-8")
    tree = yaml.safe_load(dump(check.path))
    assert tree["listeners"]["web"]["idle_timeout"] in ("90s", "1m30s")
    assert tree["listeners"]["web"]["max_connections"] == 7
    assert tree["listeners"]["web"]["receive_buffer"] == "96KiB"
    (server,) = tree["pools"]["spare"]["servers"]
    assert server.pop("max_connections") in OFF
    assert server == {"name": "a b: c", "address": "unix:@x", "weight": 3, "backup": True}


def test_dump_of_a_faulty_file(check):
    check.path.write_text("x: 1\n", encoding="utf-8")
    done = run("-T", "-c", check.path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{check.path}:1:1: error: " in done.stderr


# --- starting -----------------------------------------------------------------------------------


def test_faulty_file_does_not_start(tmp_path):
    path = tmp_path / "weft.yaml"
    path.write_text(GOOD.replace("pool: app", "pool: nowhere"), encoding="utf-8")
    done = run("-c", path)
    assert done.returncode == 1
    assert f"{path}:5:11: error: " in done.stderr


@pytest.mark.parametrize("options", [["-t"], ["-T"], []])
def test_missing_file(tmp_path, options):
    path = tmp_path / "missing.yaml"
    done = run(*options, "-c", path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "No such file" in done.stderr
    assert done.stdout == ""


def test_directory_for_a_file(tmp_path):
    done = run("-t", "-c", tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr


def test_file_that_cannot_be_opened(tmp_path):
    path = tmp_path / "weft.yaml"
    path.symlink_to(path)
    done = run("-t", "-c", path)
    assert done.returncode == 1
    assert f"{path}" in done.stderr
    assert "Too many levels of symbolic links" in done.stderr


def test_file_from_a_pipe(tmp_path):
    done = run("-t", "-c", "/dev/stdin")
    assert done.returncode == 1  # stdin is /dev/null here: an empty configuration
    assert "/dev/stdin" in done.stderr


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["-x"],
        ["-c"],
        ["stray"],
        ["-l", ":8080"],
        ["-b", "127.0.0.1:80"],
        ["-l", ":8080", "-b", "127.0.0.1:80", "-c", "x.yaml"],
        ["-l"],
    ],
)
def test_usage_errors(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_a_screen(option):
    done = run(option)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert 5 < len(lines) <= 24
    # The default file is as long as the prefix it was built with.
    assert max(len(line) for line in lines if "/weft.yaml" not in line) <= 80
    for name in ("--config", "--test", "--dump", "--listen", "--backend", "--version", "--help"):
        assert name in done.stdout


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_version(option):
    done = run(option)
    assert done.returncode == 0
    assert re.fullmatch(r"weft \d+\.\d+\.\d+\S*\n", done.stdout)


def test_version_and_libraries():
    done = run("-V")
    assert done.returncode == 0
    assert run("-v").stdout.strip() in done.stdout
    for name in ("libev", "libyaml", "jansson", "xxHash"):
        assert re.search(name + r"\D{0,12}\d+\.\d+", done.stdout), name
    assert "jemalloc" in done.stdout


def test_quick_mode(weft, backend):
    binds = [f"127.0.0.1:{ports.free_port()}" for _ in range(2)]
    arguments = []
    for address in binds:
        arguments += ["-l", address]
    for word in ("one", "two"):
        arguments += ["-b", backend(greeter(word)).address]
    daemon = weft(arguments=arguments, ready=False)
    daemon.config = {"listeners": {"quick": {"bind": binds}}}
    daemon.wait_ready()
    words = {net.read_all(daemon.connect(where)) for where in binds * 4}
    assert words == {b"one", b"two"}


def test_quick_mode_long_options(weft, backend):
    where = f"127.0.0.1:{ports.free_port()}"
    server = backend(greeter("hi")).address
    daemon = weft(arguments=[f"--listen={where}", f"--backend={server}"], ready=False)
    daemon.config = {"listeners": {"quick": {"bind": where}}}
    daemon.wait_ready()
    assert net.read_all(daemon.connect()) == b"hi"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-l", "nonsense", "-b", "127.0.0.1:80"], ["--listen", "HOST:PORT"]),
        (["-l", ":8080", "-b", "127.0.0.1"], ["--backend", "HOST:PORT"]),
        (["-l", ":8080", "-b", "127.0.0.1:99999"], ["--backend", "port"]),
    ],
)
def test_quick_mode_faults(arguments, words):
    done = run(*arguments)
    assert done.returncode in (1, 2)
    for word in words:
        assert word in done.stderr


def test_quick_mode_can_be_dumped(tmp_path):
    done = run("-T", "-l", "127.0.0.1:8080", "-b", "127.0.0.1:9000")
    assert done.returncode == 0
    path = tmp_path / "weft.yaml"
    path.write_text(done.stdout, encoding="utf-8")
    assert run("-t", "-c", path).returncode == 0
    assert dump(path) == done.stdout
