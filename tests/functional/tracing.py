"""Counting what the daemon does: its system calls by strace, its instructions by callgrind."""

import contextlib
import os
import platform
import re
import signal
import subprocess

import pytest

import daemon as daemons
import procfs
import programs
from waiting import PATIENCE, until

WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}
# Freezing the daemon interrupts its waits, and they begin again: that is not its own doing.
_INTERRUPTED = WAITS | {"futex"}
_BEGUN_AGAIN = "restart_syscall"
_LINE = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?([a-z]\w*)")


def _frozen(pid):
    return all(procfs.status(pid, t)["State"][0] in "tT" for t in procfs.threads(pid))


@contextlib.contextmanager
def frozen(daemon):
    """
    Stop the daemon meanwhile.

    What happens in between is all there when it goes on, so how often it wakes, and for how much,
    does not depend on who is faster.
    """
    pid = daemon.worker
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _frozen(pid), "the daemon has stopped", pause=0.0005)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class SystemCalls:
    """Counts the system calls of all threads of a running daemon, from `with` to its end."""

    def __init__(self, daemon):
        self._program = programs.find("strace")
        self._pid = daemon.worker
        self._path = os.path.join(daemon.directory, "strace")
        self._process = None
        self.counts = {}

    def __enter__(self):
        if "optimize=yes" not in daemons.build_options() or daemons.sanitized():
            pytest.skip("the counts are those of an optimized build with no sanitizer")
        with open(self._path + ".log", "wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", "-f", "-o", self._path, "-p", str(self._pid)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._attached, "strace is attached")
        return self

    def _attached(self):
        if self._process.poll() is not None:
            with open(self._path + ".log", encoding="utf-8") as f:
                pytest.skip(f"strace may not trace here: {f.read().strip()}")
        return all(procfs.status(self._pid, t)["TracerPid"] != "0"
                   for t in procfs.threads(self._pid))

    def __exit__(self, *failure):
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE)
        with open(self._path, encoding="utf-8") as f:
            self.counts = dict(self._parse(f.read()))

    @staticmethod
    def _parse(table):
        """Yield name and count of the lines `% seconds usecs calls [errors] name`."""
        for line in table.splitlines():
            match = _LINE.fullmatch(line)
            if match and match[3] not in (_BEGUN_AGAIN, "total"):
                interrupted = int(match[2] or 0) if match[3] in _INTERRUPTED else 0
                yield match[3], int(match[1]) - interrupted

    def total(self, *, besides=()):
        return sum(count for name, count in self.counts.items() if name not in besides)

    def waits(self):
        return sum(count for name, count in self.counts.items() if name in WAITS)


def expect_release_build():
    """Skip where instructions differ for other reasons than weft's own code."""
    built = daemons.build_options()
    usual = ("optimize=yes", "debug=no", "jemalloc=yes", "context=x86_64")
    if not all(option in built for option in usual) or "lang" in built or daemons.sanitized() \
            or platform.machine() != "x86_64":
        pytest.skip("the counts are those of gcc's optimized build for x86-64")


class Callgrind:
    """Options for a daemon that counts its instructions in user space, and their sum at its end."""

    def __init__(self, directory):
        expect_release_build()
        self._prefix = os.path.join(directory, "callgrind.out.")
        self.under = (programs.find("valgrind"), "--tool=callgrind", "--quiet",
                      "--trace-children=yes", f"--callgrind-out-file={self._prefix}%p")

    def total(self, daemon):
        """Of the process that proxies; the master's are nothing to speak of, and left out."""
        with open(f"{self._prefix}{daemon}", encoding="utf-8") as f:
            return int(re.search(r"^(?:totals|summary): (\d+)", f.read(), re.M)[1])
