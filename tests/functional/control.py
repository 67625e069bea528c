"""The control socket from outside, byte by byte: what weftctl does, and what it never would."""

import json
import socket
import struct

import net
from waiting import PATIENCE

PROTOCOL = 1


def frame(body):
    """A frame with any bytes for a body; a dictionary stands for its JSON."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return struct.pack(">I", len(body)) + body


def request(command, protocol=PROTOCOL, **arguments):
    return frame({"protocol": protocol, "command": command, "arguments": arguments})


class Client:
    """A connection to a control socket."""

    def __init__(self, path, receive_buffer=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(path)
        self.socket.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_with(self, data, fd):
        """Send with a copy of a descriptor."""
        socket.send_fds(self.socket, [data], [fd])

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, f"the connection ended after {data!r}"
            data += part
        return data

    def frame(self):
        """The next frame of a reply."""
        return json.loads(self._read(struct.unpack(">I", self._read(4))[0]))

    def ask(self, command):
        """Ask and wait for all of the answer; returns its rows."""
        self.send(request(command))
        return self.rows()

    def rows(self):
        """The rows of an answer that is done."""
        rows = []
        while True:
            got = self.frame()
            rows += got.get("rows", [])
            assert "error" not in got, got
            if "done" in got:
                return rows

    def error(self):
        """The next frame is an error; returns what it says."""
        return self.frame()["error"]

    def expect_end(self):
        """Nothing more comes."""
        try:
            assert self.socket.recv(1) == b""
        except ConnectionResetError:
            pass  # what we sent last was never read


def chat(client, data=b"hello"):
    client.sendall(data)
    assert net.read_exactly(client, len(data)) == data


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]
