"""Reloads as a user makes them: another file, a SIGHUP, and a look at what the log says of it."""

import contextlib
import copy
import re
import signal

import yaml

from waiting import PATIENCE, until

_VERDICT = re.compile(r"reload (accepted|rejected): .*|worker process \d+ has taken over")


def verdicts(daemon):
    """The log's lines on reloads so far."""
    return [m.group() for m in _VERDICT.finditer(daemon.log())]


def write(daemon, config):
    """Replace the configuration's file; text is written as it is."""
    text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
    daemon.write_config(text)


def hang_up(daemon, count=1):
    """SIGHUP, and wait for so many verdicts more; returns the last."""
    before = len(verdicts(daemon))
    daemon.signal(signal.SIGHUP)
    return until(
        lambda: len(found := verdicts(daemon)) >= before + count and found[-1],
        "the verdict on the reload",
        PATIENCE,
    )


def reload(daemon, config):
    """Reload to another configuration, which is accepted; returns the log's line."""
    write(daemon, config)
    line = hang_up(daemon)
    assert line.startswith("reload accepted: "), f"{line}\n{daemon.log()[-4000:]}"
    daemon.config = config
    return line


@contextlib.contextmanager
def changing(daemon):
    """A copy of the configuration to change; at the end of the block it is reloaded to."""
    config = copy.deepcopy(daemon.config)
    yield config
    reload(daemon, config)


def rejected(daemon, config=None):
    """Reload to what can't be applied; returns what the log says of it."""
    if config is not None:
        write(daemon, config)
    said = len(daemon.log())
    line = hang_up(daemon)
    assert line.startswith("reload rejected: "), f"{line}\n{daemon.log()[-4000:]}"
    return daemon.log()[said:]
