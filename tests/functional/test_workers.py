"""Worker threads: how many, on which CPU, with which sockets."""

import collections
import os
import socket
import time

import pytest

import net
import procfs
from backends import echo, greeter
from waiting import until


def test_one_listening_socket_a_worker_and_address(weft, backend, address):
    binds = [address("v4"), address("v4"), address("unix")]
    daemon = weft.proxy(backend(echo).address, bind=binds, process={"workers": 3})
    counts = collections.Counter(procfs.listening(daemon.worker))
    for bind in binds[:2]:
        assert counts[net.parse(bind)[1][1]] == 3
    assert counts[net.parse(binds[2])[1]] == 1


def test_workers_are_threads(weft, backend):
    one = weft.proxy(backend(echo).address, process={"workers": 1})
    four = weft.proxy(backend(echo).address, process={"workers": 4})
    assert len(procfs.threads(four.worker)) - len(procfs.threads(one.worker)) == 3


def test_auto_means_the_cpus_it_may_use(weft, backend):
    cpu = min(os.sched_getaffinity(0))
    port = weft.new_address()
    daemon = weft.proxy(backend(echo).address, bind=port, process={"workers": "auto"}, cpus={cpu})
    everywhere = weft.proxy(backend(echo).address, process={"workers": "auto"})
    usable = len(os.sched_getaffinity(0))
    for d, count in ((daemon, 1), (everywhere, usable)):
        where = net.parse(d.address)[1][1]
        until(lambda: procfs.listening(d.worker).count(where) == count, f"{count} sockets")


def test_connections_are_spread(weft, backend):
    daemon = weft.proxy(backend(greeter("x")).address, process={"workers": 2})
    for _ in range(200):
        client = daemon.connect()
        assert net.read_all(client) == b"x"
        client.close()
    shares = collections.Counter(r["worker"] for r in daemon.records(200))
    assert len(shares) == 2
    assert min(shares.values()) >= 40


@pytest.mark.parametrize("kind", ["v4", "unix"])
def test_live_connections_are_evened_out(weft, backend, address, kind):
    """A worker that has clearly more than another hands over, whoever the kernel chose."""
    server = backend()
    daemon = weft.proxy(server.address, bind=address(kind), process={"workers": 2})
    pairs = [(daemon.connect(), server.accept()) for _ in range(100)]
    for client, peer in pairs:
        client.close()
        net.expect_fin(peer)
        peer.close()
    shares = collections.Counter(r["worker"] for r in daemon.records(100))
    assert len(shares) == 2
    assert min(shares.values()) >= 30


def test_pin(weft, backend):
    cpus = sorted(os.sched_getaffinity(0))
    daemon = weft.proxy(backend(echo).address, process={"workers": len(cpus), "pin": True})
    until(lambda: pinned(daemon) == [[c] for c in cpus], "each worker has a CPU of its own")


def pinned(daemon):
    """The CPUs of the threads that may not use all of them."""
    everything = sorted(os.sched_getaffinity(0))
    allowed = [sorted(os.sched_getaffinity(t)) for t in procfs.threads(daemon.worker)]
    if len(everything) == 1:
        return [[everything[0]]]
    return sorted(a for a in allowed if a != everything)


def test_unpinned_by_default(weft, backend):
    daemon = weft.proxy(backend(echo).address, process={"workers": 2})
    for thread in procfs.threads(daemon.worker):
        assert os.sched_getaffinity(thread) == os.sched_getaffinity(0)


# --- socket options -----------------------------------------------------------------------------


@pytest.fixture
def options(weft, backend):
    """Factory: (listening, accepted and connected sockets of a daemon) with these settings."""
    duplicates = []

    def make(**settings):
        server = backend(echo)
        daemon = weft.proxy(server.address, listener=settings)
        client = daemon.connect()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        try:
            mine = procfs.duplicate_sockets(daemon.worker)
        except PermissionError:
            pytest.skip("may not duplicate the daemon's descriptors")
        duplicates.extend(mine)
        port = net.parse(daemon.address)[1][1]
        tcp = [s for s in mine if s.socket.family == socket.AF_INET]
        listening = next(s for s in tcp if s.listens)
        live = [s for s in tcp if not s.listens]
        accepted = next(s for s in live if s.socket.getsockname()[1] == port)
        connected = next(s for s in live if s.socket.getsockname()[1] != port)
        return listening, accepted, connected

    yield make
    procfs.close_all(duplicates)


TCP = socket.IPPROTO_TCP
SOL = socket.SOL_SOCKET


def wait_for_keepalive(s):
    """Short connections are spared the calls: it comes once a connection has lived a while."""
    until(lambda: s.option(SOL, socket.SO_KEEPALIVE) == 1, "keepalive is on")


def test_default_options(options):
    listening, *both = options()
    assert listening.option(SOL, socket.SO_REUSEPORT) == 1
    for s in both:
        assert s.option(TCP, socket.TCP_NODELAY) == 1
        wait_for_keepalive(s)
        assert s.option(TCP, socket.TCP_KEEPIDLE) == 60
        assert s.option(TCP, socket.TCP_KEEPINTVL) == 10
        assert s.option(TCP, socket.TCP_KEEPCNT) == 3


def test_nodelay_off(options):
    for s in options(nodelay=False)[1:]:
        assert s.option(TCP, socket.TCP_NODELAY) == 0


def test_keepalive(options):
    settings = {"idle": "7s", "interval": "2s", "count": 5}
    for s in options(keepalive=settings)[1:]:
        wait_for_keepalive(s)
        assert s.option(TCP, socket.TCP_KEEPIDLE) == 7
        assert s.option(TCP, socket.TCP_KEEPINTVL) == 2
        assert s.option(TCP, socket.TCP_KEEPCNT) == 5


def test_keepalive_off(options):
    both = options(keepalive="off")[1:]
    time.sleep(1.5)
    for s in both:
        assert s.option(SOL, socket.SO_KEEPALIVE) == 0


def test_buffer_sizes(options):
    for s in options(receive_buffer="48KiB", send_buffer="32KiB")[1:]:
        assert s.option(SOL, socket.SO_RCVBUF) == 2 * 48 * 1024  # the kernel doubles it
        assert s.option(SOL, socket.SO_SNDBUF) == 2 * 32 * 1024


def test_defer_accept_and_fastopen(options):
    listening, *_ = options(defer_accept="5s", fastopen=64)
    assert listening.option(TCP, socket.TCP_DEFER_ACCEPT) > 0
    assert listening.option(TCP, socket.TCP_FASTOPEN) == 64


def test_defer_accept_waits_for_data(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"defer_accept": "10s"})
    client = daemon.connect()
    server.expect_none(0.5)
    client.sendall(b"now")
    assert net.read_exactly(server.accept(), 3) == b"now"


def test_backlog_holds_a_burst(weft, backend):
    """More connections at once than the old limit of 128."""
    server = backend(echo)
    daemon = weft.proxy(server.address, listener={"max_connections": 1, "backlog": 1000})
    clients = [daemon.connect() for _ in range(600)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        client.close()
    assert sum(r["bytes_in"] for r in daemon.records(600)) == 600
