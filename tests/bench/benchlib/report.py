"""The report of a whole run, as it is kept in JSON."""

from . import machine, summary, targets


def make_test(step, records, pinned):
    case = step.case
    mine = [r for r in records if r["test"] == case.name]
    rows = summary.summarize(mine, case, [peer.name for peer in step.peers])
    return {"name": case.name, "title": case.title, "threads": case.threads, "pinned": pinned,
            "peers": rows, "unmeasured": step.unmeasured, "ratios": summary.ratios(rows, case)}


def versions(peers):
    """What each program says of itself, by the name of the first peer that runs it."""
    found = {}
    for peer in peers:
        version = peer.version() if peer.name not in found else ""
        if version and version not in found.values():
            found[peer.name] = version
    return found


def make(steps, records, settings, about, judged=True):
    """The report: `meta`, `tests`, `targets` (where the figures mean anything), `records`."""
    tests = [make_test(step, records, settings.pinned(step.case)) for step in steps]
    return {
        "meta": {
            "machine": machine.describe(),
            "versions": versions([peer for step in steps for peer in step.peers]),
            "foreign": summary.foreign_work(records),
            **about,
        },
        "tests": tests,
        "targets": targets.check_all(tests) if judged else [],
        "records": records,
    }
