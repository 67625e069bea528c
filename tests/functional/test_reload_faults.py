"""What can't be applied changes nothing, at whatever stage it fails."""

import copy
import os
import random
import signal
import socket
import time

import pytest

import net
import procfs
from backends import echo, greeter
from reloading import changing, hang_up, rejected, verdicts, write
from waiting import until


def chat(client):
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"


@pytest.fixture
def front(weft, backend):
    """A daemon with one listener and one echoing server, and a live connection."""
    daemon = weft.proxy(backend(echo).address, process={"workers": 2})
    client = daemon.connect()
    chat(client)
    return daemon, client


def changed(daemon, change):
    config = copy.deepcopy(daemon.config)
    change(config)
    return config


def accepts(address):
    try:
        net.open_client(address).close()
        return True
    except OSError:
        return False


BAD = {
    "YAML": (lambda c: None, "listeners: ["),
    "an unknown key": (lambda c: c["listeners"]["front"].update(idle_timout="1m"), None),
    "an unknown pool": (lambda c: c["listeners"]["front"].update(pool="bakc"), None),
    "an unknown user": (lambda c: c["weft"].update(user="no-such-user"), None),
    "an unknown host": (lambda c: c["pools"]["back"].update(servers=["no.such.invalid:1"]), None),
    "no listener": (lambda c: c["listeners"].clear(), None),
    "a log's directory": (lambda c: c["log"].update(error={"output": "/nowhere/error.log"}), None),
    "an address of others": (lambda c: c["listeners"]["front"].update(bind="192.0.2.1:80"), None),
    "a path of others": (lambda c: c["listeners"]["front"].update(bind="unix:/nowhere/s"), None),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_changes_nothing(front, what):
    daemon, client = front
    change, text = BAD[what]
    good = copy.deepcopy(daemon.config)
    resting = None
    for _ in range(3):
        said = rejected(daemon, text or changed(daemon, change))
        assert "generation 1 stays" in said
        assert "error:" in said
        chat(client)
        with daemon.connect() as other:
            chat(other)
        until(lambda: daemon.open_connections() == 2, "only the live connection is left")
        now = len(daemon.descriptors())
        assert resting in (None, now)
        resting = now
    write(daemon, good)
    assert hang_up(daemon) == "reload accepted: generation 2: nothing changed"


def test_every_fault_is_a_line(front):
    daemon, _ = front

    def break_it(config):
        config["listeners"]["front"].update(idle_timout="1m", half_close_timeout="5")
        config["listeners"]["other"] = {"bind": "127.0.0.1:http", "pool": "bakc"}

    said = rejected(daemon, changed(daemon, break_it))
    faults = [line for line in said.splitlines() if f"{daemon.config_path}:" in line]
    assert len(faults) == 4
    assert "reload rejected: 4 faults, generation 1 stays" in said


def test_a_port_that_is_taken(front, address):
    """What was free and is opened for the reload is given back; nobody who connects is misled."""
    daemon, client = front
    first, taken, free = daemon.address, address(), address()
    config = changed(daemon, lambda c: c["listeners"]["front"].update(bind=[first, free, taken]))
    with socket.create_server(net.parse(taken)[1]):
        assert taken in rejected(daemon, config)
        until(lambda: not accepts(free), "the free one is given back")
        chat(client)
        chat(daemon.connect(first))
    assert "accepted" in hang_up(daemon)
    for bind in (first, free, taken):
        chat(daemon.connect(bind))


def test_a_dropped_address_that_another_has_taken(front, address):
    daemon, _ = front
    first, extra = daemon.address, address()
    with changing(daemon) as config:
        config["listeners"]["front"]["bind"] = [first, extra]
    with changing(daemon) as config:
        config["listeners"]["front"]["bind"] = first
    until(lambda: not accepts(extra), "it is given up")
    config = changed(daemon, lambda c: c["listeners"]["front"].update(bind=[first, extra]))
    with socket.create_server(net.parse(extra)[1]):
        assert extra in rejected(daemon, config)
        chat(daemon.connect(first))
    assert "accepted" in hang_up(daemon)
    chat(daemon.connect(extra))


def test_a_file_that_is_missing(front):
    daemon, client = front
    os.rename(daemon.config_path, f"{daemon.config_path}.away")
    assert f"{daemon.config_path}: error: No such file or directory" in rejected(daemon)
    chat(client)
    os.rename(f"{daemon.config_path}.away", daemon.config_path)
    assert "accepted" in hang_up(daemon)


def test_no_room_for_one_connection(weft, backend, address):
    """So many listeners that the descriptor limit leaves nothing."""
    daemon = weft.proxy(backend(greeter("x")).address, limit=150)
    binds = [daemon.address] + [address() for _ in range(140)]
    said = rejected(daemon, changed(daemon, lambda c: c["listeners"]["front"].update(bind=binds)))
    assert "the descriptor limit of 150 is too low" in said
    assert not accepts(binds[1])
    with daemon.connect() as client:
        assert net.read_all(client) == b"x"


# --- reloads that meet each other, and the end ---------------------------------------------------


def test_a_storm_of_signals(front):
    """Two hundred in a burst become a few reloads, one after the other."""
    daemon, client = front
    for turn in range(200):
        daemon.signal(signal.SIGHUP)
        if turn % 20 == 0:
            chat(client)
    until(lambda: verdicts(daemon), "a verdict")
    with changing(daemon) as config:
        config["listeners"]["front"]["idle_timeout"] = "9m"
    found = verdicts(daemon)
    assert all(line.startswith("reload accepted: generation") for line in found)
    assert found[-1].endswith("1 listener changed")
    chat(client)
    chat(daemon.connect())


def test_a_file_changed_meanwhile_is_read_again(front):
    """What is asked for during a reload is done after it, with the file as it is then."""
    daemon, _ = front
    for turn in range(20, 0, -1):
        write(
            daemon,
            changed(
                daemon,
                lambda c, n=turn: c["listeners"]["front"].update(idle_timeout=f"{300 * n}ms"),
            ),
        )
        daemon.signal(signal.SIGHUP)

    def last_one_is_in_effect():
        with daemon.connect() as client:
            chat(client)
            net.expect_fin(client)
            return any(r["duration"] < 0.55 for r in daemon.records_now())

    until(last_one_is_in_effect, "the last of the files is in effect")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("turn", range(8))
def test_stop_during_a_reload(front, number, turn):
    daemon, client = front
    write(daemon, changed(daemon, lambda c: c["listeners"]["front"].update(idle_timeout="9m")))
    client.close()
    daemon.signal(signal.SIGHUP)
    time.sleep(random.random() * 0.002 * turn)
    daemon.signal(number)
    assert daemon.wait() == 0


def test_stop_while_a_name_is_resolved(weft, backend):
    """The resolver may take its time, the stop does not wait for it."""
    server = backend(echo)
    daemon = weft.proxy(server.address)
    names = [f"n{i}.test.invalid:1" for i in range(50)]
    write(daemon, changed(daemon, lambda c: c["pools"]["back"].update(servers=names)))
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_the_worker_process_dies_during_a_reload(front):
    daemon, _ = front
    for _ in range(3):
        worker = daemon.worker
        daemon.signal(signal.SIGHUP)
        os.kill(worker, signal.SIGKILL)
        until(lambda: daemon.worker not in (worker, daemon.pid), "another one is started")
        until(lambda: procfs.listening(daemon.worker), "it listens")
        until(lambda: accepts(daemon.address), "it serves")
    assert "accepted" in hang_up(daemon)
    chat(daemon.connect())
