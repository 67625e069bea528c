"""The master: what it opens and leaves, for whom, and who is there beside it."""

import contextlib
import grp
import os
import pwd
import random
import signal
import stat
import time

import pytest

import net
import procfs
from backends import EchoLoop, echo
from daemon import run
from fire import Fire
from scale import scaled
from waiting import Stopwatch, until

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="IS NOT ROOT: nothing is known about weft as root")
FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def exchange(daemon, address=None):
    with daemon.connect(address) as client:
        client.sendall(b"hello")
        assert net.read_exactly(client, 5) == b"hello"


def wait_for_log(daemon, text, count=1):
    until(lambda: daemon.log().count(text) >= count, f"'{text}' in the log")


# --- what the master opens, and for whom -----------------------------------------------------------


@pytest.fixture
def closed(tmp_path):
    """A directory that root alone may enter."""
    path = tmp_path / "closed"
    path.mkdir(mode=0o700)
    return path


@needs_root
def test_the_worker_process_is_the_user(weft, backend, address, closed):
    """With all its threads; and what it could not open itself, the master has."""
    user = pwd.getpwnam("daemon")
    binds = [address(), f"unix:{closed}/front.sock"]
    daemon = weft.proxy(
        backend(echo).address,
        bind=binds,
        process={"user": "daemon", "group": "nogroup", "workers": 2,
                 "pid_file": f"{closed}/weft.pid"},
        log={"access": {"output": f"{closed}/access.log"},
             "error": {"output": f"{closed}/error.log"}},
    )
    for where in binds:
        exchange(daemon, where)
    group = grp.getgrnam("nogroup").gr_gid
    for thread in procfs.threads(daemon.worker):
        status = procfs.status(daemon.worker, thread)
        assert set(status["Uid"].split()) == {str(user.pw_uid)}
        assert set(status["Gid"].split()) == {str(group)}
        assert "0" not in status["Groups"].split()
        assert status["NoNewPrivs"] == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"):
            assert int(status[name], 16) == 0, name
    assert set(procfs.status(daemon.pid)["Uid"].split()) == {"0"}
    for name in ("access.log", "error.log", "weft.pid", "front.sock"):
        assert os.stat(closed / name).st_uid == 0, name
    assert stat.S_IMODE(os.stat(closed / "access.log").st_mode) == 0o640
    daemon.records(2)


@needs_root
def test_a_low_port_is_the_masters_to_open(weft, backend):
    with open(FIRST_UNPRIVILEGED, encoding="ascii") as f:
        first = int(f.read())
    port = next((port for port in range(first - 1, 1, -1) if free(port)), None)
    if port is None:
        pytest.skip("EVERY PORT IS EVERYBODY'S HERE")
    where = f"127.0.0.1:{port}"
    daemon = weft.proxy(
        backend(echo).address, bind=where, process={"user": "daemon", "workers": 1}
    )
    exchange(daemon, where)
    os.kill(daemon.worker, signal.SIGKILL)
    until(lambda: "starting another one" in daemon.log(), "it is noticed")
    exchange(daemon, where)


def free(port):
    try:
        net.open_client(f"127.0.0.1:{port}", timeout=1).close()
        return False
    except OSError:
        return True


@needs_root
def test_logs_are_rotated_where_only_root_may(weft, backend, closed):
    """Both logs in one file, with the master's lines in it too."""
    log = closed / "all.log"
    daemon = weft.proxy(
        backend(echo).address,
        process={"user": "daemon", "workers": 1},
        log={"access": {"output": str(log)}, "error": {"output": str(log), "level": "info"}},
    )
    exchange(daemon)
    until(lambda: '"end":"client_closed"' in log.read_text(encoding="utf-8"), "the record")
    log.rename(closed / "all.log.1")
    daemon.signal(signal.SIGUSR1)
    until(log.exists, "the log is opened anew")
    exchange(daemon)
    until(lambda: '"end":"client_closed"' in log.read_text(encoding="utf-8"), "the record")
    daemon.write("nonsense: [")
    daemon.signal(signal.SIGHUP)
    os.kill(daemon.worker, signal.SIGKILL)
    until(lambda: "was ended by signal 9" in log.read_text(encoding="utf-8"), "the master's line")
    until(lambda: log.read_text(encoding="utf-8").count("1 listeners") == 1, "the worker's line")
    before = (closed / "all.log.1").read_text(encoding="utf-8")
    assert "signal 9" not in before
    assert before.count('"end":') == 1


# --- a start that fails ------------------------------------------------------------------------------

BAD = {
    "syntax": "listeners: [",
    "faults": "listeners:\n  a: {bnd: 1}\n  b: {bind: x, pool: nowhere}\npols: {}\n",
    "empty": "",
    "many": "".join(f"wrong{i}: 1\n" for i in range(300)),
    "user": "weft: {user: nobody-of-that-name}\n",
    "bytes": b"listeners: {caf\xe9: 1}\n",
}


