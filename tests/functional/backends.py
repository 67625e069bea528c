"""Servers for weft to connect to.

A test that looks at how a connection opens and ends takes a bare Backend and plays the server
itself, with the socket `accept()` returns. One that needs a server to talk to gives a handler:

      Backend()                  the test accepts and plays the server
      Backend(echo)              a thread a connection runs echo(socket)
      EchoLoop()                 one thread echoes thousands of connections
      Refusing()                 an address that refuses
      Silent()                   an address where connecting never ends
"""

import select
import socket
import threading
import time

import net
from streams import Stream, Verifier
from waiting import PATIENCE


def echo(s):
    """Send everything back, then the FIN."""
    while data := s.recv(net.CHUNK):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)


def sink(s):
    """Read to the end, answer nothing."""
    while s.recv(net.CHUNK):
        pass


def hold(s):
    """Read nothing, say nothing; the connection stays open until the backend closes."""


def greeter(word):
    """A server that says `word` and closes."""

    def handler(s):
        s.sendall(word.encode())
        s.shutdown(socket.SHUT_WR)
        while s.recv(net.CHUNK):
            pass

    return handler


def source(seed, total):
    """A server that sends `total` bytes of a stream, whatever the client does, then the FIN."""

    def handler(s):
        send_stream(s, Stream(seed), total)
        s.shutdown(socket.SHUT_WR)
        while s.recv(net.CHUNK):
            pass

    return handler


def answer_after_end(seed, total):
    """A server that answers only after the client's FIN: `total` bytes of a stream."""

    def handler(s):
        while s.recv(net.CHUNK):
            pass
        send_stream(s, Stream(seed), total)
        s.shutdown(socket.SHUT_WR)

    return handler


def resetting(s):
    """A server that takes the connection and throws it away at once."""
    net.reset(s)


def send_stream(s, stream, total, rng=None):
    """Send the first `total` bytes of a stream; with `rng`, in random pieces with random pauses."""
    offset = 0
    while offset < total:
        count = min(net.CHUNK, total - offset)
        if rng:
            count = min(count, 1 + int(rng.paretovariate(0.3)))
            if rng.random() < 0.02:
                time.sleep(rng.random() * 0.01)
        s.sendall(stream.read(offset, count))
        offset += count


def receive_stream(s, stream, rng=None):
    """Read to the FIN, checking each byte; returns how many came."""
    verifier = Verifier(stream)
    while data := s.recv(1 + int(rng.random() * net.CHUNK) if rng else net.CHUNK):
        verifier.feed(data)
        if rng and rng.random() < 0.02:
            time.sleep(rng.random() * 0.01)
    return verifier.offset


