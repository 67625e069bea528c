"""PROXY protocol, versions 1 and 2: taken from clients, sent to servers, passed on in chains."""

import os
import socket
import time

import pytest

import net
import ports
import programs
import proxy_headers as headers
from backends import Refusing, echo, greeter

CLIENT = "192.0.2.7:56324"
AIM = "198.51.100.9:443"
CLIENT6 = "[2001:db8::7]:56324"
AIM6 = "[2001:db8::9]:443"
HEADERS = {
    "v1": (headers.v1(CLIENT, AIM), CLIENT, AIM),
    "v1 of v6": (headers.v1(CLIENT6, AIM6), CLIENT6, AIM6),
    "v2": (headers.v2(CLIENT, AIM), CLIENT, AIM),
    "v2 of v6": (headers.v2(CLIENT6, AIM6), CLIENT6, AIM6),
    "v2 with TLVs": (headers.v2(CLIENT, AIM, headers.tlv(1, b"h2")), CLIENT, AIM),
    "v2 with a checksum": (headers.with_crc(headers.v2(CLIENT, AIM)), CLIENT, AIM),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None),
    "v2 LOCAL": (headers.v2(command=0), None, None),
    "v2 UNSPEC": (headers.v2(), None, None),
}
MALFORMED = {
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "a v1 without a port": b"PROXY TCP4 192.0.2.7 192.0.2.8 1\r\n",
    "a v1 too long": b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    "a v2 of a future version": headers.SIGNATURE + b"\x31\x11\x00\x00",
    "a v2 too short for its addresses": headers.SIGNATURE + b"\x21\x11\x00\x04abcd",
    "a v2 too long": headers.SIGNATURE + b"\x21\x00\xff\xff",
    "a wrong checksum": headers.with_crc(headers.v2(CLIENT, AIM))[:-1] + b"\x00",
    "a TLV cut off": headers.v2(CLIENT, AIM, b"\x01\x00\x05h2"),
}


def accepting(weft, server, **listener):
    return weft.proxy(server.address, listener={"accept_proxy": True, **listener})


# --- taken --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("pieces", ["at once", "alone", "byte by byte"])
def test_header_is_taken(weft, backend, name, pieces):
    header, source, destination = HEADERS[name]
    server = backend(echo)
    daemon = accepting(weft, server)
    client = daemon.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    source = source or net.local(client)
    if pieces == "byte by byte":
        for byte in header:
            client.sendall(bytes([byte]))
            time.sleep(0.001)
    elif pieces == "alone":
        client.sendall(header)
        time.sleep(0.05)
    client.sendall(b"hello" if pieces != "at once" else header + b"hello")
    assert net.read_exactly(client, 5) == b"hello"
    client.close()
    record = daemon.record()
    assert record["source"] == source
    assert record["destination"] == (destination or daemon.address)
    assert (record["bytes_in"], record["bytes_out"]) == (5, 5)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_header_is_never_forwarded(weft, backend, name):
    server = backend()
    daemon = accepting(weft, server)
    client = daemon.connect()
    client.sendall(MALFORMED[name])
    net.expect_reset(client)
    record = daemon.record()
    assert record["end"] == "proxy_header_invalid"
    assert "server" not in record
    server.expect_none(0.2)


def test_server_that_speaks_first(weft, backend):
    daemon = accepting(weft, backend(greeter("220 ready")))
    client = daemon.connect()
    client.sendall(headers.v1(CLIENT, AIM))
    assert net.read_all(client) == b"220 ready"


@pytest.mark.parametrize("start", [b"", b"PROXY TC", headers.SIGNATURE[:5]])
def test_slow_header(weft, backend, start):
    server = backend()
    daemon = accepting(weft, server, sni_timeout="300ms")
    client = daemon.connect()
    client.sendall(start)
    net.expect_reset(client)
    record = daemon.record()
    assert record["end"] == "proxy_header_invalid"
    assert 0.29 <= record["duration"] < 10
    server.expect_none(0.1)


def test_client_that_leaves_before_its_header(weft, backend):
    server = backend()
    daemon = accepting(weft, server)
    for sent in (b"", b"PROXY TCP4 "):
        client = daemon.connect()
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        net.expect_end(client)
        client.close()
    client = daemon.connect()
    client.sendall(b"PROXY")
    net.reset(client)
    ends = sorted(record["end"] for record in daemon.records(3))
    assert ends == ["client_closed", "client_reset", "proxy_header_invalid"]
    server.expect_none(0.1)


