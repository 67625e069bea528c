"""What a run will do: each test with the peers that can be measured in it."""

import sys
from dataclasses import dataclass, field

from . import cases, peers, suites
from .machine import Trouble


@dataclass
class Step:
    case: cases.Case
    peers: list = field(default_factory=list)
    unmeasured: dict = field(default_factory=dict)  # why a peer is not among them, by its name

    def give_up(self, why):
        """Measure nobody."""
        print(f"{self.case.name} is not measured: {why}", file=sys.stderr)
        self.unmeasured.update({peer.name: why for peer in self.peers})
        self.peers = []


def most_descriptors(names, threads):
    """What the greatest of these tests would need, whoever is measured."""
    most = max(cases.find(name, threads).connections for name in names)
    return suites.SPARE_DESCRIPTORS + most * max(p.descriptors for p in peers.ALL)


def make(names, peer_names, threads, make_peer, runner):
    """
    The steps for these tests and peers; no peers: those that fit each test.

    A peer that can't be measured is told of once, on stderr, and is in the step's `unmeasured`.
    """
    for name in peer_names or []:
        if name not in peers.PEERS:
            raise Trouble(f"no peer {name}; there are {', '.join(peers.PEERS)}")
    steps, told = {}, set()
    for name in names:
        case = cases.find(name, threads)
        step = steps.setdefault(case.name, Step(case))
        for peer in map(make_peer, peer_names or suites.fitting_peers(case)):
            why = runner.cannot(case, peer)
            if why is None:
                step.peers.append(peer)
                continue
            step.unmeasured[peer.name] = why
            if (peer.name, why) not in told:
                told.add((peer.name, why))
                print(f"{peer.name} is not measured: {why}", file=sys.stderr)
    return list(steps.values())
