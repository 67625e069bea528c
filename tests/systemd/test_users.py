"""Who runs: the user of the unit; or root as the master and that user as the worker process."""

import os
import pwd

import procfs
from talk import echoes

NOBODY_ELSE = "0000000000000000"


def capabilities(pid):
    """All five sets of a process."""
    status = procfs.status(pid)
    return {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}


def expect_no_rights(pid):
    user = pwd.getpwnam("weft")
    assert os.stat(f"/proc/{pid}").st_uid == user.pw_uid
    assert set(capabilities(pid).values()) == {NOBODY_ELSE}
    assert procfs.status(pid)["NoNewPrivs"] == "1"


def test_nobody_is_root(service, proxy, client):
    proxy(bind="127.0.0.1:80")
    pid = service.start()
    assert os.stat(f"/proc/{pid}").st_uid == pwd.getpwnam("weft").pw_uid
    for worker in service.worker_pids():
        expect_no_rights(worker)
    assert echoes(client("127.0.0.1:80"))


def test_a_master_that_is_root_gives_the_worker_process_its_user(service, proxy, client):
    """The drop-in that weft(8) has for it."""
    service.drop_in("Service", "User=", "Group=", "AmbientCapabilities=",
                    "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN")
    proxy(bind="127.0.0.1:80", log={"access": {"output": "/var/log/weft/root.log"}})
    pid = service.start()
    assert os.stat(f"/proc/{pid}").st_uid == 0
    for worker in service.worker_pids():
        expect_no_rights(worker)
    assert echoes(client("127.0.0.1:80"))
    assert service.systemctl("reload").returncode == 0, service.journal_text()
    assert echoes(client("127.0.0.1:80"))
