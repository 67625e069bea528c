"""The control socket: its path, who may use it, and clients of every kind."""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile

import pytest

import daemon as daemons
from backends import echo
from control import Client, chat, frame, only, request
from waiting import until


# --- the socket's path --------------------------------------------------------------------------


def test_a_path_that_was_left_over(weft, backend):
    """After kill -9 the path is there and nobody listens: exit 3, and the next weft takes it."""
    first = weft.proxy(backend(echo).address)
    first.signal(signal.SIGKILL)
    first.expected_code = -signal.SIGKILL
    first.wait()
    until(lambda: first.ctl("info").returncode == 3, "nobody listens any more")
    assert "Connection refused" in first.ctl("info").stderr
    second = weft.proxy(backend(echo).address, process={"control": first.control})
    assert second.ask("info")["pid"] == second.pid


def test_two_daemons_on_one_path(weft, backend):
    first = weft.proxy(backend(echo).address)
    second = weft.proxy(backend(echo).address, process={"control": first.control}, ready=False)
    second.expect_refused(
        "weft.yaml:",
        f"error: control: weft is already running: pid {first.pid} listens on {first.control}",
    )
    assert first.ask("info")["pid"] == first.pid


def test_a_second_weft_on_the_same_file_says_who_is_there(weft, backend):
    """Not that its port is taken, which is as true."""
    first = weft.proxy(backend(echo).address)
    second = weft(first.config, ready=False)
    second.expect_refused(f"weft is already running: pid {first.pid}")


def test_a_path_that_can_not_be_had(weft, backend, tmp_path):
    path = f"{tmp_path}/no/such/directory/control.sock"
    daemon = weft.proxy(backend(echo).address, process={"control": path}, ready=False)
    daemon.expect_refused("error: control:", path, "No such file or directory")


def test_off(weft, backend):
    daemon = weft.proxy(backend(echo).address, process={"control": "off"})
    chat(daemon.connect())
    assert "control" not in daemon.log()


@pytest.fixture
def own_run():
    """How to run a daemon with a /run of its own."""
    if os.geteuid() != 0:
        pytest.skip("NOT RUN AS ROOT: nothing is known about the default path of the socket")
    script = 'mount -t tmpfs tmpfs /run && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, "sh")


def default_path(weft, backend):
    daemon = weft.proxy(backend(echo).address, process={"control": "off"})
    shown = weft.run("-T", "-l", ":1", "-b", "127.0.0.1:1").stdout
    daemon.stop()
    return next(line.split()[1] for line in shown.splitlines() if "control:" in line)


def test_the_default_path(weft, backend, own_run, address):
    path = default_path(weft, backend)
    arguments = ("-l", address(), "-b", backend(echo).address)
    daemon = weft(arguments=arguments, under=own_run, ready=False)
    inside = ("nsenter", "--mount", f"--target={daemon.pid}", daemons.control_program())

    def asked():
        return daemons.run_program(*inside, "--json", "info")

    until(lambda: asked().returncode == 0, "it listens at the default path")
    assert json.loads(asked().stdout)["pid"] == daemon.pid
    daemon.config = {"listeners": {}}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert path.endswith("/weft/control.sock")


def test_a_start_without_the_default_path(weft, backend, own_run, address):
    """It can't be had, which is no reason not to start."""
    path = default_path(weft, backend)
    where = address()
    block = f'mount -t tmpfs tmpfs /run && mkdir -p {path} && exec "$@"'
    under = (*own_run[:4], block, "sh")
    daemon = weft(arguments=("-l", where, "-b", backend(echo).address), under=under, ready=False)
    daemon.config = {"listeners": {"quick": {"bind": where}}}
    daemon.wait_ready()
    chat(daemon.connect())
    said = until(lambda: [l for l in daemon.log().splitlines() if "control" in l], "it says so")
    assert len(said) == 1
    assert f"notice: no control socket: cannot listen on {path}: File exists" in said[0]


# --- who may ------------------------------------------------------------------------------------


@pytest.fixture
def open_place():
    """A directory that every user can reach, with weftctl in it."""
    if os.geteuid() != 0:
        pytest.skip("NOT RUN AS ROOT: nothing is known about other users")
    place = tempfile.mkdtemp(prefix="weft-control-")
    os.chmod(place, 0o755)
    shutil.copy(daemons.control_program(), f"{place}/weftctl")
    yield place
    shutil.rmtree(place)


STRANGER = 65534


def as_stranger(place, daemon, groups=()):
    command = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}")
    extra = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return daemons.run_program(*command, extra, f"{place}/weftctl", "-s", daemon.control, "info")


def test_strangers_are_kept_out_by_the_path(weft, backend, open_place):
    path = f"{open_place}/control.sock"
    daemon = weft.proxy(backend(echo).address, process={"control": path})
    done = as_stranger(open_place, daemon)
    assert done.returncode == 1
    assert done.stderr == f"weftctl: cannot connect to {path}: Permission denied\n"


def test_strangers_are_kept_out_by_the_daemon(weft, backend, open_place):
    """Should somebody have opened the path to all."""
    path = f"{open_place}/control.sock"
    daemon = weft.proxy(backend(echo).address, process={"control": path})
    os.chmod(path, 0o666)
    done = as_stranger(open_place, daemon)
    assert done.returncode == 1
    assert "not permitted" in done.stderr
    assert daemon.ask("info")["state"] == "serving"


