"""Endless byte streams that can be asked for at any offset, and the check that one has arrived.

A receiver compares what it reads with the stream itself, which is as strict as comparing hashes,
faster, and tells the offset of the first wrong byte.

      period 0                period 1                period 2
      |stamp|base rotated.....|stamp|base rotated.....|stamp|...

The period is a prime number of bytes, so that no two buffers' or pages' worth of data that change
places go unnoticed; the stamp holds the stream's seed and the period's number.
"""

import random
import struct

PERIOD = 1048573  # [bytes] the largest prime below 1 MiB
STAMP = struct.Struct("<QQ")
_BASE = random.Random("weft").randbytes(PERIOD) * 2


class Stream:
    """The bytes that one side sends; two streams of the same seed are the same."""

    def __init__(self, seed):
        self.seed = seed
        self.rotation = seed * 7919 % PERIOD

    def read(self, offset, count):
        """Return the `count` bytes at `offset`."""
        parts = []
        while count > 0:
            turn, at = divmod(offset, PERIOD)
            if at < STAMP.size:
                part = STAMP.pack(self.seed, turn)[at : at + count]
            else:
                begin = self.rotation + at
                part = _BASE[begin : begin + min(count, PERIOD - at)]
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Verifier:
    """Takes what arrives, in order, and fails at the first byte that is not the stream's."""

    def __init__(self, stream):
        self.stream = stream
        self.offset = 0

    def feed(self, data):
        if data != self.stream.read(self.offset, len(data)):
            raise AssertionError(self._difference(data))
        self.offset += len(data)

    def _difference(self, data):
        want = self.stream.read(self.offset, len(data))
        at = next(i for i, (a, b) in enumerate(zip(data, want)) if a != b)
        return (
            f"stream {self.stream.seed}: byte {self.offset + at} is wrong: "
            f"{data[at:at + 16].hex()} came, {want[at:at + 16].hex()} was sent"
        )

    def expect_end(self, total):
        """The stream is over: it must have had `total` bytes."""
        came = f"stream {self.stream.seed}: {self.offset} of {total} bytes came"
        assert self.offset == total, came
