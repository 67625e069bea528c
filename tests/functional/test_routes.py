"""Routes: which pool takes a connection, by server name, protocol and source."""

import socket
import ssl
import struct
import subprocess
import time

import pytest

import net
import programs
from backends import greeter


@pytest.fixture
def routed(weft, backend, address):
    """Factory of daemons with routes; every pool of theirs has a server that takes its name."""

    def start(routes, **listener):
        names = list(dict.fromkeys(route["pool"] for route in routes))
        servers = {name: backend() for name in names}
        config = {
            "listeners": {"front": {"bind": address("v4"), "routes": routes, **listener}},
            "pools": {name: {"servers": [servers[name].address]} for name in names},
        }
        daemon = weft(config)
        daemon.servers = servers
        return daemon

    return start


def hello(name=None, alpn=()):
    """The first bytes of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(first, size):
    """The same hello in records of `size` bytes."""
    message = first[5:]
    parts = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part for part in parts)


def expect_at(daemon, pool, sent):
    """All that was sent, untouched, at the pool's server."""
    peer = daemon.servers[pool].accept()
    assert net.read_exactly(peer, len(sent)) == sent
    return peer


def send(daemon, data, pieces=1):
    client = daemon.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    step = -(-len(data) // pieces)
    for at in range(0, len(data), step):
        client.sendall(data[at : at + step])
        if pieces > 1:
            time.sleep(0.002)
    return client


ROUTES = [
    {"sni": ["www.example.org", "example.org"], "pool": "web"},
    {"sni": "*.apps.example.org", "alpn": ["h2"], "pool": "grpc"},
    {"sni": "*.apps.example.org", "pool": "apps"},
    {"alpn": "acme-tls/1", "pool": "acme"},
    {"pool": "rest"},
]


@pytest.mark.parametrize(
    "name, alpn, pool",
    [
        ("www.example.org", (), "web"),
        ("WWW.Example.ORG", ("h2",), "web"),
        ("example.org", (), "web"),
        ("a.apps.example.org", ("h2", "http/1.1"), "grpc"),
        ("a.b.apps.example.org", ("http/1.1",), "apps"),
        ("apps.example.org", ("h2",), "rest"),
        ("other.org", ("acme-tls/1",), "acme"),
        (None, ("acme-tls/1",), "acme"),
        (None, (), "rest"),
    ],
)
@pytest.mark.parametrize("form", ["one record", "pieces", "records", "records in pieces"])
def test_routes_by_name_and_protocol(routed, name, alpn, pool, form):
    daemon = routed(ROUTES)
    data = hello(name, alpn)
    if form.startswith("records"):
        data = in_records(data, 61)
    client = send(daemon, data, pieces=40 if form.endswith("pieces") else 1)
    expect_at(daemon, pool, data)
    net.reset(client)
    record = daemon.record()
    assert record["pool"] == pool
    assert record.get("sni") == (name and name.lower())
    assert record["bytes_in"] == len(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16", b"\x16\x03\x01"])
def test_what_is_not_tls_goes_by_the_other_routes(routed, data):
    daemon = routed(ROUTES)
    client = send(daemon, data)
    client.shutdown(socket.SHUT_WR)
    expect_at(daemon, "rest", data).close()
    assert "sni" not in daemon.record()


def test_routes_by_source(routed):
    daemon = routed(
        [
            {"source": ["127.0.0.2", "127.9.0.0/16"], "pool": "inside"},
            {"sni": "example.org", "source": "127.0.0.3", "pool": "both"},
            {"sni": "example.org", "pool": "named"},
        ]
    )
    data = hello("example.org")
    for source, pool in [("127.0.0.2", "inside"), ("127.0.0.3", "both"), ("127.0.0.4", "named")]:
        client = daemon.connect(source=source)
        client.sendall(data)
        expect_at(daemon, pool, data)
    # From there nobody is asked for a name: the server may speak first.
    daemon.connect(source="127.9.1.1")
    daemon.servers["inside"].accept()


def test_no_route(routed):
    daemon = routed([{"sni": "example.org", "pool": "web"}])
    net.expect_reset(send(daemon, hello("example.com")))
    net.expect_reset(send(daemon, b"HELLO"))
    records = daemon.records(2)
    assert {record["end"] for record in records} == {"no_server"}
    assert sorted(record.get("sni", "") for record in records) == ["", "example.com"]
    assert not any("pool" in record for record in records)


def test_a_server_behind_a_route_that_refuses(routed):
    """It is its pool that hears of the failure; the listener itself has none."""
    daemon = routed([{"sni": "example.org", "pool": "web"}])
    daemon.servers["web"].close()
    worker = daemon.worker
    for _ in range(7):  # more often than it takes to be left alone
        net.expect_reset(send(daemon, hello("example.org")))
    ends = [record["end"] for record in daemon.records(7)]
    assert ends[0] == "connect_failed"
    assert daemon.worker == worker, "the worker process was replaced"


@pytest.mark.parametrize("start", [b"", b"\x16\x03", hello("example.org")[:100]])
def test_a_client_that_takes_too_long(routed, start):
    daemon = routed(ROUTES, sni_timeout="300ms")
    client = daemon.connect()
    client.sendall(start)
    net.expect_reset(client)
    record = daemon.record()
    assert record["end"] == "sni_timeout"
    assert 0.29 <= record["duration"] < 10


def test_a_malformed_hello_is_refused(routed):
    daemon = routed(ROUTES)
    data = bytearray(hello("example.org"))
    data[5 + 4 + 34] = 33  # the session id's length
    net.expect_reset(send(daemon, data))
    assert daemon.record()["end"] == "error"


def test_a_large_hello(routed):
    """As with post-quantum key shares: in several segments; and one that is too large."""
    daemon = routed(ROUTES)
    for size, fine in [(1500, True), (4000, True), (16000, True), (17000, False)]:
        data = enlarged(hello("www.example.org"), size)
        client = send(daemon, data, pieces=7)
        if fine:
            expect_at(daemon, "web", data)
        else:
            net.expect_reset(client)


def enlarged(first, size):
    """The hello with one more extension of so many bytes, in records as large as may be."""
    message = first[9:]
    at = 34 + 1 + message[34]
    at += 2 + struct.unpack("!H", message[at : at + 2])[0]
    at += 1 + message[at]
    extensions = message[at + 2 :] + struct.pack("!HH", 0x3A3A, size) + bytes(size)
    message = message[:at] + struct.pack("!H", len(extensions)) + extensions
    return in_records(bytes(5) + b"\x01" + struct.pack("!I", len(message))[1:] + message, 16384)


def test_behind_a_proxy_header(routed):
    daemon = routed(
        [{"source": "192.0.2.0/24", "sni": "example.org", "pool": "a"}, {"pool": "b"}],
        accept_proxy=True,
    )
    data = hello("example.org")
    send(daemon, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + data, pieces=50)
    expect_at(daemon, "a", data)
    send(daemon, b"PROXY TCP4 192.0.3.1 192.0.2.2 1 2\r\n" + data)
    expect_at(daemon, "b", data)


# --- real TLS -----------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    where = tmp_path / "both.pem"
    programs.run(
        programs.find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test", "-days", "2",
        "-keyout", where, "-out", tmp_path / "cert.pem",
    )
    with open(where, "ab") as f:
        f.write((tmp_path / "cert.pem").read_bytes())
    return where


def tls_greeter(word, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handler(s):
        try:
            with context.wrap_socket(s, server_side=True) as tls:
                greeter(word)(tls)
        except ssl.SSLError:
            pass

    return handler


def test_openssl_clients_reach_the_server_they_ask_for(weft, backend, address, certificate):
    servers = {name: backend(tls_greeter(name, certificate)) for name in ("one", "two")}
    daemon = weft(
        {
            "listeners": {
                "front": {
                    "bind": address("v4"),
                    "routes": [{"sni": f"{name}.example.org", "pool": name} for name in servers],
                }
            },
            "pools": {name: {"servers": [s.address]} for name, s in servers.items()},
        }
    )
    for name in servers:
        for options in ((), ("-tls1_2",), ("-alpn", "h2,http/1.1")):
            said = subprocess.run(
                [programs.find("openssl"), "s_client", "-connect", daemon.address, "-quiet",
                 "-servername", f"{name}.example.org", *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                timeout=30, check=False,
            )
            assert said.stdout.decode() == name
    assert {record["sni"] for record in daemon.records(6)} == {"one.example.org", "two.example.org"}
