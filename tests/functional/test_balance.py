"""Round robin and its weights."""

import collections

import pytest

import net
from backends import greeter


def ask(daemon):
    client = daemon.connect()
    word = net.read_all(client).decode()
    client.close()
    return word


def make_servers(backend, **weights):
    return [
        {"name": name, "address": backend(greeter(name)).address, "weight": weight}
        for name, weight in weights.items()
    ]


def test_every_server_in_turn(weft, backend):
    daemon = weft.proxy(*make_servers(backend, a=1, b=1, c=1))
    answers = [ask(daemon) for _ in range(12)]
    assert sorted(answers[:3]) == ["a", "b", "c"]
    assert answers == answers[:3] * 4


@pytest.mark.parametrize(
    "weights", [{"a": 1, "b": 2}, {"a": 5, "b": 1, "c": 1}, {"a": 3, "b": 2, "c": 4}]
)
def test_weights_are_exact_over_each_cycle(weft, backend, weights):
    daemon = weft.proxy(*make_servers(backend, **weights))
    cycle = sum(weights.values())
    for _ in range(4):
        assert collections.Counter(ask(daemon) for _ in range(cycle)) == weights


def test_heavy_server_does_not_get_its_share_in_one_go(weft, backend):
    """Smooth weighting: the light servers come in between."""
    daemon = weft.proxy(*make_servers(backend, a=4, b=2, c=1))
    answers = "".join(ask(daemon) for _ in range(14))
    assert "aaaa" not in answers + answers[:3]


def test_weights_with_two_workers(weft, backend):
    """Exact for each worker, or over all: no server is off by more than a cycle of a worker."""
    weights = {"a": 3, "b": 2, "c": 1}
    daemon = weft.proxy(*make_servers(backend, **weights), process={"workers": 2})
    total = 120
    for _ in range(total):
        ask(daemon)
    records = daemon.records(total)
    counts = collections.Counter(r["server"] for r in records)
    for name, weight in weights.items():
        assert abs(counts[name] - total * weight / 6) <= 2 * weight


def test_unix_and_tcp_servers_in_one_pool(weft, backend, address):
    servers = [
        backend(greeter("tcp"), address=address("v4")).address,
        backend(greeter("path"), address=address("unix")).address,
        backend(greeter("abstract"), address=address("abstract")).address,
    ]
    daemon = weft.proxy(*servers)
    assert {ask(daemon) for _ in range(6)} == {"tcp", "path", "abstract"}


def test_pools_keep_their_own_position(weft, backend, address):
    config = {
        "listeners": {n: {"bind": address("v4"), "pool": n} for n in ("one", "two")},
        "pools": {
            "one": {"servers": make_servers(backend, a=1, b=1)},
            "two": {"servers": make_servers(backend, c=1, d=1)},
        },
    }
    daemon = weft(config)
    words = []
    for bind in daemon.binds() * 4:
        client = daemon.connect(bind)
        words.append(net.read_all(client).decode())
        client.close()
    assert collections.Counter(words) == {"a": 2, "b": 2, "c": 2, "d": 2}


def test_ipv4_mapped_and_names_default_to_the_address(weft, backend):
    server = backend(greeter("x"))
    daemon = weft.proxy(server.address, {"address": server.address, "name": "named"})
    for _ in range(4):
        ask(daemon)
    assert {r["server"] for r in daemon.records(4)} == {server.address, "named"}
