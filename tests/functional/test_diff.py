"""weft -t --diff: what a reload would change, asked of the daemon that runs."""

import os

import pytest
import yaml

import daemon as daemons
from backends import echo
from control import Client, chat, frame
from waiting import until


class Plan:
    """What `weft -t --diff` says of a file, by its lines."""

    def __init__(self, daemon, change, name="next.yaml"):
        self.config = yaml.safe_load(yaml.safe_dump(daemon.config))
        change(self.config)
        self.path = f"{daemon.directory}/{name}"
        with open(self.path, "w", encoding="utf-8") as f:
            yaml.safe_dump(self.config, f, sort_keys=False)
        self.done = daemons.run("-t", "--diff", "-c", self.path)

    @property
    def lines(self):
        """The lines of the table, each a list of words."""
        assert (self.done.returncode, self.done.stderr) == (0, "")
        titles, *lines = [line.split() for line in self.done.stdout.splitlines()]
        assert titles == ["Change", "What", "Name", "Keys", "Connections", "On", "change"]
        return lines


def nothing(config):
    del config


@pytest.fixture
def running(weft, backend):
    """A daemon of two servers with three connections, two of them to the first server."""
    first, second = backend(echo), backend(echo)
    servers = [{"name": "a", "address": first.address}, {"name": "b", "address": second.address}]
    daemon = weft.proxy(*servers, process={"workers": 2})
    for _ in range(3):
        chat(daemon.connect())
    return daemon


def test_nothing_would_change(running):
    plan = Plan(running, nothing)
    assert (plan.done.returncode, plan.done.stderr) == (0, "")
    assert plan.done.stdout == f"{plan.path}: nothing would change\n"


def test_a_listener_is_changed_added_and_removed(running, address):
    def change(config):
        config["listeners"]["front"].update(idle_timeout="5m", on_change="drain")
        config["listeners"]["new"] = {"bind": address(), "pool": "back"}

    assert Plan(running, change).lines == [
        ["changed", "listener", "front", "idle_timeout,", "on_change", "3", "drain"],
        ["added", "listener", "new", "-", "0", "keep"],
    ]

    def remove(config):
        config["listeners"] = {"other": {**config["listeners"]["front"], "on_change": "close"}}

    assert Plan(running, remove).lines == [
        ["added", "listener", "other", "-", "0", "close"],
        ["removed", "listener", "front", "-", "3", "keep"],
    ]


def test_servers_and_their_connections(running):
    def change(config):
        del config["pools"]["back"]["servers"][0]
        config["pools"]["back"]["servers"][0]["weight"] = 7
        config["pools"]["back"]["servers"].append("127.0.0.1:1")

    assert Plan(running, change).lines == [
        ["changed", "server", "back/b", "weight", "1", "-"],
        ["added", "server", "back/127.0.0.1:1", "-", "0", "-"],
        ["removed", "server", "back/a", "-", "2", "-"],
    ]


def test_servers_behind_routes(weft, backend):
    """A connection counts where its route has led it."""
    server = backend(echo).address
    routes = [{"sni": ["a.example"], "pool": "a"}, {"pool": "b"}]
    listener = {"bind": weft.new_address("v4"), "routes": routes, "sni_timeout": "1s"}
    daemon = weft({
        "listeners": {"front": listener},
        "pools": {name: {"servers": [server]} for name in ("a", "b")},
    })
    chat(daemon.connect())

    def change(config):
        for pool in config["pools"].values():
            pool["servers"] = ["127.0.0.1:1"]

    assert sorted(Plan(daemon, change).lines) == [
        ["added", "server", "a/127.0.0.1:1", "-", "0", "-"],
        ["added", "server", "b/127.0.0.1:1", "-", "0", "-"],
        ["removed", "server", f"a/{server}", "-", "0", "-"],
        ["removed", "server", f"b/{server}", "-", "1", "-"],
    ]


def test_a_pool_and_the_daemon_itself(running):
    def change(config):
        config["pools"]["back"]["retries"] = 9
        config["pools"]["more"] = {"servers": ["127.0.0.1:1"]}
        config["weft"]["drain_timeout"] = "7s"

    lines = Plan(running, change).lines
    assert lines[0] == ["changed", "weft", "-", "drain_timeout", "-", "-"]
    assert ["changed", "pool", "back", "retries", "3", "-"] in lines
    assert ["added", "pool", "more", "-", "0", "-"] in lines


