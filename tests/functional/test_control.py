"""weftctl: what it shows, what it has done, and its exit codes."""

import datetime
import json
import os
import pty
import signal
import stat
import subprocess
import time

import pytest
import yaml

import daemon as daemons
import net
from backends import echo, greeter
from control import Client, chat, only, request
from waiting import until

INFO_KEYS = (
    "version pid worker_pid state uptime workers generation reload_at reload_accepted connections "
    "connections_total max_connections bound_by descriptors drain_left leaving "
    "leaving_connections restarts memory_resident memory_allocated"
).split()
LISTENER_KEYS = "name addresses pools state active total bytes_in bytes_out".split()
WORKER_KEYS = "worker cpu active total handed_over busy turns stalls".split()


# --- what is shown ------------------------------------------------------------------------------


def test_info(weft, backend):
    daemon = weft.proxy(backend(echo).address, process={"workers": 2})
    info = daemon.ask("info")
    assert list(info) == INFO_KEYS
    assert (info["pid"], info["worker_pid"]) == (daemon.pid, daemon.worker)
    assert f"weft {info['version']}\n" == weft.run("--version").stdout
    assert (info["state"], info["workers"], info["generation"]) == ("serving", 2, 1)
    assert info["memory_resident"] > 1 << 20
    assert [info[key] for key in ("drain_left", "reload_at", "reload_accepted")] == [None] * 3
    assert [info[key] for key in ("leaving", "leaving_connections", "restarts")] == [0] * 3
    assert 0 <= info["uptime"] < 20
    time.sleep(0.05)
    assert daemon.ask("info")["uptime"] >= info["uptime"] + 0.05


