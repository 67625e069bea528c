"""idle_timeout and half_close_timeout: they come, they do not come early, they spare the busy."""

import socket
import time

import pytest

import net
from waiting import Stopwatch

SHORT = 1.0  # [s] of a timeout that should come
SLACK = 4.0  # [s] a busy machine may add


@pytest.fixture
def pair(weft, backend):
    """Factory of connections through weft with these timeouts: (client, server, daemon)."""

    def make(**timeouts):
        server = backend()
        daemon = weft.proxy(server.address, listener=timeouts)
        client = daemon.connect()
        return client, server.accept(), daemon

    return make


def expect_end_in_time(s, seconds, watch=None):
    watch = watch or Stopwatch()
    net.expect_end(s)
    assert seconds - 0.05 <= watch.seconds <= seconds + SLACK


def chat(sender, receiver, seconds, pause=0.1):
    """Send a byte now and then, for that long."""
    watch = Stopwatch()
    while watch.seconds < seconds:
        sender.sendall(b".")
        assert receiver.recv(1) == b"."
        time.sleep(pause)


def test_idle_connection_is_closed(pair):
    client, server, daemon = pair(idle_timeout="1s")
    watch = Stopwatch()
    expect_end_in_time(client, SHORT, watch)
    net.expect_end(server)
    record = daemon.record()
    assert record["end"] == "idle_timeout"
    assert SHORT <= record["duration"] <= SHORT + SLACK


@pytest.mark.parametrize("talker", ["client", "server"])
def test_bytes_in_one_direction_keep_it_open(pair, talker):
    client, server, daemon = pair(idle_timeout="1500ms")
    sender, receiver = (client, server) if talker == "client" else (server, client)
    chat(sender, receiver, 3.2)
    watch = Stopwatch()
    expect_end_in_time(receiver, 1.5 - 0.2, watch)
    assert daemon.record()["end"] == "idle_timeout"


def test_idle_is_counted_from_the_last_byte(pair):
    client, server, daemon = pair(idle_timeout="1500ms")
    time.sleep(1)
    watch = Stopwatch()
    client.sendall(b".")
    assert server.recv(1) == b"."
    expect_end_in_time(client, 1.5, watch)
    assert daemon.record()["end"] == "idle_timeout"


def test_data_nobody_reads_does_not_keep_it_open(pair):
    client, _, daemon = pair(idle_timeout="1s")
    net.fill(client, quiet=0.2)
    assert daemon.record()["end"] == "idle_timeout"
    net.expect_write_failure(client)


@pytest.mark.parametrize("never", ["off", 0])
def test_no_idle_timeout(pair, never):
    client, server, _ = pair(idle_timeout=never, half_close_timeout="100ms")
    net.expect_silence(client, 1.5)
    client.sendall(b".")
    assert server.recv(1) == b"."


def test_every_connection_has_its_own_time(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"idle_timeout": "1500ms"})
    busy, busy_server = daemon.connect(), server.accept()
    idle = [daemon.connect() for _ in range(20)]
    for _ in idle:
        server.accept()
    chat(busy, busy_server, 3.0)
    for s in idle:
        net.expect_end(s)
    chat(busy, busy_server, 0.2)
    assert {r["end"] for r in daemon.records(20)} == {"idle_timeout"}


@pytest.mark.parametrize("closer", ["client", "server"])
def test_half_closed_connection_is_closed(pair, closer):
    client, server, daemon = pair(half_close_timeout="1s")
    leaver, stayer = (client, server) if closer == "client" else (server, client)
    watch = Stopwatch()
    leaver.shutdown(socket.SHUT_WR)
    net.expect_fin(stayer)
    expect_end_in_time(leaver, SHORT, watch)
    assert daemon.record()["end"] == "half_close_timeout"


@pytest.mark.parametrize("closer", ["client", "server"])
def test_bytes_keep_a_half_closed_connection_open(pair, closer):
    client, server, daemon = pair(half_close_timeout="1500ms", idle_timeout="1500ms")
    leaver, stayer = (client, server) if closer == "client" else (server, client)
    leaver.shutdown(socket.SHUT_WR)
    net.expect_fin(stayer)
    chat(stayer, leaver, 3.2)
    stayer.shutdown(socket.SHUT_WR)
    net.expect_fin(leaver)
    assert daemon.record()["end"] == f"{closer}_closed"


@pytest.mark.parametrize("closer", ["client", "server"])
def test_half_close_timeout_takes_the_place_of_idle(pair, closer):
    client, server, daemon = pair(idle_timeout="500ms", half_close_timeout="2500ms")
    leaver, stayer = (client, server) if closer == "client" else (server, client)
    watch = Stopwatch()
    leaver.shutdown(socket.SHUT_WR)
    net.expect_fin(stayer)
    expect_end_in_time(leaver, 2.5, watch)
    assert daemon.record()["end"] == "half_close_timeout"


def test_shorter_half_close_timeout_takes_effect_at_the_fin(pair):
    """The longer idle_timeout's deadline must not delay it."""
    client, server, daemon = pair(idle_timeout="60s", half_close_timeout="500ms")
    client.sendall(b".")
    assert server.recv(1) == b"."
    watch = Stopwatch()
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    expect_end_in_time(client, 0.5, watch)
    assert daemon.record()["end"] == "half_close_timeout"
