"""PROXY protocol headers, made and taken apart independently of weft."""

import ipaddress
import struct

import net

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v1(source, destination):
    family = "TCP6" if source.startswith("[") else "TCP4"
    (a, ap), (b, bp) = _split(source), _split(destination)
    return f"PROXY {family} {a} {b} {ap} {bp}\r\n".encode()


def v2(source=None, destination=None, tlvs=b"", command=1):
    body, family = b"", 0
    if source:
        (a, ap), (b, bp) = _split(source), _split(destination)
        a, b = ipaddress.ip_address(a), ipaddress.ip_address(b)
        family = 0x11 if a.version == 4 else 0x21
        body = a.packed + b.packed + struct.pack("!HH", ap, bp)
    body += tlvs
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_crc(header):
    """A v2 header with a CRC32C behind all other TLVs."""
    length = struct.unpack("!H", header[14:16])[0] + 7
    header = header[:14] + struct.pack("!H", length) + header[16:] + tlv(3, bytes(4))
    return header[:-4] + struct.pack("!I", crc32c(header))


def _split(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def read_line(s):
    """A v1 header, by its words."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += net.read_exactly(s, 1)
        assert len(line) <= 107
    return line.decode().split()


def read_v2(s):
    """A v2 header: command, family, source, destination, TLVs as a list of (type, value)."""
    fixed = net.read_exactly(s, 16)
    assert fixed.startswith(SIGNATURE)
    command, family, length = struct.unpack("!BBH", fixed[12:])
    body = net.read_exactly(s, length)
    size = {0x11: 4, 0x21: 16}.get(family, 0)
    source = destination = None
    if size:
        a, b = (ipaddress.ip_address(body[i * size : (i + 1) * size]) for i in (0, 1))
        ports = struct.unpack("!HH", body[2 * size : 2 * size + 4])
        source, destination = (
            f"{host if size == 4 else f'[{host}]'}:{port}" for host, port in zip((a, b), ports)
        )
    rest = body[{0x11: 12, 0x21: 36, 0x31: 216}.get(family, 0) :]
    tlvs = []
    while rest:
        kind, n = struct.unpack("!BH", rest[:3])
        tlvs.append((kind, rest[3 : 3 + n]))
        rest = rest[3 + n :]
    crc = [value for kind, value in tlvs if kind == 3]
    if crc:
        whole = (fixed + body).replace(crc[0], bytes(4))
        assert struct.pack("!I", crc32c(whole)) == crc[0], "the checksum is wrong"
    return command, family, source, destination, tlvs
