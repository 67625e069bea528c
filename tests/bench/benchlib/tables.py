"""The report as people read it: on a terminal, and as a page of Markdown."""

from . import cases

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
TRUSTED = 0.1  # the most other work that leaves figures worth reading [of one CPU]


def table(test, case):
    """Header and cells of one test's table."""
    columns = COLUMNS[case.kind]
    header = ["", *(title for _, title, _, _ in columns), "min..max"]
    body = []
    for name, row in test["peers"].items():
        if not row["runs"]:
            body.append([name] + ["-"] * (len(columns) + 1))
            continue
        shown = [form.format(row[key] * scale) for key, _, form, scale in columns]
        lead = columns[0][2]
        mark = "!" if row["troubles"] else ""
        body.append([name + mark, *shown,
                     lead.format(row["least"]) + ".." + lead.format(row["most"])])
    return header, body


def ratio_texts(test):
    """The ratios as people read them: `rate 1.05 x best (nginx), ...`."""
    texts = []
    for key, against in test["ratios"].items():
        parts = []
        for label, entry in against.items():
            who = f"best ({entry['peer']})" if label == "best" else label
            parts.append(f"{entry['ratio']:.3f} x {who}")
        if parts:
            texts.append(f"weft: {NAMES[key]} " + ", ".join(parts))
    return texts


def trouble_texts(test):
    texts = [f"{name} is not measured: {why}" for name, why in test["unmeasured"].items()]
    for name, row in test["peers"].items():
        texts += [f"{name}: {trouble}" for trouble in row["troubles"]]
    return texts


def placing_text(test):
    return "proxy and load on a CPU each" if test["pinned"] else "not pinned"


def foreign_text(meta):
    share = meta["foreign"]
    warning = ": do not trust these figures" if share > TRUSTED else ""
    return f"Other work on the machine meanwhile: {share:.0%} of one CPU{warning}."


def lay_out(header, body, indent="  "):
    """Lines of aligned columns, the first to the left."""
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    return [indent + "  ".join([line[0].ljust(widths[0])]
                               + [c.rjust(w) for c, w in zip(line[1:], widths[1:])])
            for line in [header, *body]]


def test_text(test):
    case = cases.find(test["name"])
    lines = [f"{case.name}: {case.title} ({placing_text(test)})"]
    lines += lay_out(*table(test, case))
    lines += [f"  {t}" for t in ratio_texts(test)]
    lines += [f"  ! {t}" for t in trouble_texts(test)]
    return "\n".join(lines)


def verdict_cells(found):
    """One target as test, who, what was wanted, what is, verdict."""
    verdict, value = found["verdict"], "-"
    if verdict == "not measured":
        verdict = f"not measured: {found['why']}"
    else:
        verdict += f" by {found['percent']:.1f} %"
        value = f"{found['value']:.3f}" if found["peer"] else f"{found['value']:.0f}"
        value += f" x {found['peer']}" if found["peer"] else ""
    return [found["test"], found["subject"], found["wanted"], value, verdict]


TARGET_HEADER = ["test", "who", "wanted", "is", "verdict"]


def count_text(targets):
    reached = sum(t["verdict"] == "reached" for t in targets)
    missed = sum(t["verdict"] == "missed" for t in targets)
    return f"{reached} reached, {missed} missed, {len(targets) - reached - missed} not measured"


def targets_text(targets):
    body = [verdict_cells(t) for t in targets]
    widths = [max(len(line[i]) for line in [TARGET_HEADER, *body]) for i in range(4)]
    lines = [f"targets: {count_text(targets)}"]
    lines += ["  " + "  ".join([*(c.ljust(w) for c, w in zip(line, widths)), line[4]])
              for line in [TARGET_HEADER, *body]]
    return "\n".join(lines)


def text(report):
    """The whole report for a terminal."""
    parts = [test_text(test) for test in report["tests"]]
    if report["targets"]:
        parts.append(targets_text(report["targets"]))
    return "\n\n".join([*parts, foreign_text(report["meta"])])


def accounts_text(records):
    """The accounts of the proxy's CPU time beside each other, a line a run."""
    return "\n".join(
        f"{r['test']:14} {r['peer']:14} window: clock {r['cpu_clock_s']:.4f} s, schedstat "
        f"{r['cpu_s']:.4f} s; whole run: schedstat {r['whole']['schedstat_s']:.3f} s, "
        f"stat {r['whole']['stat_s']:.2f} s"
        for r in records if "whole" in r and "cpu_s" in r)


def markdown_table(header, body, left=1):
    """`left`: how many columns are not numbers."""
    rule = "|" + "---|" * left + "---:|" * (len(header) - left)
    return ["| " + " | ".join(header) + " |", rule,
            *("| " + " | ".join(line) + " |" for line in body)]


def machine_text(meta):
    m = meta["machine"]
    return (f"{m['cpu']}, {m['cpus']} CPUs, {m['memory'] / 2**30:.0f} GiB, Linux {m['kernel']}, "
            f"{m['time']}.")


def how_text(meta):
    return (f"Medians of {cases.many(str(meta['rounds']), 'round')}, {meta['seconds']:g} s each "
            f"after {meta['warmup']:g} s of warming up.")


def markdown(report, pictures=()):
    """The whole report as a page; `pictures`: names of files beside it, each with its title."""
    meta = report["meta"]
    lines = ["# weft side by side", "", machine_text(meta), how_text(meta), foreign_text(meta), ""]
    lines += [f"- {name}: {version}" for name, version in meta["versions"].items()]
    lines += [""]
    if report["targets"]:
        lines += ["## Targets", "", count_text(report["targets"]) + ".", ""]
        lines += markdown_table(TARGET_HEADER, map(verdict_cells, report["targets"]), left=5)
        lines += [""]
    for path, title in pictures:
        lines += [f"![{title}]({path})", ""]
    for test in report["tests"]:
        case = cases.find(test["name"])
        lines += [f"## {case.name}", "", f"{case.title} ({placing_text(test)})", ""]
        lines += markdown_table(*table(test, case))
        lines += ["", *(f"- {t}" for t in ratio_texts(test)),
                  *(f"- **{t}**" for t in trouble_texts(test)), ""]
    return "\n".join(lines)
