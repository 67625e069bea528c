"""Bytes that go through pipes inside the kernel: as intact, as bounded and as well ended as copies."""

import random
import re
import socket

import pytest

import net
from backends import Background, EchoLoop, answer_after_end, receive_stream, send_stream
from daemon import sanitized
from scale import GIB, KIB, MIB, SMALL, scaled
from streams import Stream
from swarm import Swarm
from waiting import Stopwatch, steady, until

MODES = ["on", "auto", "off"]
FEW = 1024  # [descriptors] a limit at which there are five pipes
NONE = 512  # [descriptors] a limit at which there are none
IDLE_PIPES_CLOSE = 40.0  # [s] far longer than pipes that nobody needs stay open


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def pair(weft, backend, mode):
    """A connection through weft whose two ends the test holds: (client, server, daemon)."""
    server = backend()
    daemon = weft.proxy(server.address, listener={"splice": mode})
    client = daemon.connect()
    return client, server.accept(), daemon


def pipes(daemon):
    """How many pipes the daemon has open."""
    return len({t for t in daemon.descriptors().values() if re.match(r"pipe:\[", t)})


def bulk_goes_via(mode):
    return "copy" if mode == "off" else "splice"


def send_and_shut_down(s, stream, total, rng=None):
    send_stream(s, stream, total, rng)
    s.shutdown(socket.SHUT_WR)


def stream_through(sender, receiver, total, rng=None):
    """Send a stream and its FIN, and check what arrives."""
    job = Background(send_and_shut_down, sender, Stream(1), total, rng)
    assert receive_stream(receiver, Stream(1), rng) == total
    job.result()


# --- every byte ---------------------------------------------------------------------------------


@pytest.mark.parametrize("towards", ["client", "server"])
def test_a_gigabyte(pair, mode, towards):
    client, server, daemon = pair
    ends = (server, client) if towards == "client" else (client, server)
    total = scaled(1 * GIB, 64 * MIB)
    stream_through(*ends, total)
    ends[1].shutdown(socket.SHUT_WR)
    record = daemon.record()
    assert record["bytes_out" if towards == "client" else "bytes_in"] == total
    assert record["via"] == bulk_goes_via(mode)


@pytest.mark.parametrize("kinds", [("unix", "v4"), ("v4", "unix"), ("unix", "unix"), ("v6", "v6")])
def test_between_families(weft, backend, address, mode, kinds):
    server = backend(address=address(kinds[1]))
    daemon = weft.proxy(server.address, bind=address(kinds[0]), listener={"splice": mode})
    client, peer = daemon.connect(), server.accept()
    total = scaled(64 * MIB, 8 * MIB)
    upwards = Background(stream_through, client, peer, total)
    stream_through(peer, client, total)
    upwards.result()
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (total, total)
    assert record["via"] == bulk_goes_via(mode)


@pytest.mark.parametrize("seed", range(3))
def test_random_pieces_and_pauses(pair, seed):
    client, server, _ = pair
    most = scaled(8 * MIB, 1 * MIB)
    upwards = Background(stream_through, client, server, most - seed, random.Random(seed))
    stream_through(server, client, most + seed, random.Random(seed))
    upwards.result()


def test_many_connections_and_few_pipes(weft, backend, mode):
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, listener={"splice": mode}, process={"workers": 2}, limit=FEW)
    count = scaled(200, 50)
    swarm = Swarm(daemon.address, count, scaled(1 * MIB, 64 * KIB), random.Random(1))
    swarm.run()
    records = daemon.records(count)
    assert sum(r["bytes_in"] for r in records) == swarm.bytes
    assert sum(r["bytes_out"] for r in records) == swarm.bytes


# --- which way ----------------------------------------------------------------------------------


def test_small_messages_are_copied_in_auto(weft, backend):
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    for _ in range(200):
        client.sendall(b"ping")
        assert net.read_exactly(client, 4) == b"ping"
    client.close()
    assert daemon.record()["via"] == "copy"


def test_small_messages_are_spliced_where_that_is_on(weft, backend):
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, listener={"splice": "on"})
    client = daemon.connect()
    for _ in range(200):
        client.sendall(b"ping")
        assert net.read_exactly(client, 4) == b"ping"
    client.close()
    assert daemon.record()["via"] == "splice"


