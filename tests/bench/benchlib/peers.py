"""Who is measured: a class a proxy. A new one needs an entry in PEERS at the end, nothing more."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from . import machine

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass
class Place:
    """Where a proxy is to run."""
    directory: str  # its own, for configuration and the like
    port: int
    backend: int    # the backend's port
    threads: int
    descriptors: int

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path


class Peer:
    """One proxy, as its users would set it up to do nothing but forward."""
    name = ""
    competitor = True  # one of those that weft is compared with
    descriptors = 2    # that a connection takes

    def __init__(self, programs, weft):
        self.programs = programs
        self.weft = weft

    def missing(self):
        """Why it can't run on this machine, or None."""
        return None

    def version(self):
        return ""

    def command(self, place):
        """The arguments that start it in the foreground."""
        raise NotImplementedError

    def environment(self, place):
        return None


class Weft(Peer):
    name = "weft"
    competitor = False
    process = ""   # more keys of the process
    listener = ""  # of the listener

    CONFIG = """\
weft:
  workers: {threads}
  pin: off
{process}
log:
  access: {{output: off}}
  error: {{output: stderr, level: warning}}
listeners:
  bench:
    bind: "127.0.0.1:{port}"
    pool: bench
{listener}
pools:
  bench: {{servers: ["127.0.0.1:{backend}"]}}
"""

    def missing(self):
        """A key that this weft does not know yet is a reason too."""
        if not os.access(self.weft, os.X_OK):
            return f"no program {self.weft}"
        with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
            path = self.configure(Place(directory, 1, 2, 1, 1000))
            done = subprocess.run([self.weft, "-t", "-c", path], capture_output=True, text=True)
        faults = done.stderr.strip().splitlines()
        if done.returncode == 0:
            return None
        return faults[0].rpartition("error: ")[2] if faults else "weft refuses its configuration"

    def version(self):
        built = machine.output([self.weft, "-V"]).splitlines()
        commit = machine.output(["git", "-C", HERE, "describe", "--always", "--dirty",
                                 "--abbrev=10"])
        return ", ".join([*built[:1], *([f"commit {commit}"] if commit else []), *built[1:2]])

    def configure(self, place):
        text = self.CONFIG.format(process=self.process, listener=self.listener, **vars(place))
        return place.write("weft.yaml", text)

    def command(self, place):
        return [self.weft, "-c", self.configure(place)]


class WeftBusy(Weft):
    """It spins for a while before it sleeps."""
    name = "weft-busy"
    process = "  busy_poll: 50us"


class WeftCopy(Weft):
    """Bulk goes through its buffers, as small messages do."""
    name = "weft-copy"
    listener = "    splice: off"


class HAProxy(Peer):
    name = "haproxy"
    process = ""   # more lines of the global section
    defaults = ""  # and of that for all proxies
    pipes = 0

    CONFIG = """\
global
    nbthread {threads}
    maxconn {connections}
    maxpipes {pipes}
{process}
defaults
    mode tcp
    maxconn {connections}
    timeout connect 5s
    timeout client 10m
    timeout server 10m
{defaults}
listen bench
    bind 127.0.0.1:{port}
    server backend 127.0.0.1:{backend}
"""

    def missing(self):
        return None if shutil.which("haproxy") else "haproxy is not installed"

    def version(self):
        return machine.first_line(["haproxy", "-v"])

    def command(self, place):
        connections = (place.descriptors - 200) // 2 - self.pipes
        text = self.CONFIG.format(connections=connections, pipes=self.pipes,
                                  process=self.process, defaults=self.defaults, **vars(place))
        return ["haproxy", "-db", "-f", place.write("haproxy.cfg", text)]


class HAProxySplice(HAProxy):
    name = "haproxy-splice"
    pipes = 500
    defaults = "    option splice-auto"


class HAProxyBusy(HAProxy):
    """It never sleeps. Compared with nobody but weft that spins too."""
    name = "haproxy-busy"
    competitor = False
    process = "    busy-polling"


class Nginx(Peer):
    name = "nginx"
    MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

    CONFIG = """\
load_module {module};
daemon off;
worker_processes {threads};
worker_rlimit_nofile {descriptors};
pid {directory}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections {connections};
}}
stream {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass 127.0.0.1:{backend};
    }}
}}
"""

    def missing(self):
        if not shutil.which("nginx"):
            return "nginx is not installed"
        return None if os.path.exists(self.MODULE) else "nginx has no stream module"

    def version(self):
        return machine.first_line(["nginx", "-v"])

    def command(self, place):
        text = self.CONFIG.format(module=self.MODULE, connections=place.descriptors - 200,
                                  **vars(place))
        return ["nginx", "-p", place.directory, "-e", "stderr",
                "-c", place.write("nginx.conf", text)]


class Go(Peer):
    """io.Copy splices, and holds a pipe a direction meanwhile, even of an idle connection."""
    name = "go"
    descriptors = 6

    def missing(self):
        return None if shutil.which("go") else "go is not installed"

    def version(self):
        return machine.first_line(["go", "version"])

    def build(self):
        """Build it once, beside the other programs."""
        source = os.path.join(HERE, "go_proxy.go")
        program = os.path.join(self.programs, "go_proxy")
        if os.path.exists(program) and os.path.getmtime(program) >= os.path.getmtime(source):
            return program
        with tempfile.TemporaryDirectory(prefix="weft-bench-go-") as cache:
            done = subprocess.run(
                ["go", "build", "-o", program, source], capture_output=True, text=True,
                env={**os.environ, "GOCACHE": cache, "GOPATH": cache, "GO111MODULE": "off"})
        if done.returncode != 0:
            raise machine.Trouble(f"go build: {done.stderr.strip()}")
        return program

    def command(self, place):
        return [self.build(), str(place.port), str(place.backend)]

    def environment(self, place):
        return {**os.environ, "GOMAXPROCS": str(place.threads)}


class Bare(Peer):
    """The floor: an epoll loop without features."""
    name = "bare"
    competitor = False

    def command(self, place):
        return [os.path.join(self.programs, "epoll_proxy"), "-t", str(place.threads),
                str(place.port), str(place.backend)]


class Direct(Peer):
    """No proxy: the load talks to the backend, which is measured in the proxy's place."""
    name = "direct"
    competitor = False

    def command(self, place):
        return None


ALL = [Weft, WeftBusy, WeftCopy, HAProxy, HAProxySplice, HAProxyBusy, Nginx, Go, Bare, Direct]
PEERS = {peer.name: peer for peer in ALL}
