"""From records to medians and ratios."""

from statistics import median

from . import cases, peers

BASELINE = "haproxy"
FLOOR = "bare"
COMPARED = {
    cases.OPERATIONS: ["rate", "cpu"],
    cases.BYTES: ["rate", "cpu"],
    cases.MEMORY: ["memory"],
    cases.SCHEDULE: ["p99", "cpu"],
}


def figures(record, case):
    """The figures of one run that are compared."""
    if case.kind == cases.MEMORY:
        return {"memory": record["memory"], "memory_more": record["memory_more"]}
    amount = record["bytes"] / 1e9 if case.kind == cases.BYTES else record["operations"]
    found = {
        "rate": amount / record["seconds"],
        "cpu": record["cpu_clock_s"] / amount,
        "busy": record["cpu_clock_s"] / record["seconds"],
    }
    if case.kind != cases.BYTES:
        found.update(record["latency_us"])
    return found


def summarize(records, case, names):
    """Medians of the good runs of one case, by peer, with the spread of the leading figure."""
    rows = {}
    for name in names:
        runs = [r for r in records if r["peer"] == name]
        good = [figures(r, case) for r in runs if "trouble" not in r]
        row = {"runs": len(good), "troubles": [r["trouble"] for r in runs if "trouble" in r]}
        for key in good[0] if good else []:
            row[key] = median(g[key] for g in good)
        if good:
            lead = [g["memory" if case.kind == cases.MEMORY else "rate"] for g in good]
            row["least"], row["most"] = min(lead), max(lead)
        rows[name] = row
    return rows


def best(rows, key):
    """The name of the competitor that leads in this figure, or None."""
    names = [n for n, r in rows.items() if r["runs"] and peers.PEERS[n].competitor]
    pick = max if key == "rate" else min
    return pick(names, key=lambda n: rows[n][key], default=None)


def ratios(rows, case, subject="weft"):
    """
    The subject's figures over those of the best peer, of the baseline and of the floor.

    The best is chosen for each figure anew, so the rate may be compared with one peer and the CPU
    time with another.
    """
    mine = rows.get(subject)
    if not mine or not mine["runs"]:
        return {}
    found = {}
    for key in COMPARED[case.kind]:
        against = {"best": best(rows, key), BASELINE: BASELINE, FLOOR: FLOOR}
        found[key] = {
            label: {"peer": name, "ratio": mine[key] / rows[name][key]}
            for label, name in against.items()
            if name and name in rows and rows[name]["runs"] and rows[name][key] > 0}
    return found


def foreign_work(records):
    """CPU time used by nothing of the benchmark, as a share of one CPU, over all runs."""
    runs = [r["whole"] for r in records if "whole" in r]
    elapsed = sum(r["elapsed_s"] for r in runs)
    return max(0, sum(r["foreign_s"] for r in runs) / elapsed) if runs else 0
