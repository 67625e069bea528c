"""Started by an ordinary user, weft does everything that such a user may do."""

import os
import signal
import stat

import pytest

import accounts
import net
import procfs
from backends import echo, greeter
from waiting import until

FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def exchange(daemon, where):
    with daemon.connect(where) as client:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"


def test_it_serves_what_that_user_may(ordinary, backend, address):
    """On ports and in directories of its own, with records and a pid file."""
    pid_file = ordinary.directory / "weft.pid"
    path = ordinary.directory / "front.sock"
    binds = [address("v4"), f"unix:{path}"]
    daemon = ordinary.proxy(
        backend(echo).address, bind=binds, process={"workers": 2, "pid_file": str(pid_file)}
    )
    for where in binds:
        exchange(daemon, where)
    daemon.records(2)
    assert int(pid_file.read_text(encoding="ascii")) == daemon.pid
    for made in (path, pid_file, ordinary.directory / "weft0" / "access.log"):
        assert made.stat().st_uid == accounts.uid()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert not path.exists()
    assert not pid_file.exists()


def test_it_is_that_user_to_the_end(ordinary, backend):
    """And nobody else, whatever the file says: only root could become that."""
    daemon = ordinary.proxy(
        backend(echo).address, process={"workers": 1, "user": "root", "group": "root"}
    )
    exchange(daemon, daemon.address)
    for process in {daemon.pid, daemon.worker}:
        status = procfs.status(process)
        assert set(status["Uid"].split()) == {str(accounts.uid())}
        assert int(status["CapEff"], 16) == 0


def test_a_default_that_it_may_not_have_is_no_fault(ordinary, backend):
    """The control socket's usual directory is root's."""
    daemon = ordinary.proxy(backend(greeter("hello")).address)
    assert net.read_all(daemon.connect()) == b"hello"


def test_logs_are_rotated(ordinary, backend):
    daemon = ordinary.proxy(backend(echo).address)
    log = ordinary.directory / "weft0" / "access.log"
    exchange(daemon, daemon.address)
    daemon.records(1)
    log.rename(log.with_suffix(".1"))
    daemon.signal(signal.SIGUSR1)
    until(log.exists, "the log is there again")
    exchange(daemon, daemon.address)
    assert len(daemon.records_now(log.with_suffix(".1"))) == 1
    daemon.records(1)


def test_a_privileged_port_is_refused(ordinary, backend):
    with open(FIRST_UNPRIVILEGED, encoding="ascii") as f:
        port = int(f.read()) - 1
    if port < 1:
        pytest.skip("every port is everybody's here")
    daemon = ordinary.proxy(backend(echo).address, bind=f"127.0.0.1:{port}", ready=False)
    daemon.expect_refused("weft.yaml:", f"127.0.0.1:{port}", "Permission denied")


def close_to_all(path):
    """Even its owner may not read it then, but for root."""
    os.chown(path, accounts.uid(), -1)
    os.chmod(path, 0)


def test_files_that_it_may_not_read(ordinary):
    path, more = ordinary.directory / "weft.yaml", ordinary.directory / "more.yaml"
    path.write_text(
        "include: more.yaml\nlisteners: {a: {bind: ':1', pool: p}}\n", encoding="utf-8"
    )
    more.write_text("pools: {p: {servers: ['127.0.0.1:1']}}\n", encoding="utf-8")
    assert ordinary.run("-t", "-c", path).returncode == 0
    close_to_all(more)
    for options in (["-t"], []):
        done = ordinary.run(*options, "-c", path)
        assert done.returncode == 1
        assert f"{path}:1:10: error: include: '{more}': Permission denied" in done.stderr
    close_to_all(path)
    for options in (["-t"], []):
        done = ordinary.run(*options, "-c", path)
        assert done.returncode == 1
        assert f"{path}: error: Permission denied" in done.stderr


@pytest.mark.parametrize("what", ["log", "pid_file", "unix"])
def test_places_where_it_may_not_write(ordinary, backend, what):
    closed = ordinary.directory / "closed"
    closed.mkdir()
    close_to_all(closed)
    where = f"{closed}/{what}"
    options = {
        "log": {"log": {"access": {"output": where}}},
        "pid_file": {"process": {"workers": 1, "pid_file": where}},
        "unix": {"bind": f"unix:{where}"},
    }[what]
    daemon = ordinary.proxy(backend(echo).address, ready=False, **options)
    daemon.expect_refused(where, "Permission denied")
    os.chmod(closed, stat.S_IRWXU)