def test_what_wants_another_process_is_told(running):
    def change(config):
        config["weft"]["workers"] = 1

    assert Plan(running, change).lines == [
        ["replaced", "worker", "process", "-", "weft.workers", "3", "-"],
        ["changed", "weft", "-", "workers", "-", "-"],
    ]


def test_it_changes_nothing(running):
    def change(config):
        config["pools"]["back"]["retries"] = 9

    before = running.ask("info")
    assert Plan(running, change).lines
    after = running.ask("info")
    for key in ("generation", "connections", "worker_pid", "reload_at"):
        assert after[key] == before[key]
    assert running.ask("listeners")[0]["active"] == 3


def test_included_files_are_those_that_were_seen(weft, backend):
    """Whoever may read them: the running weft gets what we have read."""
    daemon = weft.proxy(backend(echo).address)
    directory = f"{daemon.directory}/conf.d"
    os.mkdir(directory)
    with open(f"{directory}/more.yaml", "w", encoding="utf-8") as f:
        f.write("pools: {more: {servers: ['127.0.0.1:1']}}\n")

    def include(config):
        config["include"] = ["conf.d/*.yaml", "none/*.yaml"]

    assert ["added", "pool", "more", "-", "0", "-"] in Plan(daemon, include).lines


def test_faults_are_told_as_ever(running):
    def spoil(config):
        config["pools"]["back"]["retries"] = "many"

    plan = Plan(running, spoil)
    assert plan.done.returncode == 1
    assert plan.done.stdout == ""
    assert plan.done.stderr == daemons.run("-t", "-c", plan.path).stderr
    missing = daemons.run("-t", "--diff", "-c", "/nonexistent/weft.yaml")
    assert missing.returncode == 1
    assert missing.stderr == "/nonexistent/weft.yaml: error: No such file or directory\n"


def test_nobody_is_there(weft, running):
    def elsewhere(config):
        config["weft"]["control"] = f"{running.directory}/other.sock"

    done = Plan(running, elsewhere).done
    assert done.returncode == 3
    assert f"no weft listens on {running.directory}/other.sock: No such file" in done.stderr

    def off(config):
        config["weft"]["control"] = False

    done = Plan(running, off).done
    assert done.returncode == 1
    assert "weft.control is off" in done.stderr


def test_usage(weft):
    assert weft.run("--diff").returncode == 2
    done = weft.run("-t", "--diff", "-l", ":1", "-b", "127.0.0.1:1")
    assert done.returncode == 2


def test_what_is_no_bundle_does_no_harm(running):
    request = frame({"protocol": 1, "command": "diff", "arguments": {}})
    with Client(running.control) as client:
        client.send(request)
        assert client.error() == "no files were passed"
        for content in (b"", b"garbage", b'{"path": 1}', b'{"path": "p", "content": "weft: {"}'):
            fd = os.memfd_create("bundle")
            os.write(fd, content)
            client.send_with(request, fd)
            os.close(fd)
            answer = client.frame()
            while "error" not in answer:
                answer = client.frame()
        read_end, write_end = os.pipe()
        client.send_with(request, read_end)
        assert "no bundle" in client.error()
        os.close(read_end)
        os.close(write_end)
    before = len(running.descriptors())
    with Client(running.control) as client:
        null = os.open("/dev/null", os.O_RDONLY)
        for _ in range(50):
            client.send_with(frame({"protocol": 1, "command": "workers"}), null)
            assert client.rows()
        os.close(null)
    until(lambda: len(running.descriptors()) <= before, "it keeps no descriptor that came along")


def test_many_at_once(running):
    def change(config):
        config["pools"]["back"]["retries"] = 9

    plans = [Plan(running, change, f"{i}.yaml") for i in range(5)]
    assert all(plan.lines == plans[0].lines for plan in plans)


def test_a_stop_amid_it(running):
    """Whatever is under way then, it ends."""
    request = frame({"protocol": 1, "command": "diff", "arguments": {}})
    with Client(running.control) as client:
        fd = os.memfd_create("bundle")
        os.write(fd, b'{"path": "p", "content": "", "included": {}}')
        for _ in range(20):
            client.send_with(request, fd)
        os.close(fd)
        running.stop()
