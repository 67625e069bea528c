"""Fixtures: daemons and backends that are cleaned up, and judged, when the test is over."""

import os
import resource
import shutil

import pytest

import accounts
import backends
import net
import ports
from daemon import Daemon, binary, run


def pytest_configure(config):
    try:
        binary()
    except FileNotFoundError as e:
        pytest.exit(str(e), returncode=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_report_header(config):
    return f"weft: {binary()}, scale: {os.environ.get('WEFT_TEST_SCALE', 'full')}"


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let a fixture's end see whether the test itself has failed."""
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture
def backend(tmp_path):
    """Factory of backends.Backend, or of another class of that module by `kind`."""
    made = []

    def make(handler=None, kind=backends.Backend, **options):
        made.append(kind(handler, **options) if handler else kind(**options))
        return made[-1]

    make.all = made
    yield make
    for b in made:
        b.close()


@pytest.fixture
def address(tmp_path):
    """Factory of addresses to bind: 'v4', 'v6', 'unix', 'abstract'."""

    def make(kind="v4"):
        if kind == "unix":
            return f"unix:{tmp_path}/{ports.free_port()}.sock"
        if kind == "abstract":
            return f"unix:@weft-test-{os.getpid()}-{ports.free_port()}"
        return {"v4": "127.0.0.1:{}", "v6": "[::1]:{}"}[kind].format(ports.free_port())

    return make


class Factory:
    """Starts daemons; `weft(config)` for any configuration, `weft.proxy(...)` for the usual one."""

    def __init__(self, directory, new_address):
        self.directory = directory
        self.new_address = new_address
        self.daemons = []

    def __call__(self, config=None, ready=True, **options):
        directory = self._make_directory()
        if isinstance(config, dict):
            config = self._complete(config, directory)
        daemon = Daemon(str(directory), config, **options)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    def _make_directory(self):
        directory = self.directory / f"weft{len(self.daemons)}"
        directory.mkdir()
        return directory

    def _process(self, directory):
        """What a test usually wants of the daemon itself."""
        process = {"workers": 1, "control": f"{directory}/control.sock"}
        if os.geteuid() == 0:  # else it may not reach the test's own directory
            process["user"] = "root"
        return process

    def _complete(self, config, directory):
        """One worker, a control socket and access records in the daemon's directory, unless the
        test has its own idea."""
        complete = dict(config)
        complete["weft"] = {**self._process(directory), **(config.get("weft") or {})}
        records = {"output": f"{directory}/access.log", "format": "json"}
        complete["log"] = {"access": records, **(config.get("log") or {})}
        return complete

    def proxy(
        self, *servers, bind=None, listener=None, pool=None, process=None, log=None, **options
    ):
        """One listener `front` and one pool `back` with these servers (addresses or mappings)."""
        config = {
            "listeners": {
                "front": {
                    "bind": bind or self.new_address("v4"),
                    "pool": "back",
                    **(listener or {}),
                }
            },
            "pools": {"back": {"servers": list(servers), **(pool or {})}},
        }
        if process:
            config["weft"] = process
        if log:
            config["log"] = log
        return self(config, **options)

    run = staticmethod(run)


class OrdinaryFactory(Factory):
    """Starts daemons as an ordinary user, in a directory of that user's."""

    def __init__(self, directory, new_address):
        super().__init__(directory, new_address)
        self.program = accounts.reachable(binary(), directory)

    def __call__(self, config=None, ready=True, **options):
        options = {"program": self.program, "account": accounts.options(), **options}
        return super().__call__(config, ready, **options)

    def _make_directory(self):
        directory = super()._make_directory()
        os.chown(directory, accounts.uid(), -1)
        return directory

    def _process(self, directory):
        return {"workers": 1, "control": f"{directory}/control.sock"}

    def run(self, *arguments):
        """As `run`, by that user."""
        return run(*arguments, program=self.program, **accounts.options())


def judge(factory, request, backend):
    """Let the daemons come to rest, and say so where they do not."""
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    try:
        for daemon in factory.daemons:
            daemon.hang_up()
        for b in backend.all:
            for s in getattr(b, "connections", ()):
                net.reset(s)
        for daemon in factory.daemons:
            if failed:
                print(f"--- stderr of {daemon.directory}\n{daemon.log()[-8000:]}")
                continue
            if daemon.running():
                daemon.expect_at_rest()
            daemon.stop()
    finally:
        for daemon in factory.daemons:
            daemon.kill()


@pytest.fixture
def weft(request, tmp_path, backend, address):
    """Factory of daemons. At the end each must come to rest, leak nothing and exit with 0."""
    factory = Factory(tmp_path, address)
    yield factory
    judge(factory, request, backend)


@pytest.fixture
def ordinary(request, backend, address):
    """Factory as `weft`, of daemons that an ordinary user starts, whoever runs the tests.

    `ordinary.directory` is that user's.
    """
    directory = accounts.make_directory()
    try:
        factory = OrdinaryFactory(directory, address)
        yield factory
        judge(factory, request, backend)
    finally:
        shutil.rmtree(directory)
