"""weft as a service of the systemd we run in: asked and told by systemctl, as people do."""

import json
import os
import pathlib
import subprocess

import yaml

import procfs
from waiting import until

UNIT = "weft.service"


def installed(variable, *names):
    """A path below a directory of the installation: installed("SBINDIR", "weft")."""
    return pathlib.Path(os.environ[f"WEFT_{variable}"], *names)


def run(*command, timeout=100):
    """Run a program to its end, and return it with what it said."""
    return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout, check=False)


def must(*command):
    """Run a program that has to succeed; what it wrote to stdout."""
    done = run(*command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Service:
    """The unit, with the configuration and the drop-in of one test."""

    CONFIG = installed("SYSCONFDIR", "weft", "weft.yaml")
    DROP_IN = pathlib.Path("/run/systemd/system", f"{UNIT}.d", "test.conf")

    def __init__(self):
        self._journal_from = self._last_cursor()
        self._as_installed = self.CONFIG.read_bytes()

    # --- what it is to be ---------------------------------------------------------------------

    def configure(self, config):
        """Write the configuration: a mapping, or text."""
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        self.CONFIG.write_text(text, encoding="utf-8")

    def drop_in(self, section, *lines):
        """Further settings in a section of the unit."""
        self.DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        self.DROP_IN.write_text("\n".join([f"[{section}]", *lines, ""]), encoding="utf-8")
        must("systemctl", "daemon-reload")

    # --- what is done to it -------------------------------------------------------------------

    def systemctl(self, verb, *arguments):
        """`systemctl VERB weft.service`, whatever comes of it."""
        return run("systemctl", verb, *arguments, UNIT)

    def start(self):
        done = self.systemctl("start")
        assert done.returncode == 0, f"{done.stderr}{self.journal_text()}"
        return self.main_pid()

    def stop(self):
        done = self.systemctl("stop")
        assert done.returncode == 0, f"{done.stderr}{self.journal_text()}"

    def clean(self):
        """Leave nothing of this test to the next."""
        self.CONFIG.write_bytes(self._as_installed)
        must("systemctl", "stop", UNIT)
        self.systemctl("reset-failed")
        if self.DROP_IN.exists():
            self.DROP_IN.unlink()
            must("systemctl", "daemon-reload")

    # --- how it is ----------------------------------------------------------------------------

    def show(self, name):
        """A property of the unit."""
        return must("systemctl", "show", "--value", f"--property={name}", UNIT).strip()

    def main_pid(self):
        return int(self.show("MainPID"))

    def worker_pids(self):
        """The processes that the main process has started, as a set."""
        main = str(self.main_pid())
        found = set()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if procfs.status(name)["PPid"] == main:
                    found.add(int(name))
            except (FileNotFoundError, ProcessLookupError, KeyError):
                pass  # gone while we looked
        return found

    def wait_state(self, active, sub=None):
        """Wait until it is in this ActiveState, and SubState."""
        wanted = active if sub is None else f"{active} ({sub})"

        def reached():
            now = self.show("ActiveState")
            return now == active and (sub is None or self.show("SubState") == sub)

        until(reached, f"{UNIT} is {wanted}", pause=0.05)

    @staticmethod
    def _entries(*options):
        lines = must("journalctl", "--output=json", "--no-pager", *options).splitlines()
        return [json.loads(line) for line in lines]

    @classmethod
    def _last_cursor(cls):
        found = cls._entries("--lines=1")
        return found[0]["__CURSOR"] if found else None

    def journal(self):
        """What it, and systemd of it, wrote to the journal since the test began."""
        since = [f"--after-cursor={self._journal_from}"] if self._journal_from else []
        return [e["MESSAGE"] for e in self._entries(f"--unit={UNIT}", *since)]

    def journal_text(self):
        return "\n".join(self.journal())

    def wait_journal(self, *words):
        """Wait for a message with all these words; returns it."""
        return until(
            lambda: next((m for m in self.journal() if all(w in m for w in words)), None),
            f"{words} in the journal",
            pause=0.1,
        )
