"""Real programs through weft: databases, a web server, TLS, streams at full speed."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

import net
import ports
import programs
from backends import Background, echo, receive_stream, send_stream
from scale import MIB, scaled
from streams import Stream


@pytest.fixture
def server(tmp_path):
    """Factory of programs.Server, stopped when the test is over."""
    started = []

    def make(*command, **options):
        log = tmp_path / f"server{len(started)}.log"
        started.append(programs.Server(*command, log=log, **options))
        return started[-1]

    yield make
    for s in reversed(started):
        s.stop()


def split(address):
    """HOST:PORT as two strings."""
    host, port = net.parse(address)[1]
    return host, str(port)


def local_address():
    return f"127.0.0.1:{ports.free_port()}"


# --- Redis --------------------------------------------------------------------------------------


def start_redis(server, tmp_path):
    where = local_address()
    port = split(where)[1]
    command = (programs.find("redis-server"), "--port", port, "--bind", "127.0.0.1")
    return server(*command, "--save", "", "--dir", tmp_path, address=where)


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark(weft, server, tmp_path, pipeline):
    redis = start_redis(server, tmp_path)
    daemon = weft.proxy(redis.address, process={"workers": 2})
    host, port = split(daemon.address)
    out = programs.run(
        programs.find("redis-benchmark"), "-h", host, "-p", port, "-c", "50", "-P", pipeline,
        "-n", scaled(10000, 2000), "-t", "ping,set,get,lrange_100", "-d", "1000", "--csv",
    )  # fmt: skip
    tests = [line for line in out.splitlines() if line.startswith('"')]
    assert len(tests) >= 5
    assert "rror" not in out


def test_redis_large_values(weft, server, tmp_path):
    redis = start_redis(server, tmp_path)
    daemon = weft.proxy(redis.address)
    client = daemon.connect()
    value = Stream(1).read(0, 8 * MIB)
    client.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (len(value), value))
    assert net.read_exactly(client, 5) == b"+OK\r\n"
    client.sendall(b"GET k\r\n")
    header = b"$%d\r\n" % len(value)
    assert net.read_exactly(client, len(header)) == header
    assert net.read_exactly(client, len(value)) == value


# --- PostgreSQL ---------------------------------------------------------------------------------


@pytest.fixture
def postgres(server):
    """A PostgreSQL with nothing in it, that trusts everyone on 127.0.0.1 and its UNIX socket."""
    initdb, postgres_ = programs.find("initdb"), programs.find("postgres")
    # Not below tmp_path, which only its owner may enter; short, for the UNIX socket's sake.
    place = tempfile.mkdtemp(prefix="weft-pg-")
    options = programs.as_ordinary_user(place)
    data = f"{place}/data"
    try:
        programs.run(
            initdb, "-D", data, "-A", "trust", "-U", "weft", "-E", "UTF8", "--locale=C",
            "--no-sync", **options,
        )  # fmt: skip
        where = local_address()
        running = server(
            postgres_, "-D", data, "-p", split(where)[1], "-k", place, "-h", "127.0.0.1",
            "-c", "fsync=off", "-c", "shared_buffers=32MB", address=where, **options,
        )  # fmt: skip
        running.unix = f"unix:{place}/.s.PGSQL.{split(where)[1]}"
        yield running
        running.stop()
    finally:
        shutil.rmtree(place)


def pgbench(*arguments, host, port):
    command = (programs.find("pgbench"), "-U", "weft", "-h", host, "-p", port)
    return programs.run(*command, *arguments, "postgres")


@pytest.mark.parametrize("back", ["tcp", "unix"])
def test_pgbench(weft, postgres, back):
    where = postgres.unix if back == "unix" else postgres.address
    daemon = weft.proxy(where, process={"workers": 2})
    host, port = split(daemon.address)
    pgbench("-i", "-s", "1", "-q", host=host, port=port)
    transactions = scaled(100, 20)
    load = ["-c", "10", "-j", "2", "-n", "-t", transactions]
    out = pgbench(*load, host=host, port=port)
    done = re.search(r"actually processed: (\d+)/(\d+)", out)
    assert done and done[1] == done[2] == str(10 * transactions)
    out = pgbench(*load, "-S", "-M", "prepared", "-C", host=host, port=port)
    assert f"{10 * transactions}/{10 * transactions}" in out


# --- HTTP ---------------------------------------------------------------------------------------


@pytest.fixture
def nginx(server, tmp_path):
    """An nginx that serves /small and /large; its files' SHA-256 are in `digests`."""
    root = tmp_path / "www"
    root.mkdir()
    digests = {}
    for name, size in (("small", 100), ("large", scaled(512 * MIB, 32 * MIB))):
        digest = hashlib.sha256()
        with open(root / name, "wb") as f:
            for offset in range(0, size, 4 * MIB):
                block = Stream(size).read(offset, min(4 * MIB, size - offset))
                digest.update(block)
                f.write(block)
        digests[name] = digest.hexdigest()
    where = local_address()
    conf = tmp_path / "nginx.conf"
    temp = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/nginx.pid; error_log stderr; {user}"
        "events { worker_connections 2000; }"
        f"http {{ access_log off; sendfile on; keepalive_requests 1000000; {temp}"
        f"server {{ listen {where}; root {root}; }} }}\n",
        encoding="utf-8",
    )
    running = server(programs.find("nginx"), "-c", conf, "-p", tmp_path, address=where)
    running.digests = digests
    yield running
    (root / "large").unlink()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(4 * MIB):
            digest.update(block)
    return digest.hexdigest()


