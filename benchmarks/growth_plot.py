"""The curves of `growth.py`: what is measured for them, their exponents, tables, and log-log small multiples as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

WIDTH, HEIGHT = 250, 196
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 36, 36  # around the plot area of a panel
COLUMNS = 4
BLUE, RED, GREY = "#1f5fa8", "#c0392b", "#999999"
NEAR = 24  # labels of the x axis that are nearer than so many units are left out
DECADES = 2.0


@dataclass(frozen=True, slots=True)
class Task:
    """What one point measures.

    Attributes:
        job: what the process does, a key of `JOBS`.
        rows: labels of an entity model, predicates of a relation model.
        lines: of the input; in training, what the steps need.
        length: characters of a line; None: sentences as they are.
        batch: windows in a forward pass or a step.
        rounds: files predicted or steps trained, of which the median is taken.
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
    "seconds a step": lambda task, seconds: seconds,
    "ms a batch": lambda task, seconds: 1000 * seconds * task.batch / task.lines,
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
        Series("Training, entities", "labels", "rows", ROWS, STEP, "seconds a step", "tokens/s"),
        Series("Prediction, entities", "labels", "rows", ROWS, LABELLED, "seconds", "lines/s"),
        Series(
            "Training, relations",
            "predicates",
            "rows",
            ROWS,
            replace(STEP, head="gplinker"),
            "seconds a step",
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
            "seconds a step",
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
            "ms a batch",
            "lines/s",
        ),
        Series("Training", "windows in a batch", "batch", (4, 16, 64), STEP, "seconds a step", "tokens/s"),
    ),
}
NOTES = (
    "Encoder `tiny` (2 layers of 192, a token for every character) with fresh weights, on the CPU, in the precision that `auto` "
    "gives; the biases of its head are set so that about one span, and one relation, in 20 tokens is found. Time is without "
    "imports, loading the model and a warm-up. MB are resident memory of the process: after loading, at the peak, and the "
    "growth between. The last row of a table is the exponent x of value ~ n^x by least squares on log-log over the two largest "
    "decades: 1 is linear, 0 does not grow.",
    "Sentences are drawn from the quickstart's. Prediction is `ie predict` from file to file; the ids that come out are checked "
    "to be those that went in, in order. Encoding is `encode_dataset`, whose file is mapped: its pages count as resident, but "
    "the system can take it back. Training is the step of `ie train`, on windows of 128 tokens where nothing else is said. "
    "Longer texts are sentences in a row; windows overlap by 64 tokens, or by a quarter where they hold less than 256.",
)


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at `size`: time and rate as its curve has them, MB after loading and at the peak."""

    size: int
    time: float = math.nan
    rate: float = math.nan
    loaded: float = math.nan
    peak: float = math.nan
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is nothing but the note."""
        return math.isnan(self.time)

    @property
    def growth(self) -> float:
        """What the work added to the memory; at least 1 MB, so that it has a logarithm."""
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
    """Least squares on log-log over the two largest decades; None where there are fewer than two points."""
    chosen = [point for point in points if point.size * 10**DECADES >= points[-1].size]
    if len(chosen) < 2:
        return None
    xs, ys = ([math.log(v) for v in values] for values in ([p.size for p in chosen], [value(p) for p in chosen]))
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / sum((x - x_mean) ** 2 for x in xs)
    return Fit(slope, chosen[0].size, chosen[-1].size)


def table(curve: Curve) -> str:
    """A heading and a row for each point; the last row tells the exponents."""
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
    """A number with three digits that mean something, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def draw(curves: Sequence[Curve]) -> str:
    """An SVG with a panel of time and one of memory for each curve."""
    panels = [panel for curve in curves if curve.measured for panel in (_time_panel(curve), _memory_panel(curve))]
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">{panel}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _time_panel(curve: Curve) -> str:
    points = curve.measured
    values = [point.time for point in points]
    axes = _Axes.around([point.size for point in points], values)
    first = points[0]
    top = first.size * 10 ** axes.y_range[1] / first.time  # where the reference leaves the panel
    reference = [(size, first.time * size / first.size) for size in (first.size, min(points[-1].size, top))]
    found = fit(points, lambda point: point.time)
    label = f"n^{found.exponent:.2f}" if found else ""
    body = axes.frame(f"{curve.title}: {curve.time}", curve.size)
    body += axes.line(reference, GREY, dashes="4 3") + axes.line([(p.size, p.time) for p in points], BLUE, dots=True)
    return body + _legend((label, BLUE), ("slope 1", GREY))


def _memory_panel(curve: Curve) -> str:
    points = curve.measured
    axes = _Axes.around([p.size for p in points], [v for p in points for v in (p.peak, p.growth)])
    body = axes.frame(f"{curve.title}: MB", curve.size)
    body += axes.line([(p.size, p.peak) for p in points], BLUE, dots=True)
    body += axes.line([(p.size, p.growth) for p in points], RED, dots=True)
    return body + _legend(("peak", BLUE), ("growth", RED))


def _legend(left: tuple[str, str], right: tuple[str, str]) -> str:
    """Two names in their colours, between title and frame."""
    middle, y = (LEFT + WIDTH - RIGHT) / 2, TOP - 5
    sides = ((middle - 6, "end", *left), (middle + 6, "start", *right))
    return "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(name)}</text>'
        for x, anchor, name, colour in sides
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    """Logarithmic axes of a panel: sizes to label, and the ranges of both axes."""

    sizes: Sequence[int]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @classmethod
    def around(cls, sizes: Sequence[int], values: Sequence[float]) -> _Axes:
        """Axes that hold all values, at least a decade high."""
        low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.1
        missing = max(0.0, 1.2 - (high - low)) / 2
        x_low, x_high = math.log10(sizes[0]), math.log10(sizes[-1])
        return cls(sizes, (x_low - 0.1, x_high + 0.1), (low - missing, high + missing))

    def place(self, size: float, value: float) -> tuple[float, float]:
        """Where a point is drawn."""
        (x_low, x_high), (y_low, y_high) = self.x_range, self.y_range
        x = (math.log10(size) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = (math.log10(value) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + x, HEIGHT - BOTTOM - y

    def frame(self, title: str, name: str) -> str:
        """Border, title, ticks and the name of the x axis."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = [
            f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#bbb"/>',
            f'<text x="{(LEFT + right) / 2}" y="{TOP - 18}" text-anchor="middle" font-weight="bold" font-size="9">'
            f"{escape(title)}</text>",
            f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(name)}</text>',
        ]
        last = -math.inf
        for size in self.sizes:
            x, _ = self.place(size, 10 ** self.y_range[0])
            parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#bbb"/>')
            if x - last >= NEAR:
                parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{short(size)}</text>')
                last = x
        for tick in self.y_ticks():
            _, y = self.place(self.sizes[0], tick)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#eee"/>')
            parts.append(f'<text x="{LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{short(tick)}</text>')
        return "".join(parts)

    def y_ticks(self) -> list[float]:
        """Powers of ten; also 2 and 5 times these where the axis is short."""
        low, high = self.y_range
        steps = (1, 2, 5) if high - low < 2 else (1,)
        ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
        return [tick for tick in ticks if low <= math.log10(tick) <= high]

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, *, dashes: str = "none", dots: bool = False
    ) -> str:
        """A line through points."""
        ends = [self.place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in ends)
        drawn = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-dasharray="{dashes}"/>'
        circles = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in ends if dots]
        return drawn + "".join(circles)


def short(value: float) -> str:
    """A number in few characters: 0.02, 5, 8192, 10k, 1M."""
    if 1000 <= value < 10_000:
        return f"{value:.0f}"
    for factor, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"
