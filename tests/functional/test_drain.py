"""A graceful stop ends connections one by one over drain_timeout, in good order."""

import select
import signal
import time

import pytest

import net
from backends import Background, EchoLoop, hold
from waiting import Stopwatch, until


def chat(client):
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"


def ends_of(clients, timeout=30):
    """When each of some connections ended, in the order of their ends: (seconds, client)."""
    found, left, watch = [], list(clients), Stopwatch()
    while left and watch.seconds < timeout:
        readable, _, _ = select.select(left, [], [], 1)
        for client in readable:
            net.expect_fin(client)
            found.append((watch.seconds, client))
            left.remove(client)
            client.close()
    assert not left, f"{len(left)} connections have not ended after {timeout} s"
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_ends_are_spread(weft, backend, workers):
    """At no time have more ended than the line allows; how late they are noticed is the
    machine's business."""
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, process={"workers": workers, "drain_timeout": "4s"})
    clients = [daemon.connect() for _ in range(40)]
    for client in clients:
        chat(client)
    time.sleep(1.1)  # who was active less than a second ago would be spared
    daemon.signal(signal.SIGTERM)
    ends = ends_of(clients)
    for number, (seconds, _) in enumerate(ends):
        assert seconds >= 3.6 * (number - workers) / 40 - 0.05
    assert ends[19][0] < 3.6, "the first half ends before the time is over"
    assert daemon.wait() == 0
    assert {r["end"] for r in daemon.records(40)} == {"drained"}


def test_idle_longest_first(weft, backend):
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, process={"drain_timeout": "3s"})
    clients = [daemon.connect() for _ in range(6)]
    for client in clients:
        chat(client)
    order = [clients[i] for i in (3, 0, 5, 1, 4, 2)]
    for client in order:
        chat(client)
        time.sleep(0.1)
    time.sleep(1)
    daemon.signal(signal.SIGTERM)
    assert [client for _, client in ends_of(clients)] == order
    assert daemon.wait() == 0


def test_active_connections_are_spared(weft, backend):
    """One that talks goes on until the last quarter of the time, when those that don't are gone."""
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, process={"drain_timeout": "4s"})
    talker = daemon.connect()
    idle = [daemon.connect() for _ in range(8)]
    for client in idle:
        chat(client)
    time.sleep(1.1)

    def talk():
        words = 0
        try:
            while True:
                chat(talker)
                words += 1
        except (AssertionError, OSError):
            return words, watch.seconds

    chat(talker)
    watch = Stopwatch()
    talking = Background(talk)
    daemon.signal(signal.SIGTERM)
    last = ends_of(idle)[-1][0]
    words, seconds = talking.result()
    assert words > 0
    assert seconds >= 2.6
    assert seconds >= last - 0.5
    assert daemon.wait() == 0
    assert {r["end"] for r in daemon.records(9)} == {"drained"}


def test_what_is_on_its_way_arrives_before_the_fin(weft, backend):
    """The server has said its piece, the client reads late: it gets all of it, then a FIN."""
    server = backend()
    daemon = weft.proxy(server.address, process={"drain_timeout": "2s"})
    client = daemon.connect(receive_buffer=4096)
    peer = server.accept()
    piece = bytes(range(256)) * 4096
    sending = Background(peer.sendall, piece)
    daemon.signal(signal.SIGTERM)
    got = net.read_exactly(client, len(piece))
    assert got == piece
    sending.result()
    net.expect_fin(client)
    net.expect_fin(peer)
    assert daemon.wait() == 0


def test_peers_that_never_close(weft, backend):
    """A FIN is answered by silence, or by ever more data: at the end of the time it is over."""
    server = backend(hold)
    daemon = weft.proxy(server.address, process={"drain_timeout": "1s"})
    silent, eager = daemon.connect(), daemon.connect()
    until(lambda: server.accepted == 2, "both are served")

    def push():
        try:
            while True:
                eager.sendall(bytes(65536))
        except OSError:
            pass

    pushing = Background(push)
    daemon.signal(signal.SIGTERM)
    watch = Stopwatch()
    assert daemon.wait() == 0
    assert 0.8 <= watch.seconds < 6
    net.expect_fin(silent)
    pushing.result()
    assert {r["end"] for r in daemon.records(2)} == {"drained"}


def test_progress_is_told(weft, backend):
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, process={"drain_timeout": "8s"})
    clients = [daemon.connect() for _ in range(20)]
    for client in clients:
        chat(client)
    daemon.signal(signal.SIGTERM)
    until(lambda: " of 20 connections left, " in daemon.log(), "how many are left is told")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert "draining (stop): " in daemon.log()
