"""TERM and QUIT let connections finish, INT does not; the exit code is 0."""

import signal
import socket
import time

import pytest

import net
from backends import Background, EchoLoop, Silent, echo, greeter
from waiting import Stopwatch, until

GRACEFUL = [signal.SIGTERM, signal.SIGQUIT]


@pytest.fixture
def busy(weft, backend):
    """Factory: a daemon with one connection through it: (daemon, client, server)."""

    def make(drain_timeout="30s", workers=1):
        server = backend()
        process = {"workers": workers, "drain_timeout": drain_timeout}
        daemon = weft.proxy(server.address, process=process)
        client = daemon.connect()
        return daemon, client, server.accept()

    return make


def wait_until_refused(daemon):
    until(lambda: not daemon.addresses_listened_on(), "it stops listening")
    with pytest.raises(ConnectionRefusedError):
        net.open_client(daemon.address)


def chat(client, server):
    for sender, receiver in ((client, server), (server, client)):
        sender.sendall(b"hello")
        assert net.read_exactly(receiver, 5) == b"hello"


@pytest.mark.parametrize("number", [*GRACEFUL, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_idle_daemon_ends_at_once(weft, backend, number, workers):
    daemon = weft.proxy(backend(echo).address, process={"workers": workers})
    watch = Stopwatch()
    daemon.signal(number)
    assert daemon.wait() == 0
    assert watch.seconds < 5


@pytest.mark.parametrize("number", GRACEFUL)
@pytest.mark.parametrize("workers", [1, 2])
def test_graceful_stop_lets_connections_finish(busy, number, workers):
    daemon, client, server = busy(workers=workers)
    daemon.signal(number)
    wait_until_refused(daemon)
    for _ in range(5):
        chat(client, server)
        time.sleep(0.05)
    assert daemon.running()
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    server.close()
    net.expect_fin(client)
    watch = Stopwatch()
    assert daemon.wait() == 0
    assert watch.seconds < 5, "it waits though the last connection is gone"
    assert daemon.record()["end"] == "client_closed"


@pytest.mark.parametrize("number", GRACEFUL)
def test_drain_timeout_ends_what_is_left(busy, number):
    daemon, client, server = busy(drain_timeout="1s")
    watch = Stopwatch()
    daemon.signal(number)
    net.expect_end(client)
    assert 0.9 <= watch.seconds < 6
    net.expect_end(server)
    assert daemon.wait() == 0
    assert daemon.record()["end"] == "drained"


def test_drain_timeout_ends_connections_that_never_pause(busy):
    daemon, client, server = busy(drain_timeout="1s")
    daemon.signal(signal.SIGTERM)
    watch = Stopwatch()
    with pytest.raises((ConnectionResetError, BrokenPipeError, AssertionError)):
        while watch.seconds < 15:
            chat(client, server)
    assert 0.7 <= watch.seconds < 6  # in the last quarter of the time
    assert daemon.wait() == 0


@pytest.mark.parametrize("first", GRACEFUL)
@pytest.mark.parametrize("second", [*GRACEFUL, signal.SIGINT])
def test_second_signal_ends_it_at_once(busy, first, second):
    daemon, client, _ = busy()
    daemon.signal(first)
    wait_until_refused(daemon)
    watch = Stopwatch()
    daemon.signal(second)
    net.expect_end(client)
    assert daemon.wait() == 0
    assert watch.seconds < 5
    assert daemon.record()["end"] == "shutdown"


@pytest.mark.parametrize("workers", [1, 2])
def test_int_ends_it_at_once(weft, backend, workers):
    server = backend()
    daemon = weft.proxy(server.address, process={"workers": workers})
    pairs = [(daemon.connect(), server.accept()) for _ in range(20)]
    net.fill(pairs[0][0], quiet=0.2)
    watch = Stopwatch()
    daemon.signal(signal.SIGINT)
    for client, _ in pairs[1:]:
        net.expect_end(client)
    assert daemon.wait() == 0
    assert watch.seconds < 5
    assert {r["end"] for r in daemon.records(20)} == {"shutdown"}


def test_stop_during_a_connect(weft, backend):
    daemon = weft.proxy(backend(kind=Silent).address, process={"drain_timeout": "500ms"})
    client = daemon.connect()
    time.sleep(0.2)
    daemon.signal(signal.SIGTERM)
    net.expect_end(client)
    assert daemon.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_stop_under_fire(weft, backend, number, workers):
    """Connections that come and go while it stops end in some way, and it ends too."""
    server = backend(kind=EchoLoop)
    process = {"workers": workers, "drain_timeout": "2s"}
    daemon = weft.proxy(server.address, process=process)
    shooters = [Background(shoot, daemon) for _ in range(8)]
    until(lambda: server.accepted > 100, "it is busy")
    watch = Stopwatch()
    daemon.signal(number)
    assert daemon.wait() == 0
    assert watch.seconds < 10
    for shooter in shooters:
        shooter.result()


def shoot(daemon):
    """Connect and exchange a few bytes, until nobody is there any more."""
    turn = 0
    while True:
        turn += 1
        try:
            with net.open_client(daemon.address) as client:
                client.sendall(b"hello")
                if turn % 4:
                    client.shutdown(socket.SHUT_WR)
                assert client.recv(5) in (b"hello", b"")
        except ConnectionRefusedError:
            return
        except OSError:
            continue


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_with_a_full_backlog(weft, backend, number):
    """Clients that wait for a place are told when there will be none."""
    server = backend()
    daemon = weft.proxy(
        server.address, listener={"max_connections": 1}, process={"drain_timeout": "500ms"}
    )
    clients = [daemon.connect() for _ in range(20)]
    server.accept()
    daemon.signal(number)
    for client in clients:
        net.expect_end(client)
    assert daemon.wait() == 0


@pytest.fixture
def backlog(weft, backend):
    """Factory: a daemon that got `number` while connections waited in its backlog."""

    def make(server, number, workers, drain_timeout="1s"):
        process = {"workers": workers, "drain_timeout": drain_timeout}
        daemon = weft.proxy(server.address, process=process)
        daemon.signal(signal.SIGSTOP)
        clients = [daemon.connect() for _ in range(20)]
        daemon.signal(number)
        daemon.signal(signal.SIGCONT)
        return daemon, clients

    return make


@pytest.mark.parametrize("number", GRACEFUL)
@pytest.mark.parametrize("workers", [1, 2])
def test_graceful_stop_serves_the_backlog(backend, backlog, number, workers):
    """As far as those clients know they have a connection already."""
    daemon, clients = backlog(backend(greeter("served")), number, workers, "20s")
    for client in clients:
        assert net.read_all(client) == b"served"
        client.close()
    assert daemon.wait() == 0


@pytest.mark.parametrize("number", [*GRACEFUL, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_backlog_outlives_no_stop(backend, backlog, number, workers):
    daemon, clients = backlog(backend(), number, workers)
    watch = Stopwatch()
    for client in clients:
        net.expect_end(client)
    assert daemon.wait() == 0
    assert watch.seconds < 5


def test_sigpipe_is_ignored(busy):
    daemon, client, server = busy()
    daemon.signal(signal.SIGPIPE)
    chat(client, server)
    assert daemon.running()
