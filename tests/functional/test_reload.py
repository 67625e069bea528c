"""A reload: all of a new configuration or nothing of it, and no connection the worse for it."""

import os
import signal
import socket
import threading

import pytest
import yaml

import net
import procfs
from backends import echo
from scale import scaled
from waiting import until


def rewrite(daemon, change):
    """Change the daemon's configuration file: a function of the dictionary, or text."""
    if callable(change):
        change(daemon.config)
        text = yaml.safe_dump(daemon.config, sort_keys=False)
    else:
        text = change
    path = os.path.join(daemon.directory, "weft.yaml")
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)


def verdicts(daemon):
    return daemon.log().count("reload accepted"), daemon.log().count("reload rejected")


def reload(daemon, change=None):
    """Reload and wait for the verdict: True when it was accepted."""
    if change is not None:
        rewrite(daemon, change)
    before = verdicts(daemon)
    daemon.signal(signal.SIGHUP)
    until(lambda: verdicts(daemon) != before, "there is a verdict")
    return verdicts(daemon)[0] > before[0]


def chat(client, word=b"hello"):
    client.sendall(word)
    assert net.read_exactly(client, len(word)) == word


@pytest.fixture
def front(weft, backend):
    """A daemon with one listener and one echoing server."""
    return weft.proxy(backend(echo).address)


def test_a_connection_lives_through_reloads(front):
    client = front.connect()
    worker = front.worker
    for _ in range(5):
        chat(client)
        assert reload(front, lambda c: c["listeners"]["front"].update(idle_timeout="7m"))
    chat(client)
    assert front.worker == worker, "the process was replaced"
    client.close()
    assert front.record()["generation"] == 1


def test_new_connections_are_of_the_new_generation(front):
    assert reload(front)
    client = front.connect()
    chat(client)
    client.close()
    assert front.record()["generation"] == 2


@pytest.mark.parametrize("kind", ["v4", "unix"])
def test_a_listener_comes_and_goes(front, address, kind):
    new = address(kind)
    assert reload(front, lambda c: c["listeners"].update(more={"bind": new, "pool": "back"}))
    client = front.connect(new)
    chat(client)
    assert reload(front, lambda c: c["listeners"].pop("more"))
    until(lambda: not _accepts(new), "nobody listens there any more")
    chat(client)
    chat(front.connect())
    assert reload(front, lambda c: c["listeners"].update(more={"bind": new, "pool": "back"}))
    chat(front.connect(new))


def _accepts(address):
    try:
        net.open_client(address).close()
        return True
    except OSError:
        return False


def test_servers_change(front, backend):
    other = backend(echo)
    client = front.connect()
    chat(client)
    assert reload(front, lambda c: c["pools"]["back"].update(servers=[other.address]))
    fresh = front.connect()
    chat(fresh)
    chat(client)
    fresh.close()
    assert front.record()["server"] == other.address


BAD = {
    "YAML": "listeners: [",
    "key": lambda c: c["listeners"]["front"].update(idle_timout="1m"),
    "pool": lambda c: c["listeners"]["front"].update(pool="bakc"),
    "user": lambda c: c["weft"].update(user="no-such-user"),
    "log": lambda c: c["log"].update(error={"output": "/nowhere/error.log"}),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_changes_nothing(front, what):
    good = yaml.safe_dump(front.config)
    client = front.connect()
    descriptors = None
    for _ in range(3):
        assert not reload(front, BAD[what])
        front.config = yaml.safe_load(good)
        chat(client)
        chat(front.connect())
        front.hang_up()
        front.clients.clear()
        client = front.connect()
        chat(client)
        now = len(procfs.descriptors(front.worker))
        assert descriptors in (None, now)
        descriptors = now
    assert reload(front, good)


def test_a_port_that_is_taken_changes_nothing(front, address):
    taken, free = address(), address()
    with socket.create_server(net.parse(taken)[1]):
        def change(c):
            c["listeners"]["front"]["bind"] = [front.address, free, taken]
        first = front.address
        assert not reload(front, change)
        assert taken in front.log()
        until(lambda: not _accepts(free), "the free one was given back")
        chat(front.connect(first))
    assert reload(front)
    chat(front.connect(free))
    chat(front.connect(taken))


def test_a_file_that_is_missing_changes_nothing(front):
    path = os.path.join(front.directory, "weft.yaml")
    os.rename(path, path + ".away")
    assert not reload(front)
    assert f"{path}: error: No such file or directory" in front.log()
    chat(front.connect())
    os.rename(path + ".away", path)
    assert reload(front)


def test_more_workers_and_fewer_come_through_a_new_process(front):
    client = front.connect()
    chat(client)
    old = front.worker
    for workers in (3, 1, 2):
        rewrite(front, lambda c, n=workers: c["weft"].update(workers=n))
        front.signal(signal.SIGHUP)
        until(lambda: front.worker != old, "another process serves")
        until(lambda: front.log().count("has taken over"), "it has said so")
        old = front.worker
        chat(front.connect())
        chat(client)


def test_a_storm_of_signals(front):
    for _ in range(200):
        front.signal(signal.SIGHUP)
    chat(front.connect())
    until(lambda: verdicts(front)[0] > 0, "a verdict")
    assert reload(front, lambda c: c["listeners"]["front"].update(idle_timeout="9m"))
    chat(front.connect())


def test_stop_during_a_reload(front):
    front.signal(signal.SIGHUP)
    front.signal(signal.SIGTERM)
    assert front.wait() == 0


CHANGES = [
    lambda c, n: c["listeners"]["front"].update(idle_timeout=f"{n + 60}s"),
    lambda c, n: c["pools"]["back"].update(connect_timeout=f"{n + 1}ms"),
    lambda c, n: c["listeners"].update(extra={"bind": c["extra"], "pool": "back"}),
    lambda c, n: c["listeners"].pop("extra", None),
    lambda c, n: c["pools"]["back"].update(servers=c["servers"][:1 + n % 2]),
]


def test_many_reloads_under_load(weft, backend, address):
    """Not one connection fails or is reset, none is lost, and nothing piles up."""
    servers = [backend(echo).address, backend(echo).address]
    daemon = weft.proxy(*servers, process={"workers": 2})
    held = [daemon.connect() for _ in range(20)]
    stop, failures, done = threading.Event(), [], []

    def clients():
        while not stop.is_set() and not failures:
            try:
                with net.open_client(daemon.address) as s:
                    chat(s)
                    done.append(1)
            except OSError as e:
                failures.append(e)

    threads = [threading.Thread(target=clients) for _ in range(2)]
    for t in threads:
        t.start()
    world = {**daemon.config, "extra": address(), "servers": servers}
    count, sizes = scaled(1000, 50), []
    for n in range(count):
        CHANGES[n % len(CHANGES)](world, n)
        config = {k: v for k, v in world.items() if k not in ("extra", "servers")}
        assert not failures, failures
        assert reload(daemon, yaml.safe_dump(config, sort_keys=False))
        if n % 50 == 0:
            for s in held:
                chat(s)
            sizes.append(len(procfs.descriptors(daemon.pid)))
    stop.set()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    assert len(done) > count / 10
    for s in held:
        chat(s)
    assert max(sizes) - min(sizes) <= 4, sizes
