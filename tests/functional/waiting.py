"""Waiting for a condition, with a deadline: no test sleeps for a time it hopes to be enough."""

import time

PATIENCE = 20.0  # [s] far more than anything needs on a busy machine, less than a test may take


def until(condition, what, timeout=PATIENCE, pause=0.01):
    """Return the first true value of `condition()`; fail, naming `what`, when none comes."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what}")
        time.sleep(pause)


def steady(measure, what, quiet=0.5, timeout=PATIENCE):
    """Return what `measure()` gives once it has stayed the same for `quiet` seconds."""
    deadline = time.monotonic() + timeout
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < quiet:
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what} keeps changing")
        time.sleep(0.02)
        now = measure()
        if now != value:
            value, since = now, time.monotonic()
    return value


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.start
