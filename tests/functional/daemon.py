"""The daemon under test: started, asked, stopped, and judged when it has ended."""

import copy
import json
import os
import re
import resource
import signal
import subprocess

import yaml

import net
import procfs
from waiting import PATIENCE, until

_SANITIZER = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer"
)
_ASAN_OPTIONS = "detect_leaks=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64"
_ENVIRONMENT = {
    "ASAN_OPTIONS": _ASAN_OPTIONS,
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
}


def binary():
    """The program to test: $WEFT, or what the current build directory has."""
    path = os.path.abspath(os.environ.get("WEFT") or "src/cmd/weft")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no daemon at {path}: build it, or set WEFT")
    return path


def control_program():
    """weftctl: $WEFTCTL, or the one beside the daemon."""
    return os.environ.get("WEFTCTL") or os.path.join(os.path.dirname(binary()), "weftctl")


def environment():
    merged = dict(os.environ)
    for name, value in _ENVIRONMENT.items():
        merged[name] = ":".join(filter(None, (value, os.environ.get(name))))
    return merged


def run(*arguments, program=None, **options):
    """Run weft to its end, as for -t or a usage error, and return what it said."""
    return run_program(program or binary(), *arguments, **options)


def weftctl(*arguments, **options):
    """Run weftctl to its end and return what it said."""
    return run_program(control_program(), *arguments, **options)


def run_program(*command, timeout=30, **options):
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        env=environment(),
        check=False,
        **options,
    )
    assert not _SANITIZER.search(done.stderr), done.stderr
    return done


_versions = []


def build_options():
    """What `weft -V` prints: version, build options, libraries."""
    if not _versions:
        _versions.append(run("-V").stdout)
    return _versions[0]


def sanitized(*names):
    """Whether the daemon was built with one of these sanitizers; none named: with any."""
    return any(f"{name}=yes" in build_options() for name in names or ("asan", "tsan", "ubsan"))


