"""The access record of each connection: its keys, its values, where it goes."""

import datetime
import os
import re
import signal
import socket
import time

import pytest

import net
from backends import Refusing, Silent, echo, greeter
from waiting import Stopwatch, until

# Keys of every record of a connection that reached a server, and their types.
KEYS = {
    "time": str,
    "id": (int, str),
    "listener": str,
    "pool": str,
    "server": str,
    "source": str,
    "destination": str,
    "upstream_source": str,
    "upstream_destination": str,
    "bytes_in": int,
    "bytes_out": int,
    "duration": float,
    "connect_duration": float,
    "retries": int,
    "end": str,
    "worker": int,
    "generation": int,
    "via": str,
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def converse(daemon, question=b"question"):
    """One connection to an echo server, closed in order; returns the client's address."""
    client = daemon.connect()
    name = net.local(client)
    client.sendall(question)
    client.shutdown(socket.SHUT_WR)
    assert net.read_all(client) == question
    client.close()
    return name


def test_every_key(weft, backend):
    server = backend(echo)
    daemon = weft.proxy({"name": "first", "address": server.address})
    began = datetime.datetime.now(datetime.timezone.utc)
    source = converse(daemon, b"twelve bytes")
    record = daemon.record()
    assert set(record) == set(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(record[key], kind), f"{key}: {record[key]!r}"
    assert RFC3339.fullmatch(record["time"])
    ended = datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00"))
    assert abs((ended - began).total_seconds()) < 30
    assert record["listener"] == "front"
    assert record["pool"] == "back"
    assert record["server"] == "first"
    assert record["source"] == source
    assert record["destination"] == daemon.address
    assert record["upstream_source"].startswith("127.0.0.1:")
    assert record["upstream_destination"] == server.address
    assert (record["bytes_in"], record["bytes_out"]) == (12, 12)
    assert 0 <= record["connect_duration"] <= record["duration"] < 30
    assert record["retries"] == 0
    assert record["end"] == "client_closed"
    assert record["generation"] == 1
    assert record["via"] == "copy"


def test_upstream_source_is_what_the_server_sees(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    seen = net.peer(server.accept())
    net.reset(client)
    assert daemon.record()["upstream_source"] == seen


def test_ids_are_unique(weft, backend):
    daemon = weft.proxy(backend(echo).address, process={"workers": 2})
    for _ in range(100):
        converse(daemon)
    assert len({r["id"] for r in daemon.records(100)}) == 100


def test_duration(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    watch = Stopwatch()
    client = daemon.connect()
    server.accept()
    time.sleep(1.2)
    net.reset(client)
    record = daemon.record()
    assert 1.15 <= record["duration"] <= watch.seconds + 0.05


def test_record_is_written_at_the_end(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    peer = server.accept()
    client.sendall(b"x")
    assert peer.recv(1) == b"x"
    time.sleep(0.3)
    assert daemon.records_now() == []
    net.reset(client)
    daemon.record()


def test_key_without_a_value_is_left_out(weft, backend):
    daemon = weft.proxy(backend(kind=Refusing).address, pool={"retries": 0})
    daemon.expect_turned_away()
    record = daemon.record()
    assert record["end"] == "connect_failed"
    for key in ("sni", "queue_duration", "upstream_source"):
        assert key not in record
    assert None not in record.values()
    assert "" not in record.values()


def test_names_are_escaped(weft, backend, address):
    name = 'quo"te \\ and Umlaut ü'
    config = {
        "listeners": {"front": {"bind": address("v4"), "pool": "back"}},
        "pools": {"back": {"servers": [{"name": name, "address": backend(echo).address}]}},
    }
    daemon = weft(config)
    converse(daemon)
    assert daemon.record()["server"] == name


# --- how it ended -------------------------------------------------------------------------------


def case_client_closed(client, server, daemon):
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    server.close()


def case_server_closed(client, server, daemon):
    server.shutdown(socket.SHUT_WR)
    net.expect_fin(client)
    client.close()


def case_client_reset(client, server, daemon):
    net.reset(client)


def case_server_reset(client, server, daemon):
    net.reset(server)


def case_idle_timeout(client, server, daemon):
    net.expect_end(client)


def case_half_close_timeout(client, server, daemon):
    client.shutdown(socket.SHUT_WR)


def case_shutdown(client, server, daemon):
    daemon.signal(signal.SIGINT)


def case_drained(client, server, daemon):
    daemon.signal(signal.SIGTERM)


ENDS = {name[len("case_") :]: case for name, case in globals().items() if name.startswith("case_")}


@pytest.mark.parametrize("end", ENDS)
def test_end(weft, backend, end):
    server = backend()
    timeouts = {"idle_timeout": "400ms", "half_close_timeout": "400ms"}
    listener = {k: v for k, v in timeouts.items() if k == end}
    daemon = weft.proxy(server.address, listener=listener, process={"drain_timeout": "400ms"})
    client, peer = daemon.connect(), server.accept()
    client.sendall(b"x")
    assert peer.recv(1) == b"x"  # weft has seen the connect succeed
    ENDS[end](client, peer, daemon)
    assert daemon.record()["end"] == end


def test_end_connect_failed(weft, backend):
    daemon = weft.proxy(backend(kind=Refusing).address)
    daemon.expect_turned_away()
    assert daemon.record()["end"] == "connect_failed"


def test_end_connect_timeout(weft, backend):
    once = {"connect_timeout": "300ms", "retries": 0}
    daemon = weft.proxy(backend(kind=Silent).address, pool=once)
    daemon.expect_turned_away()
    record = daemon.record()
    assert record["end"] == "connect_timeout"
    assert record["duration"] >= 0.29


# --- where it goes ------------------------------------------------------------------------------


def test_stderr_by_default(weft, backend):
    daemon = weft.proxy(backend(echo).address, log={"access": {"format": "json"}})
    converse(daemon)
    until(lambda: '"end":"client_closed"' in daemon.log().replace(" ", ""), "the record comes")
    assert daemon.output() == ""


def test_stdout(weft, backend):
    daemon = weft.proxy(backend(echo).address, log={"access": {"output": "stdout"}})
    converse(daemon)
    until(lambda: "client_closed" in daemon.output(), "the record comes")
    assert "client_closed" not in daemon.log()


@pytest.mark.parametrize("off", ["off", False])
def test_off(weft, backend, off):
    daemon = weft.proxy(backend(echo).address, log={"access": {"output": off}})
    for _ in range(5):
        converse(daemon)
    daemon.stop()
    assert "client_closed" not in daemon.log() + daemon.output()


def test_file_is_appended_to(weft, backend, tmp_path):
    path = tmp_path / "records"
    path.write_text("what was there\n", encoding="utf-8")
    for _ in range(2):
        daemon = weft.proxy(backend(echo).address, log={"access": {"output": str(path)}})
        converse(daemon)
        daemon.stop()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "what was there"
    assert len(lines) == 3


def test_file_that_cannot_be_opened(weft, backend, tmp_path):
    path = f"{tmp_path}/missing/records"
    daemon = weft.proxy(backend(echo).address, log={"access": {"output": path}}, ready=False)
    daemon.expect_refused(path)


def test_records_are_complete_when_it_has_ended(weft, backend):
    daemon = weft.proxy(backend(greeter("x")).address, process={"workers": 2})
    for _ in range(500):
        client = daemon.connect()
        net.read_all(client)
        client.close()
    daemon.stop()
    assert len(daemon.records_now()) == 500


def test_text_format(weft, backend, tmp_path):
    path = tmp_path / "records"
    log = {"access": {"output": str(path), "format": "text"}}
    server = backend(echo)
    daemon = weft.proxy({"name": "first", "address": server.address}, log=log)
    source = converse(daemon, b"x" * 4321)
    line = until(path.read_text, "the record comes")
    until(lambda: path.read_text().endswith("\n"), "the line is complete")
    line = path.read_text()
    assert line.count("\n") == 1
    assert not line.startswith("{")
    for word in (source, "front", "back", "first", "4321", "client_closed"):
        assert word in line


def test_error_log_goes_to_its_own_file(weft, backend, tmp_path):
    path = tmp_path / "errors"
    log = {"error": {"output": str(path), "level": "debug"}}
    daemon = weft.proxy(backend(echo).address, log=log)
    converse(daemon)
    daemon.stop()
    assert path.read_text(encoding="utf-8")
    assert daemon.log() == ""


def test_level(weft, backend):
    """A start without trouble says nothing at level error."""
    daemon = weft.proxy(backend(echo).address, log={"error": {"level": "error"}})
    converse(daemon)
    daemon.stop()
    assert daemon.log() == ""


# --- a log that blocks --------------------------------------------------------------------------


@pytest.fixture
def blocked():
    """A pipe that is full and that nobody reads: (read end, write end), as files."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    with open(reader, "rb", buffering=0) as r, open(writer, "wb", buffering=0) as w:
        yield r, w


def test_blocked_stderr_delays_nobody(weft, backend, blocked):
    reader, writer = blocked
    log = {"access": {"output": "stderr"}, "error": {"level": "debug"}}
    daemon = weft.proxy(backend(greeter("hi")).address, log=log, stderr=writer)
    watch = Stopwatch()
    for _ in range(300):
        client = daemon.connect()
        assert net.read_all(client) == b"hi"
        client.close()
    assert watch.seconds < 15
    writer.close()
    drain(reader, daemon)


def drain(reader, daemon):
    """Read the pipe to its end while the daemon stops."""
    daemon.hang_up()
    daemon.signal(signal.SIGTERM)
    seen = b""
    while part := reader.read(65536):
        seen += part
    assert b"server_closed" in seen or b"client_closed" in seen
    assert daemon.wait() == 0


def test_it_stops_though_stderr_is_blocked(weft, backend, blocked):
    log = {"access": {"output": "stderr"}}
    daemon = weft.proxy(backend(greeter("hi")).address, log=log, stderr=blocked[1])
    for _ in range(20):
        client = daemon.connect()
        assert net.read_all(client) == b"hi"
        client.close()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(30) == 0


def test_reader_of_stderr_that_goes_away(weft, backend, blocked):
    """EPIPE, and no SIGPIPE: traffic goes on."""
    reader, writer = blocked
    daemon = weft.proxy(
        backend(greeter("hi")).address, log={"access": {"output": "stderr"}}, stderr=writer
    )
    reader.close()
    for _ in range(20):
        client = daemon.connect()
        assert net.read_all(client) == b"hi"
        client.close()
    assert daemon.running()
