"""A worker process that dies: its sockets stay, another one takes over, nobody is refused."""

import os
import re
import signal
import time

import pytest

import net
import procfs
from backends import EchoLoop, echo
from fire import Fire
from scale import scaled
from waiting import Stopwatch, until


def exchange(daemon):
    with daemon.connect() as client:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"


def wait_for_another(daemon, old):
    """Wait for the process that follows `old` in service."""
    return until(
        lambda: (new := daemon.worker) not in (old, daemon.pid) and new, "another worker process"
    )


def kill(daemon, number=signal.SIGKILL):
    """Kill the worker process, which takes no connection from then on; returns its pid."""
    old = daemon.worker
    os.kill(old, number)
    until(lambda: not procfs.alive(old), "it is dead")
    return old


@pytest.fixture
def daemon(weft, backend):
    return weft.proxy(backend(echo).address, process={"workers": 2})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_another_process_takes_over(daemon, number):
    old = kill(daemon, number)
    exchange(daemon)
    assert wait_for_another(daemon, old)
    said = f"worker process {old} was ended by signal {number:d} ({number.name})"
    assert said in daemon.log()
    assert "starting another one in 0 ms" in daemon.log()


def test_clients_that_come_in_between_are_served(daemon):
    """Also those that come before the master has noticed."""
    daemon.signal(signal.SIGSTOP)
    kill(daemon)
    clients = [daemon.connect() for _ in range(40)]
    for client in clients:
        client.sendall(b"hello")
    daemon.signal(signal.SIGCONT)
    for client in clients:
        assert net.read_exactly(client, 5) == b"hello"


def test_its_connections_alone_are_lost(weft, backend):
    """Those of a process that drains are not."""
    server = backend(echo)
    daemon = weft.proxy(server.address)
    kept = daemon.connect()
    kept.sendall(b"first")
    assert net.read_exactly(kept, 5) == b"first"
    first = daemon.worker
    daemon.signal(signal.SIGUSR2)
    second = wait_for_another(daemon, first)
    until(lambda: not procfs.listening(first), "the first one takes no more")
    lost = daemon.connect()
    lost.sendall(b"second")
    assert net.read_exactly(lost, 6) == b"second"
    os.kill(second, signal.SIGKILL)
    assert net.expect_end(lost) in ("fin", "reset")
    exchange(daemon)
    kept.sendall(b"still")
    assert net.read_exactly(kept, 5) == b"still"
    assert "with 1 connections" in daemon.log() or "with 0 connections" in daemon.log()


def test_records_are_numbered_on(weft, backend):
    """An id is unique while the daemon runs, whatever process the connection was in."""
    daemon = weft.proxy(backend(echo).address, process={"workers": 2})
    for _ in range(3):
        for _ in range(5):
            exchange(daemon)
        count = len(daemon.records_now()) // 5 * 5 + 5
        until(lambda wanted=count: len(daemon.records_now()) >= wanted, "records are written")
        wait_for_another(daemon, kill(daemon))
    ids = [r["id"] for r in daemon.records(15)]
    assert len(set(ids)) == 15
    assert {i >> 32 for i in ids} == {0, 1, 2}


def test_it_comes_back_with_what_was_accepted_last(weft, backend, tmp_path):
    """Whatever has become of the files since."""
    config = tmp_path / "weft.yaml"
    included = tmp_path / "more.yaml"
    address = net.local(net.open_listener())
    user = "user: root, " if os.geteuid() == 0 else ""
    config.write_text(
        f"include: more.yaml\nweft: {{{user}workers: 1}}\n"
        f"listeners: {{front: {{bind: '{address}', pool: back}}}}\n",
        encoding="utf-8",
    )
    pools = f"pools: {{back: {{servers: ['{backend(echo).address}']}}}}\n"
    included.write_text(pools, encoding="utf-8")
    daemon = weft(None, arguments=("-c", config), ready=False)
    daemon.config = {"listeners": {"front": {"bind": address}}}
    daemon.wait_ready()
    exchange(daemon)
    config.unlink()
    included.write_text("nonsense: [", encoding="utf-8")
    wait_for_another(daemon, kill(daemon))
    exchange(daemon)
    daemon.signal(signal.SIGHUP)
    until(lambda: "reload rejected: generation 1 stays in effect" in daemon.log(), "the verdict")
    assert f"{config}: No such file or directory" in daemon.log().replace("error: ", "")
    wait_for_another(daemon, kill(daemon))
    exchange(daemon)


def test_what_keeps_it_from_coming_back_is_waited_for(weft, backend, tmp_path):
    """A directory is gone; clients wait until it is there again."""
    directory = tmp_path / "logs"
    directory.mkdir()
    log = {"access": {"output": f"{directory}/access.log"}}
    daemon = weft.proxy(backend(echo).address, log=log)
    directory.rename(tmp_path / "gone")
    kill(daemon)
    until(lambda: daemon.log().count("logs/access.log: No such file") >= 2, "it has tried twice")
    client = daemon.connect()
    client.sendall(b"hello")
    net.expect_silence(client, 0.3)
    directory.mkdir()
    assert net.read_exactly(client, 5) == b"hello"


def test_a_reload_helps_where_it_can_not_come_back(weft, backend, tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    log = {"access": {"output": f"{directory}/access.log"}}
    daemon = weft.proxy(backend(echo).address, log=log)
    directory.rename(tmp_path / "gone")
    kill(daemon)
    client = daemon.connect()
    client.sendall(b"hello")
    until(lambda: "logs/access.log: No such file" in daemon.log(), "it has tried")
    config = daemon.configuration()
    config["log"]["access"]["output"] = "off"
    daemon.write(config)
    daemon.signal(signal.SIGHUP)
    assert net.read_exactly(client, 5) == b"hello"
    kill(daemon)
    exchange(daemon)


def test_those_that_keep_dying_follow_more_slowly(daemon):
    """And a client waits for no more than that."""
    old, client = daemon.worker, None
    for n in range(7):
        kill(daemon)
        client = daemon.connect()
        old = wait_for_another(daemon, old)
        until(lambda pid=old: b"weft" in comm(pid), "it has become one")
        until(lambda n=n: daemon.log().count("connections at most") == n + 2, "it serves")
        time.sleep(0.1)  # the master has heard so
    watch = Stopwatch()
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"
    assert watch.seconds < 5
    delays = [int(n) for n in re.findall(r"starting another one in (\d+) ms", daemon.log())]
    assert delays[:2] == [0, 100]
    assert delays == sorted(delays)
    assert delays[-1] <= 1000


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", "rb") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.timeout(400)
def test_kills_under_load_refuse_nobody(weft, backend):
    """A connection that was in a process that is killed is lost; no other is."""
    kills = scaled(100, 8)
    daemon = weft.proxy(backend(kind=EchoLoop).address, process={"workers": 2})
    fire = Fire(daemon.address)
    old = daemon.worker
    for _ in range(kills):
        served = fire.served
        until(lambda wanted=served + 8: fire.served >= wanted, "clients are served")
        os.kill(old, signal.SIGKILL)
        old = wait_for_another(daemon, old)
    counts = fire.stop()
    assert counts["refused"] == counts["silent"] == 0, dict(counts)
    assert counts["reset"] <= kills * 4, dict(counts)
    assert daemon.log().count("was ended by signal 9") == kills
