"""What a message and a connection cost, counted: a test fails when they come to cost more.

Counts and no times, so that it does not matter how fast or how busy the machine is. Calls have as
much room above what they were as a control thread needs that wakes up now and then, instructions
a tenth. A limit that stands in the way of something better is to be set anew; one with room after a
change for the better, too.
"""

import contextlib

import pytest

import net
from tracing import Callgrind, SystemCalls, frozen

MESSAGE = bytes(64)
# Keepalive is switched on once a connection has lived for a while, which is no part of this; what
# a record costs isn't either.
LEAN = {"listener": {"keepalive": "off"}, "log": {"access": {"output": "off"}}}


def exchange(daemon, askers, answerers):
    """Every asker sends a message, then every answerer has it."""
    with frozen(daemon) if len(askers) > 1 else contextlib.nullcontext():
        for s in askers:
            s.sendall(MESSAGE)
    for s in answerers:
        assert net.read_exactly(s, len(MESSAGE)) == MESSAGE


def round_trips(daemon, pairs, count):
    clients, servers = zip(*pairs)
    for _ in range(count):
        exchange(daemon, clients, servers)
        exchange(daemon, servers, clients)


def open_pairs(daemon, server, count):
    """Connections on which a message has gone each way."""
    pairs = [(daemon.connect(), server.accept()) for _ in range(count)]
    round_trips(daemon, pairs, 1)
    return pairs


def reset_by_client(daemon, clients, servers):
    exchange(daemon, servers, clients)
    with frozen(daemon):
        for s in clients:
            net.reset(s)
    for s in servers:
        net.expect_reset(s)
        s.close()


def closed_by_server(daemon, clients, servers):
    with frozen(daemon):
        for s in servers:
            s.sendall(MESSAGE)
            s.close()
    for s in clients:
        assert net.read_all(s) == MESSAGE
    with frozen(daemon):
        for s in clients:
            s.close()


def short_connections(daemon, server, end, count, at_a_time=25):
    """Connect, exchange a message, end; the next lot when the last is all over."""
    for _ in range(count // at_a_time):
        with frozen(daemon):
            clients = [daemon.connect() for _ in range(at_a_time)]
            for s in clients:
                s.sendall(MESSAGE)
        servers = [server.accept() for _ in range(at_a_time)]
        for s in servers:
            assert net.read_exactly(s, len(MESSAGE)) == MESSAGE
        end(daemon, clients, servers)
        daemon.expect_at_rest()


# --- system calls -------------------------------------------------------------------------------


def only_data_calls(calls, trips):
    """Two reads and two writes a round trip; no epoll_ctl, clock, futex, setsockopt on the way."""
    data = {"recvfrom", "read", "sendto", "write", "recvmsg", "sendmsg", "readv", "writev"}
    moved = sum(count for name, count in calls.counts.items() if name in data)
    assert moved <= 4 * trips + 0.02 * trips, calls.counts
    others = calls.total(besides=data) - calls.waits()
    assert others <= 0.02 * trips, calls.counts


@pytest.mark.parametrize("connections, limit", [(1, 8.2), (50, 4.2)])
def test_calls_of_a_round_trip(weft, backend, connections, limit):
    """Among many, a wait is shared; alone, each message needs a wait of its own, of two calls."""
    server = backend()
    daemon = weft.proxy(server.address, **LEAN)
    pairs = open_pairs(daemon, server, connections)
    trips = 1000 // connections
    with SystemCalls(daemon) as calls:
        round_trips(daemon, pairs, trips)
    only_data_calls(calls, trips * connections)
    assert calls.total() / (trips * connections) <= limit, calls.counts


@pytest.mark.parametrize("end, limit", [(reset_by_client, 15.8), (closed_by_server, 16.8)])
def test_calls_of_a_short_connection(weft, backend, end, limit):
    """The server's answer always comes late here, so that the first read is in vain."""
    server = backend()
    daemon = weft.proxy(server.address, **LEAN)
    short_connections(daemon, server, end, 25)
    with SystemCalls(daemon) as calls:
        short_connections(daemon, server, end, 200)
    assert calls.total() / 200 <= limit, calls.counts


# --- instructions in user space -----------------------------------------------------------------


@pytest.fixture
def instructions(weft, backend, tmp_path):
    """Factory: what one of many more operations costs; start-up and end cancel out."""

    def count(work, operations):
        server = backend()
        tool = Callgrind(str(tmp_path))
        daemon = weft.proxy(server.address, **LEAN, under=tool.under)
        work(daemon, server, operations)
        daemon.hang_up()
        daemon.expect_at_rest()
        worker = daemon.worker
        daemon.stop()
        return tool.total(worker)

    def more(work, operations):
        return (count(work, 2 * operations) - count(work, operations)) / operations

    return more


@pytest.mark.parametrize("connections, today", [(1, 4240), (50, 2810)])
def test_instructions_of_a_round_trip(instructions, connections, today):
    def work(daemon, server, count):
        round_trips(daemon, open_pairs(daemon, server, connections), count // connections)

    assert instructions(work, 500) <= 1.1 * today


@pytest.mark.parametrize("end, today", [(reset_by_client, 6250), (closed_by_server, 7300)])
def test_instructions_of_a_short_connection(instructions, end, today):
    def work(daemon, server, count):
        short_connections(daemon, server, end, count)

    assert instructions(work, 300) <= 1.1 * today
