"""Servers that fail connections are left alone for a while, and come back slowly."""

import collections
import re

import net
from backends import Refusing, Silent, echo, greeter, resetting
from waiting import Stopwatch, until


def outlier(**options):
    return {"outlier": {"failures": 3, "window": "30s", "eject": "30s", **options}}


def ask(daemon):
    """Which server answers; empty when none does."""
    try:
        client = daemon.connect()
        word = net.read_all(client).decode()
        client.close()
        return word
    except ConnectionResetError:
        return ""


def left_alone(daemon):
    """Which servers were left alone, for how long, in order."""
    return re.findall(r"server (\w+): left alone for (\w+): ", daemon.log())


def servers(backend, *good, dead=()):
    made = [{"name": n, "address": backend(greeter(n)).address} for n in good]
    return made + [{"name": n, "address": backend(kind=Refusing).address} for n in dead]


def test_server_that_refuses_is_left_alone(weft, backend):
    daemon = weft.proxy(*servers(backend, "a", "b", dead=["c"]), pool=outlier())
    assert all(ask(daemon) for _ in range(30))
    assert sum(r["retries"] for r in daemon.records(30)) == 3
    assert left_alone(daemon) == [("c", "30s")]
    (line,) = [line for line in daemon.log().splitlines() if "left alone" in line]
    assert "pool back" in line
    assert "3 failures within 30s" in line
    assert "onnection refused" in line


def test_server_that_never_answers_is_left_alone(weft, backend):
    """Once it is known, nobody waits for it."""
    pool = {**outlier(failures=2), "connect_timeout": "400ms"}
    silent = {"name": "c", "address": backend(kind=Silent).address}
    daemon = weft.proxy(*servers(backend, "a"), silent, pool=pool)
    until(lambda: ask(daemon) and left_alone(daemon), "it is left alone")
    watch = Stopwatch()
    assert [ask(daemon) for _ in range(10)] == ["a"] * 10
    assert watch.seconds < 4  # that is, less than ten times the timeout


def test_server_that_resets_before_it_speaks_is_left_alone(weft, backend):
    bad = {"name": "c", "address": backend(resetting).address}
    daemon = weft.proxy(*servers(backend, "a"), bad, pool=outlier())
    answers = [ask(daemon) for _ in range(20)]
    assert answers.count("") <= 3
    assert answers[-10:] == ["a"] * 10
    assert left_alone(daemon) == [("c", "30s")]


def test_reset_after_the_first_byte_is_no_failure(weft, backend):
    def speak_and_reset(s):
        s.sendall(b"x")
        s.recv(1)
        net.reset(s)

    daemon = weft.proxy(
        *({"name": n, "address": backend(speak_and_reset).address} for n in "ab"), pool=outlier()
    )
    for _ in range(20):
        client = daemon.connect()
        assert client.recv(1) == b"x"
        client.sendall(b"y")
        net.expect_reset(client)
    assert not left_alone(daemon)
    assert {r["end"] for r in daemon.records(20)} == {"server_reset"}


def test_no_more_than_a_share_is_left_alone(weft, backend):
    """Two of five: the third one that fails is still tried."""
    pool = {**outlier(), "retries": 4}
    daemon = weft.proxy(*servers(backend, "a", "b", dead=["c", "d", "e"]), pool=pool)
    assert all(ask(daemon) for _ in range(60))
    assert len(left_alone(daemon)) == 2
    tail = daemon.records(60)[-30:]
    assert sum(r["retries"] for r in tail) >= 8


def test_last_server_is_never_left_alone(weft, backend):
    daemon = weft.proxy(*servers(backend, dead=["c"]), pool=outlier(max_ejected="100%"))
    for _ in range(20):
        assert ask(daemon) == ""
    assert {r["end"] for r in daemon.records(20)} == {"connect_failed"}
    assert not left_alone(daemon)


def test_off(weft, backend):
    daemon = weft.proxy(*servers(backend, "a", "b", dead=["c"]), pool={"outlier": False})
    assert all(ask(daemon) for _ in range(30))
    assert sum(r["retries"] for r in daemon.records(30)) >= 10
    assert not left_alone(daemon)


def test_it_comes_back_and_is_left_alone_longer(weft, backend, address):
    where = address("v4")
    pool = outlier(failures=2, eject="400ms", window="10s")
    daemon = weft.proxy(*servers(backend, "a"), {"name": "c", "address": where}, pool=pool)
    until(lambda: ask(daemon) and len(left_alone(daemon)) == 3, "it fails three times")
    assert left_alone(daemon) == [("c", "400ms"), ("c", "800ms"), ("c", "1200ms")]
    backend(greeter("c"), address=where)
    until(lambda: ask(daemon) == "c", "it is used again")
    assert collections.Counter(ask(daemon) for _ in range(20)) == {"a": 10, "c": 10}
    until(lambda: daemon.log().endswith("server c: in use again\n"), "that is said")


def test_slow_start_after_it(weft, backend, address):
    """A minute to grow: in the first seconds it gets a small part of what is due to it."""
    where = address("v4")
    pool = {**outlier(failures=2, eject="300ms"), "slow_start": "2m"}
    daemon = weft.proxy(*servers(backend, "a"), {"name": "c", "address": where}, pool=pool)
    assert collections.Counter(ask(daemon) for _ in range(10)) == {"a": 10}
    backend(greeter("c"), address=where)
    until(lambda: "server c: in use again" in daemon.log(), "it is used again")
    watch = Stopwatch()
    counts = collections.Counter(ask(daemon) for _ in range(200))
    due = 100 * (watch.seconds + 1) / 120
    assert counts["c"] <= 2 * due + 5, counts


def test_each_worker_knows(weft, backend):
    daemon = weft.proxy(
        *servers(backend, "a", "b", dead=["c"]), pool=outlier(), process={"workers": 2}
    )
    assert all(ask(daemon) for _ in range(60))
    assert sum(r["retries"] for r in daemon.records(60)) <= 4
    assert left_alone(daemon) == [("c", "30s")]


def test_client_that_resets_is_not_the_servers_fault(weft, backend):
    daemon = weft.proxy(backend(echo).address, backend(echo).address, pool=outlier())
    for _ in range(20):
        client = daemon.connect()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        net.reset(client)
    assert {r["end"] for r in daemon.records(20)} == {"client_reset"}
    assert not left_alone(daemon)
