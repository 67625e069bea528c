"""A fast sender and a reader that is slow or asleep: memory stays bounded, no byte is lost."""

import socket
import time

import pytest

import net
from backends import Background, receive_stream
from daemon import sanitized
from scale import KIB, MIB, scaled
from streams import Stream
from waiting import steady

# What one connection may cost [bytes]; AddressSanitizer's red zones and shadow come on top.
PER_CONNECTION = 1 * MIB
STREAM = Stream(9)


class Sender:
    """Sends `total` bytes of a stream, then the FIN, and says how far it has come."""

    def __init__(self, s, total):
        self.sent = 0
        self.job = Background(self._send, s, total)

    def _send(self, s, total):
        s.settimeout(60)
        while self.sent < total:
            count = min(64 * KIB, total - self.sent)
            s.sendall(STREAM.read(self.sent, count))
            self.sent += count
        s.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("count", [1, scaled(20, 5)])
@pytest.mark.parametrize("sleeper", ["client", "server"])
def test_memory_is_bounded_while_nobody_reads(weft, backend, sleeper, count):
    server = backend()
    daemon = weft.proxy(server.address)
    pairs = [(daemon.connect(receive_buffer=256 * KIB), server.accept()) for _ in range(count)]
    for client, peer in pairs:  # warm: what a first use allocates is not the buffers'
        client.sendall(b"x")
        assert peer.recv(1) == b"x"
    before = daemon.resident()
    total = scaled(256 * MIB, 32 * MIB) // count + 64 * MIB
    readers, writers = zip(*(p if sleeper == "client" else reversed(p) for p in pairs))
    senders = [Sender(s, total) for s in writers]
    steady(lambda: [s.sent for s in senders], "what the senders got rid of", quiet=1.0)
    assert all(s.sent < total for s in senders), "the whole stream was taken though nobody read"
    grown = daemon.resident() - before
    bound = count * PER_CONNECTION * (3 if sanitized("asan", "tsan") else 1)
    assert grown < bound, f"{grown >> 10} KiB more for {count} connections"

    receivers = [Background(receive_stream, s, STREAM) for s in readers]
    for sender, receiver in zip(senders, receivers):
        sender.job.result(90)
        assert receiver.result(90) == total


def test_a_stalled_direction_does_not_hold_up_the_other(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    client, peer = daemon.connect(), server.accept()
    assert net.fill(client, quiet=0.5) > 0
    for _ in range(20):
        peer.sendall(b"tick")
        assert net.read_exactly(client, 4) == b"tick"


def test_a_stalled_connection_does_not_hold_up_another(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    stalled, _ = daemon.connect(), server.accept()
    net.fill(stalled, quiet=0.5)
    client, peer = daemon.connect(), server.accept()
    sender = Sender(client, 16 * MIB)
    assert receive_stream(peer, STREAM) == 16 * MIB
    sender.job.result()


def test_a_stalled_connection_burns_no_cpu(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    for _ in range(10):
        client, _ = daemon.connect(), server.accept()
        net.fill(client, quiet=0.2)
    before = daemon.cpu_seconds()
    time.sleep(2)
    assert daemon.cpu_seconds() - before < 0.3


def test_buffers_are_given_back_after_a_burst(weft, backend):
    """After data has gone through, the same connections, idle, cost next to nothing."""
    count = 10
    server = backend()
    daemon = weft.proxy(server.address)
    pairs = [(daemon.connect(receive_buffer=64 * KIB), server.accept()) for _ in range(count)]
    sent = []
    for client, peer in pairs:
        sent.append(net.fill(peer, quiet=0.1))
    for (client, peer), total in zip(pairs, sent):
        net.read_exactly(client, total)
    before = daemon.resident()
    for (client, peer), total in zip(pairs, sent):  # a second burst needs no more than the first
        again = net.fill(peer, quiet=0.1)
        net.read_exactly(client, again)
    assert daemon.resident() - before < scaled(4, 16) * MIB
