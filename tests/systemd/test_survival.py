"""Processes that die or hang: nobody who connects meanwhile is refused."""

import os
import signal
import subprocess

import pytest

import procfs
import programs
from talk import FRONT, echoes
from waiting import until

UNIX = "unix:/run/weft/front.sock"


@pytest.fixture(params=[FRONT, UNIX], ids=["tcp", "unix"])
def front(request, proxy, service):
    """The service runs and listens on this address."""
    proxy(bind=request.param)
    service.start()
    return request.param


def restarted(service, pid):
    """Wait until systemd has started it again; its new PID."""
    until(lambda: service.main_pid() not in (0, pid), "systemd starts it again")
    service.wait_state("active", "running")
    return service.main_pid()


def test_the_worker_process_is_killed(service, front, arrivals):
    pid = service.main_pid()
    with arrivals(front, losses=True) as served:
        for _ in range(5):
            before = service.worker_pids()
            os.kill(before.pop(), signal.SIGKILL)
            until(lambda gone=before: service.worker_pids() - gone, "another worker process")
            served.wait_more(20)
    assert service.main_pid() == pid
    assert service.show("NRestarts") == "0"
    service.wait_journal("was ended by signal 9")


def test_the_master_is_killed(service, front, arrivals):
    pid = service.main_pid()
    sockets = procfs.listening_inodes(pid)
    with arrivals(front, losses=True) as served:
        for _ in range(3):
            os.kill(pid, signal.SIGKILL)
            pid = restarted(service, pid)
            served.wait_more(20)
    assert procfs.listening_inodes(pid) == sockets
    assert int(service.show("NRestarts")) == 3


def test_a_master_that_hangs_is_replaced_by_the_watchdog(service, proxy, arrivals):
    service.drop_in("Service", "WatchdogSec=2s", "TimeoutAbortSec=1s")
    proxy()
    pid = service.start()
    with arrivals(losses=True) as served:
        os.kill(pid, signal.SIGSTOP)
        restarted(service, pid)
        served.wait_more(20)
    service.wait_journal("Watchdog timeout")


def hang(process):
    """Have a worker thread of this process stop where it accepts the next connection."""
    thread = next(t for t in procfs.threads(process)
                  if procfs.status(process, t)["Name"].startswith("weft/"))
    strace = [programs.find("strace"), "-qq", "-o", "/dev/null", "-p", str(thread)]
    delay = ["-e", "trace=accept4", "-e", "inject=accept4:delay_enter=600s"]
    return subprocess.Popen([*strace, *delay])


def test_a_worker_thread_that_hangs_is_found_and_the_process_replaced(service, proxy, arrivals):
    proxy(weft={"workers": 2, "drain_timeout": "1s"})
    pid = service.start()
    before = service.worker_pids()
    tracer = hang(*before)
    try:
        with arrivals(losses=True) as served:
            service.wait_journal("has not yielded", "another one takes over")
            until(lambda: service.worker_pids() - before, "another worker process")
            served.wait_more(20)
        service.wait_journal("has not ended in time: killed")
    finally:
        tracer.kill()
        tracer.wait()
    until(lambda: not service.worker_pids() & before, "the process that hung is gone")
    assert (service.main_pid(), service.show("NRestarts")) == (pid, "0")


def test_sockets_are_not_kept_over_a_stop(service, front, client):
    service.stop()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        client(front)
    service.start()
    assert echoes(client(front))
