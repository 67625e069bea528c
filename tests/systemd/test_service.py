"""Start, stop and failure, as systemctl, the journal and clients see them."""

import os
import pathlib
import signal
import stat

import pytest

import net
import procfs
from backends import Background
from service import installed, must
from talk import FRONT, echoes, refused
from waiting import Stopwatch, until
NOBODY = 65534


def test_starts_as_installed(service):
    service.start()
    assert service.show("ActiveState") == "active"
    assert stat.S_IMODE(os.stat(service.CONFIG).st_mode) == 0o644


def test_serves_until_it_is_stopped(service, proxy, client):
    proxy()
    service.start()
    s = client()
    assert echoes(s)
    net.reset(s)
    service.stop()
    assert (service.show("ActiveState"), service.show("Result")) == ("inactive", "success")
    assert refused()


def test_is_not_root_and_has_the_low_ports(service, proxy, client):
    proxy(bind="127.0.0.1:80")
    pid = service.start()
    user = os.stat(f"/proc/{pid}")
    assert user.st_uid != 0 and user.st_gid != 0
    assert echoes(client("127.0.0.1:80"))


def test_a_bad_file_fails_the_start_and_is_in_the_journal(service):
    service.drop_in("Unit", "StartLimitBurst=3")
    service.configure("listeners:\n  web: {bind: ':8080', pool: web}\nbackends: {}\n")
    assert service.systemctl("start").returncode != 0
    service.wait_journal(f"{service.CONFIG}:3:1: error: unknown key 'backends'")
    service.wait_state("failed")
    assert service.show("ExecMainStatus") == "1"


def test_an_address_that_is_taken_is_tried_again_until_it_is_free(service, proxy, client, backend):
    squatter = backend(address=FRONT)
    proxy()
    assert service.systemctl("start").returncode != 0
    service.wait_journal("cannot listen on 127.0.0.1:8080")
    squatter.close()
    service.wait_state("active", "running")
    assert echoes(client())


def test_a_stop_waits_for_connections(service, proxy, client):
    proxy()
    service.start()
    s = client()
    assert echoes(s)
    stopping = Background(service.stop)
    service.wait_state("deactivating")
    until(refused, "it takes no new connection")
    assert echoes(s)
    assert stopping.is_alive()
    net.reset(s)
    stopping.result()
    assert service.show("Result") == "success"


def test_a_stop_ends_connections_after_the_drain_time(service, proxy, client):
    proxy(weft={"drain_timeout": "1s"})
    service.start()
    s = client()
    assert echoes(s)
    watch = Stopwatch()
    service.stop()
    assert 0.9 <= watch.seconds < 20
    net.expect_end(s)
    assert service.show("Result") == "success"


def test_stop_under_load_loses_no_echo(service, proxy, client):
    """Connections in the middle of a talk when the stop comes get to its end."""
    proxy()
    service.start()
    talkers = []

    def talk(s):
        for _ in range(500):
            assert echoes(s, bytes(1000))
        s.close()

    for _ in range(50):
        s = client()
        assert echoes(s)
        talkers.append(Background(talk, s))
    service.stop()
    for t in talkers:
        t.result()
    assert service.show("Result") == "success"


def test_is_restarted_when_it_is_killed(service, proxy, client):
    proxy()
    pid = service.start()
    os.kill(pid, signal.SIGKILL)
    until(lambda: service.main_pid() not in (0, pid), "it is started again")
    until(lambda: not refused(), "it listens again")
    assert echoes(client())
    assert service.show("NRestarts") == "1"


def ask_by_signal(pid):
    os.kill(pid, signal.SIGTERM)


def ask_by_weftctl(_pid):
    must(installed("BINDIR", "weftctl"), "stop")


@pytest.mark.parametrize("ask", [ask_by_signal, ask_by_weftctl])
def test_is_not_restarted_when_it_was_asked_to_stop(service, proxy, ask):
    proxy()
    ask(service.start())
    service.wait_state("inactive", "dead")
    assert service.show("Result") == "success"
    assert service.show("NRestarts") == "0"


def test_writes_to_its_log_directory(service, proxy, client):
    log = pathlib.Path("/var/log/weft/access.log")
    proxy(log={"access": {"output": str(log)}})
    service.start()

    def recorded():
        s = client()
        assert echoes(s)
        net.reset(s)
        return log.exists() and '"end":"client_reset"' in log.read_text(encoding="utf-8")

    until(recorded, "a record")
    log.rename(log.with_suffix(".1"))
    assert service.systemctl("kill", "--signal=USR1", "--kill-whom=main").returncode == 0
    until(recorded, "a record in the log that is opened anew")


@pytest.mark.parametrize("output", ["stderr", "journal", "syslog"])
def test_records_reach_the_journal(service, proxy, client, output):
    proxy(log={"access": {"output": output}, "error": {"output": output}})
    service.start()
    s = client()
    assert echoes(s)
    net.reset(s)
    service.wait_journal('"end":"client_reset"')


def test_listens_in_its_runtime_directory(service, proxy, client):
    path = "/run/weft/front.sock"
    proxy(bind=f"unix:{path}")
    service.start()
    s = client(f"unix:{path}")
    assert echoes(s)
    s.close()
    os.seteuid(NOBODY)
    try:
        s = client(f"unix:{path}")
    finally:
        os.seteuid(0)
    assert echoes(s)
    s.close()
    service.stop()
    assert not os.path.exists(path)


def test_resolves_names(service, proxy, client, backend):
    with open("/etc/hosts", "w", encoding="ascii") as f:
        f.write("127.0.0.1 backend.example\n")
    port = backend().address.rsplit(":", 1)[1]
    proxy(f"backend.example:{port}")
    service.start()
    assert echoes(client())


def test_pins_its_workers(service, proxy, client):
    proxy(weft={"workers": 2, "pin": True})
    service.start()
    assert echoes(client())
    cpus = min(2, len(os.sched_getaffinity(0)))

    def pinned():
        allowed = {procfs.status(pid, t)["Cpus_allowed_list"]
                   for pid in service.worker_pids() for t in procfs.threads(pid)}
        return {cpu for cpu in allowed if cpu.isdigit()}

    until(lambda: len(pinned()) == cpus, "each worker has a CPU of its own")
    assert "pin" not in service.journal_text()


def descriptor_limits(pid):
    """The soft and the hard one."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        line = next(line for line in f if line.startswith("Max open files"))
    return tuple(map(int, line.split()[3:5]))


def test_takes_as_many_descriptors_as_the_unit_allows(service, proxy):
    proxy()
    soft, hard = descriptor_limits(service.start())
    # A container may not let systemd raise its own limit.
    assert hard in (int(service.show("LimitNOFILE")), descriptor_limits(1)[1])
    assert soft == hard
    service.wait_journal(f"the descriptor limit of {soft}")


def test_the_installed_program_is_what_runs(service, proxy):
    proxy()
    pid = service.start()
    assert os.readlink(f"/proc/{pid}/exe") == str(installed("SBINDIR", "weft"))
