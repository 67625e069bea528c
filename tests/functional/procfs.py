"""What the kernel knows of a process: descriptors, memory, threads, sockets."""

import ctypes
import os
import re
import socket

_TCP_LISTEN = 0x0A
_UNIX_ACCEPTS = 0x10000
_SYS_PIDFD_GETFD = 438  # the same on every architecture


def descriptors(pid):
    """Return {descriptor: what it is open on}; a process that is gone has none."""
    found = {}
    base = f"/proc/{pid}/fd"
    try:
        names = os.listdir(base)
    except (FileNotFoundError, ProcessLookupError):
        return found
    for name in names:
        try:
            found[int(name)] = os.readlink(f"{base}/{name}")
        except FileNotFoundError:
            continue  # closed while we looked
    return found


def polled(pid):
    """How many descriptors are in the process's epoll sets."""
    count = 0
    for fd, target in descriptors(pid).items():
        if target != "anon_inode:[eventpoll]":
            continue
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                count += sum(line.startswith("tfd:") for line in f)
        except FileNotFoundError:
            continue
    return count


def socket_inodes(pid):
    """The inode numbers of the process's sockets."""
    pattern = re.compile(r"socket:\[(\d+)\]")
    matches = (pattern.fullmatch(target) for target in descriptors(pid).values())
    return {int(m.group(1)) for m in matches if m}


def _tcp_listeners(path):
    """Yield (inode, port) of each listening socket of a family."""
    try:
        with open(path, encoding="ascii") as f:
            next(f)
            for line in f:
                fields = line.split()
                if int(fields[3], 16) == _TCP_LISTEN:
                    yield int(fields[9]), int(fields[1].rsplit(":", 1)[1], 16)
    except FileNotFoundError:
        return  # no IPv6 in this kernel


def _unix_listeners():
    """Yield (inode, name) of each listening UNIX socket."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        next(f)
        for line in f:
            fields = line.rstrip("\n").split(None, 7)
            if len(fields) == 8 and int(fields[3], 16) & _UNIX_ACCEPTS:
                yield int(fields[6]), fields[7]


def _listeners():
    """Yield (inode, port or UNIX name) of every listening socket there is."""
    yield from _tcp_listeners("/proc/net/tcp")
    yield from _tcp_listeners("/proc/net/tcp6")
    yield from _unix_listeners()


def listening(pid):
    """The ports and UNIX names the process listens on, one entry a socket."""
    mine = socket_inodes(pid)
    return [where for inode, where in _listeners() if inode in mine]


def listening_inodes(pid):
    """The inode numbers of the sockets the process listens on."""
    return socket_inodes(pid) & {inode for inode, _ in _listeners()}


def inodes_at(pid, wanted):
    """The inodes of the process's sockets that listen on a port or UNIX name."""
    mine = socket_inodes(pid)
    names = (wanted, wanted.replace("\0", "@", 1)) if isinstance(wanted, str) else (wanted,)
    return [inode for inode, where in _listeners() if inode in mine and where in names]


def status(pid, thread=None):
    """/proc/PID/status, or a thread's, as a dictionary."""
    path = f"/proc/{pid}/task/{thread}/status" if thread else f"/proc/{pid}/status"
    with open(path, encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def resident(pid):
    """Resident anonymous memory [bytes]."""
    return int(status(pid)["RssAnon"].split()[0]) * 1024


def children(pid):
    """The processes that a process has started and that live."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = _stat(name)
            except (FileNotFoundError, ProcessLookupError):
                continue  # gone while we looked
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(name))
    return found


def alive(pid):
    """Whether a process is there, and not only for its parent to look at."""
    try:
        return _stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def started(pid):
    """When a process was started, in clock ticks and then by its number; of one that is gone: never."""
    try:
        return int(_stat(pid)[19]), pid
    except (FileNotFoundError, ProcessLookupError):
        return 0, pid


def _stat(pid):
    """The fields of /proc/PID/stat from the third, the state, on."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()


def threads(pid):
    """The thread ids of a process."""
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def cpu_seconds(pid):
    """User and system time used so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class DaemonSocket:
    """A duplicate of one of the daemon's sockets, to ask it for its options."""

    def __init__(self, s):
        self.socket = s
        self.listens = bool(s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def option(self, level, name):
        return self.socket.getsockopt(level, name)


def duplicate_sockets(pid):
    """Duplicate the sockets of another process; the caller closes them with `close_all`.

    While a duplicate is open, a close in the daemon sends no FIN.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(pid)
    found = []
    try:
        for number, target in descriptors(pid).items():
            if not target.startswith("socket:"):
                continue
            fd = libc.syscall(_SYS_PIDFD_GETFD, handle, number, 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            found.append(DaemonSocket(socket.socket(fileno=fd)))
    finally:
        os.close(handle)
    return found


def close_all(sockets):
    for s in sockets:
        s.socket.close()
