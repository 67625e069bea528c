"""What a client says to the service, and hears."""

import threading
import time

import net
from waiting import until

FRONT = "127.0.0.1:8080"


def echoes(s, word=b"hello"):
    """A word goes there and comes back."""
    s.sendall(word)
    return net.read_exactly(s, len(word)) == word


def greeting(s):
    """What a backend of backends.greeter says, to its end."""
    word = net.read_all(s)
    s.close()
    return word


def refused(address=FRONT):
    """Whether nobody listens there."""
    try:
        net.reset(net.open_client(address))
    except ConnectionRefusedError:
        return True
    return False


class Arrivals(threading.Thread):
    """Clients that come one after the other, all the time, none of which may be refused.

    `expect`: the greeting they should hear; None: they try an echo.
    `losses`: a process dies, and a connection with it; but whoever connects is taken or waits.
    """

    def __init__(self, address=FRONT, expect=None, losses=False):
        super().__init__(daemon=True)
        self.address = address
        self.served = 0
        self.failure = None
        self._expect = expect
        self._losses = losses
        self._over = threading.Event()

    def __enter__(self):
        self.start()
        self.wait_more(1)
        return self

    def __exit__(self, kind, value, trace):
        self._over.set()
        self.join(60)
        if kind is None:
            assert not self.is_alive(), "a client waits for its answer"
            self._judge()

    def run(self):
        while not self._over.is_set() and self.failure is None:
            try:
                s = net.open_client(self.address)
            except OSError as e:
                self.failure = f"cannot connect: {e}"
                return
            try:
                assert greeting(s) == self._expect if self._expect else echoes(s)
                self.served += 1
            except (OSError, AssertionError) as e:
                self.failure = None if self._losses else f"lost a connection: {e}"
            net.reset(s)
            time.sleep(0.001)

    def _judge(self):
        assert self.failure is None, f"after {self.served} clients: {self.failure}"

    def wait_more(self, count):
        """Wait until that many more have been served."""
        goal = self.served + count
        until(lambda: self.failure or self.served >= goal, f"{count} more clients are served")
        self._judge()
