"""Other people's servers and clients, run for a test."""

import os
import pwd
import shutil
import subprocess

import pytest

import net
from daemon import environment
from waiting import until

# Debian keeps PostgreSQL's programs off the PATH.
_EXTRA_PATH = "/usr/lib/postgresql"


def find(name):
    """The path of a program; the test is skipped, or failed where all are required."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or _postgresql(name)
    if path:
        return path
    if os.environ.get("WEFT_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} is not installed, and WEFT_TEST_REQUIRE_ALL=1")
    pytest.skip(f"{name} IS NOT INSTALLED: nothing is known about weft with it")
    return None


def _postgresql(name):
    if not os.path.isdir(_EXTRA_PATH):
        return None
    versions = sorted(os.listdir(_EXTRA_PATH), key=lambda v: [int(n) for n in v.split(".")])
    paths = (f"{_EXTRA_PATH}/{version}/bin/{name}" for version in reversed(versions))
    return next((p for p in paths if os.access(p, os.X_OK)), None)


def run(*command, timeout=60, **options):
    """Run a client to its end; it must exit with 0. Returns its standard output."""
    done = subprocess.run(
        list(map(str, command)),
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"{os.path.basename(str(command[0]))}: {done.returncode}\n{said}"
    return done.stdout


def accepts(address):
    try:
        net.open_client(address, timeout=2).close()
        return True
    except OSError:
        return False


class Server:
    """A server process; ready once its address accepts."""

    def __init__(self, *command, address=None, log=None, **options):
        self.address = address
        self._log = log
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdin=options.pop("stdin", subprocess.DEVNULL),
                stdout=out,
                stderr=subprocess.STDOUT,
                **options,
            )
        self.pid = self._process.pid
        try:
            until(self._ready, f"{os.path.basename(str(command[0]))} accepts on {address}")
        except BaseException:
            self.stop()
            raise

    def _ready(self):
        if self._process.poll() is not None:
            with open(self._log, encoding="utf-8", errors="replace") as f:
                said = f.read()
            raise AssertionError(f"the server ended with {self._process.returncode}: {said}")
        return accepts(self.address)

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def as_ordinary_user(*paths):
    """Popen options for a program that refuses root, which gets these directories."""
    if os.geteuid() != 0:
        return {"env": environment()}
    user = pwd.getpwnam("postgres" if _user_exists("postgres") else "nobody")
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _user_exists(name):
    try:
        pwd.getpwnam(name)
        return True
    except KeyError:
        return False
