"""A worker thread that does not turn is found, and another process takes over."""

import os

import net
from backends import echo
from scale import scaled
from waiting import until


def test_a_stuck_process_is_replaced(weft, backend, tmp_path, monkeypatch):
    stall = tmp_path / "stall"
    monkeypatch.setenv("WEFT_TEST_STALL", str(stall))
    daemon = weft.proxy(backend(echo).address, process={"workers": 2, "drain_timeout": "1s"})
    stuck = daemon.worker
    stall.write_text("")
    until(lambda: "stall has not yielded" in daemon.log(), "it was noticed", 60)
    until(lambda: "has taken over" in daemon.log(), "another process serves", 60)
    assert daemon.worker != stuck
    stall.unlink()
    client = daemon.connect()
    client.sendall(b"hello")
    assert net.read_exactly(client, 5) == b"hello"
    until(lambda: not os.path.exists(f"/proc/{stuck}"), "the stuck one has gone", scaled(30, 60))
