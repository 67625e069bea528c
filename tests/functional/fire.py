"""Clients that come and go while something happens to the daemon, and how each of them fared."""

import collections
import errno
import socket
import threading
import time

import net
from backends import Background

WORD = b"hello"
PAUSE = 0.002  # [s] between two connections of one client: others want the CPU too


class Fire:
    """`clients` threads that connect, have a word echoed and leave, again and again.

    `served`, `refused`, `reset` and `silent` count connections by how they ended; `silent` are
    those that nobody served in time.
    """

    def __init__(self, address, clients=4):
        self.counts = collections.Counter()
        self._address = address
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [Background(self._shoot) for _ in range(clients)]

    def __getattr__(self, name):
        if name in ("served", "refused", "reset", "silent"):
            return self.counts[name]
        raise AttributeError(name)

    def _shoot(self):
        while not self._over.is_set():
            outcome = self._exchange()
            with self._lock:
                self.counts[outcome] += 1
            time.sleep(PAUSE)

    def _exchange(self):
        try:
            with net.open_client(self._address) as client:
                client.sendall(WORD)
                client.shutdown(socket.SHUT_WR)
                return "served" if net.read_all(client) == WORD else "reset"
        except ConnectionRefusedError:
            return "refused"
        except socket.timeout:
            return "silent"
        except OSError as e:
            if e.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise
            return "reset"

    def stop(self):
        """Wait until every client has left; returns the counts."""
        self._over.set()
        for thread in self._threads:
            thread.result()
        return self.counts

    def expect_all_served(self):
        counts = self.stop()
        assert set(counts) == {"served"}, dict(counts)
