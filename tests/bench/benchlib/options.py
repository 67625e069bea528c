"""The driver's command line."""

import argparse

from . import cases, peers, suites


def parse(description):
    p = argparse.ArgumentParser(
        description=description,
        epilog="Tests: " + ", ".join(text for _, _, text in cases.FAMILIES)
               + "; @THREADS behind a name: with as many threads. "
               "Peers: " + ", ".join(peers.PEERS) + ".")
    what = p.add_argument_group("what is measured")
    what.add_argument("--suite", choices=suites.SUITES, default="full",
                      help="a named set of tests, peers and times (full)")
    what.add_argument("--tests", metavar="LIST", help="these instead of the suite's")
    what.add_argument("--peers", metavar="LIST", help="these in every test")
    what.add_argument("--threads", type=int, default=1,
                      help="threads of each proxy, where a test's name does not say (1)")
    what.add_argument("--weft", default="src/cmd/weft", metavar="PATH", help="(src/cmd/weft)")
    what.add_argument("--programs", default="tests/bench", metavar="DIR",
                      help="where load, backend and epoll_proxy are (tests/bench)")

    how = p.add_argument_group("how; by default as the suite has it")
    how.add_argument("--rounds", type=int, help="how often each pair of test and peer runs")
    how.add_argument("--seconds", type=float, help="how long each run counts")
    how.add_argument("--warmup", type=float, help="how long each run warms up before")
    how.add_argument("--settle", type=float, help="seconds before memory is read")
    how.add_argument("--pin", action=argparse.BooleanOptionalAction,
                     help="the proxy on the first CPU, load and backend on the second (by default "
                          "with one thread, where there are two CPUs)")
    how.add_argument("--check", action="store_true",
                     help="compare every byte, not only their count")

    out = p.add_argument_group("what is kept of it")
    out.add_argument("--results", metavar="DIR",
                     help="write bench.json, bench.md and, with gnuplot, charts there")
    out.add_argument("--accounts", action="store_true",
                     help="print how the accounts of CPU time agree, for every run")
    return fill_in(p.parse_args())


def fill_in(args):
    """Let what was not asked for be as the suite has it."""
    suite = suites.SUITES[args.suite]
    for name in ("rounds", "seconds", "warmup", "settle"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(suite, name))
    args.check = args.check or suite.check
    args.judged = suite.judged
    args.tests = args.tests.split(",") if args.tests else suite.tests
    args.peers = args.peers.split(",") if args.peers else suite.peers
    return args
