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

    def __init__(self, programs, weft):
        self.programs = programs
        self.weft = weft

    def missing(self):
        """What this machine lacks to run it, or None."""
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

    CONFIG = """\
weft:
  workers: {threads}
  pin: off
log:
  access: {{output: off}}
  error: {{output: stderr, level: warning}}
listeners:
  bench: {{bind: "127.0.0.1:{port}", pool: bench}}
pools:
  bench: {{servers: ["127.0.0.1:{backend}"]}}
"""

    def missing(self):
        return None if os.access(self.weft, os.X_OK) else f"no program {self.weft}"

    def version(self):
        return machine.first_line([self.weft, "--version"])

    def command(self, place):
        return [self.weft, "-c", place.write("weft.yaml", self.CONFIG.format(**vars(place)))]


class HAProxy(Peer):
    name = "haproxy"
    pipes = 0
    options = ""

    CONFIG = """\
global
    nbthread {threads}
    maxconn {connections}
    maxpipes {pipes}
defaults
    mode tcp
    maxconn {connections}
    timeout connect 5s
    timeout client 10m
    timeout server 10m
{options}
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
        text = self.CONFIG.format(connections=connections, pipes=self.pipes, options=self.options,
                                  **vars(place))
        return ["haproxy", "-db", "-f", place.write("haproxy.cfg", text)]


class HAProxySplice(HAProxy):
    name = "haproxy-splice"
    pipes = 500
    options = "    option splice-auto"


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
    name = "go"

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


PEERS = {peer.name: peer for peer in (Weft, HAProxy, HAProxySplice, Nginx, Go, Bare, Direct)}
DEFAULT = ["weft", "haproxy", "nginx", "go", "bare", "direct"]
