"""Sockets by weft's addresses, and what their ends look like from outside."""

import errno
import fcntl
import os
import select
import socket
import stat
import struct
import termios
import time

from waiting import PATIENCE

CHUNK = 256 * 1024  # [bytes] of a read or write in bulk


def parse(address):
    """Split an address as weft writes it into (family, what the socket calls take)."""
    if address.startswith("unix:@"):
        return socket.AF_UNIX, "\0" + address[len("unix:@") :]
    if address.startswith("unix:"):
        return socket.AF_UNIX, address[len("unix:") :]
    host, port = address.rsplit(":", 1)
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host or "127.0.0.1", int(port))


def render(family, name):
    """The address of getsockname or getpeername as weft writes it."""
    if family == socket.AF_UNIX:
        if isinstance(name, bytes):
            name = name.decode()
        return "unix:@" + name[1:] if name.startswith("\0") else "unix:" + name
    if family == socket.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    return f"{name[0]}:{name[1]}"


def open_client(address, timeout=PATIENCE, receive_buffer=None, source=None):
    """Connect to an address, from `source` if given; every call on the socket has a deadline."""
    family, where = parse(address)
    s = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(timeout)
    try:
        if source:
            s.bind((source, 0))
        s.connect(where)
    except BaseException:
        s.close()
        raise
    return s


def open_listener(address="127.0.0.1:0", backlog=1024):
    family, where = parse(address)
    s = socket.socket(family, socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif isinstance(where, str) and not where.startswith("\0") and os.path.exists(where):
        assert stat.S_ISSOCK(os.stat(where).st_mode)
        os.unlink(where)
    s.bind(where)
    s.listen(backlog)
    return s


def local(s):
    return render(s.family, s.getsockname())


def peer(s):
    return render(s.family, s.getpeername())


def unsent(s):
    """How many bytes of what was written the peer's kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]


def reset(s):
    """Close so that the peer sees an RST. Another thread may close it meanwhile."""
    if s.fileno() < 0:
        return
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError as e:
        if e.errno != errno.EBADF:
            raise
    s.close()


def read_exactly(s, count):
    data = bytearray()
    while len(data) < count:
        part = s.recv(min(CHUNK, count - len(data)))
        assert part, f"the stream ended after {len(data)} of {count} bytes"
        data += part
    return bytes(data)


def read_all(s):
    """Read until the FIN."""
    parts = []
    while part := s.recv(CHUNK):
        parts.append(part)
    return b"".join(parts)


def expect_fin(s):
    """The peer's next and last word is a FIN."""
    data = s.recv(CHUNK)
    assert data == b"", f"{len(data)} bytes came where a FIN should have"


def expect_reset(s, discard=False):
    """The peer's next word is an RST; `discard`: data may come first."""
    while True:
        try:
            data = s.recv(CHUNK)
        except (ConnectionResetError, BrokenPipeError):
            return
        assert data or not discard, "a FIN came where an RST should have"
        assert discard, f"{'data' if data else 'a FIN'} came where an RST should have"


def expect_end(s):
    """The connection ends, by FIN or RST, with no more data; returns which: 'fin' or 'reset'."""
    try:
        expect_fin(s)
        return "fin"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"


def expect_write_failure(s, timeout=PATIENCE):
    """Writing on fails before long, because the other end is gone."""
    deadline = time.monotonic() + timeout
    block = bytes(CHUNK)
    while time.monotonic() < deadline:
        try:
            s.send(block)
        except (ConnectionResetError, BrokenPipeError):
            return
    raise AssertionError("writing to a connection whose other end is gone keeps working")


def expect_silence(s, seconds):
    """Nothing comes, neither data nor an end, for that long."""
    readable, _, _ = select.select([s], [], [], seconds)
    if readable:
        try:
            data = s.recv(CHUNK, socket.MSG_PEEK)
            what = f"{len(data)} bytes" if data else "a FIN"
        except OSError as e:
            what = errno.errorcode.get(e.errno, str(e))
        raise AssertionError(f"{what} came where silence should have")


def fill(s, quiet=1.0):
    """Write until nobody takes any more for `quiet` seconds; returns the bytes written."""
    old = s.gettimeout()
    s.settimeout(quiet)
    block, total = bytes(CHUNK), 0
    try:
        while True:
            total += s.send(block)
    except (socket.timeout, BlockingIOError):
        return total
    finally:
        s.settimeout(old)
