"""The part of README.md that shows the last run."""

import textwrap

from . import cases, summary, tables

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"
COLUMNS = ["weft", "haproxy", "haproxy-splice", "nginx", "go", "bare"]
SPINNING = {"weft": "weft-busy", "haproxy": "haproxy-busy"}


class NoMarkers(Exception):
    """The page has not got the two markers, once each and in order."""


def amounts(case):
    """How the two figures of a cell look, and what they are: [(key, format, factor)]."""
    if case.kind == cases.MEMORY:
        return [("memory", "{:,.0f} B", 1)]
    if case.kind == cases.SCHEDULE:
        return [("p99", "{:,.0f} us", 1)]
    if case.kind == cases.BYTES:
        return [("rate", "{:.2f} GB/s", 1), ("cpu", "{:.2f} s", 1)]
    return [("rate", "{:,.0f}/s", 1), ("cpu", "{:.1f} us", 1e6)]


def cell(rows, name, case):
    row = rows.get(name)
    if not row or not row["runs"]:
        return ""
    return ", ".join(form.format(row[key] * factor) for key, form, factor in amounts(case))


def to_other(rows, case, name, other=None):
    """The figures of `name` over those of `other`; without one, of the best in each."""
    parts = []
    for key, _, _ in amounts(case):
        them = other or summary.best(rows, key)
        if all(n in rows and rows[n]["runs"] for n in (name, them)):
            parts.append(f"{rows[name][key] / rows[them][key]:.2f}")
    return ", ".join(parts)


def lines_of(test, names):
    """A test's line, and one more where there are peers that spin instead of sleeping."""
    case, rows = cases.find(test["name"]), test["peers"]
    what = {cases.SCHEDULE: "p99, "}.get(case.kind, "") + test["title"]
    yield [what, *(cell(rows, n, case) for n in names), to_other(rows, case, "weft")]
    if any(n in rows for n in SPINNING.values()):
        yield [what + ", spinning", *(cell(rows, SPINNING.get(n), case) for n in names),
               to_other(rows, case, *SPINNING.values())]


def table(result):
    shown = [t for t in result["tests"] if t["peers"].get("weft", {}).get("runs")]
    names = [n for n in COLUMNS if any(t["peers"].get(n, {}).get("runs") for t in shown)]
    header = ["", *names, "weft / best"]
    return tables.markdown_table(header, [line for t in shown for line in lines_of(t, names)])


def section(result):
    """The lines between the markers."""
    meta = result["meta"]
    versions = "; ".join(meta["versions"][n] for n in COLUMNS if n in meta["versions"])
    about = f"{tables.machine_text(meta)} {tables.how_text(meta)} {versions}."
    if meta["foreign"] > tables.TRUSTED:
        about += " " + tables.foreign_text(meta)
    reading = ("Rate, and CPU time of the proxy for an operation or a GB. `bare` is an epoll loop "
               "without features. The last column divides weft's figures by those of the best of "
               "the other proxies, chosen for each figure anew.")
    return ["", *textwrap.wrap(about, 100, break_on_hyphens=False), "",
            *textwrap.wrap(reading, 100), "", *table(result), ""]


def rewrite(page, result):
    """The page with the part between its markers made anew."""
    before, found, rest = page.partition(BEGIN)
    inside, ended, after = rest.partition(END)
    if not found or not ended or BEGIN in rest or END in after:
        raise NoMarkers
    return before + "\n".join([BEGIN, *section(result), END]) + after
