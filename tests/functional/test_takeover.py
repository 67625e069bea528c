"""Reloads that a running process can't carry out: another one takes over, and nobody notices."""

import grp
import os
import pwd
import signal
import socket

import pytest

import net
import procfs
from backends import EchoLoop, echo, greeter
from fire import Fire
from reloading import reload
from scale import scaled
from waiting import until

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="IS NOT ROOT: nothing is known about weft as root"
)


def exchange(daemon):
    with daemon.connect() as client:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"


def take_over(daemon, **process):
    """Have another process take over by a change of section `weft`; returns the old one's pid."""
    old, before = daemon.worker, daemon.log().count("has taken over")
    daemon.config["weft"].update(process)
    daemon.write(daemon.config)
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.log().count("has taken over") > before, "another process has taken over")
    assert daemon.worker != old
    return old


def threads_named(pid, name):
    return sum(procfs.status(pid, t)["Name"].startswith(name) for t in procfs.threads(pid))


@pytest.mark.parametrize("before, after", [(1, 4), (4, 1), (2, 3), (3, 2)])
def test_another_number_of_workers(weft, backend, before, after):
    """Live connections stay where they are; every worker takes new ones."""
    daemon = weft.proxy(backend(kind=EchoLoop).address, process={"workers": before})
    kept = [daemon.connect() for _ in range(8)]
    for client in kept:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"
    old = take_over(daemon, workers=after)
    until(lambda: not procfs.listening(old), "the old process takes no more connections")
    clients = [daemon.connect() for _ in range(64)]
    for client in (*kept, *clients):
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"
    for client in (*kept, *clients):
        client.close()
    until(lambda: not procfs.alive(old), "the old process is gone")
    records = daemon.records(72)
    new = [r for r in records if r["id"] >> 32 == 1]
    assert len(new) == 64
    assert {r["worker"] for r in new} == set(range(after))
    assert {r["generation"] for r in new} == {2}


@pytest.mark.timeout(300)
def test_numbers_of_workers_up_and_down_under_load(weft, backend):
    daemon = weft.proxy(backend(kind=EchoLoop).address, process={"workers": 2})
    fire = Fire(daemon.address)
    for workers in (1, 3, 1, 2, 4, 2) * scaled(4, 1):
        take_over(daemon, workers=workers)
        served = fire.served
        until(lambda wanted=served + 20: fire.served >= wanted, "clients are served")
    fire.expect_all_served()
    until(lambda: len(procfs.children(daemon.pid)) == 1, "one process is left")


def test_what_has_queued_up_is_served_by_fewer_workers(weft, backend):
    """On the sockets of workers that there are no more, too."""
    daemon = weft.proxy(
        backend(greeter("served")).address,
        process={"workers": 4},
        listener={"max_connections": 1},
    )
    holder = daemon.connect()
    assert net.read_exactly(holder, 6) == b"served"
    clients = [daemon.connect() for _ in range(40)]
    daemon.config["listeners"]["front"]["max_connections"] = 0
    take_over(daemon, workers=1)
    for client in clients:
        assert net.read_exactly(client, 6) == b"served"


def test_a_process_that_does_not_come_up_takes_nothing(weft, backend, address):
    """More workers are wanted, and an address that somebody else has: all stays as it is."""
    daemon = weft.proxy(backend(kind=EchoLoop).address, process={"workers": 1})
    taken = net.open_listener()
    fire = Fire(daemon.address)
    config = daemon.configuration()
    config["weft"]["workers"] = 4
    config["listeners"]["late"] = {"bind": net.local(taken), "pool": "back"}
    for turn in range(scaled(10, 3)):
        daemon.write(config)
        daemon.signal(signal.SIGHUP)
        until(lambda n=turn: daemon.log().count("reload rejected") > n, "the verdict")
        served = fire.served
        until(lambda wanted=served + 50: fire.served >= wanted, "clients are served")
    fire.expect_all_served()
    assert "Address already in use" in daemon.log()
    taken.close()


@needs_root
def test_another_user(weft, backend):
    daemon = weft.proxy(backend(kind=EchoLoop).address, process={"user": "daemon", "workers": 2})
    fire = Fire(daemon.address)
    for user, group in (("nobody", "nogroup"), ("daemon", "daemon"), ("root", "root")):
        take_over(daemon, user=user, group=group)
        status = procfs.status(daemon.worker)
        assert set(status["Uid"].split()) == {str(pwd.getpwnam(user).pw_uid)}
        assert set(status["Gid"].split()) == {str(grp.getgrnam(group).gr_gid)}
    fire.expect_all_served()


@needs_root
def test_what_only_root_may_open_is_opened_by_the_master(weft, backend, tmp_path):
    """What the file says, for the process that serves; files elsewhere for another one alone."""
    closed, elsewhere = tmp_path / "closed", tmp_path / "elsewhere"
    closed.mkdir(mode=0o700)
    elsewhere.mkdir(mode=0o700)
    daemon = weft.proxy(backend(echo).address, process={"user": "daemon", "workers": 1})
    worker, config = daemon.worker, daemon.configuration()
    config["log"]["access"]["output"] = f"{closed}/access.log"
    config["listeners"]["path"] = {"bind": f"unix:{closed}/front.sock", "pool": "back"}
    reload(daemon, config)
    assert daemon.worker == worker
    with daemon.connect(f"unix:{closed}/front.sock") as client:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"
    daemon.records(1)
    (elsewhere / "more.yaml").write_text(
        "pools: {more: {servers: ['127.0.0.1:1']}}\n", encoding="utf-8"
    )
    daemon.config["include"] = str(elsewhere / "*.yaml")
    take_over(daemon)
    exchange(daemon)


def listening_options(daemon):
    """TCP_NODELAY and SO_KEEPALIVE of the sockets it listens on."""
    sockets = procfs.duplicate_sockets(daemon.worker)
    try:
        return {
            (bool(s.option(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
             bool(s.option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)))
            for s in sockets
            if s.listens and s.socket.family != socket.AF_UNIX
        }
    finally:
        procfs.close_all(sockets)


def test_sockets_that_are_taken_over_are_set_as_the_new_file_says(weft, backend):
    daemon = weft.proxy(
        backend(echo).address,
        process={"workers": 1},
        listener={"nodelay": True, "keepalive": {"idle": "60s"}},
    )
    assert listening_options(daemon) == {(True, True)}
    daemon.config["listeners"]["front"].update(nodelay=False, keepalive={"idle": "off"})
    old = take_over(daemon, workers=2)
    until(lambda: not daemon.addresses_listened_on(old), "the old process takes no more")
    assert listening_options(daemon) == {(False, False)}
    exchange(daemon)