def test_deny_is_asked_about_the_client_too(weft, backend):
    daemon = accepting(weft, backend(echo), allow=["127.0.0.1"], deny=["192.0.2.0/24"])
    client = daemon.connect()
    client.sendall(headers.v2(CLIENT, AIM))
    net.expect_reset(client)
    record = daemon.record()
    assert (record["end"], record["source"]) == ("denied", CLIENT)
    client = daemon.connect()
    client.sendall(headers.v2("203.0.113.1:1", AIM) + b"hello")
    assert net.read_exactly(client, 5) == b"hello"


def test_limits_count_the_clients(weft, backend):
    daemon = accepting(weft, backend(echo), max_connections_per_source=1)
    held = []
    for source in ("192.0.2.1:1", "192.0.2.2:1"):
        held.append(daemon.connect())
        held[-1].sendall(headers.v2(source, AIM) + b"hello")
        assert net.read_exactly(held[-1], 5) == b"hello"
    client = daemon.connect()
    client.sendall(headers.v2("192.0.2.1:2", AIM) + b"hello")
    net.expect_reset(client)
    assert daemon.record()["end"] == "limit"


# --- sent ---------------------------------------------------------------------------------------


def read_header(s, version):
    """Source and destination."""
    if version == "v1":
        words = headers.read_line(s)
        assert words[:2] == ["PROXY", "TCP4"]
        return f"{words[2]}:{words[4]}", f"{words[3]}:{words[5]}"
    command, family, source, destination, tlvs = headers.read_v2(s)
    assert (command, family, tlvs) == (0x21, 0x11, [])
    return source, destination


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("early", [b"", b"first words"])
def test_header_is_sent(weft, backend, version, early):
    server = backend()
    daemon = weft.proxy(server.address, pool={"send_proxy": version})
    client = daemon.connect()
    client.sendall(early)
    peer = server.accept()
    assert read_header(peer, version) == (net.local(client), daemon.address)
    assert net.read_exactly(peer, len(early)) == early
    client.sendall(b"more")
    assert net.read_exactly(peer, 4) == b"more"
    peer.sendall(b"answer")
    assert net.read_exactly(client, 6) == b"answer"
    net.reset(client)
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (len(early) + 4, 6)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_server_that_is_tried_gets_a_header(weft, backend, version):
    dead, server = backend(kind=Refusing), backend()
    daemon = weft.proxy(dead.address, server.address, pool={"send_proxy": version})
    for _ in range(4):
        client = daemon.connect()
        client.sendall(b"hello")
        peer = server.accept()
        assert read_header(peer, version) == (net.local(client), daemon.address)
        assert net.read_exactly(peer, 5) == b"hello"


def test_a_unix_client(weft, backend, address):
    server = backend()
    where = address("unix")
    daemon = weft.proxy(server.address, bind=where, pool={"send_proxy": "v1"})
    daemon.connect()
    assert headers.read_line(server.accept()) == ["PROXY", "UNKNOWN"]
    where = address("unix")
    daemon = weft.proxy(server.address, bind=where, pool={"send_proxy": "v2"})
    daemon.connect()
    peer = server.accept()
    fixed = net.read_exactly(peer, 16)
    assert fixed[12:] == b"\x21\x31\x00\xd8"
    paths = net.read_exactly(peer, 216)
    assert paths[108:].rstrip(b"\0").decode() == where[len("unix:") :]


def test_to_a_unix_server(weft, backend, address):
    server = backend(address=address("unix"))
    daemon = weft.proxy(server.address, pool={"send_proxy": "v2"})
    client = daemon.connect()
    assert read_header(server.accept(), "v2")[0] == net.local(client)


# --- passed on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", HEADERS)
def test_what_came_with_a_header_goes_on(weft, backend, version, name):
    header, source, destination = HEADERS[name]
    server = backend()
    daemon = weft.proxy(
        server.address, listener={"accept_proxy": True}, pool={"send_proxy": version}
    )
    client = daemon.connect()
    client.sendall(header + b"hello")
    peer = server.accept()
    wanted = (source or net.local(client), destination or daemon.address)
    if version == "v1":
        words = headers.read_line(peer)
        assert words == headers.v1(*wanted).decode().split()
    else:
        command, _, *ends, _ = headers.read_v2(peer)
        assert (command, *ends) == (0x21, *wanted)
    assert net.read_exactly(peer, 5) == b"hello"


def test_tlvs_go_on_with_a_new_checksum(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address, listener={"accept_proxy": True}, pool={"send_proxy": "v2"})
    tlvs = [(1, b"h2"), (2, b"example.org"), (5, b"unique"), (0xEE, bytes(range(200)))]
    packed = b"".join(headers.tlv(*each) for each in tlvs)
    for header in (
        headers.with_crc(headers.v2(CLIENT, AIM, packed)),
        headers.with_crc(headers.v2(tlvs=packed)),  # goes on with addresses: the checksum changes
    ):
        client = daemon.connect()
        client.sendall(header)
        *_, got = headers.read_v2(server.accept())
        assert got[:-1] == tlvs
        assert got[-1][0] == 3


