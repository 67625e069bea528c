"""Balancers that look at what a server has or at who the client is, and servers' limits."""

import collections

import pytest

import net
from backends import Background, echo, greeter, hold
from waiting import until


def named(backend, handler, *names, **each):
    """Servers with these names, whose handlers are made by `handler(name)`."""
    return [{"name": n, "address": backend(handler(n)).address, **each} for n in names]


def speaking(name):
    """A server that says its name and keeps the connection."""

    def handler(s):
        s.sendall(name.encode())
        hold(s)
        while s.recv(net.CHUNK):
            pass

    return handler


def ask(daemon, **options):
    """Connect and hear which server it is; the connection stays open."""
    client = daemon.connect(**options)
    return client, net.read_exactly(client, 1).decode()


def close_all(daemon, clients):
    for client in clients:
        client.close()
    daemon.expect_at_rest()


# --- least_conn, random -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_least_conn_evens_out_what_is_held(weft, backend, workers):
    """One server has lost its connections: it gets the next ones, until it has as many."""
    servers = named(backend, speaking, "a", "b", "c")
    daemon = weft.proxy(*servers, pool={"balance": "least_conn"}, process={"workers": workers})
    held = collections.defaultdict(list)
    for _ in range(30):
        client, name = ask(daemon)
        held[name].append(client)
    assert {name: len(clients) for name, clients in held.items()} == {"a": 10, "b": 10, "c": 10}
    for client in held.pop("b"):
        client.close()
    until(lambda: daemon.open_connections() == 40, "the closed ones are gone")
    assert [ask(daemon)[1] for _ in range(10)] == ["b"] * 10
    assert sorted(ask(daemon)[1] for _ in range(3)) == ["a", "b", "c"]


def test_least_conn_by_weight(weft, backend):
    servers = named(backend, speaking, "a", "b")
    servers[0]["weight"] = 3
    daemon = weft.proxy(*servers, pool={"balance": "least_conn"})
    assert collections.Counter(ask(daemon)[1] for _ in range(40)) == {"a": 30, "b": 10}


def test_least_conn_takes_turns_when_there_is_nothing_to_do(weft, backend):
    servers = named(backend, greeter, "a", "b", "c")
    daemon = weft.proxy(*servers, pool={"balance": "least_conn"})
    counts = collections.Counter()
    for _ in range(30):
        client = daemon.connect()
        counts[net.read_all(client).decode()] += 1
        client.close()
        daemon.expect_at_rest()
    assert counts == {"a": 10, "b": 10, "c": 10}


def test_random_keeps_close_to_even(weft, backend):
    """By one choice, of 200 the fullest of four would have 65 or so; by two it has 52."""
    servers = named(backend, speaking, "a", "b", "c", "d")
    daemon = weft.proxy(*servers, pool={"balance": "random"}, process={"workers": 2})
    counts = collections.Counter(ask(daemon)[1] for _ in range(200))
    assert all(44 <= counts[name] <= 56 for name in "abcd"), counts


# --- hashing ------------------------------------------------------------------------------------

HASHING = ["source_hash", "maglev"]


def owners(daemon, count=60):
    """Which server each of `count` clients gets."""
    found = {}
    for n in range(count):
        source = f"127.0.1.{n + 1}"
        client, found[source] = ask(daemon, source=source)
        client.close()
    return found


@pytest.mark.parametrize("balance", HASHING)
def test_client_always_gets_the_same_server(weft, backend, balance):
    servers = named(backend, speaking, "a", "b", "c", "d")
    daemon = weft.proxy(*servers, pool={"balance": balance}, process={"workers": 2})
    first = owners(daemon)
    assert owners(daemon) == first
    assert set(first.values()) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("balance", HASHING)
def test_another_weft_comes_to_the_same(weft, backend, balance):
    """Also one that has the servers in another order."""
    servers = named(backend, speaking, "a", "b", "c", "d")
    one = weft.proxy(*servers, pool={"balance": balance})
    other = weft.proxy(*reversed(servers), pool={"balance": balance})
    assert owners(one) == owners(other)


