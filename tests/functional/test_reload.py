"""A reload changes what differs, and nothing else."""

import os
import signal
import socket

import pytest

import net
import procfs
from backends import echo, greeter
from reloading import changing, hang_up, reload, verdicts, write
from streams import Stream, Verifier
from waiting import until

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def chat(client, word=b"hello"):
    client.sendall(word)
    assert net.read_exactly(client, len(word)) == word


def expect_refused(address):
    """Nobody listens there, or not any more in a moment."""

    def refused():
        try:
            net.open_client(address).close()
            return False
        except (ConnectionRefusedError, FileNotFoundError):
            return True

    until(refused, f"{address} refuses")


def whole(daemon, where):
    """The inodes of the sockets that listen on a port or UNIX name."""
    return sorted(procfs.inodes_at(daemon.worker, where))


# --- what is kept -------------------------------------------------------------------------------


@WORKERS
def test_connections_live_on(weft, backend, workers):
    """Bytes go on flowing over a connection while everything else changes."""
    daemon = weft.proxy(backend(echo).address, process={"workers": workers})
    client = daemon.connect()
    stream, verifier = Stream(1), Verifier(Stream(1))
    for turn in range(12):
        with changing(daemon) as config:
            config["listeners"]["front"]["idle_timeout"] = f"{turn + 60}s"
            config["listeners"][f"other{turn}"] = {"bind": weft.new_address(), "pool": "back"}
            config["pools"]["back"]["retries"] = turn
        client.sendall(stream.read(verifier.offset, 100000))
        verifier.feed(net.read_exactly(client, 100000))
    client.close()
    record = daemon.record()
    assert record["end"] == "client_closed"
    assert record["generation"] == 1


@WORKERS
def test_kept_sockets_are_the_same_ones(weft, backend, address, workers):
    binds = [address("v4"), address("unix"), address("abstract")]
    daemon = weft.proxy(backend(echo).address, bind=binds, process={"workers": workers})
    names = [net.parse(b)[1] for b in binds]
    names = [n if isinstance(n, str) else n[1] for n in names]
    before = [whole(daemon, n) for n in names]
    assert all(before)
    for turn in range(3):
        with changing(daemon) as config:
            config["listeners"]["front"]["bind"] = binds[turn:] + binds[:turn]
            config["listeners"]["front"]["backlog"] = 100 + turn
            config["pools"]["back"]["retries"] = turn
    assert [whole(daemon, n) for n in names] == before
    for bind in binds:
        chat(daemon.connect(bind))