@pytest.mark.parametrize("versions", [("v1", "v2"), ("v2", "v1"), ("v2", "v2")])
def test_chain(weft, backend, versions):
    """Three wefts: the last one's record, and its server, know the client."""
    server = backend()
    last = weft.proxy(
        server.address, listener={"accept_proxy": True}, pool={"send_proxy": versions[1]}
    )
    middle = weft.proxy(
        last.address, listener={"accept_proxy": True}, pool={"send_proxy": versions[1]}
    )
    first = weft.proxy(middle.address, pool={"send_proxy": versions[0]})
    client = first.connect()
    client.sendall(b"hello")
    peer = server.accept()
    assert read_header(peer, versions[1]) == (net.local(client), first.address)
    assert net.read_exactly(peer, 5) == b"hello"
    name = net.local(client)
    net.reset(client)
    for daemon in (first, middle, last):
        record = daemon.record()
        assert (record["source"], record["destination"]) == (name, first.address)


# --- real programs ------------------------------------------------------------------------------


def http_answer(body):
    def handler(s):
        request = b""
        while b"\r\n\r\n" not in request:
            request += s.recv(4096)
        s.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):
            pass

    return handler


def test_curl(weft, backend):
    daemon = accepting(weft, backend(http_answer(b"yes")))
    url = f"http://{daemon.address}/"
    assert programs.run(programs.find("curl"), "-s", "--haproxy-protocol", url) == "yes"
    record = daemon.record()
    assert record["source"].startswith("127.0.0.1:")
    assert record["destination"] == daemon.address


@pytest.fixture
def nginx(tmp_path):
    """An nginx that wants PROXY headers, and answers with the client's address."""
    where = f"127.0.0.1:{ports.free_port()}"
    plain = f"127.0.0.1:{ports.free_port()}"
    conf = tmp_path / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/nginx.pid; error_log stderr; {user}"
        "events {}"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body;"
        f" proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/fastcgi;"
        f" uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi;"
        f" server {{ listen {plain}; }}"
        f" server {{ listen {where} proxy_protocol;"
        " location / { return 200 '$proxy_protocol_addr:$proxy_protocol_port'; } } }"
    )
    server = programs.Server(
        programs.find("nginx"), "-c", conf, "-p", tmp_path, address=plain, log=tmp_path / "log"
    )
    server.address = where
    yield server
    server.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_behind(weft, nginx, version):
    daemon = weft.proxy(nginx.address, pool={"send_proxy": version})
    answer = programs.run(programs.find("curl"), "-s", f"http://{daemon.address}/")
    assert answer == daemon.record()["source"]


@pytest.fixture
def haproxy(tmp_path):
    """Factory of HAProxys with one TCP listener and one server."""
    running = []

    def start(bind_options, server, server_options):
        where = f"127.0.0.1:{ports.free_port()}"
        plain = f"127.0.0.1:{ports.free_port()}"
        conf = tmp_path / f"haproxy{len(running)}.cfg"
        conf.write_text(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"listen up\n bind {plain}\n"
            f"listen front\n bind {where} {bind_options}\n server s {server} {server_options}\n"
        )
        running.append(
            programs.Server(
                programs.find("haproxy"), "-db", "-f", conf, address=plain,
                log=tmp_path / f"haproxy{len(running)}.log",
            )
        )
        return where

    yield start
    for server in running:
        server.stop()


@pytest.mark.parametrize("option, version", [("send-proxy", "v1"), ("send-proxy-v2", "v2")])
def test_haproxy_on_both_sides(weft, backend, haproxy, option, version):
    """haproxy > weft > haproxy > server, each telling the next."""
    server = backend()
    behind = haproxy("accept-proxy", server.address, "send-proxy-v2")
    daemon = weft.proxy(behind, listener={"accept_proxy": True}, pool={"send_proxy": version})
    before = haproxy("", daemon.address, option)
    client = daemon.connect(before)
    client.sendall(b"hello")
    peer = server.accept()
    _, _, source, destination, _ = headers.read_v2(peer)
    assert (source, destination) == (net.local(client), before)
    assert net.read_exactly(peer, 5) == b"hello"
    net.reset(client)
    assert daemon.record()["source"] == source


@pytest.mark.parametrize("options", ["crc32c", "unique-id", "crc32c,unique-id"])
def test_haproxy_sends_tlvs(weft, backend, haproxy, options):
    daemon = accepting(weft, backend(echo))
    before = haproxy("", daemon.address, f"send-proxy-v2 proxy-v2-options {options}")
    client = daemon.connect(before)
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"
