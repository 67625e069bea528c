"""From records to medians, ratios and tables."""

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
        found.update({name: us for name, us in record["latency_us"].items()})
    return found


def summarize(records, case):
    """Medians of the good runs of one case, by peer, with the spread of the leading figure."""
    rows = {}
    for name in dict.fromkeys(r["peer"] for r in records):
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


def competitors(rows):
    return [n for n, r in rows.items() if r["runs"] and peers.PEERS[n].competitor]


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
        pick = max if key == "rate" else min
        against = {"best": pick(competitors(rows), key=lambda n: rows[n][key], default=None)}
        against[BASELINE] = BASELINE
        against[FLOOR] = FLOOR
        found[key] = {
            label: {"peer": name, "ratio": mine[key] / rows[name][key]}
            for label, name in against.items()
            if name and name in rows and rows[name]["runs"] and rows[name][key] > 0}
    return found


COLUMNS = {
    cases.OPERATIONS: [("rate", "rate/s", "{:.0f}", 1), ("p50", "p50 us", "{:.0f}", 1),
                       ("p99", "p99 us", "{:.0f}", 1), ("p99.9", "p99.9 us", "{:.0f}", 1),
                       ("cpu", "CPU us/op", "{:.2f}", 1e6), ("busy", "CPUs", "{:.2f}", 1)],
    cases.BYTES: [("rate", "GB/s", "{:.3f}", 1), ("cpu", "CPU s/GB", "{:.3f}", 1),
                  ("busy", "CPUs", "{:.2f}", 1)],
    cases.MEMORY: [("memory", "bytes/conn", "{:.0f}", 1),
                   ("memory_more", "beyond first 1/4", "{:.0f}", 1)],
}
COLUMNS[cases.SCHEDULE] = COLUMNS[cases.OPERATIONS]
NAMES = {"rate": "rate", "cpu": "CPU", "memory": "memory", "p99": "p99"}


def table(rows, case):
    """Header and cells of one case's table."""
    columns = COLUMNS[case.kind]
    header = ["", *(title for _, title, _, _ in columns), "min..max"]
    body = []
    for name, row in rows.items():
        if not row["runs"]:
            body.append([name] + ["-"] * (len(columns) + 1))
            continue
        shown = [form.format(row[key] * scale) for key, _, form, scale in columns]
        lead = columns[0][2]
        mark = "!" if row["troubles"] else ""
        body.append([name + mark, *shown,
                     lead.format(row["least"]) + ".." + lead.format(row["most"])])
    return header, body


def ratio_texts(found):
    """The ratios as people read them: `rate 1.05 of best (nginx), ...`."""
    texts = []
    for key, against in found.items():
        parts = []
        for label, entry in against.items():
            who = f"best ({entry['peer']})" if label == "best" else label
            parts.append(f"{entry['ratio']:.3f} x {who}")
        if parts:
            texts.append(f"{NAMES[key]} " + ", ".join(parts))
    return texts


def text(rows, case):
    header, body = table(rows, case)
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [f"{case.name}: {case.title}"]
    for line in [header, *body]:
        cells = [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]
        lines.append("  " + "  ".join(cells))
    lines += [f"  weft: {t}" for t in ratio_texts(ratios(rows, case))]
    for name, row in rows.items():
        lines += [f"  ! {name}: {trouble}" for trouble in row["troubles"]]
    return "\n".join(lines)


def markdown_table(header, body):
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return lines + ["| " + " | ".join(line) + " |" for line in body]


def markdown(report):
    """The whole report as a page."""
    meta = report["meta"]
    m = meta["machine"]
    lines = ["# weft side by side", "",
             f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, {m['time']}. "
             f"{meta['rounds']} rounds of {meta['seconds']} s, medians; "
             f"threads a proxy: {meta['threads']}, {meta['placing']}.", ""]
    lines += [f"- {name}: {version}" for name, version in meta["versions"].items() if version]
    lines += ["", f"Other work on the machine meanwhile: {meta['foreign']:.0%} of one CPU.", ""]
    for test in report["tests"]:
        case = cases.find(test["name"])
        lines += [f"## {case.name}: {case.title}", ""]
        lines += markdown_table(*table(test["peers"], case))
        lines += ["", *(f"- weft: {t}" for t in ratio_texts(test["ratios"]))]
        for name, row in test["peers"].items():
            lines += [f"- **{name}: {trouble}**" for trouble in row["troubles"]]
        lines += [""]
    return "\n".join(lines)


def foreign_work(records):
    """CPU time used by nothing of the benchmark, as a share of one CPU, over all runs."""
    runs = [r["whole"] for r in records if "whole" in r]
    elapsed = sum(r["elapsed_s"] for r in runs)
    return max(0, sum(r["foreign_s"] for r in runs) / elapsed) if runs else 0


def account_check(records):
    """The accounts of the proxy's CPU time beside each other, a line a run."""
    return [f"{r['test']:14} {r['peer']:14} window: clock {r['cpu_clock_s']:.4f} s, schedstat "
            f"{r['cpu_s']:.4f} s; whole run: schedstat {r['whole']['schedstat_s']:.3f} s, "
            f"stat {r['whole']['stat_s']:.2f} s"
            for r in records if "whole" in r and "cpu_s" in r]