def test_info_counts_connections(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    clients = [daemon.connect() for _ in range(3)]
    for client in clients:
        chat(client)
    clients[0].close()
    until(lambda: daemon.ask("info")["connections"] == 2, "a connection has ended")
    assert daemon.ask("info")["connections_total"] == 3


@pytest.mark.parametrize("asked, bound_by", [("auto", "descriptors"), (7, "max_connections")])
def test_info_says_which_limit_comes_first(weft, backend, asked, bound_by):
    daemon = weft.proxy(backend(echo).address, process={"max_connections": asked}, limit=1000)
    info = daemon.ask("info")
    assert info["descriptors"] == 1000
    assert info["bound_by"] == bound_by
    assert f"{info['max_connections']} connections at most" in daemon.log()


def test_listeners(weft, backend, address):
    binds = {"one": [address("v4")], "two": [address("v4"), address("unix")]}
    config = {
        "listeners": {name: {"bind": bind, "pool": "back"} for name, bind in binds.items()},
        "pools": {"back": {"servers": [backend(echo).address]}},
    }
    daemon = weft(config)
    for _ in range(4):
        client = daemon.connect(binds["two"][1])
        chat(client, b"x" * 1000)
    one, two = daemon.ask("listeners")
    assert list(one) == LISTENER_KEYS
    assert (one["name"], one["addresses"], one["pools"]) == ("one", binds["one"], ["back"])
    assert (two["name"], two["addresses"], two["state"]) == ("two", binds["two"], "open")
    assert (one["active"], one["total"], one["bytes_in"], one["bytes_out"]) == (0, 0, 0, 0)
    assert (two["active"], two["total"], two["bytes_in"], two["bytes_out"]) == (4, 4, 4000, 4000)


def test_a_listener_with_routes_names_all_their_pools(weft, backend):
    server = backend(echo).address
    routes = [
        {"sni": ["a.example"], "pool": "a"},
        {"source": ["127.0.0.0/8"], "pool": "b"},
        {"pool": "a"},
    ]
    config = {
        "listeners": {"front": {"bind": weft.new_address("v4"), "routes": routes}},
        "pools": {name: {"servers": [server]} for name in ("a", "b")},
    }
    daemon = weft(config)
    assert only(daemon.ask("listeners"))["pools"] == ["a", "b"]


def test_bytes_are_those_of_the_records(weft, backend):
    daemon = weft.proxy(backend(greeter("x" * 100000)).address, process={"workers": 2})
    for _ in range(10):
        client = daemon.connect()
        client.sendall(b"y" * 10)
        assert len(net.read_all(client)) == 100000
        client.close()
    records = daemon.records(10)
    listener = only(daemon.ask("listeners"))
    assert listener["bytes_in"] == sum(r["bytes_in"] for r in records)
    assert listener["bytes_out"] == sum(r["bytes_out"] for r in records)


def test_a_full_listener_says_so(weft, backend):
    daemon = weft.proxy(backend(echo).address, listener={"max_connections": 1})
    assert only(daemon.ask("listeners"))["state"] == "open"
    client = daemon.connect()
    chat(client)
    assert only(daemon.ask("listeners"))["state"] == "full"


def test_workers(weft, backend):
    cpus = sorted(os.sched_getaffinity(0))
    process = {"workers": 2, "pin": True}
    daemon = weft.proxy(backend(echo).address, process=process)
    clients = [daemon.connect() for _ in range(40)]
    for client in clients:
        chat(client)
    workers = daemon.ask("workers")
    assert [list(w) for w in workers] == [WORKER_KEYS] * 2
    assert [w["worker"] for w in workers] == [0, 1]
    assert [w["cpu"] for w in workers] == [cpus[0], cpus[1 % len(cpus)]]
    assert sum(w["active"] for w in workers) == 40
    assert sum(w["total"] for w in workers) == 40
    assert all(0 <= w["busy"] <= 1 and w["turns"] > 0 for w in workers)
    assert all(w["active"] > 0 for w in workers)


def test_an_unpinned_worker_has_no_cpu(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    assert only(daemon.ask("workers"))["cpu"] is None


# --- tables -------------------------------------------------------------------------------------


def test_a_table_for_people(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    client = daemon.connect()
    chat(client, b"x" * 3000)
    titles, row = daemon.ctl("listeners").stdout.splitlines()
    assert titles.split() == "Name Addresses Pools State Active Total In Out".split()
    assert row.split() == ["front", daemon.address, "back", "open", *"1 1 2.9 KiB 2.9 KiB".split()]
    assert titles.index("Pools") == row.index("back")


def test_a_record_for_people(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    lines = dict(line.split("  ", 1) for line in daemon.ctl("info").stdout.splitlines())
    assert lines["Process id"].strip() == str(daemon.pid)
    assert lines["Resident memory"].strip().endswith("MiB")
    assert "Drain ends in" not in lines


def on_a_terminal(command, columns):
    """What a program writes to a terminal of that width."""
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "wb", buffering=0) as terminal:
            subprocess.run(["stty", "cols", str(columns)], stdin=terminal, check=True)
            subprocess.run(command, stdin=terminal, stdout=terminal, check=True, timeout=20)
            return os.read(master, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(master)


def test_a_table_fits_the_terminal(weft, backend, address):
    binds = [address("v4") for _ in range(10)]
    daemon = weft.proxy(backend(echo).address, bind=binds)
    command = [daemons.control_program(), "-s", daemon.control, "listeners"]
    for columns in (80, 100):
        lines = on_a_terminal(command, columns).splitlines()
        assert len(lines) == 2
        assert all(len(line) <= columns for line in lines)
        assert "..." in lines[1]
    assert all(bind in daemon.ctl("listeners").stdout for bind in binds)


# --- reload and upgrade -------------------------------------------------------------------------


def rewrite(daemon, change):
    """Write the daemon's configuration anew, with a change to it."""
    change(daemon.config)
    with open(f"{daemon.directory}/weft.yaml", "w", encoding="utf-8") as f:
        yaml.safe_dump(daemon.config, f, sort_keys=False)


def more_retries(config):
    config["pools"]["back"]["retries"] = config["pools"]["back"].get("retries", 2) + 1


def test_reload(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    for generation in (2, 3):
        rewrite(daemon, more_retries)
        done = daemon.ctl("reload")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"accepted, generation {generation}\n"
    assert daemon.ask("reload") == {"generation": 4}

    def info():
        now = daemon.ask("info")
        return (now["generation"], now["reload_accepted"]) == (4, True) and now

    now = until(info, "who serves now answers")
    age = time.time() - datetime.datetime.fromisoformat(now["reload_at"]).timestamp()
    assert -1 < age < 20


def test_a_reload_that_is_rejected(weft, backend):
    daemon = weft.proxy(backend(echo).address)

    def spoil(config):
        config["pools"]["back"].update(retries="many", connect_timeout="never")

    rewrite(daemon, spoil)
    done = daemon.ctl("reload")
    assert done.returncode == 1
    assert done.stdout == ""
    *faults, last = done.stderr.splitlines()
    assert last == "weftctl: rejected: generation 1 stays in effect"
    told = weft.run("-t", "-c", f"{daemon.directory}/weft.yaml").stderr.splitlines()
    assert faults == told
    assert len(faults) == 2
    info = daemon.ask("info")
    assert (info["generation"], info["reload_accepted"]) == (1, False)
    chat(daemon.connect())


def test_a_reload_without_a_file(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    os.unlink(f"{daemon.directory}/weft.yaml")
    done = daemon.ctl("reload")
    assert done.returncode == 1
    assert "weft.yaml: error: No such file or directory" in done.stderr


def test_reloads_at_once_all_get_a_verdict(weft, backend):
    """And none of them one of a file that was read before it asked."""
    daemon = weft.proxy(backend(echo).address)
    command = [daemons.control_program(), "-s", daemon.control, "--json", "reload"]
    for _ in range(5):
        rewrite(daemon, more_retries)
        before = daemon.ask("reload")["generation"]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(10)]
        for process in started:
            out, _ = process.communicate(timeout=20)
            assert process.returncode == 0
            assert json.loads(out)["generation"] > before


def test_a_reload_whose_client_is_gone(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    with Client(daemon.control) as client:
        client.send(request("reload"))
    until(lambda: daemon.ask("info")["generation"] == 2, "it reloads all the same")


def test_upgrade(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    before = daemon.ask("info")
    client = daemon.connect()
    chat(client)
    done = daemon.ctl("upgrade", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"accepted, version {before['version']}, generation 2\n"

    def replaced():
        now = daemon.ask("info")
        left = (now["leaving"], now["leaving_connections"])
        return now["worker_pid"] != before["worker_pid"] and left == (1, 1) and now

    now = until(replaced, "who serves now knows of who did before")
    assert now["pid"] == before["pid"]
    assert now["uptime"] >= before["uptime"]
    chat(client)


def test_a_crash_is_counted(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    os.kill(daemon.worker, signal.SIGKILL)
    until(lambda: daemon.ctl("info").returncode == 0, "another process serves")
    until(lambda: daemon.ask("info")["restarts"] == 1, "it knows why it was started")


# --- stop ---------------------------------------------------------------------------------------


def test_stop(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    done = daemon.ctl("stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "stopping: 0 connections have 30.0s\n"
    assert daemon.wait() == 0
    assert not os.path.exists(daemon.control)


def test_stop_lets_connections_finish_and_shows_them(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    client = daemon.connect()
    chat(client)
    answer = daemon.ask("stop")
    assert answer["connections"] == 1
    assert 25 < answer["drain_left"] <= 30
    until(lambda: not daemon.addresses_listened_on(), "it stops listening")
    info = daemon.ask("info")
    assert (info["state"], info["connections"]) == ("draining", 1)
    assert 0 < info["drain_left"] <= answer["drain_left"]
    assert only(daemon.ask("listeners"))["state"] == "draining"
    assert daemon.ctl("stop").returncode == 0  # asks for nothing new: it does not hurry
    chat(client)
    client.close()
    assert daemon.wait() == 0


def test_the_socket_goes_with_a_signal_too(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    assert stat.S_IMODE(os.stat(daemon.control).st_mode) == 0o660
    daemon.signal(signal.SIGINT)
    assert daemon.wait() == 0
    assert not os.path.exists(daemon.control)


# --- exit codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["dance"], ["info", "more"], ["--jsn", "info"], ["-s"]])
def test_usage(weft, arguments):
    done = daemons.weftctl(*arguments)
    assert done.returncode == 2
    assert "weftctl" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["info", "-h"], ["--version"]])
def test_help_and_version_need_no_daemon(arguments):
    done = daemons.weftctl("-s", "/nonexistent", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "weftctl" in done.stdout


def test_no_daemon(tmp_path):
    path = tmp_path / "control.sock"
    done = daemons.weftctl("-s", path, "info")
    assert done.returncode == 3
    assert done.stderr == f"weftctl: no weft listens on {path}: No such file or directory\n"
    assert done.stdout == ""


def test_a_full_disk_is_noticed(weft, backend):
    daemon = weft.proxy(backend(echo).address)
    with open("/dev/full", "wb") as full:
        command = [daemons.control_program(), "-s", daemon.control, "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