def test_members_of_the_group_may(weft, backend, open_place):
    path = f"{open_place}/control.sock"
    daemon = weft.proxy(backend(echo).address, process={"control": path})
    done = as_stranger(open_place, daemon, groups=(7777, os.stat(path).st_gid))
    assert (done.returncode, done.stderr) == (0, "")


# --- clients of every kind ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent, told",
    [
        (b"GET / HTTP/1.1\r\n\r\n", "64 KiB"),
        (b"\xff" * 64, "64 KiB"),
        (struct.pack(">I", 64 * 1024 + 1), "64 KiB"),
        (frame(b"hello"), "not JSON"),
        (frame(b"[" * 60000), "not JSON"),
        (frame(b"[]"), "not a JSON object"),
        (frame({}), "names no protocol"),
        (request("info", protocol=2), "use the weftctl that came with it"),
        (request("dance"), "there is no command 'dance'"),
        (request("info", listener="web"), "takes no argument 'listener'"),
    ],
)
def test_nonsense_is_answered_and_ended(weft, backend, sent, told):
    daemon = weft.proxy(backend(echo).address)
    with Client(daemon.control) as client:
        client.send(sent)
        assert told in client.error()
        client.expect_end()
    assert daemon.ask("info")["state"] == "serving"


def test_random_bytes_do_no_harm(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    dice = random.Random(1)
    before = len(daemon.descriptors())
    for _ in range(200):
        with Client(daemon.control) as client:
            body = dice.randbytes(dice.randrange(200))
            data = frame(body) if dice.random() < 0.5 else body
            client.send(data[: dice.randrange(len(data) + 1)])
    assert daemon.ask("info")["state"] == "serving"
    until(lambda: len(daemon.descriptors()) <= before, "it has closed them all")


def test_a_connection_serves_many_requests(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    with Client(daemon.control) as client:
        for _ in range(100):
            assert only(client.ask("info"))["pid"] == daemon.pid


MANY = 2000


@pytest.fixture
def crowded(weft, backend, address):
    """A daemon with so many listeners that their listing is more than a socket's buffer takes."""
    name = address("abstract")
    listeners = {
        f"listener-{i}": {"bind": f"{name}-{'x' * 40}-{i}", "pool": "back"} for i in range(MANY)
    }
    listeners["front"] = {"bind": address(), "pool": "back"}
    config = {
        "listeners": dict(sorted(listeners.items())),
        "pools": {"back": {"servers": [backend(echo).address]}},
    }
    daemon = weft(config)
    daemon.front = config["listeners"]["front"]["bind"]
    return daemon


def test_a_long_listing(crowded):
    rows = crowded.ask("listeners")
    assert len(rows) == MANY + 1
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert len(crowded.ctl("listeners").stdout.splitlines()) == MANY + 2


def test_a_slow_client_holds_up_nobody(crowded):
    with Client(crowded.control) as slow:
        slow.send(request("listeners") * 10)
        assert slow.frame()["rows"]
        assert len(crowded.ask("listeners")) == MANY + 1
        client = crowded.connect(crowded.front)
        chat(client)
        memory = crowded.resident()
        for _ in range(20):
            assert len(crowded.ask("listeners")) == MANY + 1
        assert daemons.sanitized() or crowded.resident() - memory < 8 << 20


def test_a_client_that_is_gone_amid_its_answer(crowded):
    before = len(crowded.descriptors())
    for _ in range(20):
        with Client(crowded.control) as client:
            client.send(request("listeners"))
            assert client.frame()["rows"]
    assert len(crowded.ask("listeners")) == MANY + 1
    until(lambda: len(crowded.descriptors()) <= before, "it has closed them all")


def test_a_stop_does_not_wait_for_a_slow_client(crowded):
    with Client(crowded.control) as slow:
        slow.send(request("listeners"))
        assert slow.frame()["rows"]
        crowded.signal(signal.SIGTERM)
        assert crowded.wait() == 0


def test_more_clients_than_are_served(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    clients = []
    try:
        for _ in range(64):
            clients.append(Client(daemon.control))
            clients[-1].ask("info")
        done = daemon.ctl("info")
        assert done.returncode == 1
        assert "too many clients: 64 are being served" in done.stderr
        clients.pop().socket.close()
        until(lambda: daemon.ctl("info").returncode == 0, "another one is served")
        chat(daemon.connect())
    finally:
        for client in clients:
            client.socket.close()


def test_many_at_once(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    command = [daemons.control_program(), "-s", daemon.control, "--json", "info"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(50)]
    for process in started:
        out, _ = process.communicate(timeout=20)
        assert json.loads(out)["pid"] == daemon.pid


def test_without_descriptors_clients_wait(weft, backend):
    """There is none left to accept with: weftctl waits, and is answered once there is one."""
    daemon = weft.proxy(backend(echo).address)
    in_use = len(daemon.descriptors())
    daemon.set_descriptor_limit(in_use)
    command = [daemons.control_program(), "-s", daemon.control, "--json", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        daemon.set_descriptor_limit(in_use + 100)
        out, _ = waiting.communicate(timeout=20)
    assert json.loads(out)["pid"] == daemon.pid
