"""What is measured: a case is one shape of load with its numbers, found by its name."""

import re
from dataclasses import dataclass, field, replace

from .machine import Trouble

OPERATIONS = "operations"  # compared by operations a second and CPU time an operation
BYTES = "bytes"            # by bytes a second and CPU time a byte
MEMORY = "memory"          # by resident bytes a connection
SCHEDULE = "schedule"      # by latency at a rate that is given, and CPU time an operation


@dataclass
class Case:
    name: str
    title: str
    label: str  # two short lines, for a chart
    kind: str
    shape: str
    arguments: list = field(default_factory=list)
    connections: int = 0
    stretch: float = 1  # how many times as long as others it runs
    percent: int = 0    # of HAProxy's rate in a ping-pong over as many connections; 0: no such case
    threads: int = 1    # of the proxy

    @property
    def family(self):
        """The name without the number of threads."""
        return self.name.split("@")[0]

    def with_threads(self, threads):
        """The same case, for proxies of so many threads."""
        if threads == 1:
            return self
        return replace(self, name=f"{self.family}@{threads}", threads=threads,
                       title=f"{self.title}, {threads} threads")


def many(count, thing):
    return f"{count} {thing}" if count == "1" else f"{count} {thing}s"


def pingpong(name, count, size):
    size = size or "64"
    return Case(name, f"{size} B ping-pong, {many(count, 'connection')}",
                f"ping-pong\n{count} conn.",
                OPERATIONS, "pingpong", ["-n", count, "-b", size], int(count))


def short(name, ending, count):
    count = count or "64"
    how = {"rst": "client resets", "fin": "server closes first"}[ending]
    return Case(name, f"short connections, {count} at a time, {how}",
                f"connections\n{ending.upper()}", OPERATIONS, "short",
                ["-n", count] + (["-f"] if ending == "fin" else []), int(count))


def bulk(name, count, direction):
    flows = many(count, "flow")
    # A stream's cost wanders with the kernel's tuning of its buffers, within seconds.
    return Case(name, f"bulk {direction}, {flows}", f"bulk {direction}\n{flows}", BYTES,
                direction, ["-n", count, "-d"], int(count), stretch=1.5)


def idle(name, count, how):
    rest = ", nothing exchanged" if how else ""
    return Case(name, f"{count} held idle connections{rest}", f"{int(count):,} held\n{how or ''}",
                MEMORY, "idle", ["-n", count] + (["-s"] if how else []), int(count))


def rate(name, count, connections):
    connections = connections or "50"
    return Case(name, f"{count} messages a second, {connections} connections, open loop",
                f"open loop\n{count}/s", SCHEDULE, "rate", ["-n", connections, "-r", count],
                int(connections))


def share(name, percent, connections):
    connections = connections or "50"
    return Case(name, f"{percent} % of HAProxy's rate, {connections} connections, open loop",
                f"open loop\n{percent} %", SCHEDULE, "rate", ["-n", connections],
                int(connections), percent=int(percent))


FAMILIES = [
    (r"pingpong(\d+)(?:x(\d+))?", pingpong, "pingpongN[xBYTES]"),
    (r"short_(rst|fin)(\d+)?", short, "short_rst[N], short_fin[N]"),
    (r"bulk(\d+)(down|up)", bulk, "bulkNdown, bulkNup"),
    (r"idle(\d+)(_silent)?", idle, "idleN[_silent]"),
    (r"rate(\d+)(?:x(\d+))?", rate, "rateR[xN]"),
    (r"open(\d+)(?:x(\d+))?", share, "openPERCENT[xN]"),
]


def find(name, threads=1):
    """
    The case of this name: its family is known by its beginning, its numbers are free.

    `@N` at the end of a name is a number of threads, and goes before `threads`.
    """
    family, _, own = name.partition("@")
    for pattern, make, _ in FAMILIES:
        match = re.fullmatch(pattern, family)
        if match and re.fullmatch(r"([1-9]\d*)?", own):
            return make(family, *match.groups()).with_threads(int(own or threads))
    families = ", ".join(text for _, _, text in FAMILIES)
    raise Trouble(f"no test {name}; there are {families}, each with @THREADS behind it or not")
