"""The report as charts: gnuplot draws them as SVG, where it is installed."""

import os
import shutil
import subprocess
import sys

from . import cases, summary

# In the order in which they stand side by side; weft alone is in a strong colour.
COLOURS = {
    "weft": "#c2410c", "weft-busy": "#fb923c", "weft-copy": "#fdba74",
    "haproxy": "#1d4ed8", "haproxy-splice": "#60a5fa", "haproxy-busy": "#93c5fd",
    "nginx": "#15803d", "go": "#0e7490", "bare": "#9ca3af", "direct": "#d1d5db",
}
SHOWN_BARS = [name for name in COLOURS if name != "direct"]
PERCENTILES = ["p50", "p75", "p90", "p95", "p99", "p99.5", "p99.9"]
GAP = 1.5      # between two groups of bars [bars]
NARROWEST = 5  # a group, for its label to fit [bars]
SPINNING = ("weft-busy", "haproxy-busy")  # their CPU time is what their latency was bought with

HEAD = """\
set terminal svg size {width},{height} dynamic font "Helvetica,13" background "#ffffff"
set output "{path}"
set title "{title}" font ",16" offset 0,0.5
set border 3 lc rgb "#6b7280"
set tics nomirror textcolor rgb "#374151"
set grid ytics lc rgb "#e5e7eb" lt 1
set key outside right center vertical reverse Left samplen 1.5 noenhanced textcolor rgb "#374151"
set style fill solid noborder
set label 1 "{note}" at screen 0.01,0.03 font ",11" textcolor rgb "#6b7280" noenhanced
set bmargin 6.5
"""


