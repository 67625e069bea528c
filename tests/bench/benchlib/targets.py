"""What weft is to reach, as data, and whether a run says that it has."""

from dataclasses import dataclass

from . import summary

BEST = "best peer"  # the leader in that figure among the competitors
RATE, CPU, P99, MEMORY = "rate", "cpu", "p99", "memory"
NAMES = {RATE: "rate", CPU: "CPU", P99: "p99", MEMORY: "bytes a connection"}


class Unknown(Exception):
    """A figure that the run has not got; its text says why."""


@dataclass(frozen=True)
class Target:
    """A figure in a test, at least (a rate) or at most (all else) `factor` times another's."""
    test: str
    figure: str
    factor: float
    against: str = BEST  # or a peer's name; None: `factor` is the figure itself
    subject: str = "weft"

    def wanted(self):
        sign = ">=" if self.figure == RATE else "<="
        if self.against is None:
            return f"{NAMES[self.figure]} {sign} {self.factor:g}"
        return f"{NAMES[self.figure]} {sign} {self.factor:g} x {self.against}"

    def measured(self, tests):
        """The ratio that was measured, and the name of whom it is to."""
        rows = rows_of(tests, self.test)
        mine = figure_of(rows, self.subject, self.figure)
        if self.against is None:
            return mine, None
        other = leader(rows, self.figure) if self.against == BEST else self.against
        return mine / figure_of(rows, other, self.figure), other


@dataclass(frozen=True)
class Growth:
    """From `few` to `many` connections the cost of an operation grows no faster than another's."""
    few: str
    test: str
    against: str = "bare"
    figure: str = CPU
    factor: float = 1
    subject: str = "weft"

    def wanted(self):
        return f"growth of CPU from {self.few} <= that of {self.against}"

    def measured(self, tests):
        mine, other = (grown(tests, self.few, self.test, name, self.figure)
                       for name in (self.subject, self.against))
        return mine / other, self.against


def both(test, rate, cpu, bare=None):
    """A rate and a CPU time against the best peer, and the CPU time against the floor."""
    found = [Target(test, RATE, rate), Target(test, CPU, cpu)]
    return found + ([Target(test, CPU, bare, "bare")] if bare else [])


TWO_THREADS = ["pingpong50@2", "pingpong1000@2", "short_rst@2", "short_fin@2", "bulk1down@2",
               "bulk16down@2", "bulk4up@2"]

TARGETS = [
    *both("pingpong50", 1.04, 0.95, 1.02),
    *both("pingpong1000", 1.05, 0.95, 1.02),
    *both("short_rst", 1.03, 0.96, 1.02),
    *both("short_fin", 1.03, 0.96, 1.02),
    *both("bulk1down", 1.4, 0.45),
    *both("bulk16down", 1.0, 0.78),
    *both("bulk4up", 1.3, 0.70),
    *(target for test in TWO_THREADS for target in both(test, 1.0, 0.95)),
    Target("pingpong1", RATE, 2.8, subject="weft-busy"),
    Target("pingpong1", RATE, 1.03, "haproxy-busy", subject="weft-busy"),
    Target("open70", P99, 0.9),
    Target("idle4000", MEMORY, 768, None),
    Target("idle9000", MEMORY, 768, None),
    Growth("pingpong100", "pingpong1000"),
    Growth("pingpong1000", "pingpong9000"),
]


def rows_of(tests, name):
    for test in tests:
        if test["name"] == name:
            return {**{n: {"runs": 0, "why": why} for n, why in test["unmeasured"].items()},
                    **test["peers"]}
    raise Unknown(f"{name} was not run")


def figure_of(rows, name, figure):
    row = rows.get(name)
    if row is None:
        raise Unknown(f"{name} was not run")
    if not row["runs"]:
        raise Unknown(f"{name}: {row.get('why') or '; '.join(row['troubles'])}")
    return row[figure]


def leader(rows, figure):
    name = summary.best(rows, figure)
    if name is None:
        raise Unknown("no peer to compare with")
    return name


def grown(tests, few, many, name, figure):
    first, last = (figure_of(rows_of(tests, test), name, figure) for test in (few, many))
    return last / first


def check(target, tests):
    """One target's verdict: `reached` or `missed` and by how many percent, or why neither."""
    found = {"test": target.test, "subject": target.subject, "wanted": target.wanted()}
    try:
        value, other = target.measured(tests)
    except Unknown as unknown:
        return {**found, "verdict": "not measured", "why": str(unknown)}
    room = value / target.factor - 1
    if target.figure == RATE:
        room = -room
    return {**found, "value": value, "peer": other,
            "verdict": "missed" if room > 0 else "reached", "percent": abs(room) * 100}


def check_all(tests):
    """The verdicts of all targets whose test was run."""
    names = {test["name"] for test in tests}
    return [check(target, tests) for target in TARGETS if target.test in names]
