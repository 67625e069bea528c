"""Processes, ports and accounts of the machine that the benchmark runs on."""

import os
import platform
import random
import re
import resource
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
LISTEN = "0A"


class Trouble(Exception):
    """Something that makes a run no measurement; its text says what."""


def listening_ports():
    """Every TCP port that anyone listens on, on any address."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as f:
                rows = f.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == LISTEN:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


class Ports:
    """
    Ports that nobody listens on, each handed out once.

    A daemon left over on a port would share it silently through SO_REUSEPORT, and connections
    in TIME_WAIT of one run would slow down the next. Below the ephemeral range, as else an
    outgoing connection may have taken the port meanwhile.
    """

    def __init__(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            end = min(int(f.read().split()[0]), 32768)
        self.left = random.sample(range(10240, end), min(4096, end - 10240))

    def take(self):
        taken = listening_ports()
        while self.left:
            port = self.left.pop()
            if port not in taken:
                return port
        raise Trouble("no free port")


def allow_descriptors(wanted):
    """
    Let every process started from here have so many descriptors, or as many as may be.

    Returns how many. Root may raise the hard limit too.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def descendants(pid):
    """A process and all that came from it and live."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    found = [pid]
    for each in found:
        found.extend(parents.get(each, []))
    return found


def settled_family(pid, quiet=0.1):
    """The descendants, once no more have come: workers may start when the port is there already."""
    family = descendants(pid)
    while True:
        time.sleep(quiet)
        now = descendants(pid)
        if now == family:
            return family
        family = now


class Process:
    """A program started on some CPUs, its output kept in a file, stopped by SIGTERM."""

    def __init__(self, argv, cpus, log, stdin=None, stdout=None, env=None):
        self.log = log
        self.name = os.path.basename(argv[0])
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                argv, stdin=stdin or subprocess.DEVNULL, stdout=stdout or out, stderr=out,
                env=env, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read().strip()

    def await_port(self, port, seconds=5):
        """Wait until the port is listened on, without connecting to it."""
        deadline = time.monotonic() + seconds
        while port not in listening_ports():
            if not self.alive():
                raise Trouble(f"{self.name} ended at once: {self.said() or self.popen.returncode}")
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} does not listen: {self.said()}")
            time.sleep(0.01)

    def stop(self):
        """End it and what it has started, the hard way after a while."""
        family = descendants(self.pid) if self.alive() else []
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            for pid in reversed(family):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.popen.wait()


def resident(pids):
    """Resident memory of these processes together [bytes], by a walk of their page tables."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += int(re.search(r"^Rss:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024
    return total


def schedstat(pids):
    """CPU time of all threads of these processes [s], as the scheduler has it."""
    total = 0
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def stat_times(pids):
    """User and system time of these processes [s], as ps shows it."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def busy_time():
    """Time that all CPUs together have not been idle [s]."""
    with open("/proc/stat") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS


def describe():
    """The machine, for the record."""
    model = "unknown"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) * 1024
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": model,
        "cpus": os.cpu_count(),
        "memory": memory,
        "load_average": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def first_line(argv):
    """What a program says of its version, on either output."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def output(argv):
    """What a program prints on its standard output; nothing, where it is missing or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
