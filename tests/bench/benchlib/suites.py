"""Which tests run with which peers, how often and how long: the named sets of them."""

from dataclasses import dataclass

from . import cases

RIVALS = ["weft", "haproxy", "haproxy-splice", "nginx", "go", "bare"]
SCALING = ["weft", "haproxy", "nginx", "bare"]
MEMORY = ["weft", "haproxy", "nginx", "go", "bare"]
BUSY = ["weft-busy", "haproxy-busy"]
CORE = ["pingpong50", "pingpong1000", "short_rst", "short_fin", "bulk1down", "bulk16down",
        "bulk4up"]  # with two threads too
WITH_DIRECT = ["pingpong1", "pingpong50", "short_rst", "bulk1down", "open70"]
WITH_COPY = ["bulk1down", "bulk4up"]
SPARE_DESCRIPTORS = 300  # that a process needs beside those of its connections


@dataclass
class Suite:
    tests: list
    peers: list = None  # for every test; None: those that fit it
    rounds: int = 3     # how often each pair of them runs
    seconds: float = 2  # how long each run counts
    warmup: float = 0.5
    settle: float = 1   # before memory is read [s]
    check: bool = False  # compare every byte
    judged: bool = True  # do the figures mean anything?


SUITES = {
    # All that targets.py asks for, within 12 minutes.
    "full": Suite(["pingpong1", "pingpong50", "pingpong100", "pingpong1000", "pingpong9000",
                   *CORE[2:], *(f"{name}@2" for name in CORE), "open70", "idle4000", "idle9000"],
                  seconds=0.9, warmup=0.2, settle=0.5),
    # A minute, for one who is at work on weft.
    "quick": Suite(["pingpong50", "short_rst", "bulk1down", "bulk4up", "idle2000"],
                   ["weft", "haproxy", "bare"], seconds=0.8, warmup=0.2, settle=0.5),
    # Does it work at all? The figures mean nothing.
    "smoke": Suite(["pingpong50", "pingpong1000", "short_rst", "short_fin", "bulk1down",
                    "bulk16down", "bulk4up", "rate2000", "idle2000", "pingpong50@2"],
                   ["weft", "bare"], rounds=1, seconds=0.5, warmup=0.1, settle=0.2, check=True,
                   judged=False),
}


def fitting_peers(case):
    """The peers that say something in this test."""
    if case.kind == cases.MEMORY:
        return MEMORY
    if case.family in ("pingpong100", "pingpong9000"):
        return SCALING
    names = list(RIVALS)
    if case.family == "pingpong1":
        names += BUSY
    if case.name in WITH_COPY:
        names.insert(1, "weft-copy")
    if case.name in WITH_DIRECT:
        names.append("direct")
    return names