def expect_as_tested(path):
    """The daemon says what `weft -t` says, and leaves with 1."""
    tested = run("-t", "-c", path)
    started = run("-c", path)
    assert started.returncode == tested.returncode == 1
    assert started.stderr == tested.stderr
    assert started.stdout == ""
    assert "error" in started.stderr


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_as_by_the_test(tmp_path, kind):
    path = tmp_path / "weft.yaml"
    content = BAD[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    expect_as_tested(path)


def test_what_is_no_file_is_refused_as_by_the_test(tmp_path):
    expect_as_tested(tmp_path / "missing.yaml")
    expect_as_tested(tmp_path)


def test_a_file_that_includes_itself_is_refused_as_by_the_test(tmp_path):
    path = tmp_path / "weft.yaml"
    path.write_text("include: '*.yaml'\n", encoding="utf-8")
    expect_as_tested(path)
    path.write_text("include: [a.yaml, 'a*.yaml']\n", encoding="utf-8")
    (tmp_path / "a.yaml").write_text("{}\n", encoding="utf-8")
    expect_as_tested(path)


def test_a_file_with_a_strange_name_is_served(weft, backend, tmp_path, address):
    """The system takes any bytes."""
    path, where = os.fsencode(tmp_path / "caf") + b"\xe9.yaml", address()
    user = "weft: {user: root}\n" if ROOT else ""
    with open(path, "w", encoding="utf-8") as f:
        f.write(
            f"{user}listeners: {{front: {{bind: '{where}', pool: p}}}}\n"
            f"pools: {{p: {{servers: ['{backend(echo).address}']}}}}\n"
        )
    daemon = weft(None, arguments=("-c", os.fsdecode(path)), ready=False)
    daemon.config = {"listeners": {"front": {"bind": where}}, "weft": {"workers": "auto"}}
    daemon.wait_ready()
    exchange(daemon, where)
    with open(path, "w", encoding="utf-8") as f:
        f.write("nonsense: [")
    daemon.signal(signal.SIGHUP)
    wait_for_log(daemon, "rejected")
    assert "error: listeners" not in daemon.log()
    exchange(daemon, where)


def test_a_start_that_fails_leaves_nothing(weft, backend, address, tmp_path):
    """Whatever it has opened before."""
    taken = net.open_listener()
    path, pid_file = tmp_path / "front.sock", tmp_path / "weft.pid"
    daemon = weft.proxy(
        backend(echo).address,
        bind=[f"unix:{path}", address(), net.local(taken)],
        process={"workers": 2, "pid_file": str(pid_file)},
        ready=False,
    )
    daemon.expect_refused(f"cannot listen on {net.local(taken)}: Address already in use")
    taken.close()
    assert not path.exists()
    assert not pid_file.exists()
    assert procfs.children(daemon.pid) == []


# --- the pid file ------------------------------------------------------------------------------------


def test_the_pid_file_is_there_as_long_as_the_daemon(weft, backend, tmp_path):
    path = tmp_path / "weft.pid"
    path.write_text("4194305 and more that was left over\n", encoding="ascii")
    daemon = weft.proxy(backend(echo).address, process={"workers": 1, "pid_file": str(path)})
    content = f"{daemon.pid}\n"
    assert path.read_text(encoding="ascii") == content
    for number in (signal.SIGUSR2, signal.SIGHUP):
        daemon.signal(number)
    wait_for_log(daemon, "upgraded")
    os.kill(daemon.worker, signal.SIGKILL)
    exchange_when_served(daemon)
    assert path.read_text(encoding="ascii") == content
    daemon.hang_up()
    daemon.stop()
    assert not path.exists()


def exchange_when_served(daemon):
    """The connection may have been in a process that was just killed."""

    def served():
        try:
            exchange(daemon)
            return True
        except (ConnectionResetError, BrokenPipeError, AssertionError):
            return False

    until(served, "it serves")


# --- two of them -------------------------------------------------------------------------------------


def test_a_second_one_on_the_same_file_leaves(weft, backend):
    """It says who is there, and takes nothing away from the first."""
    first = weft.proxy(backend(echo).address, process={"workers": 2})
    second = run("-c", os.path.join(first.directory, "weft.yaml"))
    assert second.returncode == 1
    assert f"weft is already running: pid {first.pid} listens on" in second.stderr
    for _ in range(20):
        exchange(first)


@pytest.mark.parametrize("kind", ["v4", "v6", "unix", "abstract"])
def test_a_second_one_on_the_same_address_leaves(weft, backend, address, kind):
    first = weft.proxy(backend(echo).address, bind=address(kind), process={"workers": 2})
    second = weft.proxy(backend(echo).address, bind=first.address, ready=False)
    second.expect_refused(f"cannot listen on {first.address}: Address already in use")
    for _ in range(20):
        exchange(first)


# --- a master that is killed -------------------------------------------------------------------------


def test_a_worker_process_without_a_master_drains(weft, backend, address, tmp_path):
    """A connection finishes; a new weft has the addresses then, the paths left over among them."""
    path = tmp_path / "front.sock"
    binds = [address(), f"unix:{path}"]
    server = backend(echo)
    pid_file = {"workers": 2, "pid_file": str(tmp_path / "weft.pid")}
    first = weft.proxy(server.address, bind=binds, process=pid_file)
    client, worker = first.connect(), first.worker
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"
    first.signal(signal.SIGKILL)
    first.expected_code = -signal.SIGKILL
    first.wait()
    until(lambda: not procfs.listening(worker), "it takes no more connections")
    client.sendall(b"still")
    assert net.read_exactly(client, 5) == b"still"
    second = weft.proxy(server.address, bind=binds, process=pid_file)
    for where in binds:
        exchange(second, where)
    client.sendall(b"still")
    assert net.read_exactly(client, 5) == b"still"
    client.close()
    until(lambda: not procfs.alive(worker), "it ends with its last connection")
    assert "the master is gone" in first.log()


# --- signals -----------------------------------------------------------------------------------------


def test_a_terminals_interrupt_ends_all_of_it_once(weft, backend):
    """The terminal sends it to every process of the group."""
    daemon = weft.proxy(
        backend(echo).address, process={"workers": 2}, account={"start_new_session": True}
    )
    exchange(daemon)
    watch = Stopwatch()
    os.killpg(daemon.pid, signal.SIGINT)
    assert daemon.wait() == 0
    assert watch.seconds < 5
    said = daemon.log()
    assert said.count("stopping at once") <= 1
    for noise in ("signal 2", "exit code", "error", "warning"):
        assert noise not in said


def test_signals_that_were_ignored_before_are_taken(weft, backend):
    """As by nohup, or a parent that does not wait for its children."""
    daemon = weft.proxy(
        backend(echo).address,
        under=("/usr/bin/python3", "-c",
               "import os, signal, sys\n"
               "for n in (signal.SIGHUP, signal.SIGCHLD, signal.SIGTERM): "
               "signal.signal(n, signal.SIG_IGN)\n"
               "os.execv(sys.argv[1], sys.argv[1:])"),
    )
    old = daemon.worker
    os.kill(old, signal.SIGKILL)
    wait_for_log(daemon, "was ended by signal 9")
    exchange(daemon)
    daemon.write("nonsense: [")
    daemon.signal(signal.SIGHUP)
    wait_for_log(daemon, "reload rejected")
    daemon.hang_up()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_closed_standard_streams_are_no_sockets(weft, backend):
    """What is opened first must not become what lines are written to."""
    daemon = weft.proxy(
        backend(echo).address,
        under=("/bin/bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash"),
        log={"error": {"output": "off"}},
    )
    exchange(daemon)
    for fd in range(3):
        assert procfs.descriptors(daemon.pid)[fd] == "/dev/null"
    os.kill(daemon.worker, signal.SIGKILL)
    exchange_when_served(daemon)


def kill_worker(daemon):
    worker = daemon.worker
    if worker != daemon.pid:
        with contextlib.suppress(ProcessLookupError):  # it may be over with it by itself
            os.kill(worker, signal.SIGKILL)


STORM = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("seed", range(scaled(4, 2)))
@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_storms_of_signals_end_well(weft, backend, tmp_path, seed, last):
    """In any order, some of them together, with the worker process killed in between."""
    rng = random.Random(f"{seed} {last}")
    daemon = weft.proxy(
        backend(kind=EchoLoop).address,
        process={"workers": 2, "drain_timeout": "2s"},
        log={"error": {"output": str(tmp_path / "error.log"), "level": "info"}},
    )
    fire = Fire(daemon.address)
    for _ in range(scaled(60, 20)):
        daemon.signal(rng.choice(STORM))
        if rng.random() < 0.1:
            kill_worker(daemon)
        if rng.random() < 0.1:
            daemon.write(rng.choice(["nonsense: [", daemon.config]))
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.1)
    counts = fire.stop()
    assert counts["refused"] == counts["silent"] == 0, dict(counts)
    children = procfs.children(daemon.pid)
    watch = Stopwatch()
    daemon.signal(last)
    assert daemon.wait() == 0
    assert watch.seconds < 20
    for child in {*children, *procfs.children(daemon.pid)}:
        assert not procfs.alive(child)


def test_a_stop_at_any_moment_of_the_start(weft, backend):
    """Nobody is left behind, and the exit code is that of a stop or of the signal."""
    for delay in range(scaled(30, 10)):
        daemon = weft.proxy(backend.all[0].address if backend.all else backend(echo).address,
                            ready=False)
        time.sleep(delay * 0.001)
        children = procfs.children(daemon.pid)
        daemon.signal(signal.SIGTERM)
        code = daemon.wait()
        assert code in (0, -signal.SIGTERM)  # before it had its hands on signals
        daemon.expected_code = code
        until(lambda left=children: not any(map(procfs.alive, left)), "no process is left")