def quoted(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def head(result, path, title, width=1100, height=440):
    meta = result["meta"]
    m = meta["machine"]
    note = (f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, {m['time'][:10]}, "
            f"medians of {cases.many(str(meta['rounds']), 'round')}")
    return HEAD.format(width=width, height=height, path=quoted(path), title=quoted(title),
                       note=quoted(note))


def data_block(name, rows):
    return "\n".join([f"${name} << EOD", *rows, "EOD"])


ABOVE = '$bars{i} using 1:2:(sprintf("{form}", $2)) with labels font ",10" offset 0,0.6 ' \
        'textcolor rgb "#374151" notitle'
INSIDE = '$bars{i} using 1:(0):(sprintf("{form}", $2)) with labels font ",11" left rotate by 90 ' \
         'offset 0,0.4 textcolor rgb "#ffffff" notitle'


class Bars:
    """Groups of bars, one group a test, one bar a peer, and a figure on those that are named."""

    def __init__(self, groups, labelled, form, where):
        """`groups`: (label, {peer: height}); `labelled`: peers whose bars have their figure."""
        names = [n for n in SHOWN_BARS if any(n in heights for _, heights in groups)]
        self.rows = {n: [] for n in names}
        self.tics, self.end = [], 0.0
        self.labelled, self.form, self.where = labelled, form, where
        for label, heights in groups:
            self.add(label, heights, [n for n in names if n in heights])

    def add(self, label, heights, names):
        """Bars stand without holes, so a peer that is missing leaves none."""
        width = max(len(names), NARROWEST)
        first = self.end + GAP + (width - len(names)) / 2
        for i, name in enumerate(names):
            self.rows[name].append(f"{first + i + 0.5} {heights[name]}")
        self.tics.append(f'"{quoted(label)}" {first + len(names) / 2}')
        self.end += GAP + width

    def script(self):
        blocks = [data_block(f"bars{i}", rows) for i, rows in enumerate(self.rows.values())]
        parts = [f'$bars{i} using 1:2:(0.92) with boxes lc rgb "{COLOURS[name]}" title "{name}"'
                 for i, name in enumerate(self.rows)]
        parts += [self.where.format(i=i, form=self.form)
                  for i, name in enumerate(self.rows) if name in self.labelled]
        return "\n".join([
            *blocks, f"set xrange [0:{self.end + GAP}]", "set xtics scale 0 ("
            + ", ".join(self.tics) + ")", "set yrange [0:*]", "plot " + ", \\\n  ".join(parts)])


def measured(test, figure):
    return {name: row[figure] for name, row in test["peers"].items()
            if row["runs"] and row.get(figure)}


def relative_groups(tests, figure):
    """Groups of a figure over the baseline's, with the baseline's own below each."""
    groups = []
    for test in tests:
        case = cases.find(test["name"])
        values = measured(test, figure)
        base = values.get(summary.BASELINE)
        if not base:
            continue
        own = {("rate", cases.BYTES): f"{base:.2f} GB/s",
               ("rate", cases.OPERATIONS): f"{base / 1000:.1f} k/s",
               ("cpu", cases.BYTES): f"{base:.2f} s/GB",
               ("cpu", cases.OPERATIONS): f"{base * 1e6:.1f} us"}[figure, case.kind]
        heights = {n: v / base for n, v in values.items()
                   if figure != "cpu" or n not in SPINNING}
        groups.append((f"{case.label}\n{own}", heights))
    return groups


def relative_chart(result, path, threads, figure, title, better):
    tests = [t for t in result["tests"] if t["threads"] == threads
             and cases.find(t["name"]).kind in (cases.OPERATIONS, cases.BYTES)]
    groups = relative_groups(tests, figure)
    if not groups:
        return None
    where = "one thread, on a CPU of its own" if threads == 1 else f"{threads} threads, not pinned"
    bars = Bars(groups, ["weft"], "%.2f", INSIDE)
    return "\n".join([
        head(result, path, f"{title} ({where})", width=max(700, 110 * len(groups) + 200)),
        f'set ylabel "HAProxy = 1, {better} is better" textcolor rgb "#374151"',
        'set arrow 1 from graph 0,first 1 to graph 1,first 1 nohead front lc rgb "#1d4ed8" dt 3',
        bars.script()])


def memory_chart(result, path):
    groups = [(cases.find(t["name"]).label.strip(), measured(t, "memory"))
              for t in result["tests"] if cases.find(t["name"]).kind == cases.MEMORY]
    groups = [(label, heights) for label, heights in groups if heights]
    if not groups:
        return None
    return "\n".join([
        head(result, path, "Resident memory of a held idle connection", width=800),
        'set ylabel "bytes, less is better" textcolor rgb "#374151"', 'set format y "%.0f"',
        Bars(groups, SHOWN_BARS, "%.0f", ABOVE).script()])


def latency_chart(result, path):
    """Percentiles over the share of messages that are slower, which spreads the tail out."""
    tests = [t for t in result["tests"] if cases.find(t["name"]).kind == cases.SCHEDULE]
    if not tests:
        return None
    rows = {name: row for name, row in tests[0]["peers"].items() if row["runs"]}
    blocks, parts = [], []
    for i, (name, row) in enumerate(rows.items()):
        points = [f"{100 - float(p[1:]):g} {row[p]}" for p in PERCENTILES if p in row]
        blocks.append(data_block(f"line{i}", points))
        width, dash = (3, 1) if name == "weft" else (1.5, 2 if name in ("bare", "direct") else 1)
        parts.append(f'$line{i} using 1:2 with linespoints lw {width} dt {dash} pt 7 ps 0.4 '
                     f'lc rgb "{COLOURS[name]}" title "{name}"')
    tics = ", ".join(f'"{p[1:]} %%" {100 - float(p[1:]):g}' for p in PERCENTILES)
    return "\n".join([
        head(result, path, "Latency, " + tests[0]["title"], width=900),
        'set ylabel "us, less is better" textcolor rgb "#374151"', "set logscale xy",
        "set xrange [60:0.08]", f"set xtics ({tics})",
        'set xlabel "share of the messages that were answered by then" textcolor rgb "#374151"',
        *blocks, "plot " + ", \\\n  ".join(parts)])


def charts(result, directory):
    """Name, title and script of every chart for which the run has figures."""
    found = []

    def add(name, title, script, *args):
        text = script(result, os.path.join(directory, name), *args)
        if text:
            found.append((name, title, text))

    for threads in sorted({t["threads"] for t in result["tests"]}):
        suffix = "" if threads == 1 else f"-{threads}-threads"
        add(f"cpu{suffix}.svg", "CPU time", relative_chart, threads, "cpu",
            "CPU time of an operation", "less")
        add(f"rate{suffix}.svg", "Rate", relative_chart, threads, "rate", "Rate", "more")
    add("memory.svg", "Memory", memory_chart)
    add("latency.svg", "Latency", latency_chart)
    return found


def available():
    return shutil.which("gnuplot") is not None


def draw(directory, result):
    """Draw the charts. Returns name and title of each that was drawn."""
    if not available():
        print("no charts: gnuplot is not installed", file=sys.stderr)
        return []
    drawn = []
    for name, title, script in charts(result, directory):
        done = subprocess.run(["gnuplot", "-"], input=script, capture_output=True, text=True)
        if done.returncode == 0:
            drawn.append((name, title))
        else:
            print(f"no {name}: gnuplot: {done.stderr.strip()}", file=sys.stderr)
    return drawn