class Background(threading.Thread):
    """A thread whose failure is the test's: `result()` raises what it raised."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self._call = lambda: function(*arguments)
        self._value = None
        self._failure = None
        self.start()

    def run(self):
        try:
            self._value = self._call()
        except BaseException as e:  # pylint: disable=broad-except
            self._failure = e

    def result(self, timeout=60.0):
        self.join(timeout)
        assert not self.is_alive(), f"still running after {timeout:g} s"
        if self._failure:
            raise self._failure
        return self._value


class Backend:
    """A listening socket, and the connections it took."""

    def __init__(self, handler=None, address="127.0.0.1:0", backlog=1024, receive_buffer=None):
        self.listener = net.open_listener(address, backlog)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.address = net.local(self.listener)
        self.connections = []
        self._threads = []
        self._handler = handler
        self._closing = False
        if handler:
            self.listener.settimeout(None)
            self._threads.append(Background(self._serve))

    @property
    def accepted(self):
        """Connections taken so far."""
        return len(self.connections)

    def accept(self, timeout=PATIENCE):
        """Take the next connection."""
        assert not self._handler, "the handler's thread accepts"
        self.listener.settimeout(timeout)
        s, _ = self.listener.accept()
        s.settimeout(PATIENCE)
        self.connections.append(s)
        return s

    def expect_none(self, seconds):
        """Nobody connects for that long."""
        readable, _, _ = select.select([self.listener], [], [], seconds)
        assert not readable, "a connection came where none should have"

    def _serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.settimeout(PATIENCE)
            self.connections.append(s)
            self._threads.append(Background(self._handle, s))

    def _handle(self, s):
        try:
            self._handler(s)
        except OSError:
            net.reset(s)  # how the client's side ended is for the test to judge
        except ValueError:
            pass  # closed under us
        if self._handler is not hold:
            s.close()

    def close(self):
        """Refuse from now on, and reset what is open."""
        self._closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        except OSError:
            pass
        self.listener.close()
        for s in self.connections:
            try:
                s.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
            except OSError:
                pass
            net.reset(s)


class EchoLoop:
    """An echo server of one thread for thousands of connections."""

    def __init__(self, address="127.0.0.1:0"):
        self.listener = net.open_listener(address, backlog=4096)
        self.listener.setblocking(False)
        self.address = net.local(self.listener)
        self.accepted = 0
        self._poll = select.epoll()
        self._poll.register(self.listener, select.EPOLLIN)
        self._wake, wake = socket.socketpair()
        self._poll.register(wake, select.EPOLLIN)
        self._wake_end = wake
        self._connections = {}
        self._thread = Background(self._run)

    def _run(self):
        while True:
            for fd, events in self._poll.poll():
                if fd == self._wake_end.fileno():
                    return
                if fd == self.listener.fileno():
                    self._accept()
                else:
                    self._connections[fd].turn(events)

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.accepted += 1
            s.setblocking(False)
            self._connections[s.fileno()] = _EchoConnection(self, s)
            self._poll.register(s, select.EPOLLIN)

    def watch(self, s, events):
        self._poll.modify(s, events)

    def forget(self, s):
        del self._connections[s.fileno()]
        self._poll.unregister(s)
        s.close()

    def close(self):
        self._wake.send(b"x")
        self._thread.result()
        for connection in self._connections.values():
            net.reset(connection.socket)
        for s in (self.listener, self._wake, self._wake_end, self._poll):
            s.close()


class _EchoConnection:
    """One connection of an EchoLoop; what can't be sent at once waits, and nothing is read then."""

    def __init__(self, loop, s):
        self.loop = loop
        self.socket = s
        self.waiting = b""

    def turn(self, events):
        try:
            if events & select.EPOLLOUT:
                self._send(self.waiting)
            else:
                self._receive()
        except BlockingIOError:
            pass
        except OSError:
            self.loop.forget(self.socket)

    def _receive(self):
        data = self.socket.recv(net.CHUNK)
        if data:
            self._send(data)
        else:
            self.loop.forget(self.socket)

    def _send(self, data):
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        self.waiting = data[sent:]
        self.loop.watch(self.socket, select.EPOLLOUT if self.waiting else select.EPOLLIN)


class Refusing:
    """An address that refuses: bound, so that nobody else gets it, but nobody listens."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = net.local(self._socket)

    def close(self):
        self._socket.close()


class Silent:
    """An address where connecting never ends: nobody accepts and the queue is full.

    A listening socket whose queue is full drops further SYNs (tcp_abort_on_overflow is off), just
    as a host does that is gone; a UNIX socket makes the caller wait.
    """

    def __init__(self, address="127.0.0.1:0"):
        self._listener = net.open_listener(address, backlog=0)
        self.address = net.local(self._listener)
        self._fillers = []
        family, where = net.parse(self.address)
        for _ in range(16):
            if not self._queue_one(family, where):
                return
        raise RuntimeError("the queue of a socket that nobody accepts from does not fill up")

    def _queue_one(self, family, where):
        """Add a connection to the queue; false once it takes no more."""
        s = socket.socket(family, socket.SOCK_STREAM)
        self._fillers.append(s)
        s.settimeout(0.3)
        try:
            s.connect(where)
            return True
        except (socket.timeout, BlockingIOError):
            return False

    def close(self):
        for s in self._fillers:
            s.close()
        self._listener.close()
