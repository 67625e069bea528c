"""Every kind of address on both sides, and who may have one."""

import os
import socket
import stat

import pytest

import net
import ports
from backends import Background, echo, greeter, receive_stream, send_stream
from scale import MIB
from streams import Stream
from waiting import until

KINDS = ["v4", "v6", "unix", "abstract"]


def skip_without_ipv6(*kinds):
    if "v6" in kinds and not ports.ipv6_available():
        pytest.skip("no IPv6 here")


def read_word(client):
    """What the server says; then close, which ends the connection."""
    word = net.read_all(client).decode()
    client.close()
    return word


def exchange(client):
    """Echo a megabyte and close in order."""
    received = Background(receive_stream, client, Stream(4))
    send_stream(client, Stream(4), 1 * MIB)
    client.shutdown(socket.SHUT_WR)
    assert received.result() == 1 * MIB


@pytest.mark.parametrize("back", KINDS)
@pytest.mark.parametrize("front", KINDS)
def test_any_mix(weft, backend, address, front, back):
    skip_without_ipv6(front, back)
    server = backend(echo, address=address(back))
    daemon = weft.proxy(server.address, bind=address(front))
    client = daemon.connect()
    source = net.local(client)
    exchange(client)
    record = daemon.record()
    assert record["server"] == server.address
    assert record["upstream_destination"] == server.address
    assert record["destination"] == daemon.address
    if front in ("v4", "v6"):
        assert record["source"] == source


def test_port_alone_means_both_families(weft, backend):
    skip_without_ipv6("v6")
    port = ports.free_port()
    daemon = weft.proxy(backend(echo).address, bind=f":{port}")
    for host in ("127.0.0.1", "[::1]", "127.8.9.10"):
        exchange(daemon.connect(f"{host}:{port}"))
    sources = [r["source"] for r in daemon.records(3)]
    assert sources[0].startswith("127.0.0.1:")
    assert sources[1].startswith("[::1]:")


def test_v6_any_and_v4_any_side_by_side(weft, backend):
    skip_without_ipv6("v6")
    port = ports.free_port()
    daemon = weft.proxy(backend(echo).address, bind=[f"0.0.0.0:{port}", f"[::]:{port}"])
    exchange(daemon.connect(f"127.0.0.1:{port}"))
    exchange(daemon.connect(f"[::1]:{port}"))


def test_server_by_name(weft, backend):
    # Which family comes first is the system's to say; Debian's /etc/hosts has both.
    first = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM,
                               flags=socket.AI_ADDRCONFIG)[0]  # fmt: skip
    loopback = "[::1]:0" if first[0] == socket.AF_INET6 else "127.0.0.1:0"
    server = backend(greeter("by name"), address=loopback)
    port = net.parse(server.address)[1][1]
    daemon = weft.proxy(f"localhost:{port}")
    assert read_word(daemon.connect()) == "by name"
    assert daemon.record()["server"] == f"localhost:{port}"


def test_several_addresses_of_one_listener(weft, backend, address):
    binds = [address("v4"), address("v4"), address("unix"), address("abstract")]
    daemon = weft.proxy(backend(echo).address, bind=binds, process={"workers": 2})
    for bind in binds:
        exchange(daemon.connect(bind))
    assert [r["destination"] for r in daemon.records(4)] == binds


def test_several_listeners_and_pools(weft, backend, address):
    config = {
        "listeners": {
            name: {"bind": address("v4"), "pool": f"{name}-pool"} for name in ("one", "two")
        },
        "pools": {
            f"{name}-pool": {"servers": [backend(greeter(name)).address]} for name in ("one", "two")
        },
    }
    daemon = weft(config)
    for name, bind in zip(("one", "two"), daemon.binds()):
        assert read_word(daemon.connect(bind)) == name
    assert {(r["listener"], r["pool"]) for r in daemon.records(2)} == {
        ("one", "one-pool"),
        ("two", "two-pool"),
    }


# --- UNIX paths ---------------------------------------------------------------------------------


def path_of(unix_address):
    return unix_address[len("unix:") :]


def test_stale_unix_socket_is_replaced(weft, backend, address):
    where = address("unix")
    net.open_listener(where).close()
    assert stat.S_ISSOCK(os.stat(path_of(where)).st_mode)
    daemon = weft.proxy(backend(echo).address, bind=where)
    exchange(daemon.connect())


def test_unix_socket_is_removed_at_the_end(weft, backend, address):
    where = address("unix")
    daemon = weft.proxy(backend(echo).address, bind=where, process={"workers": 2})
    exchange(daemon.connect())
    daemon.stop()
    assert not os.path.exists(path_of(where))


def test_unix_socket_of_another_process_is_left_alone(weft, backend, address):
    where = address("unix")
    theirs = backend(greeter("theirs"), address=where)
    second = weft.proxy(theirs.address, bind=where, ready=False)
    second.expect_refused(path_of(where))
    assert read_word(net.open_client(where)) == "theirs"


def test_what_is_no_socket_is_left_alone(weft, backend, address):
    where = address("unix")
    with open(path_of(where), "w", encoding="utf-8") as f:
        f.write("precious")
    daemon = weft.proxy(backend(echo).address, bind=where, ready=False)
    daemon.expect_refused(path_of(where))
    with open(path_of(where), encoding="utf-8") as f:
        assert f.read() == "precious"


def test_unix_directory_that_is_not_there(weft, backend, tmp_path):
    where = f"unix:{tmp_path}/missing/socket"
    daemon = weft.proxy(backend(echo).address, bind=where, ready=False)
    daemon.expect_refused(path_of(where))


# --- whose port ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_second_daemon_on_an_address_is_refused(weft, backend, address, kind):
    skip_without_ipv6(kind)
    where = address(kind)
    server = backend(echo)
    first = weft.proxy(server.address, bind=where, process={"workers": 2})
    second = weft.proxy(server.address, bind=where, process={"workers": 2}, ready=False)
    second.expect_refused(where.removeprefix("unix:"))
    for _ in range(10):
        exchange(first.connect())


def test_port_of_another_program_is_refused(weft, backend):
    other = backend(echo)
    daemon = weft.proxy(other.address, bind=other.address, ready=False)
    daemon.expect_refused(other.address)


def test_address_that_is_not_ours_is_refused(weft, backend):
    bind = f"192.0.2.1:{ports.free_port()}"
    daemon = weft.proxy(backend(echo).address, bind=bind, ready=False)
    daemon.expect_refused(bind)


def test_one_refused_address_leaves_nothing_behind(weft, backend, address):
    """A start that fails half-way gives back what it had."""
    other, path = backend(echo), address("unix")
    daemon = weft.proxy(other.address, bind=[path, other.address], ready=False)
    daemon.expect_refused(other.address)
    assert not os.path.exists(path_of(path))


def test_start_after_start(weft, backend, address):
    """Connections in TIME_WAIT do not keep the port from the next daemon."""
    where, server = address("v4"), backend(greeter("hi"))
    for _ in range(3):
        daemon = weft.proxy(server.address, bind=where)
        for _ in range(10):
            assert read_word(daemon.connect()) == "hi"
        daemon.stop()


def test_listening_sockets_are_all_closed_at_the_end(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    assert daemon.addresses_listened_on()
    daemon.stop()
    until(lambda: _refused(daemon.address), "the port is closed")


def _refused(address):
    try:
        net.open_client(address).close()
        return False
    except ConnectionRefusedError:
        return True
