"""How connections end: FIN by direction, data before its FIN, RST as RST."""

import socket

import pytest

import net
from backends import Background, answer_after_end, receive_stream, send_stream
from scale import KIB, MIB, scaled
from streams import Stream
from waiting import until

SIZES = [0, 1, 100 * KIB, scaled(50 * MIB, 5 * MIB)]


@pytest.fixture
def pair(weft, backend):
    """A connection through weft whose two ends the test holds: (client, server, daemon)."""
    server = backend()
    daemon = weft.proxy(server.address)
    client = daemon.connect()
    return client, server.accept(), daemon


def end_of(daemon):
    return daemon.record()["end"]


# --- FIN, each direction on its own -------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_client_shuts_down_and_gets_the_whole_answer(weft, backend, size):
    daemon = weft.proxy(backend(answer_after_end(2, size)).address)
    client = daemon.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert receive_stream(client, Stream(2)) == size
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (8, size)
    assert record["end"] == "client_closed"


@pytest.mark.parametrize("size", SIZES)
def test_client_goes_on_sending_after_the_server_shut_down(pair, size):
    client, server, daemon = pair
    server.sendall(b"hello")
    server.shutdown(socket.SHUT_WR)
    assert net.read_all(client) == b"hello"
    sender = Background(send_stream, client, Stream(3), size)
    received = Background(receive_stream, server, Stream(3))
    sender.result()
    client.shutdown(socket.SHUT_WR)
    assert received.result() == size
    record = daemon.record()
    assert (record["bytes_in"], record["bytes_out"]) == (size, 5)
    assert record["end"] == "server_closed"


def test_fin_before_any_byte(pair):
    client, server, daemon = pair
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    net.expect_silence(client, 0.3)
    server.sendall(b"late answer")
    server.shutdown(socket.SHUT_WR)
    assert net.read_all(client) == b"late answer"
    assert end_of(daemon) == "client_closed"


def test_server_fin_before_any_byte(pair):
    client, server, daemon = pair
    server.shutdown(socket.SHUT_WR)
    net.expect_fin(client)
    net.expect_silence(server, 0.3)
    client.sendall(b"still here")
    client.shutdown(socket.SHUT_WR)
    assert net.read_all(server) == b"still here"
    assert end_of(daemon) == "server_closed"


def test_both_sides_shut_down_at_once(pair):
    client, server, daemon = pair
    client.sendall(b"from the client")
    server.sendall(b"from the server")
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    assert net.read_all(server) == b"from the client"
    assert net.read_all(client) == b"from the server"
    assert end_of(daemon) in ("client_closed", "server_closed")


def test_client_that_connects_and_leaves(weft, backend):
    server = backend()
    daemon = weft.proxy(server.address)
    for _ in range(50):
        daemon.connect().close()
    for _ in range(50):
        net.expect_end(s := server.accept())
        s.close()
    for record in daemon.records(50):
        assert record["end"] == "client_closed"
        assert (record["bytes_in"], record["bytes_out"]) == (0, 0)


@pytest.mark.parametrize("size", [1, 1 * MIB, scaled(20 * MIB, 4 * MIB)])
@pytest.mark.parametrize("towards", ["client", "server"])
def test_data_comes_before_its_fin(pair, size, towards):
    client, server, daemon = pair
    sender, receiver = (server, client) if towards == "client" else (client, server)

    def send_and_leave():
        send_stream(sender, Stream(5), size)
        sender.close()

    leaving = Background(send_and_leave)
    # Nothing is read before most of it, and for the smaller sizes the FIN too, sits in weft.
    net_waiting = min(size, 64 * KIB)
    until(lambda: len(receiver.recv(net_waiting, socket.MSG_PEEK)) == net_waiting, "data waits")
    assert receive_stream(receiver, Stream(5)) == size
    leaving.result()
    receiver.close()
    assert end_of(daemon) == ("server_closed" if towards == "client" else "client_closed")


# --- RST ----------------------------------------------------------------------------------------


