"""Limits hold connections back and let them in later; nothing is refused, nothing is lost."""

import resource
import select
import socket

import pytest

import net
from backends import echo
from waiting import until


def greet(s, timeout=20):
    s.settimeout(timeout)
    s.sendall(b"hello")
    assert net.read_exactly(s, 5) == b"hello"


# --- max_connections ----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_listener_limit_holds_connections_back(weft, backend, workers):
    server = backend(echo)
    daemon = weft.proxy(
        server.address, listener={"max_connections": 3}, process={"workers": workers}
    )
    clients = [daemon.connect() for _ in range(8)]
    until(lambda: server.accepted == 3, "as many connections as the limit allows")
    for waiting in clients:
        waiting.sendall(b"hello")
    served = 0
    while clients:
        ready = until(lambda: answered(clients), f"the next client is served ({served} were)")
        assert server.accepted <= served + 3
        assert net.read_exactly(ready, 5) == b"hello"
        clients.remove(ready)
        ready.close()
        served += 1
    assert {r["end"] for r in daemon.records(8)} == {"client_closed"}


def answered(clients):
    """A client that has something to read."""
    readable, _, _ = select.select(clients, [], [], 0)
    return readable[0] if readable else None


def test_listener_limit_is_not_exceeded(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"max_connections": 2}, process={"workers": 2})
    clients = [daemon.connect() for _ in range(6)]
    ends = [server.accept(), server.accept()]
    server.expect_none(0.7)
    for _ in range(4):
        net.reset(ends.pop(0))
        ends.append(server.accept())
        server.expect_none(0.2)
    del clients


@pytest.mark.parametrize("workers", [1, 2])
def test_process_limit_counts_every_listener(weft, backend, address, workers):
    server = backend()
    config = {
        "weft": {"workers": workers, "max_connections": 4},
        "listeners": {
            name: {"bind": address("v4"), "pool": "back"} for name in ("one", "two", "three")
        },
        "pools": {"back": {"servers": [server.address]}},
    }
    daemon = weft(config)
    for turn in range(9):
        daemon.connect(daemon.binds()[turn % 3])
    ends = [server.accept() for _ in range(4)]
    server.expect_none(0.7)
    for _ in range(5):
        net.reset(ends.pop(0))
        ends.append(server.accept())
    server.expect_none(0.2)


def test_a_full_listener_does_not_hold_up_another(weft, backend, address):
    server = backend(echo)
    config = {
        "listeners": {
            "full": {"bind": address("v4"), "pool": "back", "max_connections": 1},
            "free": {"bind": address("v4"), "pool": "back"},
        },
        "pools": {"back": {"servers": [server.address]}},
    }
    daemon = weft(config)
    full, free = daemon.binds()
    greet(daemon.connect(full))
    daemon.connect(full)
    for _ in range(5):
        greet(daemon.connect(free))


def test_waiting_clients_data_and_fin_are_kept(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(server.address, listener={"max_connections": 1})
    first = daemon.connect()
    greet(first)
    second = daemon.connect()
    second.sendall(b"patience")
    second.shutdown(socket.SHUT_WR)
    net.expect_silence(second, 0.5)
    first.close()
    assert net.read_all(second) == b"patience"


# --- descriptors --------------------------------------------------------------------------------


def limit_to_what_is_open(daemon, more=0):
    """No further descriptor than `more` can be opened from here on."""
    daemon.set_descriptor_limit(max(daemon.descriptors()) + 1 + more)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_out_of_descriptors(weft, backend, more, workers):
    """`more` descriptors are left: odd numbers let an accept succeed whose connect then can't."""
    server = backend(echo)
    daemon = weft.proxy(
        server.address, process={"workers": workers}, pool={"connect_timeout": "60s"}
    )
    live = [daemon.connect() for _ in range(10)]
    for s in live:
        greet(s)
    _, hard = resource.prlimit(daemon.worker, resource.RLIMIT_NOFILE)
    limit_to_what_is_open(daemon, more)
    late = [daemon.connect() for _ in range(10)]
    until(lambda: said_out_of_descriptors(daemon), "it says that descriptors ran out")
    before = daemon.cpu_seconds()
    for _ in range(10):
        for s in live:
            greet(s)
        net.expect_silence(late[-1], 0.1)
    assert daemon.cpu_seconds() - before < 0.8, "it spins instead of pausing"
    assert len(said_out_of_descriptors(daemon)) == 1

    daemon.set_descriptor_limit(hard)
    for s in late + live:
        greet(s)
    until(lambda: "accepting again" in daemon.log(), "it says that it goes on")


def said_out_of_descriptors(daemon):
    return [line for line in daemon.log().splitlines() if "accepting is paused" in line]


def test_accepting_resumes_when_connections_end(weft, backend):
    """Nobody raises the limit: the descriptors of ended connections are enough."""
    server = backend(echo)
    daemon = weft.proxy(server.address)
    live = [daemon.connect() for _ in range(10)]
    for s in live:
        greet(s)
    limit_to_what_is_open(daemon)
    late = [daemon.connect() for _ in range(4)]
    until(lambda: said_out_of_descriptors(daemon), "it says that descriptors ran out")
    for s in live:
        s.close()
    for s in late:
        greet(s)


def test_low_limit_at_the_start(weft, backend):
    """It says what binds, keeps below it, and serves everyone in turn."""
    server = backend(echo)
    daemon = weft.proxy(server.address, limit=64)
    assert "descriptor limit of 64" in daemon.log()
    clients = [daemon.connect() for _ in range(100)]
    for s in clients:
        greet(s)
        s.close()
    assert len(daemon.records(100)) == 100
    assert {r["end"] for r in daemon.records(100)} == {"client_closed"}


def test_limit_is_raised_to_the_hard_one(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    soft, hard = resource.prlimit(daemon.worker, resource.RLIMIT_NOFILE)
    assert soft == hard
