"""Thousands of clients at once, driven by one thread.

Each connection has a plan: how many bytes it sends, in pieces of random size with random pauses;
what comes back must be the same bytes. After its last byte it shuts down writing, then waits for
the FIN.
"""

import heapq
import select
import socket
import time

import net
from streams import Stream, Verifier
from waiting import PATIENCE

PIECE = 64 * 1024  # [bytes] the largest write


class _Client:
    def __init__(self, number, s, total, rng):
        self.socket = s
        self.stream = Stream(number)
        self.verifier = Verifier(self.stream)
        self.total = total
        self.sent = 0
        self.rng = rng
        self.wakes = 0.0  # [monotonic s] when it wants to write again

    @property
    def wants_to_send(self):
        return self.sent < self.total

    def send(self):
        """Send one random piece; shut down after the last."""
        count = min(self.total - self.sent, 1 + int(self.rng.random() ** 3 * PIECE))
        self.sent += self.socket.send(self.stream.read(self.sent, count))
        if not self.wants_to_send:
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        """Read what is there; true when it was the FIN."""
        data = self.socket.recv(net.CHUNK)
        self.verifier.feed(data)
        if not data:
            self.verifier.expect_end(self.total)
        return not data


class Swarm:
    """`count` connections to `address` that each echo a random number of bytes up to `most`."""

    def __init__(self, address, count, most, rng, pause=0.02):
        self.rng = rng
        self.pause = pause
        self.bytes = 0
        self._poll = select.epoll()
        self._sleepers = []
        self._clients = {}
        for number in range(count):
            self._add(number, address, max(1, int(rng.random() ** 2 * most)))

    def _add(self, number, address, total):
        s = net.open_client(address)
        s.setblocking(False)
        client = _Client(number, s, total, self.rng)
        self.bytes += total
        self._clients[s.fileno()] = client
        self._poll.register(s, select.EPOLLIN | select.EPOLLOUT)

    def run(self, timeout=90.0):
        """Echo everything; fails at the first wrong byte, or when nothing happens any more."""
        deadline = time.monotonic() + timeout
        try:
            while self._clients:
                now = time.monotonic()
                assert now < deadline, f"{len(self._clients)} connections not done in {timeout:g} s"
                self._wake(now)
                next_wake = self._sleepers[0][0] - now if self._sleepers else PATIENCE
                for fd, events in self._poll.poll(max(0.001, next_wake)):
                    self._turn(self._clients[fd], events)
        finally:
            self._close()

    def _turn(self, client, events):
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            if client.receive():
                self._drop(client)
                return
        if events & select.EPOLLOUT and client.wants_to_send:
            client.send()
            self._rest(client)

    def _rest(self, client):
        """Write no more for a random while; for ever, after the last byte."""
        self._poll.modify(client.socket, select.EPOLLIN)
        if client.wants_to_send:
            wake = time.monotonic() + self.rng.random() * self.pause
            heapq.heappush(self._sleepers, (wake, client.socket.fileno()))

    def _wake(self, now):
        while self._sleepers and self._sleepers[0][0] <= now:
            _, fd = heapq.heappop(self._sleepers)
            self._poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def _drop(self, client):
        del self._clients[client.socket.fileno()]
        self._poll.unregister(client.socket)
        client.socket.close()

    def _close(self):
        for client in self._clients.values():
            net.reset(client.socket)
        self._poll.close()
