"""Limits of single sources, and of a connection's age."""

import select
import socket
import time

import pytest

import net
from backends import echo
from waiting import Stopwatch


def is_served(daemon, source="127.0.0.1"):
    """The connection, or None where it is turned away."""
    try:
        s = daemon.connect(source=source)
        s.sendall(b"hello")
        assert net.read_exactly(s, 5) == b"hello"
        return s
    except (ConnectionResetError, BrokenPipeError):
        return None


def ends(daemon, count):
    return sorted(record["end"] for record in daemon.records(count))


# --- connections at a time ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_of_a_source_are_limited(weft, backend, workers):
    daemon = weft.proxy(
        backend(echo).address,
        listener={"max_connections_per_source": 3},
        process={"workers": workers},
    )
    held = [is_served(daemon) for _ in range(3)]
    assert all(held)
    for _ in range(3):
        assert is_served(daemon) is None
    other = is_served(daemon, "127.0.0.2")
    assert other, "one source's connections count against another"
    net.reset(held.pop())
    daemon.records(4)
    assert is_served(daemon), "a connection that has ended still counts"
    assert is_served(daemon) is None
    assert ends(daemon, 5) == ["client_reset", *["limit"] * 4]


def test_the_limit_is_exact_under_a_rush(weft, backend):
    """Connections that come at once, to two workers."""
    daemon = weft.proxy(
        backend(echo).address,
        listener={"max_connections_per_source": 7},
        process={"workers": 2},
    )
    for turn in range(5):
        clients = []
        for _ in range(60):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(net.parse(daemon.address)[1])
            clients.append(s)
        daemon.records((turn + 1) * 53 + turn * 7)
        assert sum(survives(s) for s in clients) == 7
        for s in clients:
            net.reset(s)
        daemon.records((turn + 1) * 60)


def survives(s):
    s.setblocking(True)
    s.settimeout(10)
    try:
        s.sendall(b"hello")
        return net.read_exactly(s, 5) == b"hello"
    except OSError:
        return False


def test_limits_do_not_count_unix_clients(weft, backend, address):
    daemon = weft.proxy(
        backend(echo).address,
        bind=address("unix"),
        listener={"max_connections_per_source": 1, "connection_rate_per_source": "1/h"},
    )
    for _ in range(5):
        s = daemon.connect()
        s.sendall(b"hello")
        assert net.read_exactly(s, 5) == b"hello"


# --- new connections ----------------------------------------------------------------------------


def test_new_connections_of_a_source_are_limited(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(server.address, listener={"connection_rate_per_source": "3/h"})
    for _ in range(3):
        assert is_served(daemon)
    for _ in range(3):
        assert is_served(daemon) is None
    assert is_served(daemon, "127.0.0.2")
    assert server.accepted == 4
    refused = daemon.records(3)
    assert {record["end"] for record in refused} == {"rate_limited"}
    assert "server" not in refused[0]


def test_the_rate_is_kept(weft, backend):
    """Whatever a source tries, it gets its rate, and a period's worth at once."""
    daemon = weft.proxy(backend(echo).address, listener={"connection_rate_per_source": "5/s"})
    watch = Stopwatch()
    served = 0
    while watch.seconds < 3:
        served += is_served(daemon) is not None
        time.sleep(0.005)
    assert 5 < served <= 5 + 5 * watch.seconds + 1


# --- age ----------------------------------------------------------------------------------------


def test_an_old_connection_is_closed_in_good_order(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"max_connection_age": "1s"})
    watch = Stopwatch()
    client = daemon.connect()
    peer = server.accept()
    peer.sendall(b"last words")
    assert net.read_all(client) == b"last words"
    net.expect_fin(peer)
    assert 0.85 <= watch.seconds
    client.close()
    peer.close()
    record = daemon.record()
    assert record["end"] == "max_age"
    assert 0.9 <= record["duration"]


def test_a_busy_connection_becomes_old_too(weft, backend):
    daemon = weft.proxy(backend(echo).address, listener={"max_connection_age": "500ms"})
    client = daemon.connect()
    watch = Stopwatch()
    try:
        while watch.seconds < 20:
            client.sendall(b"x")
            if not client.recv(1):
                break
    except (ConnectionResetError, BrokenPipeError):
        pass
    client.close()
    record = daemon.record()
    assert record["end"] == "max_age"
    assert record["bytes_in"] > 100
    assert 0.45 <= record["duration"]


def test_what_came_together_does_not_go_together(weft, backend):
    daemon = weft.proxy(backend(echo).address, listener={"max_connection_age": "2s"})
    clients = [daemon.connect() for _ in range(20)]
    while clients:
        readable, _, _ = select.select(clients, [], [], 20)
        assert readable
        for s in readable:
            net.expect_fin(s)
            s.close()
            clients.remove(s)
    records = daemon.records(20)
    durations = [record["duration"] for record in records]
    assert {record["end"] for record in records} == {"max_age"}
    assert min(durations) >= 1.8
    assert max(durations) - min(durations) > 0.2