def test_curl_large_file(weft, nginx, tmp_path):
    daemon = weft.proxy(nginx.address)
    target = tmp_path / "got"
    programs.run(programs.find("curl"), "-sSf", f"http://{daemon.address}/large", "-o", target)
    assert sha256(target) == nginx.digests["large"]
    target.unlink()


def test_curl_parallel(weft, nginx, tmp_path):
    """Eight at once, each held to a different speed part of the way by its neighbours."""
    daemon = weft.proxy(nginx.address, process={"workers": 2})
    size = scaled(32 * MIB, 2 * MIB)
    command = [programs.find("curl"), "-sSf", "--parallel", "--parallel-immediate"]
    targets = [tmp_path / f"got{n}" for n in range(8)]
    for n, target in enumerate(targets):
        first = n * size // 2
        command += ["-r", f"{first}-{first + size - 1}", f"http://{daemon.address}/large"]
        command += ["-o", target, "--next", "-sSf"]
    programs.run(*command[:-2])
    whole = scaled(512 * MIB, 32 * MIB)
    for n, target in enumerate(targets):
        first = n * size // 2
        got = target.read_bytes()
        assert got == Stream(whole).read(first, min(size, whole - first))
        target.unlink()


def test_curl_rate_limited(weft, nginx, tmp_path):
    """A slow reader of a fast server."""
    daemon = weft.proxy(nginx.address)
    target = tmp_path / "got"
    span = 4 * MIB
    programs.run(
        programs.find("curl"), "-sSf", "--limit-rate", "2M", "-r", f"0-{span - 1}",
        f"http://{daemon.address}/large", "-o", target,
    )  # fmt: skip
    assert target.stat().st_size == span


def test_curl_unix(weft, nginx, address, tmp_path):
    daemon = weft.proxy(nginx.address, bind=address("unix"))
    path = daemon.address.removeprefix("unix:")
    target = tmp_path / "got"
    curl = programs.find("curl")
    programs.run(curl, "-sSf", "--unix-socket", path, "http://x/small", "-o", target)
    assert sha256(target) == nginx.digests["small"]


