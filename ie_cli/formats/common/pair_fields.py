"""Pairs of texts as other data name them: the names of the two texts, of classes and grades, and what their values mean.

A file has either classes or grades, which its first records decide: numbers with a decimal point are grades, as in STS-B, whole
numbers are classes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.common.base import Reading, quoted, require_storable, short
from ie_cli.formats.common.tag_schemes import is_nearly_all

TEXTS = (
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("sent1", "sent2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("query1", "query2"),
    ("q1", "q2"),
    ("s1", "s2"),
    ("#1 string", "#2 string"),
)
"""The names of the two texts; of several pairs of names, the first one counts."""
LABELS = (
    "gold_label",
    "label",
    "is_duplicate",
    "quality",
    "score",
    "similarity",
    "similarity_score",
    "relatedness_score",
)
"""The names of the label; of several, the first one counts."""
_GRADES = frozenset(LABELS[4:])
_IDS = ("id", "idx", "index")
NLI = frozenset({"entailment", "neutral", "contradiction", "not_entailment", "contradictory"})
_NO_LABEL = frozenset({"", "-"})
"""Values without a label; SNLI, MNLI and OCNLI mark pairs with - on which the annotators did not agree."""
_NATIVE = frozenset({"entities", "relations", "events", "score"})
LOOK_AHEAD = 2000
"""Number of records that decide about classes and grades."""
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class PairNames:
    """The names of the parts of a pair in a record or a header; None for those that are missing."""

    text: str
    pair: str
    label: str | None
    id: str | None

    @classmethod
    def of(cls, names: Iterable[str]) -> PairNames | None:
        """Find the parts among the names of fields or columns, whose case does not matter; None if there are no two texts."""
        known: dict[str, str] = {}
        for name in names:
            known.setdefault(name.strip().strip('"').casefold(), name)
        for first, second in TEXTS:
            if first in known and second in known:
                label, number = (next((known[n] for n in some if n in known), None) for some in (LABELS, _IDS))
                return cls(known[first], known[second], label, number)
        return None

    @property
    def graded(self) -> bool:
        """Whether the name of the label says that it is a grade."""
        return self.label is not None and self.label.strip().casefold() in _GRADES


@dataclass(slots=True)
class PairLabels:
    """What the labels of a file are, and the counts of pairs with and without one.

    Attributes:
        graded: whether they are grades.
        numbered: whether they are classes that are whole numbers.
        classes: the classes of the first records, for the report.
    """

    graded: bool
    numbered: bool
    classes: Sequence[str] = ()
    without: int = 0
    total: int = 0

    @classmethod
    def of(cls, values: Iterable[str], reading: Reading, *, graded: bool = False) -> PairLabels:
        """Decide what labels are from the first ones, unless the options of reading or their name say it."""
        counts = Counter(value for value in values if value not in _NO_LABEL)
        total = counts.total()
        numbers = sum(count for value, count in counts.items() if _NUMBER.fullmatch(value))
        whole = sum(count for value, count in counts.items() if _WHOLE.fullmatch(value))
        if reading.grades is not None:
            graded = reading.grades
        elif is_nearly_all(numbers, total):
            graded = graded or not is_nearly_all(whole, total)
        elif total:
            graded = False
        numbered = not graded and reading.grades is None and is_nearly_all(whole, total)
        return cls(graded, numbered, tuple(sorted(counts)))

    def parse(self, value: str) -> tuple[str | None, float | None]:
        """Return the class and the grade of a pair, at most one of which it has.

        Raises:
            DataError: the value is not what the labels of the file are; the message does not include the place.
        """
        self.total += 1
        if value in _NO_LABEL:
            self.without += 1
            return None, None
        if self.graded:
            grade = float(value) if _NUMBER.fullmatch(value) else math.nan
            if not math.isfinite(grade):
                raise DataError(
                    f"expected a number as the grade of the pair, got {quoted(value)}",
                    hint="correct the line, or set data.grades: false in the recipe if the labels are classes.",
                )
            return None, grade
        if self.numbered and not _WHOLE.fullmatch(value):
            raise DataError(
                f"expected a whole number as the class of the pair, as in the first records, got {quoted(value)}",
                hint="correct the line, or set data.grades in the recipe: true if the labels are grades, false if they are "
                "classes of any form.",
            )
        require_storable(value, "label")
        return value, None

    def describe(self) -> str:
        """Describe the labels for the report of a reader."""
        if self.graded:
            return "grades"
        more = f" and {len(self.classes) - _SHOWN} more" if len(self.classes) > _SHOWN else ""
        return f"classes {', '.join(map(quoted, self.classes[:_SHOWN]))}{more}" if self.classes else "classes"

    def report(self, path: str, reading: Reading) -> None:
        """Report the number of pairs without a label, if there are any."""
        if self.without and reading.annotation:
            reading.report(
                f"{path}: pairs without a label, which is empty or -, and which are neither learned nor scored: "
                f"{self.without:,} of {self.total:,}"
            )


def label_text(value: Any) -> str:
    """Return the label of a JSON record or a row as a text; a missing one is empty.

    Raises:
        DataError: it is neither a text nor a number.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)  # tables mark a missing value in this way
    if isinstance(value, int) and abs(value) < 10**18:
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"a label must be a text or a number, got {quoted(value)}")
    return value.strip()


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """Return a text of a record.

    Raises:
        DataError: it is missing or no text.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise DataError(f"'{name}' must be a string, got {short(value)}" if name in fields else f"no field '{name}'")
    return value


def looks_like_label(value: str) -> bool:
    """Return whether a value can be nothing but a label: a number, a class of NLI, or the sign for none."""
    return value == "-" or value.casefold() in NLI or _NUMBER.fullmatch(value) is not None


def is_whole(value: str) -> bool:
    """Return whether a value is a whole number."""
    return _WHOLE.fullmatch(value) is not None


def is_pair_record(fields: Mapping[str, Any]) -> bool:
    """Return whether a JSON record is a pair of texts that is not native; with native names, it is if its label is a number."""
    names = PairNames.of(fields)
    if names is None or not all(isinstance(fields[name], str) for name in (names.text, names.pair)):
        return False
    if "text" not in fields:
        return True
    numbered = isinstance(fields.get("label"), (int, float)) and not fields.keys() & _NATIVE
    return numbered and (names.text, names.pair, names.label) == ("text", "text_pair", "label")
