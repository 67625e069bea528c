"""A user like any other, for daemons that are not root's: the tests' own, where that is one."""

import os
import pathlib
import pwd
import shutil
import tempfile

NAME = "nobody"


def options():
    """How subprocess starts a program as that user."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(NAME)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def uid():
    return options().get("user", os.geteuid())


def make_directory():
    """A directory of that user's, which it can reach; the caller removes it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="weft-ordinary-"))
    started_as = options()
    if started_as:
        os.chown(path, started_as["user"], started_as["group"])
    return path


def reachable(program, directory):
    """The program, or a copy of it in the directory where it is in one that is closed to others."""
    closed = any(not parent.stat().st_mode & 0o001 for parent in pathlib.Path(program).parents)
    return shutil.copy(program, directory) if closed else program