@pytest.mark.parametrize("path", ["small", "large"])
def test_wrk(weft, nginx, path):
    daemon = weft.proxy(nginx.address, process={"workers": 2})
    connections = 100 if path == "small" else 2  # several at once might not end one in time
    out = programs.run(
        programs.find("wrk"), "-t", "2", "-c", connections, "-d", scaled("3s", "2s"),
        "--timeout", "20s", f"http://{daemon.address}/{path}",
    )  # fmt: skip
    assert "Socket errors" not in out, out
    assert "Non-2xx" not in out, out
    requests = int(re.search(r"(\d+) requests in", out)[1])
    assert requests > (scaled(1000, 100) if path == "small" else 0)


def test_wrk_short_connections(weft, nginx):
    daemon = weft.proxy(nginx.address, process={"workers": 2})
    out = programs.run(
        programs.find("wrk"), "-t", "2", "-c", "50", "-d", scaled("3s", "2s"),
        "-H", "Connection: close", f"http://{daemon.address}/small",
    )  # fmt: skip
    assert "Non-2xx" not in out, out
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", out)
    assert not errors or errors[1] == "0", out
    daemon.expect_at_rest()


# --- iperf3 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [[], ["-R"], ["--bidir"]], ids=["up", "down", "both"])
@pytest.mark.parametrize("workers", [1, 2])
def test_iperf3(weft, server, direction, workers):
    iperf3 = programs.find("iperf3")
    where = local_address()
    running = server(iperf3, "-s", "-p", split(where)[1], "-B", "127.0.0.1", address=where)
    daemon = weft.proxy(running.address, process={"workers": workers})
    host, port = split(daemon.address)
    seconds = scaled(2, 1)
    load = ["-P", "8", "-t", seconds, "-J", *direction]
    report = json.loads(programs.run(iperf3, "-c", host, "-p", port, *load))
    assert "error" not in report, report.get("error")
    assert report["end"]["sum_received"]["bytes"] > scaled(100, 5) * MIB
    if "--bidir" in direction:
        assert report["end"]["sum_received_bidir_reverse"]["bytes"] > scaled(100, 5) * MIB


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    openssl = programs.find("openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    programs.run(
        openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
        "-days", "2", "-subj", "/CN=weft.test",
    )  # fmt: skip
    return key, cert


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(weft, server, certificate, tmp_path, version):
    """A file by TLS: s_server -WWW serves it, s_client asks for it."""
    openssl = programs.find("openssl")
    key, cert = certificate
    size = scaled(16 * MIB, 2 * MIB)
    (tmp_path / "file").write_bytes(Stream(6).read(0, size))
    where = local_address()
    running = server(
        openssl, "s_server", "-accept", where, "-key", key, "-cert", cert, "-WWW", "-quiet",
        address=where, cwd=tmp_path,
    )  # fmt: skip
    daemon = weft.proxy(running.address)
    request, answer = tmp_path / "request", tmp_path / "answer"
    request.write_text("GET /file HTTP/1.0\r\n\r\n", encoding="utf-8")
    with open(request, "rb") as stdin, open(answer, "wb") as stdout:
        command = (openssl, "s_client", "-connect", daemon.address, version, "-CAfile", cert)
        _run_client(command + ("-quiet", "-verify_return_error"), stdin, stdout)
    body = pathlib.Path(answer).read_bytes().split(b"\r\n\r\n", 1)[1]
    assert body == Stream(6).read(0, size)


def _run_client(command, stdin, stdout):
    done = subprocess.run(
        list(map(str, command)),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]


# --- weft in front of weft ----------------------------------------------------------------------


def test_chain_of_three(weft, backend):
    inner = weft.proxy(backend(echo).address)
    middle = weft.proxy(inner.address)
    outer = weft.proxy(middle.address)
    client = outer.connect()
    received = Background(receive_stream, client, Stream(8))
    send_stream(client, Stream(8), 32 * MIB)
    client.shutdown(socket.SHUT_WR)
    assert received.result() == 32 * MIB
    for daemon in (outer, middle, inner):
        assert daemon.record()["end"] == "client_closed"