class Daemon:
    """A running weft.

    `config`: a dictionary or YAML text, or None for quick mode by `arguments`.
    `limit`: RLIMIT_NOFILE, soft and hard, that it starts with.
    `stderr`: a descriptor; None for a file whose content `log()` returns.
    `under`: a program that runs it, as valgrind does, with its options.
    `program`: the daemon, where it is not binary().
    `account`: options of subprocess that say as whom.
    """

    def __init__(self, directory, config=None, arguments=(), limit=None, stderr=None, cpus=None,
                 under=(), program=None, account=None):
        self.directory = directory
        self.config = yaml.safe_load(config) if isinstance(config, str) else config
        self.clients = []
        self.exit_code = None
        self.expected_code = 0
        self._paths = {name: os.path.join(directory, name) for name in ("stdout", "stderr")}
        if config is not None:
            self._paths["config"] = os.path.join(directory, "weft.yaml")
            self.write(config)
            arguments = ("-c", self._paths["config"], *arguments)
        command = (*under, program or binary(), *arguments)
        self._process = self._start(command, limit, stderr, cpus, account or {})
        self.pid = self._process.pid

    @property
    def config_path(self):
        return self._paths["config"]

    def write_config(self, text):
        """Replace the file, which is whole at any time."""
        with open(f"{self.config_path}.new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(f"{self.config_path}.new", self.config_path)

    def _start(self, command, limit, stderr, cpus, account):
        def prepare():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            if cpus:
                os.sched_setaffinity(0, cpus)

        with open(self._paths["stdout"], "wb") as out, open(self._paths["stderr"], "wb") as err:
            return subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err if stderr is None else stderr,
                env=environment(),
                preexec_fn=prepare,  # pylint: disable=subprocess-popen-preexec-fn
                **account,
            )

    @property
    def worker(self):
        """The process that proxies: the master's youngest child; the master itself before that."""
        found = procfs.children(self.pid)
        return max(found, key=procfs.started) if found else self.pid

    # --- what it is doing -------------------------------------------------------------------

    def binds(self):
        """The addresses of the configuration's listeners, in order."""
        found = []
        for listener in self.config["listeners"].values():
            bind = listener["bind"]
            found.extend([bind] if isinstance(bind, str) else bind)
        return found

    @property
    def address(self):
        """The first address it listens on."""
        return self.binds()[0]

    def wait_ready(self):
        """Wait until every bound address has its sockets; nobody connects to find out."""
        workers = (self.config.get("weft") or {}).get("workers", 1)
        wanted = {}
        for address in self.binds():
            where = net.parse(address)[1]
            if isinstance(where, str):
                wanted[where.replace("\0", "@", 1)] = 1
            else:
                wanted[where[1]] = workers if isinstance(workers, int) else 1

        def ready():
            assert self.running(), f"weft ended with {self.exit_code} at its start:\n{self.log()}"
            found = procfs.listening(self.worker)
            return all(found.count(where) >= count for where, count in wanted.items())

        until(ready, f"weft listens on {', '.join(map(str, wanted))}")
        self._resting_sockets = self.connection_sockets()

    def running(self):
        self.exit_code = self._process.poll()
        return self.exit_code is None

    def log(self):
        """What it wrote to stderr so far."""
        return self._read("stderr")

    def output(self):
        """What it wrote to stdout so far."""
        return self._read("stdout")

    def _read(self, name):
        with open(self._paths[name], encoding="utf-8", errors="replace") as f:
            return f.read()

    def records_now(self, path=None):
        """The access records written so far, complete lines only."""
        try:
            with open(path or self._access_path(), encoding="utf-8") as f:
                lines = f.read().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def records(self, count, timeout=PATIENCE):
        """Wait for `count` access records; there may not be more."""
        found = until(
            lambda: (now := self.records_now()) and len(now) >= count and now,
            f"{count} access records",
            timeout,
        )
        assert len(found) == count, f"{len(found)} records where {count} should be: {found}"
        return found

    def record(self):
        """Wait for the one access record there should be."""
        return self.records(1)[0]

    def _access_path(self):
        return self.config["log"]["access"]["output"]

    def connection_sockets(self):
        """How many sockets it has open that do not listen."""
        return len(procfs.socket_inodes(self.worker)) - len(procfs.listening(self.worker))

    def open_connections(self):
        """Sockets of connections: those it has beyond the ones it had at rest."""
        return self.connection_sockets() - self._resting_sockets

    def descriptors(self):
        return procfs.descriptors(self.worker)

    def resident(self):
        return procfs.resident(self.worker)

    def cpu_seconds(self):
        return procfs.cpu_seconds(self.worker)

    @property
    def control(self):
        """The path of its control socket."""
        return self.config["weft"]["control"]

    def addresses_listened_on(self, pid=None):
        """The ports and UNIX names of its listeners, one entry a socket; `pid`: of a process that
        was its worker process once."""
        return [where for where in procfs.listening(pid or self.worker) if where != self.control]

    # --- doing something to it --------------------------------------------------------------

    def configuration(self):
        """A copy of what it was started with, to be changed and written."""
        return copy.deepcopy(self.config)

    def write(self, config):
        """Have its file say something else: a dictionary or text."""
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        self.write_config(text)

    def connect(self, address=None, **options):
        """Connect to it; the socket is reset at the end of the test if it is still open."""
        s = net.open_client(address or self.address, **options)
        self.clients.append(s)
        return s

    def expect_turned_away(self, address=None):
        """Connect; the connection ends with no data, maybe before connect() has returned."""
        try:
            s = self.connect(address)
            net.expect_end(s)
            s.close()
        except ConnectionResetError:
            pass

    def ctl(self, *arguments, **options):
        """Run weftctl on it to its end; returns what it said."""
        return weftctl("-s", self.control, *arguments, **options)

    def ask(self, *arguments):
        """What weftctl says to scripts: the command must be done."""
        done = self.ctl("--json", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        """Wait for its end; returns the exit code."""
        self.exit_code = self._process.wait(timeout)
        return self.exit_code

    def set_descriptor_limit(self, soft):
        _, hard = resource.prlimit(self.worker, resource.RLIMIT_NOFILE)
        resource.prlimit(self.worker, resource.RLIMIT_NOFILE, (soft, hard))

    # --- the end ----------------------------------------------------------------------------

    def hang_up(self):
        """Reset every client that is still connected."""
        for s in self.clients:
            net.reset(s)

    def expect_at_rest(self):
        """Every connection has gone and left no descriptor."""
        until(
            lambda: self.open_connections() <= 0,
            f"weft closes its {self.open_connections()} sockets of connections that are over",
        )

    def stop(self):
        """Stop it if it runs, and judge how it ended."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.wait(5)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
                self.wait()
        self.expect_clean()

    def expect_clean(self):
        said = self.log()
        report = _SANITIZER.search(said)
        assert not report, f"sanitizer report:\n{said[report.start():][:8000]}"
        wrong = self.exit_code != self.expected_code
        assert not wrong, f"weft ended with {self.exit_code}:\n{said[-8000:]}"

    def expect_refused(self, *words):
        """It does not start: exit code 1, and these words on stderr."""
        self.expected_code = 1
        self.wait()
        self.expect_clean()
        for word in words:
            assert word in self.log()

    def kill(self):
        """End it, whatever it does: the last resort of a test that has failed."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
