"""systemctl reload: the verdict is its exit code, and a rejected file changes nothing."""

from backends import greeter
from talk import FRONT, echoes, greeting
from waiting import until


def test_takes_a_new_configuration_and_keeps_connections(service, proxy, client, backend):
    proxy()
    pid = service.start()
    s = client()
    assert echoes(s)
    proxy(backend(greeter("new")).address)
    assert service.systemctl("reload").returncode == 0, service.journal_text()
    until(lambda: greeting(client()) == b"new", "the new server")
    assert echoes(s)
    assert service.main_pid() == pid
    assert service.show("ActiveState") == "active"


def test_fails_with_a_bad_file_and_the_old_one_stays(service, proxy, client):
    proxy()
    pid = service.start()
    s = client()
    service.configure("listeners:\n  web: {bind: ':8080', pool: web}\nbackends: {}\n")
    done = service.systemctl("reload")
    assert done.returncode != 0
    assert "failed" in done.stderr
    service.wait_journal(f"{service.CONFIG}:3:1: error: unknown key 'backends'")
    assert echoes(s) and echoes(client())
    assert (service.main_pid(), service.show("ActiveState")) == (pid, "active")
    proxy()
    assert service.systemctl("reload").returncode == 0


def test_fails_with_a_file_that_cannot_be_applied(service, proxy, client, backend):
    proxy()
    service.start()
    squatter = backend()
    proxy(bind=[FRONT, squatter.address])
    assert service.systemctl("reload").returncode != 0
    service.wait_journal(f"cannot listen on {squatter.address}")
    assert echoes(client())


def test_a_reload_that_takes_another_process_refuses_nobody(service, proxy, client, arrivals):
    proxy(weft={"workers": 1})
    pid = service.start()
    s = client()
    assert echoes(s)
    with arrivals() as served:
        proxy(weft={"workers": 2})
        assert service.systemctl("reload").returncode == 0, service.journal_text()
        served.wait_more(20)
    assert echoes(s), "a connection of the old process is lost"
    assert service.main_pid() == pid
