"""Connections that wait for a server, because every one has as many as it may."""

import socket

import pytest

import net
import procfs
from backends import Background, echo
from waiting import Stopwatch, steady, until


def limited(server, places=1):
    return {"address": server.address, "max_connections": places}


def queue(size, timeout="20s"):
    return {"queue": {"size": size, "timeout": timeout}}


def wait_in_queue(daemon, count=1, **options):
    """As many clients more, one after the other, all of which have found every server full."""
    clients = []
    polled = steady(lambda: procfs.polled(daemon.worker), "what weft polls", quiet=0.1)
    for n in range(count):
        clients.append(daemon.connect(**options))
        until(lambda: procfs.polled(daemon.worker) > polled + n, "it has an eye on the client")
    return clients


def hello(s):
    s.sendall(b"hello")
    assert net.read_exactly(s, 5) == b"hello"


@pytest.mark.parametrize("workers", [1, 2])
def test_first_come_first_served(weft, backend, workers):
    """Whatever the worker that a client is on: in the order in which they came."""
    server = backend()
    daemon = weft.proxy(limited(server), pool=queue(100), process={"workers": workers})
    first = daemon.connect()
    holder = server.accept()
    waiting = wait_in_queue(daemon, 12)
    for n, client in enumerate(waiting):
        client.sendall(bytes([n]))
    server.expect_none(0)
    first.close()
    for n in range(12):
        net.reset(holder)
        holder = server.accept()
        assert net.read_exactly(holder, 1) == bytes([n])
    net.reset(holder)
    for client in waiting:
        net.expect_reset(client)
    records = daemon.records(13)
    assert "queue_duration" not in records[0]
    waits = [r["queue_duration"] for r in records[1:]]
    assert all(0 < w < 20 for w in waits)


def test_two_servers_one_queue(weft, backend):
    a, b = backend(), backend()
    daemon = weft.proxy(limited(a, 2), limited(b, 1), pool=queue(10))
    held = [daemon.connect() for _ in range(3)]
    ends = [a.accept(), a.accept(), b.accept()]
    more = [daemon.connect() for _ in range(2)]
    a.expect_none(0.3)
    net.reset(ends[2])
    ends[2] = b.accept()
    net.reset(ends[0])
    ends[0] = a.accept()
    b.expect_none(0.1)
    del held, more


def test_queue_has_a_size(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(limited(server), pool=queue(2))
    first = daemon.connect()
    hello(first)
    waiting = wait_in_queue(daemon, 2)
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert watch.seconds < 2
    assert daemon.record()["end"] == "no_server"
    first.close()
    hello(waiting[0])
    waiting[0].close()
    hello(waiting[1])


def test_timeout(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(limited(server), pool=queue(10, "700ms"))
    first = daemon.connect()
    hello(first)
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert 0.65 < watch.seconds < 5
    record = daemon.record()
    assert record["end"] == "queue_timeout"
    assert 0.65 < record["queue_duration"] <= record["duration"] < 5
    assert "server" not in record
    hello(first)


def test_no_queue_no_wait(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(limited(server))
    first = daemon.connect()
    hello(first)
    daemon.expect_turned_away()
    record = daemon.record()
    assert record["end"] == "no_server"
    assert "queue_duration" not in record


def test_client_that_leaves_gives_its_place_up(weft, backend):
    """A reset is noticed at once; those behind move up, and the server never hears of it."""
    server = backend()
    daemon = weft.proxy(limited(server), pool=queue(10))
    first = daemon.connect()
    held = server.accept()
    quitter, second = wait_in_queue(daemon, 2)
    second.sendall(b"2")
    net.reset(quitter)
    record = daemon.record()
    assert record["end"] == "client_reset"
    assert "server" not in record
    net.reset(held)
    held = server.accept()
    assert held.recv(1) == b"2"
    del first


def test_what_a_client_sends_meanwhile_is_kept(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(limited(server), pool=queue(10))
    first = daemon.connect()
    hello(first)
    (second,) = wait_in_queue(daemon)
    for piece in (b"one ", b"two ", b"three"):
        second.sendall(piece)
        until(lambda: net.unsent(second) == 0, "weft's kernel has it")
    second.shutdown(socket.SHUT_WR)
    first.close()
    assert net.read_all(second) == b"one two three"


def test_stop_ends_those_who_wait(weft, backend):
    server = backend(echo)
    daemon = weft.proxy(
        limited(server), pool=queue(10), process={"drain_timeout": "500ms"}
    )
    first = daemon.connect()
    hello(first)
    waiting = wait_in_queue(daemon, 3)
    daemon.stop()
    for client in waiting:
        net.expect_end(client)


def test_full_servers_and_a_backup(weft, backend):
    """The queue begins where the backup is full as well."""
    primary, spare = backend(), backend()
    daemon = weft.proxy(limited(primary), {**limited(spare), "backup": True}, pool=queue(10))
    held = [daemon.connect() for _ in range(3)]
    on_primary, on_spare = primary.accept(), spare.accept()
    primary.expect_none(0.3)
    net.reset(on_spare)
    spare.accept()
    primary.expect_none(0)
    del held, on_primary


def test_many_through_a_narrow_place(weft, backend):
    """A hundred clients, three places, two workers: all are served, never more than three."""
    server = backend(echo)
    daemon = weft.proxy(limited(server, 3), pool=queue(1000), process={"workers": 2})

    def visit():
        client = daemon.connect()
        for _ in range(3):
            hello(client)
        client.shutdown(socket.SHUT_WR)
        assert net.read_all(client) == b""
        client.close()

    visits = [Background(visit) for _ in range(100)]
    for v in visits:
        v.result()
    assert {r["end"] for r in daemon.records(100)} == {"client_closed"}
