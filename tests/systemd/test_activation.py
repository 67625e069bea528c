"""Sockets that systemd opens and hands over by name: the examples that are installed."""

import shutil

import pytest
import yaml

from backends import greeter
from service import installed, must
from talk import echoes, greeting, refused
from waiting import until

EXAMPLES = installed("DOCDIR", "examples")
UNITS = ("weft.socket", "weft-tls.socket")


@pytest.fixture
def sockets(service):
    """The example's units listen; the service does not run."""
    for unit in UNITS:
        shutil.copy(EXAMPLES / unit, "/run/systemd/system")
    must("systemctl", "daemon-reload")
    must("systemctl", "start", *UNITS)
    yield
    must("systemctl", "stop", "weft.service", *UNITS)
    for unit in UNITS:
        (service.DROP_IN.parent.parent / unit).unlink()
    must("systemctl", "daemon-reload")


@pytest.fixture
def example(service, backend):
    """The example's configuration, with servers of ours."""
    config = yaml.safe_load((EXAMPLES / "socket-activation.yaml").read_text(encoding="utf-8"))
    for name in ("web", "tls"):
        config["pools"][name]["servers"] = [backend(greeter(name)).address]
    service.configure(config)
    return config


def test_the_first_client_starts_it_and_each_name_is_its_listener(
        service, sockets, example, client):
    assert service.show("ActiveState") == "inactive"
    assert greeting(client("127.0.0.1:80")) == b"web"
    service.wait_state("active", "running")
    assert greeting(client("127.0.0.1:443")) == b"tls"
    assert greeting(client("[::1]:443")) == b"tls"


def test_all_workers_take_from_a_socket(service, sockets, example, client):
    example["weft"] = {"workers": 2}
    service.configure(example)
    service.start()
    for _ in range(20):
        assert greeting(client("127.0.0.1:80")) == b"web"


def test_clients_wait_while_it_is_stopped(service, sockets, example, client):
    service.start()
    service.stop()
    assert greeting(client("127.0.0.1:80")) == b"web"


def test_a_restart_refuses_nobody(service, sockets, example, arrivals):
    service.start()
    with arrivals("127.0.0.1:443", expect=b"tls") as served:
        for _ in range(3):
            assert service.systemctl("restart").returncode == 0
            served.wait_more(20)


def test_a_name_that_was_not_handed_over_fails_the_start(service, sockets, example):
    example["listeners"]["web"]["bind"] = "systemd:wbe"
    service.configure(example)
    service.drop_in("Unit", "StartLimitBurst=1")
    assert service.systemctl("start").returncode != 0
    service.wait_journal("systemd:wbe", "systemd:tls", "systemd:web")


def test_works_beside_addresses_of_its_own(service, sockets, example, client, backend):
    example["listeners"]["own"] = {"bind": "127.0.0.1:8080", "pool": "own"}
    example["pools"]["own"] = {"servers": [backend().address]}
    service.configure(example)
    service.start()
    s = client("127.0.0.1:8080")
    assert echoes(s)
    assert greeting(client("127.0.0.1:80")) == b"web"
    s.close()
    service.stop()
    assert refused("127.0.0.1:8080")
    assert greeting(client("127.0.0.1:80")) == b"web"


def test_a_reload_keeps_what_was_handed_over(service, sockets, example, client, backend):
    service.start()
    example["pools"]["web"]["servers"] = [backend(greeter("new")).address]
    service.configure(example)
    assert service.systemctl("reload").returncode == 0, service.journal_text()
    until(lambda: greeting(client("127.0.0.1:80")) == b"new", "the new server")
    assert greeting(client("127.0.0.1:443")) == b"tls"
