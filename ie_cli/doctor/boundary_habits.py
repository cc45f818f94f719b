"""Find labels whose entities sometimes include what is at their boundaries, and sometimes leave it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ie_cli.data.findings import Finding
from ie_cli.document import Document, Entity
from ie_cli.formats.common.base import quoted

_PAIRS = ("《》", "〈〉", "“”", "‘’", "「」", "『』", "【】", "«»", '""', "''", "()", "（）", "[]")
_CLOSING = {pair[0]: pair[1] for pair in _PAIRS}
_FINAL = ",;:!?、，；：！？。"  # not the full stop, which belongs to abbreviations
# Neither "A 24", a name with a number, nor "An Wang", a name: "an" stands before a vowel or an abbreviation.
_ARTICLE = re.compile(r"(?i:the|a(?!\s+\d)|an(?=\s+(?:[aeiouh\W]|[^\x00-\x7f]|\w(?-i:[A-Z0-9.]|\b))))\s+")
_ARTICLE_BEFORE = re.compile(r"(?<!\w)(?:the|an|a)\s+$", re.IGNORECASE)
_BEFORE = 8  # characters that contain an article and its spaces
_SHARE = 0.01
_SHOWN = 2

Habit = Literal["a pair of quotation marks or brackets", "a punctuation mark at the end", "an article at the start"]
HABITS: tuple[Habit, ...] = (
    "a pair of quotation marks or brackets",
    "a punctuation mark at the end",
    "an article at the start",
)


def habits_of(text: str, start: int, end: int) -> Iterator[tuple[Habit, bool]]:
    """Yield what is at the boundaries of a span, and whether the span includes it."""
    quotes, final, article = HABITS
    if end - start > 2 and _CLOSING.get(text[start]) == text[end - 1] and text[start] not in text[start + 1 : end - 1]:
        yield quotes, True
    elif start and end < len(text) and _CLOSING.get(text[start - 1]) == text[end]:
        yield quotes, False
    if end - start > 1 and text[end - 1] in _FINAL:
        yield final, True
    elif text[end : end + 1] and text[end] in _FINAL:
        yield final, False
    if _ARTICLE.match(text[start:end]):
        yield article, True
    elif (before := _ARTICLE_BEFORE.search(text, max(0, start - _BEFORE), start)) and _ARTICLE.match(
        text, before.start()
    ):
        yield article, False


@dataclass(slots=True)
class _Counts:
    """How many entities include something and how many leave it out, and the first of each."""

    number: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    shown: dict[bool, list[str]] = field(default_factory=lambda: {True: [], False: []})


@dataclass(slots=True)
class BoundaryHabits:
    """What the entities of each label include at their boundaries."""

    spans: int = 0
    _counts: dict[tuple[str, Habit], _Counts] = field(default_factory=dict)

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with its entities."""
        for span in spans:
            self.spans += 1
            for habit, included in habits_of(document.text, span.start, span.end):
                counts = self._counts.setdefault((span.label, habit), _Counts())
                counts.number[included] += 1
                if len(counts.shown[included]) < _SHOWN:
                    around = document.text[max(0, span.start - 5) : span.end + 5]
                    mention = document.text[span.start : span.end]
                    counts.shown[included].append(f"{document.where}: {quoted(mention)} in {quoted(around)}")

    def findings(self, split: str) -> Iterator[Finding]:
        """Yield a finding for each label and habit of which both ways occur."""
        for (label, habit), counts in sorted(
            self._counts.items(), key=lambda item: (-min(item[1].number.values()), item[0])
        ):
            fewer = min(counts.number, key=lambda included: counts.number[included])
            exceptions = counts.number[fewer]
            if not exceptions:
                continue
            listed = "".join(f"\n  {line}" for line in counts.shown[fewer])
            yield Finding(
                "warning" if exceptions >= _SHARE * self.spans else "note",
                f"{split}: entities of {quoted(label)} that include {habit}: {counts.number[True]:,}; that leave it out: "
                f"{counts.number[False]:,}; the first that {'include it' if fewer else 'leave it out'}:{listed}",
            )