@pytest.mark.parametrize("balance", HASHING)
def test_only_clients_of_a_server_that_fails_move(weft, backend, balance):
    servers = [backend(speaking(name)) for name in "abcd"]
    daemon = weft.proxy(
        *({"name": n, "address": s.address} for n, s in zip("abcd", servers)),
        pool={"balance": balance},
    )
    before = owners(daemon)
    servers[1].close()
    after = owners(daemon)
    moved = {source for source in before if before[source] != after[source]}
    assert moved == {source for source in before if before[source] == "b"}
    assert len({after[source] for source in moved}) > 1


@pytest.mark.parametrize("balance", HASHING)
def test_source_port_makes_each_connection_another_client(weft, backend, balance):
    servers = named(backend, speaking, "a", "b", "c", "d")
    daemon = weft.proxy(*servers, pool={"balance": balance, "hash_key": "source_port"})
    seen = collections.Counter(ask(daemon)[1] for _ in range(80))
    assert set(seen) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("balance", HASHING)
def test_unix_clients_are_one(weft, backend, address, balance):
    servers = named(backend, speaking, "a", "b", "c", "d")
    daemon = weft.proxy(*servers, bind=address("unix"), pool={"balance": balance})
    assert len({ask(daemon)[1] for _ in range(20)}) == 1


# --- max_connections of a server ----------------------------------------------------------------

ALL = ["round_robin", "least_conn", "random", "source_hash", "maglev"]


@pytest.mark.parametrize("balance", ALL)
def test_full_server_is_passed_over(weft, backend, balance):
    servers = named(backend, speaking, "a", "b", max_connections=3)
    del servers[1]["max_connections"]
    daemon = weft.proxy(*servers, pool={"balance": balance, "hash_key": "source_port"})
    answers = [ask(daemon) for _ in range(40)]
    counts = collections.Counter(name for _, name in answers)
    assert counts == {"a": 3, "b": 37}
    answers[[name for _, name in answers].index("a")][0].close()
    until(lambda: daemon.open_connections() == 78, "its place is free")
    again = collections.Counter(ask(daemon)[1] for _ in range(40))
    assert again == {"a": 1, "b": 39}


@pytest.mark.parametrize("balance", ALL)
def test_client_is_told_at_once_when_all_are_full(weft, backend, balance):
    servers = named(backend, speaking, "a", "b", max_connections=2)
    daemon = weft.proxy(*servers, pool={"balance": balance}, process={"workers": 2})
    held = [ask(daemon) for _ in range(4)]
    assert collections.Counter(name for _, name in held) == {"a": 2, "b": 2}
    daemon.expect_turned_away()
    record = daemon.record()
    assert record["end"] == "no_server"
    assert "server" not in record
    held[0][0].close()
    until(lambda: daemon.open_connections() == 6, "its place is free")
    assert ask(daemon)[1] == held[0][1]


def test_limit_holds_over_all_workers(weft, backend):
    """Many at once: as many are let in as there are places, and all the others are told."""
    server = backend(echo)
    limited = {"address": server.address, "max_connections": 20}
    daemon = weft.proxy(limited, process={"workers": 2})

    def try_once():
        try:
            client = daemon.connect()
            client.sendall(b"x")
            return client.recv(1) == b"x"
        except (ConnectionResetError, BrokenPipeError):
            return False

    tries = [Background(try_once) for _ in range(100)]
    assert sum(t.result() for t in tries) == 20
    assert server.accepted == 20
    assert {r["end"] for r in daemon.records(80)} == {"no_server"}


def test_full_primaries_make_way_for_the_backup(weft, backend):
    servers = named(backend, speaking, "a", "b")
    servers[0]["max_connections"] = 1
    servers[1]["backup"] = True
    daemon = weft.proxy(*servers)
    first = ask(daemon)
    assert (first[1], ask(daemon)[1], ask(daemon)[1]) == ("a", "b", "b")
    first[0].close()
    until(lambda: daemon.open_connections() == 4, "its place is free")
    assert ask(daemon)[1] == "a"


def test_place_is_given_back_when_the_connect_fails(weft, backend, address):
    where = address("v4")
    daemon = weft.proxy({"address": where, "max_connections": 1})
    for _ in range(3):
        daemon.expect_turned_away()
    assert {r["end"] for r in daemon.records(3)} == {"connect_failed"}
    backend(greeter("back"), address=where)
    client = daemon.connect()
    assert net.read_all(client) == b"back"
