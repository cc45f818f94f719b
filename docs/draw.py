"""Draw the pictures of the documentation into docs/_static with the windows and decoders of the package.

The scores in `scores.json` come from trained models; the pictures depend on them alone and are the same bytes every time.

    python docs/draw.py                          # draw
    python docs/draw.py --record SPANS LINKS     # first record the scores of two model directories
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ie_cli.codecs.factors import LabelFactors, SharedFactors
from ie_cli.codecs.links import LinkRules, decode_links
from ie_cli.codecs.spans import decode_spans
from ie_cli.encoding.windows import WindowPlan

STATIC = Path(__file__).parent / "_static"
SCORES = STATIC / "scores.json"
SPANS_TEXT = "青川大学的周雨晨来了。"
LINKS_TEXT = "《北方的灯塔》由周雨晨执导。"
PREDICATE = "导演"
CELL = 22
STYLE = """<style>
.panel{fill:#fff;stroke:#d0d7de}.text{fill:#1f2328}.faint{fill:#59636e}.line{stroke:#59636e}
.cell{fill:#0969da}.none{fill:#59636e;fill-opacity:.08}.found{fill:none;stroke:#bc4c00;stroke-width:2}.mark{fill:#bc4c00}
.window{fill:#0969da;fill-opacity:.18;stroke:#0969da}.share{fill:#0969da;fill-opacity:.3}
text{font:13px sans-serif}.small{font-size:11px}
@media (prefers-color-scheme:dark){.panel{fill:#0d1117;stroke:#3d444d}.text{fill:#f0f6fc}.faint{fill:#9198a1}
.line{stroke:#9198a1}.cell{fill:#4493f8}.found{stroke:#f0883e}.mark{fill:#f0883e}.none{fill:#9198a1}
.window{fill:#4493f8;stroke:#4493f8}.share{fill:#4493f8}}
</style>"""


class Picture:
    """An SVG with its own background, so that it is readable on light and dark pages."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            STYLE,
            f'<rect class="panel" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>',
        ]

    def text(self, x: float, y: float, words: str, *, kind: str = "text", anchor: str = "start") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def rect(self, x: float, y: float, size: tuple[float, float], kind: str, *, opacity: float | None = None) -> None:
        shade = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        width, height = size
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{shade}/>')

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        self.parts.append(f'<path class="{kind}" d="M{start[0]:g} {start[1]:g}L{end[0]:g} {end[1]:g}" fill="none"/>')

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>", ""])


def matrix(
    picture: Picture,
    at: tuple[float, float],
    tokens: Sequence[str],
    scores: np.ndarray[Any, np.dtype[np.float32]],
    *,
    found: Sequence[tuple[int, int]],
    upper: bool,
    title: str,
) -> None:
    """A score matrix: the darker an entry, the higher its probability; decoded entries have a frame."""
    left, top = at
    picture.text(left, top - 30, title)
    for i, token in enumerate(tokens):
        picture.text(left + (i + 0.5) * CELL, top - 8, token, kind="text small", anchor="middle")
        picture.text(left - 6, top + (i + 0.75) * CELL, token, kind="text small", anchor="end")
        for j in range(i if upper else 0, len(tokens)):
            place = left + j * CELL + 1, top + i * CELL + 1
            chance = float(1 / (1 + np.exp(-np.float64(scores[i, j]))))
            picture.rect(*place, (CELL - 2, CELL - 2), "none")
            if chance >= 0.05:
                picture.rect(*place, (CELL - 2, CELL - 2), "cell", opacity=chance)
    for i, j in found:
        picture.rect(left + j * CELL, top + i * CELL, (CELL, CELL), "found")


def draw_windows() -> str:
    """A text of 40 tokens, its windows, and some spans with the window that judges each."""
    tokens, plan, unit = 40, WindowPlan(16, 8), 17
    starts = plan.starts(tokens).tolist()
    spans = [(2, 4), (9, 11), (13, 16), (20, 22), (27, 27), (34, 38)]
    first, last = (np.array(side, dtype=np.int64) for side in zip(*spans, strict=True))
    owners = plan.owners(tokens, first, last).tolist()
    left, top = 120, 64
    height = top + 30 * len(starts) + 90
    picture = Picture(
        left + unit * tokens + 20, height, "Overlapping windows of one text, and which window judges a span"
    )
    picture.text(16, 28, f"capacity {plan.capacity}, stride {plan.stride}: a text of {tokens} tokens", kind="text")
    for token in range(tokens):
        picture.rect(left + token * unit + 1, top - 22, (unit - 2, 12), "none")
    for number, start in enumerate(starts):
        y = top + 30 * number
        picture.text(16, y + 14, f"window {number}", kind="text")
        picture.rect(left + start * unit, y, (plan.capacity * unit, 18), "window")
    base = top + 30 * len(starts) + 12
    for (start, end), owner in zip(spans, owners, strict=True):
        x, width = left + start * unit, (end - start + 1) * unit
        for number, begin in enumerate(starts):
            if begin <= start and end < begin + plan.capacity:
                picture.rect(x, top + 30 * number + 3, (width, 12), "share" if number != owner else "mark")
        picture.rect(x, top - 22, (width, 12), "mark")
        picture.text(x + width / 2, base + 12, str(owner), kind="text", anchor="middle")
    picture.text(16, base + 12, "judged by", kind="text")
    picture.text(
        16, base + 40, "Filled: the window that judges the span; pale: other windows that contain it.", kind="faint"
    )
    return str(picture)


def draw_spans(record: Mapping[str, Any]) -> str:
    """The score matrices of two labels, and the spans that the decoder finds in them."""
    tokens, labels, text = record["tokens"], record["labels"], record["text"]
    scores = np.array(record["entities"], dtype=np.float32)
    eye = np.eye(len(tokens), dtype=np.float32)
    factors = LabelFactors(0, scores[None], np.broadcast_to(eye, scores.shape)[None])
    mask = np.ones((1, len(tokens)), dtype=bool)
    found = decode_spans([factors], mask, np.zeros(len(labels), dtype=np.float32)).entries.tolist()
    side = CELL * len(tokens)
    picture = Picture(2 * side + 150, side + 150, f"Scores of all spans of a sentence, for {labels[0]} and {labels[1]}")
    for row, label in enumerate(labels):
        at = (50 + row * (side + 50), 64)
        cells = [(first, last) for _, label_row, first, last in found if label_row == row]
        matrix(picture, at, tokens, scores[row], found=cells, upper=True, title=f"{label}: first token ↓, last token →")
        words = ", ".join("".join(tokens[first : last + 1]) for first, last in cells)
        picture.text(at[0], at[1] + side + 26, f"found: {words}", kind="mark")
    picture.text(50, side + 128, text, kind="faint")
    return str(picture)


def draw_links(record: Mapping[str, Any], predicate: str) -> str:
    """The four score matrices of GPLinker for one predicate, and the triples that the decoder finds in them."""
    tokens, labels = record["tokens"], record["labels"]
    tables = {name: np.array(record[name], dtype=np.float32) for name in ("entities", "start_links", "end_links")}
    eye = np.broadcast_to(np.eye(len(tokens), dtype=np.float32), tables["entities"].shape)
    mask = np.ones((1, len(tokens)), dtype=bool)
    none = np.zeros(len(labels), dtype=np.float32)
    spans = decode_spans([LabelFactors(0, tables["entities"][None], eye[None])], mask, none)
    zero = np.zeros((1, 1, len(tokens)), dtype=np.float32)
    links = [SharedFactors(tables[name], zero, zero) for name in ("start_links", "end_links")]
    rules = LinkRules(np.array([True, False]), np.array([False, True]))
    triples = decode_links(spans, links[0], links[1], rules, np.zeros(1, dtype=np.float32)).entries.tolist()
    side = CELL * len(tokens)
    picture = Picture(
        2 * side + 150, 2 * side + 210, "The four score matrices that GPLinker combines for one predicate"
    )
    titles = {
        "start_links": "first tokens of subject ↓ and object →",
        "end_links": "last tokens of subject ↓ and object →",
    }
    for row, label in enumerate(labels):
        cells = [(first, last) for _, label_row, first, last in spans.entries.tolist() if label_row == row]
        title = f"spans, {label}: first token ↓, last token →"
        matrix(
            picture, (50 + row * (side + 50), 64), tokens, tables["entities"][row], found=cells, upper=True, title=title
        )
    for number, name in enumerate(titles):
        cells = [(t[3 + number], t[6 + number]) for t in triples]
        at = (50 + number * (side + 50), side + 134)
        title = f"{predicate}: {titles[name]}"
        matrix(picture, at, tokens, tables[name][0], found=cells, upper=False, title=title)
    for t in triples:
        subject, object_ = ("".join(tokens[t[at] : t[at + 1] + 1]) for at in (3, 6))
        picture.text(50, 2 * side + 164, f"found: ({subject}, {predicate}, {object_})", kind="mark")
    picture.text(50, 2 * side + 190, record["text"], kind="faint")
    return str(picture)


def scores_of(model: str, text: str, rows: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the tokens of a text and the rounded score matrices of some labels of a model."""
    from ie_cli.codecs.factors import entry_scores, factors_of
    from ie_cli.inference.extractor import Extractor

    extractor = Extractor.from_pretrained(model, device="cpu", precision="float32")
    tokenizer = extractor.text_tokenizer()
    [tokens] = tokenizer.encode([text])
    ids = tokenizer.surround(tokens.ids)[None].astype(np.int64)
    there = np.arange(len(tokens)) + len(tokenizer.prefix)
    [name] = extractor.tasks
    outputs = extractor.backend.run(ids, np.ones_like(ids, dtype=bool))[name]
    known = extractor.codecs()[name].matrices
    record: dict[str, Any] = {
        "text": text,
        "tokens": [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)],
    }
    for table, wanted in rows.items():
        scores = dict(zip(known[table], entry_scores(factors_of(outputs.matrix(table)), 0, there), strict=True))
        record[table] = [np.round(scores[row].astype(float), 1).tolist() for row in wanted]
    return record


def record(spans_model: str, links_model: str) -> str:
    """Return the contents of `scores.json`."""
    labels = ["name", "organization"]
    spans = scores_of(spans_model, SPANS_TEXT, {"entities": labels})
    links = scores_of(
        links_model,
        LINKS_TEXT,
        {"entities": ["subject", "object"], "start_links": [PREDICATE], "end_links": [PREDICATE]},
    )
    whole = {"spans": {**spans, "labels": labels}, "links": {**links, "labels": ["subject", "object"]}}
    return json.dumps({**whole, "predicate": PREDICATE}, ensure_ascii=False, separators=(",", ":")) + "\n"


def draw(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return all pictures by the names of their files."""
    return {
        "windows.svg": draw_windows(),
        "spans.svg": draw_spans(scores["spans"]),
        "links.svg": draw_links(scores["links"], scores["predicate"]),
    }


def main() -> None:
    """Draw the pictures; record the scores first with --record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", nargs=2, metavar=("SPANS", "LINKS"), help="two model directories")
    parser.add_argument("--output", type=Path, default=STATIC)
    options = parser.parse_args()
    if options.record:
        SCORES.write_text(record(*options.record), encoding="utf-8")
    for name, picture in draw(json.loads(SCORES.read_text(encoding="utf-8"))).items():
        (options.output / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
