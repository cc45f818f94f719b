"""The curves of `growth.py`: what is measured for them, their exponents, their tables, and a picture of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DECADES = 2.0
COLUMNS, PANEL = 4, (2.5, 1.96)  # of the picture: panels in a row; width and height of a panel in inches
BLUE, RED, GREY = "#1f5fa8", "#c0392b", "#999999"
STYLE = {
    "font.size": 6.5,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 6.5,
    "axes.titleweight": "bold",
    "lines.linewidth": 1,
    "lines.markersize": 3,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "growth",  # the same numbers give the same file
}


@dataclass(frozen=True, slots=True)
class Task:
    """The work that one point measures.

    Attributes:
        job: the work of the process, a key of `JOBS`.
        rows: labels of an entity model, predicates of a relation model.
        lines: of the input; in training, what the steps need.
        length: characters of a line; None: sentences as they are.
        batch: windows in a forward pass or a step.
        rounds: the number of files predicted or steps trained; the median is used.
    """

    job: str
    head: str = "efficient_global_pointer"
    rows: int = 10
    lines: int = 1000
    length: int | None = None
    max_length: int = 256
    batch: int = 32
    rounds: int = 3

    @property
    def relations(self) -> bool:
        """Whether the model is one of relations."""
        return self.head == "gplinker"

    @property
    def names(self) -> list[str]:
        """Of the rows."""
        return [f"row{n}" for n in range(self.rows)]


VALUES: dict[str, Callable[[Task, float], float]] = {
    "seconds": lambda task, seconds: seconds,
    "seconds per step": lambda task, seconds: seconds,
    "ms per batch": lambda task, seconds: 1000 * seconds * task.batch / task.lines,
    "lines/s": lambda task, seconds: task.lines / seconds,
    "tokens/s": lambda task, seconds: task.batch * task.max_length / seconds,
    "seconds per 1,000 characters": lambda task, seconds: 1000 * seconds / (task.length or 1),
}


@dataclass(frozen=True, slots=True)
class Series:
    """Points that differ in the field `varies` of their task; `time` and `rate` are keys of `VALUES`."""

    title: str
    size: str
    varies: str
    sizes: tuple[int, ...]
    task: Task
    time: str
    rate: str


LINES = (1_000, 10_000, 100_000, 1_000_000)
ROWS = (10, 50, 100, 500, 1_000)
STEP = Task("train", max_length=128, batch=16, rounds=10)
LABELLED = Task("predict", lines=500)
DOCUMENT = Task("predict", lines=1, length=8_192, max_length=512, rounds=7)
AXES: dict[str, tuple[Series, ...]] = {
    "input": (
        Series("Prediction", "lines", "lines", LINES, Task("predict", rounds=1), "seconds", "lines/s"),
        Series("Encoding training data", "lines", "lines", LINES, Task("encode"), "seconds", "lines/s"),
    ),
    "labels": (
        Series("Training, entities", "labels", "rows", ROWS, STEP, "seconds per step", "tokens/s"),
        Series("Prediction, entities", "labels", "rows", ROWS, LABELLED, "seconds", "lines/s"),
        Series(
            "Training, relations",
            "predicates",
            "rows",
            ROWS,
            replace(STEP, head="gplinker"),
            "seconds per step",
            "tokens/s",
        ),
        Series(
            "Prediction, relations",
            "predicates",
            "rows",
            ROWS,
            replace(LABELLED, head="gplinker"),
            "seconds",
            "lines/s",
        ),
    ),
    "length": (
        Series(
            "One document, windows of 512 tokens",
            "characters",
            "length",
            (64, 256, 1_024, 4_096, 8_192),
            DOCUMENT,
            "seconds",
            "seconds per 1,000 characters",
        ),
        Series(
            "8,192 characters, other windows",
            "encoder.max_length",
            "max_length",
            (64, 256, 512, 1_024, 2_048, 8_192),
            DOCUMENT,
            "seconds",
            "seconds per 1,000 characters",
        ),
        Series(
            "Training, batches of 4",
            "tokens of a window",
            "max_length",
            (64, 256, 512, 1_024, 2_048),
            replace(STEP, batch=4, rounds=6),
            "seconds per step",
            "tokens/s",
        ),
    ),
    "batch": (
        Series(
            "Prediction, 2,000 sentences",
            "sentences in a batch",
            "batch",
            (1, 8, 32, 128),
            Task("predict", lines=2_000),
            "ms per batch",
            "lines/s",
        ),
        Series("Training", "windows in a batch", "batch", (4, 16, 64), STEP, "seconds per step", "tokens/s"),
    ),
}
NOTES = (
    "Encoder `tiny` (2 layers of 192, one token per character) with fresh weights, on the CPU, in the precision that `auto` "
    "chooses; the biases of its head are set so that about one span, and one relation, in 20 tokens is found. Time excludes "
    "imports, loading the model and a warm-up. MB are the resident memory of the process: after loading, at the peak, and the "
    "growth between. The last row of a table is the exponent x of value ~ n^x by least squares on log-log axes over the two "
    "largest decades: 1 is linear, 0 does not grow.",
    "Sentences are drawn from the quickstart. Prediction is `ie predict` from file to file; the ids of the output are checked "
    "to be those of the input, in order. Encoding is `encode_dataset`, whose file is mapped: its pages count as resident, but "
    "the system can reclaim them. Training is the step of `ie train`, on windows of 128 tokens unless stated otherwise. "
    "Longer texts are concatenated sentences; windows overlap by 64 tokens, or by a quarter if they have fewer than 256.",
)


@dataclass(frozen=True, slots=True)
class Point:
    """The measurements at `size`: time and rate in the units of the curve, MB after loading and at the peak."""

    size: int
    time: float = math.nan
    rate: float = math.nan
    loaded: float = math.nan
    peak: float = math.nan
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is only a note."""
        return math.isnan(self.time)

    @property
    def growth(self) -> float:
        """The memory that the work added; at least 1 MB, so that it has a logarithm."""
        return max(1.0, self.peak - self.loaded)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in ascending order; `size`, `time` and `rate` name their values."""

    title: str
    size: str
    time: str
    rate: str
    points: Sequence[Point]

    @property
    def measured(self) -> list[Point]:
        """The points that did not fail."""
        return [point for point in self.points if not point.failed]


@dataclass(frozen=True, slots=True)
class Fit:
    """``y ~ n^exponent`` from size `first` to `last`."""

    exponent: float
    first: int
    last: int


def fit(points: Sequence[Point], value: Callable[[Point], float]) -> Fit | None:
    """Fit by least squares on a log-log scale over the two largest decades; return None for fewer than two points."""
    chosen = [point for point in points if point.size * 10**DECADES >= points[-1].size]
    if len(chosen) < 2:
        return None
    xs, ys = ([math.log(v) for v in values] for values in ([p.size for p in chosen], [value(p) for p in chosen]))
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / sum((x - x_mean) ** 2 for x in xs)
    return Fit(slope, chosen[0].size, chosen[-1].size)


def table(curve: Curve) -> str:
    """Return a heading and a row for each point; the last row has the exponents."""
    lines = [
        f"### {curve.title}\n",
        f"| {curve.size} | {curve.time} | {curve.rate} | MB after loading | peak MB | growth MB | |",
        "|--:|--:|--:|--:|--:|--:|---|",
    ]
    for point in curve.points:
        values = (point.time, point.rate, point.loaded, point.peak, point.growth)
        cells = ["–"] * len(values) if point.failed else [number(value) for value in values]
        lines.append(f"| {' | '.join([f'{point.size:,}', *cells, point.note])} |")
    time, memory = (fit(curve.measured, value) for value in (lambda p: p.time, lambda p: p.growth))
    if time is not None and memory is not None:
        lines.append(
            f"| x of n^x | {time.exponent:.2f} | | | | {memory.exponent:.2f} | {time.first:,} to {time.last:,} |"
        )
    return "\n".join(lines)


def number(value: float) -> str:
    """Format a number with three significant digits, or as an integer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def read_tables(markdown: str) -> list[Curve]:
    """Parse the curves from tables that `table` wrote, with the precision of their numbers."""
    curves = []
    for part in markdown.split("\n### ")[1:]:
        title, *lines = part.splitlines()
        header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
        points = []
        for size, time, rate, _, peak, growth, note in (row for row in rows if not row[0].startswith("x of")):
            point = Point(int(size.replace(",", "")), note=note)
            if time != "–":
                times = {"time": _value(time), "rate": _value(rate)}
                point = replace(point, **times, loaded=_value(peak) - _value(growth), peak=_value(peak))
            points.append(point)
        curves.append(Curve(title, *header[:3], points))
    return curves


