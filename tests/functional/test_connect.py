"""Servers that refuse, reset, say nothing: the next one is tried, and nobody hangs."""

import signal
import socket

import pytest

import net
from backends import Background, Refusing, Silent, echo, greeter, resetting, send_stream
from scale import KIB, MIB
from streams import Stream
from waiting import Stopwatch, until


def ask(daemon):
    """Connect, read to the end; what was said, or how it ended when nothing was."""
    try:
        client = daemon.connect()
        word = net.read_all(client).decode()
        client.close()
        return word
    except ConnectionResetError:
        return ""


# --- nobody there -------------------------------------------------------------------------------


def test_refused_client_is_told_at_once(weft, backend):
    daemon = weft.proxy(backend(kind=Refusing).address)
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert watch.seconds < 3
    record = daemon.record()
    assert record["end"] == "connect_failed"
    assert record["pool"] == "back"
    assert (record["bytes_in"], record["bytes_out"]) == (0, 0)


def test_refused_client_that_has_sent_is_told_too(weft, backend):
    """Unread data must not turn the end into a hang."""
    daemon = weft.proxy(backend(kind=Refusing).address)
    try:
        client = daemon.connect()
        client.sendall(bytes(1 * MIB))
        net.expect_end(client)
    except (ConnectionResetError, BrokenPipeError):
        pass
    assert daemon.record()["end"] == "connect_failed"


def test_refused_many_times(weft, backend):
    daemon = weft.proxy(backend(kind=Refusing).address, process={"workers": 2})
    for _ in range(100):
        daemon.expect_turned_away()
    assert {r["end"] for r in daemon.records(100)} == {"connect_failed"}


@pytest.mark.parametrize("kind", ["unix", "abstract"])
def test_unix_server_that_is_not_there(weft, address, kind):
    daemon = weft.proxy(address(kind))
    daemon.expect_turned_away()
    assert daemon.record()["end"] == "connect_failed"


def test_server_that_never_answers(weft, backend):
    once = {"connect_timeout": "700ms", "retries": 0}
    daemon = weft.proxy(backend(kind=Silent).address, pool=once)
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert 0.65 < watch.seconds < 5
    assert daemon.record()["end"] == "connect_timeout"


def test_unix_server_whose_queue_is_full(weft, backend, address):
    silent = backend(kind=Silent, address=address("unix"))
    daemon = weft.proxy(silent.address, pool={"connect_timeout": "700ms", "retries": 0})
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert watch.seconds < 5
    assert daemon.record()["end"] in ("connect_failed", "connect_timeout")


def test_server_that_resets_at_once(weft, backend):
    daemon = weft.proxy(backend(resetting).address)
    for _ in range(30):
        try:
            net.expect_reset(client := daemon.connect())
            client.close()
        except ConnectionResetError:
            pass  # before connect() returned
    # Where the RST comes before the connect was seen to succeed, it is the connect that failed.
    assert {r["end"] for r in daemon.records(30)} <= {"server_reset", "connect_failed"}


def test_client_that_leaves_during_the_connect(weft, backend):
    daemon = weft.proxy(backend(kind=Silent).address, pool={"connect_timeout": "1s", "retries": 0})
    net.reset(daemon.connect())
    record = daemon.record()
    assert record["end"] in ("client_reset", "client_closed", "connect_timeout")


def test_data_sent_during_the_connect_is_not_lost(weft, backend):
    """The first server takes its time to fail; what the client sent meanwhile reaches the next."""
    good = backend(echo)
    silent = backend(kind=Silent)
    daemon = weft.proxy(silent.address, good.address, pool={"connect_timeout": "500ms"})
    client = daemon.connect()
    client.sendall(b"early bird")
    client.shutdown(socket.SHUT_WR)
    assert net.read_all(client) == b"early bird"


@pytest.mark.parametrize(
    "size, fin", [(1, False), (1, True), (10 * KIB, False), (10 * KIB, True), (1 * MIB, False)]
)
def test_data_that_was_there_before_the_connect_is_not_lost(weft, backend, size, fin):
    """What is read ahead goes to the server that answers, not to the one that did not."""
    good = backend()
    daemon = weft.proxy(backend(kind=Refusing).address, good.address)
    daemon.signal(signal.SIGSTOP)
    clients = [daemon.connect() for _ in range(4)]
    senders = [Background(send_stream, s, Stream(n), size) for n, s in enumerate(clients)]
    if fin:
        for s, sender in zip(clients, senders):
            sender.result()
            s.shutdown(socket.SHUT_WR)
    daemon.signal(signal.SIGCONT)
    peers = [good.accept() for _ in clients]
    for sender in senders:
        sender.result()
    for s in clients:
        s.shutdown(socket.SHUT_WR)  # a second time does no harm
    seen = [net.read_all(peer) for peer in peers]
    wanted = [Stream(n).read(0, size) for n in range(len(clients))]
    assert sorted(seen) == sorted(wanted)


