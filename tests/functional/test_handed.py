"""Sockets that systemd opens and hands over by name: systemd:NAME in bind."""

import os
import signal
import sys

import pytest

import net
import ports
import programs
from backends import greeter
from daemon import build_options
from waiting import until

HANDING = (sys.executable, os.path.join(os.path.dirname(__file__), "handing.py"))


@pytest.fixture(autouse=True)
def needs_libsystemd():
    if "systemd=yes" not in build_options():
        pytest.skip("built without libsystemd")


@pytest.fixture
def start(weft, backend):
    """Factory: a daemon with these binds, started with these sockets, [(name, address)]."""
    server = backend(greeter("hello"))

    def make(binds, given, workers=1, under=None):
        if under is None:
            under = (*HANDING, *(f"{name}={what}" for name, what in given), "--") if given else ()
        daemon = weft.proxy(
            server.address, bind=binds, process={"workers": workers}, ready=False, under=under
        )
        addresses = [what for name, what in given if f"systemd:{name}" in binds]
        addresses += [bind for bind in binds if not bind.startswith("systemd:")]
        daemon.config = {"listeners": {"front": {"bind": addresses}}, "log": daemon.config["log"]}
        return daemon

    return make


def expect_served(daemon, where):
    with daemon.connect(where) as client:
        assert net.read_all(client) == b"hello"


def serving(daemon):
    """Wait until it serves; that its sockets listen says nothing, they do before it has begun."""

    def started():
        assert daemon.running(), daemon.log()
        return " workers; " in daemon.log()

    until(started, "weft says that it has started")
    daemon.wait_ready()
    return daemon


@pytest.mark.parametrize("workers", [1, 3])
def test_every_socket_of_a_name_is_served(start, address, workers):
    given = [("web", address("v4")), ("other", address("v4")), ("web", address("unix"))]
    daemon = serving(start(["systemd:web"], given, workers))
    for _ in range(8):
        for name, where in given:
            if name == "web":
                expect_served(daemon, where)
    destinations = [record["destination"] for record in daemon.records(16)]
    assert destinations.count(given[0][1]) == 8
    assert destinations.count(given[2][1]) == 8


def test_beside_addresses_of_its_own(start, address):
    own, web, api = address("v4"), address("v4"), address("v4")
    daemon = serving(start(["systemd:web", own, "systemd:api"], [("api", api), ("web", web)]))
    for where in (own, web, api):
        expect_served(daemon, where)


def test_the_path_of_a_socket_is_left_alone(start, address):
    """It is systemd's: the next start gets the same socket."""
    where = address("unix")
    daemon = serving(start(["systemd:web"], [("web", where)]))
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert os.path.exists(where.removeprefix("unix:"))


@pytest.mark.parametrize(
    "given, words",
    [
        ([], ["systemd:web", "there is none at all"]),
        ([("api", "v4"), ("b", "v4"), ("api", "v4")], ["there are: systemd:api, systemd:b"]),
        ([("web", "v4"), ("web", "pipe")], ["systemd:web", "it is no socket"]),
        ([("web", "datagram")], ["it is not a stream socket"]),
        ([("web", "idle")], ["it does not listen"]),
    ],
)
def test_what_does_not_fit(start, address, given, words):
    given = [(name, address("v4") if what == "v4" else what) for name, what in given]
    daemon = start(["systemd:web"], given)
    daemon.expect_refused("weft.yaml:4:", "error: listener front: cannot listen on ", *words)


def test_who_connects_before_it_starts_is_served(start, address):
    """systemd-socket-activate starts it when somebody connects, as systemd does."""
    where = address("v4")
    launcher = programs.find("systemd-socket-activate")
    environment = [f"--setenv={name}" for name in os.environ]
    daemon = start(
        ["systemd:web"],
        [("web", where)],
        under=(launcher, "-l", where, "--fdname=web", *environment),
    )
    until(lambda: "Listening on" in daemon.log(), "systemd-socket-activate listens")
    with daemon.connect(where) as early:
        serving(daemon)
        assert net.read_all(early) == b"hello"


def test_a_name_is_for_one_listener(weft, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(
        "listeners:\n"
        "  a: {bind: 'systemd:web', pool: p}\n"
        "  b: {bind: [':1', 'systemd:web'], pool: p}\n"
        "pools: {p: {servers: ['127.0.0.1:1']}}\n",
        encoding="utf-8",
    )
    done = weft.run("-t", "-c", path)
    assert done.returncode == 1
    assert done.stderr == (
        f"{path}:3:20: error: duplicate bind address 'systemd:web', first at {path}:2:13\n"
    )


def test_quick_mode(weft, backend):
    where = f"127.0.0.1:{ports.free_port()}"
    server = backend(greeter("hello")).address
    daemon = weft(
        arguments=["-l", "systemd:web", "-b", server],
        ready=False,
        under=(*HANDING, f"web={where}", "--"),
    )
    daemon.config = {"listeners": {"quick": {"bind": where}}}
    expect_served(serving(daemon), where)