def test_without_descriptors_to_spare_all_is_copied(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"splice": "on"}, limit=NONE)
    client, peer = daemon.connect(), server.accept()
    stream_through(client, peer, 16 * MIB)
    peer.close()
    assert daemon.record()["via"] == "copy"


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100 * KIB, scaled(50 * MIB, 5 * MIB)])
def test_client_shuts_down_and_gets_the_whole_answer(weft, backend, mode, size):
    daemon = weft.proxy(backend(answer_after_end(2, size)).address, listener={"splice": mode})
    client = daemon.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert receive_stream(client, Stream(2)) == size
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (8, size)
    assert record["end"] == "client_closed"


@pytest.mark.parametrize("who", ["client", "server"])
def test_receiver_resets_in_mid_transfer(pair, who):
    client, server, daemon = pair
    receiver, sender = (client, server) if who == "client" else (server, client)
    sending = Background(net.expect_write_failure, sender)
    net.read_exactly(receiver, 4 * MIB)
    net.reset(receiver)
    sending.result()
    assert daemon.record()["end"] == f"{who}_reset"


@pytest.mark.parametrize("who", ["client", "server"])
def test_sender_resets_in_mid_transfer(pair, who):
    client, server, daemon = pair
    sender, receiver = (client, server) if who == "client" else (server, client)
    reading = Background(net.expect_reset, receiver, True)
    for _ in range(100):
        sender.sendall(bytes(100 * KIB))
    net.reset(sender)
    reading.result()
    assert daemon.record()["end"] == f"{who}_reset"


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_while_the_other_side_reads_nothing(pair, who):
    """What is left in a pipe goes with its session."""
    client, server, daemon = pair
    sender, idler = (client, server) if who == "client" else (server, client)
    net.fill(sender, quiet=0.5)
    net.reset(sender)
    assert daemon.record()["end"] == f"{who}_reset"
    net.expect_reset(idler, discard=True)


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sleeper", ["client", "server"])
def test_memory_is_bounded_while_nobody_reads(weft, backend, mode, sleeper):
    """More connections than pipes: some hold a pipe that is full, the others a ring."""
    count = scaled(20, 8)
    server = backend()
    daemon = weft.proxy(server.address, listener={"splice": mode}, limit=FEW)
    pairs = [(daemon.connect(receive_buffer=256 * KIB), server.accept()) for _ in range(count)]
    before, at_rest = daemon.resident(), pipes(daemon)
    sent = [0] * count

    def send(number, s, total):
        s.settimeout(60)
        while sent[number] < total:
            s.sendall(Stream(number).read(sent[number], 64 * KIB))
            sent[number] += 64 * KIB
        s.shutdown(socket.SHUT_WR)

    readers, writers = zip(*(p if sleeper == "client" else reversed(p) for p in pairs))
    total = 80 * MIB
    senders = [Background(send, i, s, total) for i, s in enumerate(writers)]
    steady(lambda: list(sent), "what the senders got rid of", quiet=1.0)
    assert all(n < total for n in sent), "the whole stream was taken though nobody read"
    bound = count * MIB * (3 if sanitized("asan", "tsan") else 1)
    assert daemon.resident() - before < bound
    held = pipes(daemon) - at_rest
    assert 0 < held <= 5 if mode != "off" else held == 0

    receivers = [Background(receive_stream, s, Stream(i)) for i, s in enumerate(readers)]
    for sender, receiver in zip(senders, receivers):
        sender.result(90)
        assert receiver.result(90) == total


def test_pipes_are_given_back(weft, backend):
    """After load and a while, no pipe is left; sessions that ended in every way left none either."""
    server = backend()
    daemon = weft.proxy(server.address, listener={"splice": "on"}, process={"workers": 2})
    at_rest = pipes(daemon)
    for _ in range(10):
        held = [(daemon.connect(), server.accept()) for _ in range(5)]
        for client, _ in held:
            net.fill(client, quiet=0.05)
        assert pipes(daemon) > at_rest
        for number, ends in enumerate(held):
            net.reset(ends[number % 2])
    daemon.records(50)
    until(lambda: pipes(daemon) == at_rest, "idle pipes are closed", IDLE_PIPES_CLOSE)


def test_bulk_does_not_keep_another_connection_waiting(weft, backend, mode):
    server = backend()
    daemon = weft.proxy(server.address, listener={"splice": mode})
    loud, loud_peer = daemon.connect(), server.accept()
    quiet, quiet_peer = daemon.connect(), server.accept()
    bulk = Background(stream_through, loud_peer, loud, scaled(1 * GIB, 64 * MIB))
    waits = []
    while bulk.is_alive():
        watch = Stopwatch()
        quiet.sendall(b"ping")
        assert quiet_peer.recv(4) == b"ping"
        waits.append(watch.seconds)
    bulk.result()
    assert sorted(waits)[len(waits) // 2] < (1.0 if SMALL else 0.2)