def test_reset_of_the_client_reaches_the_server(pair):
    client, server, daemon = pair
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    net.reset(client)
    net.expect_reset(server)
    assert end_of(daemon) == "client_reset"


def test_reset_of_the_server_reaches_the_client(pair):
    client, server, daemon = pair
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    net.reset(server)
    net.expect_reset(client)
    assert end_of(daemon) == "server_reset"


def test_reset_after_the_clients_fin(pair):
    client, server, daemon = pair
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    net.reset(server)
    net.expect_reset(client)
    assert end_of(daemon) == "server_reset"


def test_reset_after_the_servers_fin(pair):
    client, server, daemon = pair
    server.shutdown(socket.SHUT_WR)
    net.expect_fin(client)
    net.reset(client)
    net.expect_reset(server)
    assert end_of(daemon) == "client_reset"


def test_reset_after_ones_own_fin(pair):
    client, server, daemon = pair
    client.shutdown(socket.SHUT_WR)
    net.expect_fin(server)
    net.reset(client)
    net.expect_write_failure(server)
    assert end_of(daemon) == "client_reset"


@pytest.mark.parametrize("who", ["client", "server"])
def test_receiver_resets_in_mid_transfer(pair, who):
    client, server, daemon = pair
    receiver, sender = (client, server) if who == "client" else (server, client)
    sending = Background(net.expect_write_failure, sender)
    net.read_exactly(receiver, 1 * MIB)
    net.reset(receiver)
    sending.result()
    assert end_of(daemon) == f"{who}_reset"


@pytest.mark.parametrize("who", ["client", "server"])
def test_sender_resets_in_mid_transfer(pair, who):
    client, server, daemon = pair
    sender, receiver = (client, server) if who == "client" else (server, client)
    reading = Background(net.expect_reset, receiver, True)
    for _ in range(20):
        sender.sendall(bytes(100 * KIB))
    net.reset(sender)
    reading.result()
    assert end_of(daemon) == f"{who}_reset"


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_while_the_other_side_reads_nothing(pair, who):
    client, server, daemon = pair
    sender, idler = (client, server) if who == "client" else (server, client)
    net.fill(sender, quiet=0.5)
    net.reset(sender)
    assert end_of(daemon) == f"{who}_reset"
    net.expect_reset(idler, discard=True)


@pytest.mark.parametrize("who", ["client", "server"])
def test_closing_on_a_sender_that_goes_on(pair, who):
    """A close with data unread, or data still coming, is an RST on the wire."""
    client, server, daemon = pair
    leaver, sender = (client, server) if who == "client" else (server, client)
    sending = Background(net.expect_write_failure, sender)
    net.read_exactly(leaver, 256 * KIB)
    leaver.close()
    sending.result()
    assert end_of(daemon) in (f"{who}_reset", f"{who}_closed")


@pytest.mark.parametrize("who", ["client", "server"])
def test_unix_peer_that_leaves_ends_the_other_side(weft, backend, address, who):
    server_side = backend(address=address("unix"))
    daemon = weft.proxy(server_side.address, bind=address("unix"))
    client, server = daemon.connect(), server_side.accept()
    leaver, other = (client, server) if who == "client" else (server, client)
    other.sendall(b"never read")
    until(lambda: leaver.recv(10, socket.MSG_PEEK) == b"never read", "the data comes")
    leaver.close()
    net.expect_end(other)
    other.close()
    assert end_of(daemon) in (f"{who}_reset", f"{who}_closed")


def test_nothing_is_left_after_every_kind_of_end(weft, backend):
    """The fixture counts descriptors at the end; this one makes it worth counting."""
    server = backend()
    daemon = weft.proxy(server.address)
    for turn in range(60):
        client, peer = daemon.connect(), server.accept()
        client.sendall(b"data")
        ends = [client, peer] if turn % 2 else [peer, client]
        net.reset(ends[0]) if turn % 3 else ends[0].close()
        net.reset(ends[1]) if turn % 5 else ends[1].close()
    daemon.records(60)
    daemon.expect_at_rest()
