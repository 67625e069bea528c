"""One run: a fresh backend and a fresh proxy on fresh ports, one load, and all that is to check."""

import json
import os
import resource
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from . import cases, machine, suites
from .machine import Process, Trouble
from .peers import Place

ACCOUNT_SLACK = 0.02  # between the two accounts of the window, and a tick a thread
LOAD_PATIENCE = 120   # beyond the time that was asked for [s]
CALIBRATIONS = 3


@dataclass
class Settings:
    programs: str
    seconds: float
    warmup: float
    settle: float       # before memory is read [s]
    cpus: list
    pin: bool           # proxy and load on CPUs of their own; None: where the proxy has one thread
    descriptors: int    # that a process may have
    check: bool         # compare every byte

    def pinned(self, case):
        alone = case.threads == 1 if self.pin is None else self.pin
        return alone and len(self.cpus) > 1

    def proxy_cpus(self, case):
        return set(self.cpus[:1] if self.pinned(case) else self.cpus)

    def load_cpus(self, case):
        return set(self.cpus[1:2] if self.pinned(case) else self.cpus)


class Accounts:
    """All accounts of CPU time at one moment, to be told apart from the load's own reading."""

    def __init__(self, pids, backend):
        usage = [resource.getrusage(w) for w in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
        driver = sum(u.ru_utime + u.ru_stime for u in usage)
        self.values = {
            "schedstat_s": machine.schedstat(pids),
            "stat_s": machine.stat_times(pids),
            "busy_s": machine.busy_time(),
            "elapsed_s": time.monotonic(),
            "ours_s": machine.schedstat({*pids, backend}) + driver,
        }

    def since(self, before):
        spent = {k: v - before.values[k] for k, v in self.values.items()}
        spent["foreign_s"] = spent["busy_s"] - spent["ours_s"]
        return spent


class Runner:
    def __init__(self, settings):
        self.settings = settings
        self.ports = machine.Ports()
        self.reference = {}  # HAProxy's ping-pong rate, by the ping-pong's name

    def cannot(self, case, peer):
        """Why this peer can't be measured in this case, or None."""
        wanted = wanted_descriptors(case, peer)
        if wanted > self.settings.descriptors:
            return f"needs {wanted} descriptors of {self.settings.descriptors}"
        return peer.missing()

    def run(self, case, peer):
        """Measure once. Returns a record; one with `trouble` is no measurement."""
        record = {"test": case.name, "peer": peer.name}
        with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory, ExitStack() as stack:
            try:
                self.measure(case, peer, directory, stack, record)
                check(record, case, figures=not self.settings.check)
            except Trouble as trouble:
                record["trouble"] = str(trouble)
        return record

    def measure(self, case, peer, directory, stack, record):
        backend, proxy, port = self.start(case, peer, directory, stack)
        pids = machine.settled_family(proxy.pid)
        before = Accounts(pids, backend.pid)
        load = self.load(case, port, pids, directory, stack)
        if case.kind == cases.MEMORY:
            record.update(self.read_memory(load, pids, case))
        record.update(self.finish(load, case))
        if not proxy.alive() or set(machine.descendants(proxy.pid)) != set(pids):
            raise Trouble(f"{peer.name} has lost a process: {proxy.said()}")
        record["whole"] = Accounts(pids, backend.pid).since(before)
        proxy.stop()
        backend.stop()
        try:
            record["backend"] = json.loads(backend.said().splitlines()[-1])
        except (IndexError, ValueError):
            raise Trouble(f"the backend failed: {backend.said()}")

    def start(self, case, peer, directory, stack):
        """Start both sides. Returns the backend, the proxy (or the backend again) and its port."""
        s = self.settings
        place = Place(directory, self.ports.take(), self.ports.take(), case.threads,
                      s.descriptors)
        command = peer.command(place)
        cpus = s.load_cpus(case) if command else s.proxy_cpus(case)
        backend = self.spawn([self.program("backend"), str(place.backend)], cpus, directory, stack)
        backend.await_port(place.backend)
        if command is None:
            return backend, backend, place.backend
        proxy = self.spawn(command, s.proxy_cpus(case), directory, stack,
                           env=peer.environment(place))
        proxy.await_port(place.port)
        return backend, proxy, place.port

    def program(self, name):
        return os.path.join(self.settings.programs, name)

    def spawn(self, argv, cpus, directory, stack, **kwargs):
        log = os.path.join(directory, os.path.basename(argv[0]) + ".log")
        process = Process(argv, cpus, log, **kwargs)
        stack.callback(process.stop)
        return process

    def load(self, case, port, pids, directory, stack):
        s = self.settings
        argv = [self.program("load"), case.shape, "-p", str(port), "-w", str(s.warmup),
                "-t", str(s.seconds * case.stretch), "-W", ",".join(map(str, pids))]
        argv += case.arguments
        if case.percent:
            argv += ["-r", str(self.reference[reference_name(case)] * case.percent / 100)]
        if s.check:
            argv += ["-c"]
        return self.spawn(argv, s.load_cpus(case), directory, stack, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)

    def finish(self, load, case):
        patience = self.settings.seconds * case.stretch + self.settings.warmup + LOAD_PATIENCE
        try:
            out, _ = load.popen.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Trouble(f"the load does not end: {load.said()}")
        if load.popen.returncode != 0:
            raise Trouble(f"the load failed: {load.said()}")
        return json.loads(out)

    def read_memory(self, load, pids, case):
        """
        Read the proxy's memory before, with a quarter, and with all of the connections held.

        From nothing to all is the figure. From a quarter on is without what the first connection
        alone costs, such as pages of the program that were not touched before.
        """
        steps = [(0, machine.resident(pids))]
        for _ in range(2):
            line = load.popen.stdout.readline()
            if not line:
                raise Trouble(f"the load ended early: {load.said()}")
            time.sleep(self.settings.settle)
            steps.append((json.loads(line)["held"], machine.resident(pids)))
            load.popen.stdin.write(b"\n")
            load.popen.stdin.flush()
        (_, none), (some, quarter), (held, full) = steps
        if held != case.connections:
            raise Trouble(f"{held} of {case.connections} connections are held")
        return {"resident": [rss for _, rss in steps],
                "memory": (full - none) / held,
                "memory_more": (full - quarter) / (held - some)}

    def calibrate(self, case, peer):
        """Find the rate that a case of a percentage refers to; Trouble, where there is none."""
        name = reference_name(case)
        if not case.percent or name in self.reference:
            return
        records = [self.run(cases.find(name), peer) for _ in range(CALIBRATIONS)]
        rates = [r["rate"] for r in records if "trouble" not in r]
        if not rates:
            raise Trouble(f"no reference rate: {records[-1]['trouble']}")
        self.reference[name] = median(rates)


def reference_name(case):
    return f"pingpong{case.connections}@{case.threads}"


def wanted_descriptors(case, peer):
    """What the proxy's process needs; the load's and the backend's need fewer."""
    return suites.SPARE_DESCRIPTORS + case.connections * peer.descriptors


def check(record, case, figures):
    """Raise what makes the record no measurement; `figures`: its times count too."""
    if record["faults"]:
        raise Trouble("faults: " + ", ".join(f"{k} {v}" for k, v in record["faults"].items()))
    if record["backend"]["faults"]:
        raise Trouble(f"the backend got wrong bytes on {record['backend']['faults']} connections")
    if case.kind == cases.MEMORY:
        return
    if record["bytes"] == 0 or (case.kind != cases.BYTES and record["operations"] == 0):
        raise Trouble("nothing came through")
    if "cpu_s" not in record or (figures and record["cpu_clock_s"] <= 0):
        raise Trouble("no CPU account")
    if figures:
        check_accounts(record)


def check_accounts(record):
    slack = ACCOUNT_SLACK * record["seconds"] + 0.01
    if abs(record["cpu_s"] - record["cpu_clock_s"]) > slack:
        raise Trouble(f"two accounts of the CPU time differ: {record['cpu_s']} s by schedstat, "
                      f"{record['cpu_clock_s']} s by the process clocks")
