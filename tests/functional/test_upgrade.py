"""Upgrades: the program at the daemon's path takes over its sockets; the process id stays."""

import os
import shutil
import signal
import socket
import stat

import pytest

import net
import procfs
import reloading
from backends import EchoLoop, echo
from daemon import binary
from fire import Fire
from scale import scaled
from waiting import Stopwatch, until


class Program:
    """A copy of weft that can be replaced while it runs."""

    def __init__(self, directory):
        self.path = str(directory / "weft")
        self._new = str(directory / "weft.new")
        self.replace()

    def replace(self, source=None):
        """Put another program in its place: `source`, or weft once more; returns its inode."""
        shutil.copy(source or binary(), self._new)
        os.chmod(self._new, 0o755)
        return self._put()

    def replace_by(self, content):
        with open(self._new, "wb") as f:
            f.write(content)
        os.chmod(self._new, 0o755)
        return self._put()

    def _put(self):
        os.rename(self._new, self.path)
        return os.stat(self.path).st_ino


def inode_run_by(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


@pytest.fixture
def start(weft, program):
    """Factory as weft.proxy() of daemons that run `program`."""

    def make(*servers, **options):
        return weft.proxy(*servers, program=program.path, **options)

    return make


def exchange(client, word=b"hello"):
    client.sendall(word)
    assert net.read_exactly(client, len(word)) == word


def upgrades(daemon):
    return daemon.log().count("notice: upgraded")


def upgrade(daemon, inode=None):
    """Upgrade, and wait until master and worker process are the new program."""
    before = upgrades(daemon)
    old = daemon.worker
    daemon.signal(signal.SIGUSR2)
    until(lambda: upgrades(daemon) == before + 1, "the upgrade")
    until(lambda: not procfs.listening(old), "the old process takes no more connections")
    if inode:
        until(lambda: inode_run_by(daemon.pid) == inode, "the master is the new program")
        assert inode_run_by(daemon.worker) == inode
    return old


def test_all_of_it_is_the_new_program(start, program, backend):
    daemon = start(backend(echo).address, process={"workers": 2})
    pid, inode = daemon.pid, program.replace()
    assert inode_run_by(pid) != inode
    old = upgrade(daemon, inode)
    assert daemon.running() and daemon.pid == pid
    exchange(daemon.connect())
    until(lambda: not procfs.alive(old), "the old process, which has no connection, is gone")
    assert procfs.children(pid) == [daemon.worker]


def test_connections_live_on(start, program, backend):
    """In the old process, until they end; and it ends with the last one."""
    daemon = start(backend(echo).address)
    client = daemon.connect()
    exchange(client)
    old = upgrade(daemon, program.replace())
    for _ in range(10):
        exchange(client)
    exchange(daemon.connect())
    assert procfs.alive(old)
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(client)
    until(lambda: not procfs.alive(old), "the old process is gone")
    assert daemon.running()


def test_drain_timeout_ends_what_is_left(start, program, backend):
    daemon = start(backend(echo).address, process={"drain_timeout": "1s"})
    client = daemon.connect()
    exchange(client)
    watch = Stopwatch()
    old = upgrade(daemon, program.replace())
    net.expect_end(client)
    assert watch.seconds < 6
    until(lambda: not procfs.alive(old), "the old process is gone")
    assert daemon.record()["end"] == "drained"


def test_many_in_a_row(start, program, backend):
    """Each with a connection that lives on in a process of its own."""
    daemon = start(backend(echo).address)
    clients = []
    for _ in range(4):
        clients.append(daemon.connect())
        exchange(clients[-1])
        upgrade(daemon, program.replace())
    for client in clients:
        exchange(client)
    assert len(procfs.children(daemon.pid)) == 5
    ids = []
    for client in clients:
        client.close()
    ids = [r["id"] for r in daemon.records(4)]
    assert len(set(ids)) == 4
    until(lambda: len(procfs.children(daemon.pid)) == 1, "one process is left")


@pytest.mark.timeout(300)
def test_upgrades_under_load_refuse_and_lose_nobody(start, program, backend):
    daemon = start(backend(kind=EchoLoop).address, process={"workers": 2})
    fire = Fire(daemon.address)
    for turn in range(scaled(100, 8)):
        served = fire.served
        until(lambda wanted=served + 8: fire.served >= wanted, "clients are served")
        upgrade(daemon, program.replace() if turn % 10 == 0 else None)
    fire.expect_all_served()
    until(lambda: len(procfs.children(daemon.pid)) == 1, "one process is left")


@pytest.mark.parametrize("kind", ["unix", "abstract", "v6"])
def test_other_sockets_are_taken_over_too(start, program, backend, address, kind):
    where = address(kind)
    daemon = start(backend(echo).address, bind=where)
    for _ in range(2):
        upgrade(daemon, program.replace())
        exchange(daemon.connect())
    assert daemon.log().count("upgraded") == 2
    daemon.hang_up()
    daemon.stop()
    if kind == "unix":
        assert not os.path.exists(net.parse(where)[1])


def test_it_works_as_before_afterwards(start, program, backend, tmp_path):
    """Signals, a crash, a reload, logs, the pid file, the end."""
    pid_file, log = tmp_path / "weft.pid", tmp_path / "error.log"
    daemon = start(
        backend(echo).address,
        process={"workers": 1, "pid_file": str(pid_file)},
        log={"error": {"output": str(log), "level": "info"}},
    )

    def said(text):
        return log.exists() and text in log.read_text(encoding="utf-8")

    for _ in range(2):
        before = log.read_text(encoding="utf-8").count("notice: upgraded")
        program.replace()
        daemon.signal(signal.SIGUSR2)
        until(
            lambda n=before: log.read_text(encoding="utf-8").count("notice: upgraded") > n, "upgrade"
        )
    assert pid_file.read_text(encoding="ascii") == f"{daemon.pid}\n"
    log.rename(tmp_path / "error.log.1")
    daemon.signal(signal.SIGUSR1)
    until(log.exists, "the log is opened anew")
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    until(lambda: said(f"worker process {worker} was ended by signal 9"), "the master's line")
    exchange(daemon.connect())
    daemon.write("nonsense: [")
    daemon.signal(signal.SIGHUP)
    until(lambda: said("reload rejected"), "the verdict")
    daemon.write(daemon.config)
    daemon.hang_up()
    daemon.stop()
    assert not pid_file.exists()


def test_quick_mode_and_strange_arguments_stay(weft, program, backend, address):
    where = address()
    arguments = ("-l", where, "-b", backend(echo).address, "--")
    daemon = weft(None, arguments=arguments, program=program.path, ready=False)
    daemon.config = {"listeners": {"front": {"bind": where}}}
    daemon.wait_ready()
    for _ in range(3):
        upgrade(daemon, program.replace())
        exchange(daemon.connect())
    with open(f"/proc/{daemon.pid}/cmdline", "rb") as f:
        words = f.read().split(b"\0")[:-1]
    assert sum(word.startswith(b"--resume") for word in words) == 1
    assert words[2:] == [a.encode() for a in arguments]


# --- programs that do not come up -----------------------------------------------------------------

BAD_PROGRAMS = {
    "missing": (None, "No such file or directory"),
    "garbage": (b"\x7fELF and so on", "Exec format error"),
    "empty": (b"", "Exec format error"),
    "exits": (b"#!/bin/sh\nexit 1\n", "ended with exit code 1 at its start"),
    "exits well": (b"#!/bin/sh\nexit 0\n", "ended with exit code 0 at its start"),
    "crashes": (b"#!/bin/sh\nkill -SEGV $$\n", "was ended by signal 11 (SIGSEGV) at its start"),
    "talks": (b"#!/bin/bash\necho hi >&${2%,*}\nexec sleep 1000\n", "says what is no message: killed"),
}


def expect_rejected(daemon, reason):
    until(lambda: "upgrade rejected: generation 1 stays in effect" in daemon.log(), "the verdict")
    assert reason in daemon.log()


@pytest.mark.parametrize("kind", BAD_PROGRAMS)
def test_a_program_that_does_not_come_up_changes_nothing(start, program, backend, kind):
    content, reason = BAD_PROGRAMS[kind]
    daemon = start(backend(echo).address)
    client, worker, inode = daemon.connect(), daemon.worker, inode_run_by(daemon.pid)
    exchange(client)
    if content is None:
        os.unlink(program.path)
    else:
        program.replace_by(content)
    daemon.signal(signal.SIGUSR2)
    expect_rejected(daemon, reason)
    exchange(client)
    until(lambda: procfs.children(daemon.pid) == [worker], "the old process alone is left")
    exchange(daemon.connect())
    assert inode_run_by(daemon.pid) == inode
    os.kill(worker, signal.SIGKILL)  # the old program is still there to start another one
    exchange_when_served(daemon)
    upgrade(daemon, program.replace())
    exchange(daemon.connect())


def exchange_when_served(daemon):
    """The connection may have been in a process that was just killed."""

    def served():
        try:
            exchange(daemon.connect())
            return True
        except (ConnectionResetError, BrokenPipeError, AssertionError):
            return False

    until(served, "it serves")


def test_a_file_that_may_not_be_run(start, program, backend):
    daemon = start(backend(echo).address)
    program.replace()
    os.chmod(program.path, stat.S_IRUSR | stat.S_IWUSR)
    daemon.signal(signal.SIGUSR2)
    expect_rejected(daemon, "Permission denied")
    exchange(daemon.connect())


def test_a_configuration_that_is_wrong_meanwhile(start, program, backend):
    """The new process reads the file anew, and says what is wrong with it."""
    daemon = start(backend(echo).address)
    inode = program.replace()
    daemon.write("listeners:\n  front: {bnd: 1}\n")
    daemon.signal(signal.SIGUSR2)
    expect_rejected(daemon, "weft.yaml:2:11: error: ")
    exchange(daemon.connect())
    daemon.write(daemon.config)
    upgrade(daemon, inode)


def test_an_address_that_another_program_has(start, program, backend, address):
    daemon = start(backend(echo).address)
    taken = net.open_listener()
    config = daemon.configuration()
    config["listeners"]["front"]["bind"] = [daemon.address, net.local(taken)]
    daemon.write(config)
    program.replace()
    daemon.signal(signal.SIGUSR2)
    expect_rejected(daemon, f"cannot listen on {net.local(taken)}: Address already in use")
    exchange(daemon.connect())
    taken.close()


# --- at the same time as something else -----------------------------------------------------------

HANGS = b"#!/bin/sh\nexec sleep 1000\n"


def hang(daemon, program):
    """Begin an upgrade that never ends."""
    program.replace_by(HANGS)
    daemon.signal(signal.SIGUSR2)
    until(lambda: len(procfs.children(daemon.pid)) == 2, "the new program is started")
    return max(procfs.children(daemon.pid), key=procfs.started)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_an_upgrade(start, program, backend, number):
    daemon = start(backend(echo).address)
    exchange(daemon.connect())
    started = hang(daemon, program)
    exchange(daemon.connect())
    daemon.hang_up()
    watch = Stopwatch()
    daemon.signal(number)
    assert daemon.wait() == 0
    assert watch.seconds < 5
    assert not procfs.alive(started)


def test_what_is_asked_for_during_an_upgrade_waits(start, program, backend):
    daemon = start(backend(echo).address)
    started = hang(daemon, program)
    daemon.write("nonsense: [")
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGUSR2)
    exchange(daemon.connect())
    assert "reload" not in daemon.log()
    os.kill(started, signal.SIGKILL)
    until(lambda: daemon.log().count("upgrading: starting") == 2, "the next upgrade")
    second = max(procfs.children(daemon.pid), key=procfs.started)
    os.kill(second, signal.SIGKILL)
    until(lambda: "reload rejected" in daemon.log(), "the reload")
    exchange(daemon.connect())


