#!/usr/bin/python3
"""Start a program as systemd does for socket units: with sockets that listen, each under a name.

    handing.py NAME=ADDRESS... -- PROGRAM ARGUMENT...

ADDRESS is as in weft's configuration; a word in its place hands over something else: `pipe`,
`datagram`, or `idle`, a TCP socket that does not listen.
"""

import fcntl
import os
import socket
import sys

import net

FIRST = 3  # SD_LISTEN_FDS_START


def descriptor(what):
    if what == "pipe":
        return os.pipe()[0]
    if what == "datagram":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
    if what == "idle":
        return socket.socket(socket.AF_INET).detach()
    return net.open_listener(what).detach()


def place(fds):
    """Give descriptors the numbers from FIRST on; first out of the way, one may be another's."""
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST + len(fds)) for fd in fds]
    for number, fd in enumerate(away, FIRST):
        os.dup2(fd, number)
        os.set_inheritable(fd, False)


def main(arguments):
    end = arguments.index("--")
    pairs = [pair.split("=", 1) for pair in arguments[:end]]
    place([descriptor(what) for _, what in pairs])
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(pairs))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in pairs)
    os.execv(arguments[end + 1], arguments[end + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