def test_nothing_changed(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    client = daemon.connect()
    chat(client)
    assert hang_up(daemon) == "reload accepted: generation 2: nothing changed"
    chat(client)
    chat(daemon.connect())


def test_new_connections_are_of_the_new_generation(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    old = daemon.connect()
    chat(old)
    with changing(daemon) as config:
        config["listeners"]["front"]["idle_timeout"] = "300ms"
    new = daemon.connect()
    chat(new)
    net.expect_fin(new)
    chat(old)
    old.close()
    first, second = daemon.records(2)
    assert (first["generation"], first["end"]) == (2, "idle_timeout")
    assert (second["generation"], second["end"]) == (1, "client_closed")


# --- listeners ----------------------------------------------------------------------------------


@WORKERS
@pytest.mark.parametrize("kind", ["v4", "v6", "unix", "abstract"])
def test_listeners_come_and_go(weft, backend, address, kind, workers):
    daemon = weft.proxy(backend(echo).address, process={"workers": workers})
    extra = address(kind)
    for _ in range(3):
        with changing(daemon) as config:
            config["listeners"]["extra"] = {"bind": extra, "pool": "back"}
        kept = daemon.connect(extra)
        chat(kept)
        with changing(daemon) as config:
            del config["listeners"]["extra"]
        expect_refused(extra)
        if kind == "unix":
            assert not os.path.exists(net.parse(extra)[1])
        chat(kept)
        chat(daemon.connect())
        kept.close()


@WORKERS
def test_backlog_of_a_dropped_address_is_served(weft, backend, address, workers):
    """As far as those clients know they have a connection already."""
    front, extra = address(), address()
    daemon = weft.proxy(
        backend(greeter("served")).address, bind=[front, extra], process={"workers": workers}
    )
    os.kill(daemon.worker, signal.SIGSTOP)
    clients = [daemon.connect(extra) for _ in range(20)]
    config = {**daemon.config, "listeners": {"front": {"bind": front, "pool": "back"}}}
    write(daemon, config)
    daemon.signal(signal.SIGHUP)
    os.kill(daemon.worker, signal.SIGCONT)
    for client in clients:
        assert net.read_all(client) == b"served"
        client.close()
    until(lambda: verdicts(daemon), "the verdict")
    expect_refused(extra)


def test_an_address_moves_to_another_listener(weft, backend):
    """The sockets stay, the connections that come from then on are the other listener's."""
    daemon = weft.proxy(backend(echo).address, listener={"max_connections": 1})
    port = net.parse(daemon.address)[1][1]
    before = whole(daemon, port)
    old = daemon.connect()
    chat(old)
    waiting = daemon.connect()
    waiting.sendall(b"hello")
    with changing(daemon) as config:
        config["listeners"]["other"] = config["listeners"].pop("front")
    assert net.read_exactly(waiting, 5) == b"hello"
    assert whole(daemon, port) == before
    chat(old)
    old.close()
    waiting.close()
    assert sorted(r["listener"] for r in daemon.records(2)) == ["front", "other"]


def test_one_address_for_another(weft, backend, address):
    daemon = weft.proxy(backend(echo).address)
    first = daemon.address
    with changing(daemon) as config:
        config["listeners"]["front"]["bind"] = address()
    chat(daemon.connect())
    expect_refused(first)


@WORKERS
def test_limits_change_in_place(weft, backend, workers):
    """Connections count on, and who waits comes in when there is more room."""
    server = backend(echo)
    daemon = weft.proxy(
        server.address, listener={"max_connections": 1}, process={"workers": workers}
    )
    clients = [daemon.connect() for _ in range(4)]
    until(lambda: server.accepted == 1, "the first is served")
    with changing(daemon) as config:
        config["listeners"]["front"]["max_connections"] = 3
    until(lambda: server.accepted == 3, "as many as the new limit allows")
    with changing(daemon) as config:
        config["listeners"]["front"]["max_connections"] = 0
        config["weft"]["max_connections"] = 3
    with changing(daemon) as config:
        config["weft"]["max_connections"] = 4
    until(lambda: server.accepted == 4, "the last one is served")
    for client in clients:
        chat(client)


def test_socket_options_of_a_kept_address(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    with changing(daemon) as config:
        config["listeners"]["front"].update(
            defer_accept="5s", fastopen=7, receive_buffer="48KiB", keepalive="off", nodelay=False
        )
    try:
        mine = procfs.duplicate_sockets(daemon.worker)
    except PermissionError:
        pytest.skip("may not duplicate the daemon's descriptors")
    try:
        port = net.parse(daemon.address)[1][1]
        tcp = [s for s in mine if s.listens and s.socket.family == socket.AF_INET]
        listening = next(s for s in tcp if s.socket.getsockname()[1] == port)
        assert listening.option(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0
        assert listening.option(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) == 7
        assert listening.option(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 48 * 1024
        assert listening.option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        assert listening.option(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
    finally:
        procfs.close_all(mine)


# --- pools --------------------------------------------------------------------------------------


def test_servers_of_a_pool(weft, backend):
    """Connections that come go to the new servers, those there are stay with theirs."""
    one, two = backend(greeter("one")), backend(greeter("two"))
    live = backend(echo)
    daemon = weft.proxy(live.address)
    old = daemon.connect()
    chat(old)
    for server, word in ((one, b"one"), (two, b"two"), (one, b"one")):
        with changing(daemon) as config:
            config["pools"]["back"]["servers"] = [server.address]
        for _ in range(3):
            with daemon.connect() as client:
                assert net.read_all(client) == word
    chat(old)


def test_turns_go_on_where_they_were(weft, backend):
    """A pool that has not changed does not begin again with its first server."""
    words = ["a", "b", "c"]
    daemon = weft.proxy(*(backend(greeter(word)).address for word in words))
    got = []
    for turn in range(9):
        with changing(daemon) as config:
            config["listeners"]["front"]["idle_timeout"] = f"{60 + turn}s"
        with daemon.connect() as client:
            got.append(net.read_all(client).decode())
    assert sorted(got[:3]) == words
    assert got == got[:3] * 3


# --- the rest of the file -----------------------------------------------------------------------


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def test_log_format_and_level_change(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    path = daemon.config["log"]["access"]["output"]
    live = daemon.connect()
    chat(live)
    with changing(daemon) as config:
        config["log"]["access"]["format"] = "text"
        config["log"]["error"] = {"output": "stderr", "level": "notice"}
    live.close()
    until(lambda: lines_of(path), "a record")
    assert " front back/" in lines_of(path)[0]
    said = len(daemon.log())
    with changing(daemon) as config:
        config["log"]["access"]["output"] = "off"
    with daemon.connect() as client:
        chat(client)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert len(lines_of(path)) == 1
    assert "info:" not in daemon.log()[said:]


def test_log_file_changes(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    worker, path = daemon.worker, daemon.config["log"]["access"]["output"]
    with daemon.connect() as client:
        chat(client)
    daemon.records(1)
    with changing(daemon) as config:
        config["log"]["access"]["output"] = f"{path}.2"
    with daemon.connect() as client:
        chat(client)
    daemon.records(1)
    assert daemon.worker == worker


def test_drain_timeout_changes(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, process={"drain_timeout": "1h"})
    client = daemon.connect()
    server.accept()
    with changing(daemon) as config:
        config["weft"]["drain_timeout"] = "500ms"
    daemon.signal(signal.SIGTERM)
    net.expect_end(client)
    assert daemon.wait() == 0


def test_quick_mode(weft, backend, address):
    front = address()
    daemon = weft(ready=False, arguments=("-l", front, "-b", backend(echo).address))
    until(lambda: procfs.listening(daemon.worker), "it listens")
    with net.open_client(front) as client:
        chat(client)
        assert hang_up(daemon) == "reload accepted: generation 2: nothing changed"
        chat(client)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_what_needs_a_new_process(weft, backend):
    """It takes over, nobody is refused, and the connections of the old one go on."""
    daemon = weft.proxy(backend(echo).address)
    old = daemon.connect()
    chat(old)
    first = daemon.worker
    config = {**daemon.config, "weft": {**daemon.config["weft"], "workers": 2}}
    write(daemon, config)
    assert "has taken over" in hang_up(daemon)
    assert daemon.worker != first
    for _ in range(10):
        chat(daemon.connect())
    chat(old)
    old.close()
    config["listeners"]["extra"] = {"bind": weft.new_address(), "pool": "back"}
    reload(daemon, config)
    chat(daemon.connect(config["listeners"]["extra"]["bind"]))


# --- on_change ----------------------------------------------------------------------------------


@pytest.fixture
def three(weft, backend, address):
    """A daemon with the listeners `keep`, `drain` and `close`, and a live connection of each."""
    server = backend(echo)
    config = {
        "weft": {"workers": 2, "drain_timeout": "1s"},
        "listeners": {
            rule: {"bind": address(), "pool": "back", "on_change": rule}
            for rule in ("keep", "drain", "close")
        },
        "pools": {
            "back": {"servers": [{"name": "s", "address": server.address}]},
            "spare": {"servers": [backend(echo).address]},
        },
    }
    daemon = weft(config)
    clients = {rule: daemon.connect(l["bind"]) for rule, l in config["listeners"].items()}
    for client in clients.values():
        chat(client)
    return daemon, clients


def change_listeners(config):
    for listener in config["listeners"].values():
        listener["idle_timeout"] = "1m"


def remove_listeners(config):
    config["listeners"] = {"other": {"bind": config["listeners"]["keep"]["bind"], "pool": "back"}}


def remove_server(config):
    config["pools"]["back"]["servers"] = config["pools"]["spare"]["servers"]


def move_server(config):
    config["pools"]["back"]["servers"][0]["address"] = config["pools"]["spare"]["servers"][0]


@pytest.mark.parametrize(
    "change", [change_listeners, remove_listeners, remove_server, move_server]
)
def test_on_change(three, change):
    daemon, clients = three
    with changing(daemon) as config:
        change(config)
    net.expect_fin(clients["close"])
    clients["close"].close()
    net.expect_fin(clients["drain"])
    clients["drain"].close()
    chat(clients["keep"])
    ends = {r["listener"]: r["end"] for r in daemon.records(2)}
    assert ends == {"drain": "drained", "close": "drained"}


def test_on_change_leaves_others_alone(three):
    """Pools that change in another way, servers that are added, listeners that are."""
    daemon, clients = three
    with changing(daemon) as config:
        config["pools"]["back"]["retries"] = 5
        config["pools"]["back"]["servers"][0]["weight"] = 7
        config["pools"]["back"]["servers"] += config["pools"]["spare"]["servers"]
        config["listeners"]["other"] = {"bind": config["listeners"]["keep"]["bind"], "pool": "back"}
        del config["listeners"]["keep"]
    for client in clients.values():
        net.expect_silence(client, 0.3)
        chat(client)


def test_on_change_drain_spares_the_active(three):
    daemon, clients = three
    with changing(daemon) as config:
        config["listeners"]["drain"]["on_change"] = "close"
    net.expect_fin(clients["drain"])
    new = daemon.connect(daemon.config["listeners"]["drain"]["bind"])
    chat(new)  # it began after the change
    net.expect_silence(new, 0.3)


def test_a_stop_ends_what_an_earlier_drain_has_left(three):
    daemon, clients = three
    with changing(daemon) as config:
        config["weft"]["drain_timeout"] = "1h"
        config["listeners"]["drain"]["idle_timeout"] = "1m"
    chat(clients["drain"])
    with changing(daemon) as config:
        config["weft"]["drain_timeout"] = "300ms"
    daemon.signal(signal.SIGTERM)
    for client in clients.values():
        net.expect_end(client)
    assert daemon.wait() == 0
    assert {r["end"] for r in daemon.records(3)} == {"drained"}
