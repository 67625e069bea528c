"""What the main process and systemd tell each other."""

import os
import shutil

import net
from backends import Background
from service import installed
from talk import echoes
from waiting import until


def test_is_not_ready_before_it_serves(service, proxy, client):
    """What is started after it can use it at once."""
    proxy()
    assert service.systemctl("start").returncode == 0
    assert echoes(client())


def test_says_how_it_is(service, proxy, client):
    proxy()
    service.start()
    clients = [client() for _ in range(3)]
    assert all(map(echoes, clients))
    until(lambda: service.show("StatusText") == "generation 1, 3 connections", "the status")
    assert 'Status: "generation 1, 3 connections"' in service.systemctl("status").stdout
    assert service.systemctl("reload").returncode == 0
    until(lambda: service.show("StatusText").startswith("generation 2"), "the status")
    for s in clients:
        net.reset(s)
    until(lambda: service.show("StatusText") == "generation 2, 0 connections", "the status")


def test_a_stop_may_take_longer_than_the_unit_says(service, proxy, client):
    """While it drains, it asks systemd for more time."""
    service.drop_in("Service", "TimeoutStopSec=2s")
    proxy(weft={"drain_timeout": "1h"})
    service.start()
    s = client()
    assert echoes(s)
    stopping = Background(service.stop)
    service.wait_state("deactivating")
    until(lambda: service.show("StatusText") == "stopping: 1 connections left", "the status")
    stopping.join(3.5)
    assert stopping.is_alive() and echoes(s)
    net.reset(s)
    stopping.result()
    assert service.show("Result") == "success"


def test_upgrades_in_place(service, proxy, client, arrivals):
    """SIGUSR2: the program that is installed now takes over, and is the same service."""
    proxy()
    pid = service.start()
    program = installed("SBINDIR", "weft")
    copy = program.with_suffix(".new")
    shutil.copy2(program, copy)
    copy.rename(program)
    before = service.worker_pids()
    s = client()
    assert echoes(s)
    with arrivals() as served:
        assert service.systemctl("kill", "--kill-whom=main", "--signal=USR2").returncode == 0
        until(lambda: service.worker_pids() - before, "a new worker process")
        until(lambda: os.path.samefile(f"/proc/{pid}/exe", program), "the master is new, too")
        served.wait_more(20)
    assert echoes(s)
    assert (service.main_pid(), service.show("ActiveState")) == (pid, "active")
