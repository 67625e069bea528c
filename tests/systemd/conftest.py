"""Fixtures: the service, and backends, both gone when the test is over."""

import pytest

import backends
import net
import talk
from service import UNIT, Service, installed, must, run


@pytest.fixture(scope="session", autouse=True)
def unit_file():
    """systemd has to know the unit: of a prefix where it does not look it must be told."""
    if run("systemctl", "cat", UNIT).returncode != 0:
        must("systemctl", "link", installed("SYSTEMDSYSTEMUNITDIR", UNIT))
        must("systemd-sysusers", installed("SYSUSERSDIR", "weft-sysusers.conf"))


@pytest.fixture
def backend():
    """Factory of backends.Backend."""
    made = []

    def make(handler=backends.echo, **options):
        made.append(backends.Backend(handler, **options))
        return made[-1]

    yield make
    for b in made:
        b.close()


@pytest.fixture
def service(request):
    """The service, stopped and unchanged. A test that fails shows its journal."""
    s = Service()
    yield s
    if getattr(request.node, "failed", False):
        print(s.systemctl("status", "--lines=0").stdout)
        print(s.journal_text()[-8000:])
    s.clean()


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let a fixture's end see whether the test itself has failed."""
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


@pytest.fixture
def proxy(service, backend):
    """Factory: the service's configuration, one listener `front` and one pool `back`, is written.

    There are no access records, unless the test has its own idea of `log`.
    """

    def make(*servers, bind="127.0.0.1:8080", listener=None, pool=None, **sections):
        config = {
            "listeners": {"front": {"bind": bind, "pool": "back", **(listener or {})}},
            "pools": {"back": {"servers": list(servers) or [backend().address], **(pool or {})}},
            "log": {"access": {"output": "off"}},
            **sections,
        }
        service.configure(config)
        return config

    return make


@pytest.fixture
def client():
    """Factory of connections to an address, reset at the end."""
    made = []

    def connect(address="127.0.0.1:8080", **options):
        made.append(net.open_client(address, **options))
        return made[-1]

    yield connect
    for s in made:
        net.reset(s)


@pytest.fixture
def arrivals():
    """talk.Arrivals: clients that keep coming."""
    return talk.Arrivals