# --- the next server ----------------------------------------------------------------------------


def test_next_server_is_tried(weft, backend):
    good = backend(greeter("good"))
    daemon = weft.proxy(backend(kind=Refusing).address, good.address)
    assert [ask(daemon) for _ in range(10)] == ["good"] * 10
    records = daemon.records(10)
    assert {r["server"] for r in records} == {good.address}
    assert max(r.get("retries", 0) for r in records) == 1


def test_next_server_is_tried_after_a_timeout(weft, backend):
    good = backend(greeter("good"))
    silent = backend(kind=Silent)
    daemon = weft.proxy(silent.address, good.address, pool={"connect_timeout": "300ms"})
    assert [ask(daemon) for _ in range(4)] == ["good"] * 4


def test_other_connections_go_on_while_one_waits(weft, backend):
    good = backend(greeter("good"))
    config = {
        "listeners": {
            "stuck": {"bind": weft.new_address(), "pool": "silent"},
            "front": {"bind": weft.new_address(), "pool": "back"},
        },
        "pools": {
            "silent": {"servers": [backend(kind=Silent).address], "connect_timeout": "3s"},
            "back": {"servers": [good.address]},
        },
    }
    daemon = weft(config)
    stuck = daemon.connect(daemon.binds()[0])
    for _ in range(10):
        client = daemon.connect(daemon.binds()[1])
        assert net.read_all(client) == b"good"
    net.expect_silence(stuck, 0)


def test_no_more_than_retries_are_tried(weft, backend):
    dead = [backend(kind=Refusing).address for _ in range(4)]
    good = backend(greeter("good"))
    daemon = weft.proxy(*dead, good.address, pool={"retries": 2})
    answers = [ask(daemon) for _ in range(10)]
    # Of five places to begin, three reach the good one within two retries; the others give up.
    assert "good" in answers and "" in answers
    for record in daemon.records(10):
        assert record.get("retries", 0) <= 2
        if record["end"] == "connect_failed":
            assert record["retries"] == 2


def test_retries_off(weft, backend):
    good = backend(greeter("good"))
    daemon = weft.proxy(backend(kind=Refusing).address, good.address, pool={"retries": 0})
    answers = [ask(daemon) for _ in range(10)]
    assert answers.count("good") == 5
    failed = [r for r in daemon.records(10) if r["end"] == "connect_failed"]
    assert len(failed) == 5
    assert all(r.get("retries", 0) == 0 for r in failed)


def test_no_server_is_tried_twice(weft, backend):
    daemon = weft.proxy(
        backend(kind=Refusing).address, backend(kind=Refusing).address, pool={"retries": 10}
    )
    watch = Stopwatch()
    daemon.expect_turned_away()
    assert watch.seconds < 3
    assert daemon.record()["retries"] == 1


# --- backups ------------------------------------------------------------------------------------


def test_backup_rests_while_a_primary_works(weft, backend):
    good, spare = backend(greeter("good")), backend(greeter("spare"))
    daemon = weft.proxy(good.address, {"address": spare.address, "backup": True})
    assert {ask(daemon) for _ in range(10)} == {"good"}
    assert spare.accepted == 0


def test_backup_is_used_when_the_primaries_fail(weft, backend):
    spare = backend(greeter("spare"))
    daemon = weft.proxy(
        backend(kind=Refusing).address,
        backend(kind=Refusing).address,
        {"name": "spare", "address": spare.address, "backup": True},
    )
    assert {ask(daemon) for _ in range(10)} == {"spare"}
    assert {r["server"] for r in daemon.records(10)} == {"spare"}


def test_server_that_comes_back_is_used_again(weft, backend, address):
    where = address("v4")
    daemon = weft.proxy(where)
    assert ask(daemon) == ""
    backend(greeter("back"), address=where)
    assert ask(daemon) == "back"


def test_connect_duration_is_recorded(weft, backend):
    server = backend(greeter("hi"))
    daemon = weft.proxy(server.address)
    ask(daemon)
    record = daemon.record()
    assert 0 <= record["connect_duration"] <= record["duration"] < 10


def test_server_that_dies_does_not_take_the_rest_along(weft, backend):
    """A hundred connections cut at once."""
    server = backend()
    daemon = weft.proxy(server.address)
    pairs = [(daemon.connect(), server.accept()) for _ in range(100)]
    for client, peer in pairs:
        client.sendall(b"x")
        assert peer.recv(1) == b"x"
    cutters = [Background(net.reset, peer) for _, peer in pairs]
    for client, _ in pairs:
        net.expect_reset(client)
    for cutter in cutters:
        cutter.result()
    assert {r["end"] for r in daemon.records(100)} == {"server_reset"}
    until(lambda: daemon.open_connections() <= 0, "its descriptors are gone")
