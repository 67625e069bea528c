"""The unit file itself: right, tight, and still with all that weft needs."""

import pwd
import re

import pytest

from service import UNIT, installed, must, run

EXPOSURE_MAX = 2.0


def test_systemd_finds_no_fault_in_the_unit():
    done = run("systemd-analyze", "verify", "--man=no", installed("SYSTEMDSYSTEMUNITDIR", UNIT))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_no_placeholder_is_left():
    text = installed("SYSTEMDSYSTEMUNITDIR", UNIT).read_text(encoding="utf-8")
    assert not re.search(r"@\w+@", text.replace("@system-service", ""))
    assert str(installed("SBINDIR", "weft")) in text


def test_exposure():
    said = must("systemd-analyze", "security", "--no-pager", UNIT)
    exposure = re.search(r"Overall exposure level for weft.service: ([\d.]+)", said)
    assert float(exposure.group(1)) <= EXPOSURE_MAX, said


def test_there_is_a_user():
    user = pwd.getpwnam("weft")
    assert user.pw_uid != 0
    assert user.pw_shell.endswith("nologin")
