"""Who may connect: allow and deny, by networks and `unix`."""

import contextlib
import socket

import pytest

import net
import ports
import procfs
from backends import echo
from waiting import PATIENCE, until


def expect_served(daemon, address=None, source=None):
    s = daemon.connect(address, source=source)
    s.sendall(b"hello")
    assert net.read_exactly(s, 5) == b"hello"
    net.reset(s)


def expect_denied(daemon, address=None, source="127.0.0.1"):
    """A reset, maybe before connect() has returned; returns the client's own address."""
    family, where = net.parse(address or daemon.address)
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        s.bind((source, 0))
        name = net.local(s)
        with contextlib.suppress(ConnectionResetError):
            s.connect(where)
            net.expect_reset(s)
        return name


def test_a_denied_client_gets_a_reset_and_a_record(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"deny": ["127.0.0.2", "10.0.0.0/8"]})
    source = expect_denied(daemon, source="127.0.0.2")
    record = daemon.record()
    assert record["end"] == "denied"
    assert record["source"] == source
    assert record["destination"] == daemon.address
    assert record["listener"] == "front"
    assert (record["bytes_in"], record["bytes_out"]) == (0, 0)
    assert "server" not in record
    server.expect_none(0.2)


@pytest.mark.parametrize(
    "rules, served, denied",
    [
        ({"allow": "127.0.0.0/30"}, ["127.0.0.1", "127.0.0.3"], ["127.0.0.4", "127.1.0.0"]),
        ({"deny": ["127.0.0.0/30"]}, ["127.0.0.4"], ["127.0.0.1", "127.0.0.3"]),
        (
            {"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2", "127.5.0.0/16"]},
            ["127.0.0.1", "127.6.0.1"],
            ["127.0.0.2", "127.5.0.1"],
        ),
        ({"allow": ["127.0.0.2"], "deny": ["127.0.0.0/24"]}, [], ["127.0.0.2", "127.0.0.1"]),
        ({"allow": ["::/0", "unix"]}, [], ["127.0.0.1"]),
        ({"allow": [], "deny": []}, ["127.0.0.1"], []),
    ],
)
def test_rules_by_source(weft, backend, rules, served, denied):
    daemon = weft.proxy(backend(echo).address, listener=rules)
    for source in served:
        expect_served(daemon, source=source)
    for source in denied:
        expect_denied(daemon, source=source)
    ends = [record["end"] for record in daemon.records(len(served) + len(denied))]
    assert ends.count("denied") == len(denied)


def test_every_family(weft, backend, address):
    """A socket of both families has v4 clients with mapped addresses."""
    port = ports.free_port()
    local = address("unix")
    daemon = weft.proxy(
        backend(echo).address,
        bind=[f":{port}", local],
        listener={"allow": ["127.0.0.1", "unix"], "deny": ["::1"]},
    )
    expect_served(daemon, f"127.0.0.1:{port}")
    expect_served(daemon, local)
    expect_denied(daemon, f"127.0.0.1:{port}", source="127.0.0.2")
    expect_denied(daemon, f"[::1]:{port}", source="::1")
    daemon.records(4)


def test_unix_clients_can_be_kept_out(weft, backend, address):
    daemon = weft.proxy(backend(echo).address, bind=address("unix"), listener={"deny": "unix"})
    assert net.expect_end(daemon.connect()) in {"fin", "reset"}
    assert daemon.record()["end"] == "denied"


def test_denied_clients_take_no_place(weft, backend):
    """However many are turned away, those who may come in find room."""
    daemon = weft.proxy(
        backend(echo).address,
        listener={"allow": "127.0.0.1", "max_connections": 1},
        process={"workers": 2, "max_connections": 2},
    )
    for _ in range(50):
        expect_denied(daemon, source="127.0.0.2")
    expect_served(daemon)
    records = daemon.records(51)
    assert len({record["id"] for record in records}) == 51


def test_a_million_networks(weft, backend, tmp_path):
    """They load within seconds, and clients are served as ever."""
    server = backend(echo)
    port = ports.free_port()
    with open(tmp_path / "many.yaml", "w", encoding="ascii") as f:
        f.write(f"listeners: {{many: {{bind: '127.0.0.1:{port}', pool: back, deny: [\n")
        for number in range(1000000):
            f.write(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32,\n")
        f.write("127.0.0.2]}}\n")
    config = {
        "include": [str(tmp_path / "many.yaml")],
        "listeners": {"front": {"bind": f"127.0.0.1:{ports.free_port()}", "pool": "back"}},
        "pools": {"back": {"servers": [server.address]}},
    }
    daemon = weft(config)
    until(lambda: port in procfs.listening(daemon.pid), "weft listens on the other address too")
    expect_served(daemon, f"127.0.0.1:{port}")
    expect_denied(daemon, f"127.0.0.1:{port}", source="127.0.0.2")
    expect_served(daemon, source="127.0.0.2")
