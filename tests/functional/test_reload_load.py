"""Reloads by the hundred, with connections that come, go and stay meanwhile."""

import itertools
import statistics
import threading

import net
import procfs
from backends import EchoLoop, greeter
from reloading import changing, reload
from scale import SMALL, scaled
from waiting import Stopwatch

MIB = 1 << 20


def chat(client, word=b"hello"):
    client.sendall(word)
    assert net.read_exactly(client, len(word)) == word


class Clients(threading.Thread):
    """Connects, exchanges a word and closes, over and over; nothing of it may fail."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.count = 0
        self.failure = None
        self._stop_wanted = threading.Event()
        self.start()

    def run(self):
        try:
            while not self._stop_wanted.is_set():
                with net.open_client(self.address) as client:
                    chat(client)
                    client.shutdown(net.socket.SHUT_WR)
                    net.expect_fin(client)
                self.count += 1
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e

    def stop(self):
        self._stop_wanted.set()
        self.join()


def changes(address, servers):
    """Yields functions that each change something in a configuration."""
    extra, more = address(), address("unix")
    for turn in itertools.count():
        yield lambda c, n=turn: c["listeners"]["front"].update(idle_timeout=f"{n + 60}s")
        yield lambda c: c["listeners"].update(extra={"bind": [extra, more], "pool": "back"})
        yield lambda c, n=turn: c["pools"]["back"].update(servers=servers[: 1 + n % 2])
        yield lambda c: c["listeners"].pop("extra")
        yield lambda c, n=turn: c["weft"].update(max_connections=5000 + n)


def test_many_reloads_under_load(weft, backend, address, capsys):
    """No connection to an unchanged address fails, none that lives breaks, and nothing piles up."""
    servers = [backend(kind=EchoLoop).address for _ in range(2)]
    daemon = weft.proxy(*servers, process={"workers": 2})
    held = [daemon.connect() for _ in range(scaled(1000, 100))]
    for client in held:
        chat(client)
    loads = [Clients(daemon.address) for _ in range(2)]
    times, descriptors, memory = [], [], []
    for turn, change in zip(range(scaled(1000, 60)), changes(address, servers)):
        watch = Stopwatch()
        with changing(daemon) as config:
            change(config)
        times.append(watch.seconds)
        chat(held[turn % len(held)])
        assert not any(load.failure for load in loads), [load.failure for load in loads]
        if turn % 100 == 99:
            descriptors.append(len(procfs.descriptors(daemon.pid)))
            memory.append(daemon.resident())
    for load in loads:
        load.stop()
        assert load.failure is None
        assert load.count > len(times) / 20
    for client in held:
        chat(client)
    with capsys.disabled():
        print(
            f"\n{len(times)} reloads with {len(held)} live connections: median "
            f"{1e3 * statistics.median(times):.1f} ms, longest {1e3 * max(times):.1f} ms to the "
            f"verdict in the log; {sum(load.count for load in loads)} connections meanwhile"
        )
    assert statistics.median(times) < 1
    if not SMALL:
        assert max(descriptors) - min(descriptors) <= 8, descriptors
        assert memory[-1] <= memory[0] * 1.02 + MIB, memory


def test_descriptors_stay_flat(weft, backend, address):
    """Two hundred times a listener more, a listener less; nobody is connected."""
    daemon = weft.proxy(backend(greeter("x")).address, process={"workers": 2})
    extra = {"bind": [address("v4"), address("v6"), address("unix")], "pool": "back"}
    plain = dict(daemon.config)
    more = {**plain, "listeners": {**plain["listeners"], "extra": extra}}

    def counts():
        return len(daemon.descriptors()), len(procfs.descriptors(daemon.pid))

    def settled():
        """What is dropped is closed a moment after the verdict."""
        best = counts()
        watch = Stopwatch()
        while watch.seconds < 10 and best != resting:
            best = min(best, counts())
        return best

    reload(daemon, more)
    reload(daemon, plain)
    resting = None
    resting = settled()
    watch = Stopwatch()
    while watch.seconds < 1:
        resting = min(resting, counts())
    for _ in range(scaled(100, 10)):
        reload(daemon, more)
        for bind in extra["bind"]:
            with daemon.connect(bind) as client:
                assert net.read_all(client) == b"x"
        reload(daemon, plain)
    daemon.expect_at_rest()
    assert settled() == resting
