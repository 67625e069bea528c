"""Every byte arrives, in order, both ways, whatever the sizes, the pauses and the company."""

import random
import resource
import socket

import pytest

from backends import Background, EchoLoop, receive_stream, send_stream
from scale import GIB, KIB, MIB, SMALL, scaled
from streams import Stream
from swarm import Swarm
from waiting import Stopwatch


def transfer(client, server, upwards, downwards, rng=None):
    """Send both ways at once, each side its own stream, and check both."""
    jobs = []
    for number, (sender, receiver, total) in enumerate(
        ((client, server, upwards), (server, client, downwards))
    ):
        jobs.append((Background(receive_stream, receiver, Stream(number), rng), total))
        jobs.append((Background(_send_and_shut_down, sender, Stream(number), total, rng), None))
    for job, total in jobs:
        assert job.result(90) == total


def _send_and_shut_down(s, stream, total, rng):
    send_stream(s, stream, total, rng)
    s.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("upwards", [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 1 * MIB])
@pytest.mark.parametrize("downwards", [0, 1, 16 * KIB, 3 * MIB + 1])
def test_sizes(weft, backend, upwards, downwards):
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    transfer(client, server.accept(), upwards, downwards)
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (upwards, downwards)


@pytest.mark.parametrize("seed", range(scaled(6, 3)))
def test_random_pieces_and_pauses(weft, backend, seed):
    rng = random.Random(seed)
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    most = scaled(8 * MIB, 1 * MIB)
    transfer(client, server.accept(), rng.randrange(most), rng.randrange(most), rng)


@pytest.mark.parametrize("buffer", [4 * KIB, 64 * KIB])
def test_small_socket_buffers(weft, backend, buffer):
    """Short writes everywhere: what does not fit must wait and go out in order."""
    server = backend(receive_buffer=buffer)
    sizes = {"receive_buffer": f"{buffer >> 10}KiB", "send_buffer": f"{buffer >> 10}KiB"}
    daemon = weft.proxy(server.address, listener=sizes)
    client = daemon.connect(receive_buffer=buffer)
    total = scaled(4 * MIB, 1 * MIB)
    transfer(client, server.accept(), total, total, random.Random(buffer))


@pytest.mark.parametrize("towards", ["server", "client"])
def test_a_gigabyte(weft, backend, towards):
    total = scaled(1 * GIB, 64 * MIB)
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    upwards, downwards = (total, 0) if towards == "server" else (0, total)
    transfer(client, server.accept(), upwards, downwards)


def test_half_a_gigabyte_each_way_at_once(weft, backend):
    total = scaled(GIB // 2, 32 * MIB)
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    transfer(client, server.accept(), total, total)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [1, 50, scaled(2000, 200)])
def test_many_connections(weft, backend, count, workers):
    needed = 4 * count + 100
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < needed:
        pytest.skip(f"needs {needed} descriptors, may have {limit}")
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address, process={"workers": workers})
    swarm = Swarm(daemon.address, count, scaled(192 * KIB, 64 * KIB), random.Random(count))
    swarm.run()
    records = daemon.records(count)
    assert sum(r["bytes_in"] for r in records) == swarm.bytes
    assert sum(r["bytes_out"] for r in records) == swarm.bytes
    assert {r["end"] for r in records} == {"client_closed"}


def test_one_worker_is_fair(weft, backend):
    """A connection at full speed does not keep another one of its worker waiting."""
    server = backend()
    daemon = weft.proxy(server.address)
    loud, loud_server = daemon.connect(), server.accept()
    quiet, quiet_server = daemon.connect(), server.accept()
    total = scaled(1 * GIB, 64 * MIB)
    bulk = Background(send_stream, loud, Stream(1), total)
    drain = Background(receive_stream, loud_server, Stream(1))
    waits = []
    while bulk.is_alive():
        watch = Stopwatch()
        quiet.sendall(b"ping")
        assert quiet_server.recv(4) == b"ping"
        quiet_server.sendall(b"pong")
        assert quiet.recv(4) == b"pong"
        waits.append(watch.seconds)
    loud.close()
    assert drain.result() == total
    assert waits
    assert sorted(waits)[len(waits) // 2] < (1.0 if SMALL else 0.2)


def test_connections_one_after_the_other(weft, backend):
    """Nothing of a connection is left to the next one that gets its memory."""
    server = backend(kind=EchoLoop)
    daemon = weft.proxy(server.address)
    rng = random.Random(7)
    for number in range(scaled(300, 100)):
        client = daemon.connect()
        total = rng.randrange(1, 4000)
        client.sendall(Stream(number).read(0, total))
        client.shutdown(socket.SHUT_WR)
        assert receive_stream(client, Stream(number)) == total
        client.close()
