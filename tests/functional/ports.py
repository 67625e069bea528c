"""Ports that nobody uses.

They are taken from below the range of ephemeral ports, so that an outgoing connection of another
test can't get one between the moment it is chosen and the moment the daemon binds it.
"""

import random
import socket

_LOWEST = 10240


def _ephemeral_start():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        return int(f.read().split()[0])


_candidates = list(range(_LOWEST, max(_ephemeral_start(), _LOWEST + 4096)))
random.SystemRandom().shuffle(_candidates)


def _is_free(port):
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as s:
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((any_address, port))
        except OSError as e:
            if family == socket.AF_INET6 and not ipv6_available():
                continue
            if e.errno is None:
                raise
            return False
    return True


def free_port():
    """Return a port that is free in both families; never the same one twice."""
    while _candidates:
        port = _candidates.pop()
        if _is_free(port):
            return port
    raise RuntimeError("no free port left")


def ipv6_available():
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False