def test_the_serving_process_dies_during_an_upgrade(start, program, backend):
    """The new one serves once it is up; until then clients wait, and the next serves if it fails."""
    daemon = start(backend(echo).address)
    worker = daemon.worker
    started = hang(daemon, program)
    os.kill(worker, signal.SIGKILL)
    until(lambda: not procfs.alive(worker), "it is dead")
    client = daemon.connect()
    client.sendall(b"hello")
    net.expect_silence(client, 0.3)
    os.kill(started, signal.SIGKILL)
    assert net.read_exactly(client, 5) == b"hello"


def test_upgrades_and_reloads_at_once(start, program, backend):
    daemon = start(backend(kind=EchoLoop).address)
    fire = Fire(daemon.address, clients=2)
    for _ in range(scaled(20, 5)):
        before = upgrades(daemon)
        daemon.signal(signal.SIGHUP)
        daemon.signal(signal.SIGUSR2)
        until(lambda n=before: upgrades(daemon) > n, "the upgrade")
    fire.expect_all_served()


# --- what is left of many ----------------------------------------------------------------------------


def resting(daemon):
    """The master's descriptors and memory, once one worker process is left."""
    until(lambda: len(procfs.children(daemon.pid)) == 1, "one process is left")
    return len(procfs.descriptors(daemon.pid)), procfs.resident(daemon.pid)


@pytest.mark.timeout(300)
def test_nothing_is_left_of_many_upgrades_and_reloads(start, program, backend, tmp_path):
    include = tmp_path / "weft0" / "more.yaml"
    daemon = start(backend(echo).address)
    include.write_text("{}", encoding="utf-8")

    def change(turn):
        """Every tenth change needs another process."""
        config = daemon.configuration()
        config["include"] = [f"more{'*' * (turn % 3)}.yaml"]
        config["weft"]["workers"] = 1 + turn // 10 % 2
        reloading.write(daemon, config)
        daemon.config = config
        assert not reloading.hang_up(daemon).startswith("reload rejected")

    for turn in range(20):
        change(turn)
        if turn % 4 == 0:
            upgrade(daemon)
    descriptors, memory = resting(daemon)
    for turn in range(scaled(200, 20)):
        change(turn)
    for _ in range(scaled(50, 5)):
        upgrade(daemon)
    now, memory_now = resting(daemon)
    assert now == descriptors, procfs.descriptors(daemon.pid)
    assert memory_now < memory * 1.5 + 1024 * 1024