def _value(cell: str) -> float:
    return float(cell.replace(",", ""))


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write an SVG with a panel of time and one of memory for each curve; it needs the extra `bench`."""
    import matplotlib
    from matplotlib.figure import Figure

    curves = [curve for curve in curves if curve.measured]
    rows = math.ceil(2 * len(curves) / COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1]), layout="constrained")
        panels = iter(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for curve in curves:
            _draw_time(next(panels), curve)
            _draw_memory(next(panels), curve)
        for unused in panels:
            unused.set_axis_off()
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _draw_time(panel: Any, curve: Curve) -> None:
    points = curve.measured
    ends = first, last = points[0].size, points[-1].size
    found = fit(points, lambda point: point.time)
    label = f"n^{found.exponent:.2f}" if found else "measured"
    panel.plot([point.size for point in points], [point.time for point in points], "o-", color=BLUE, label=label)
    _scale(panel, curve, curve.time)
    linear = [points[0].time, points[0].time * last / first]
    panel.plot(ends, linear, "--", color=GREY, scaley=False, label="slope 1", zorder=0)
    panel.legend()


def _draw_memory(panel: Any, curve: Curve) -> None:
    sizes = [point.size for point in curve.measured]
    panel.plot(sizes, [point.peak for point in curve.measured], "o-", color=BLUE, label="peak")
    panel.plot(sizes, [point.growth for point in curve.measured], "o-", color=RED, label="growth")
    _scale(panel, curve, "MB")
    panel.legend()


def _scale(panel: Any, curve: Curve, name: str) -> None:
    """Set logarithmic axes around the data, at least a decade high, with names and a tick for each size."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    panel.set(title=f"{curve.title}: {name}", xlabel=curve.size, xscale="log", yscale="log")
    low, high = panel.get_ylim()
    wider = max(1.0, math.sqrt(10 * low / high))
    panel.set_ylim(low / wider, high * wider)
    sizes = [point.size for point in curve.measured]
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_locator(NullLocator())
    panel.grid(axis="y", color="#eee")
