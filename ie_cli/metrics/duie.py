"""The published evaluation of DuIE 2.0, whose rules also apply to the data of 1.0.

Texts are compared in lower case, without enclosing book-title marks, and modulo a dictionary of aliases: with
``A(x) = aliases(x) ∪ {x}``, a triple t is in a list if the list contains t itself or some m with

    m.p = t.p,  m.s ∈ A(t.s),  and m.o, t.o have the same keys k with t.o[k] ∈ A(m.o[k]) and m.o[k] ∈ A(t.o[k])

An object consists of ``@value`` and its slots. A triple of a sentence is dropped if it is in the list of the preceding ones.

    precision = correct / predicted     correct: predictions that are in the gold list of their sentence
    recall    = recalled / gold         recalled: gold triples that are in the list of the predictions

Source: the evaluation rules published with DuIE 2.0 (Li et al. 2019, "DuIE: A Large-Scale Chinese Dataset for Information
Extraction").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ie_cli.document import Document, Spo
from ie_cli.errors import DataError
from ie_cli.metrics.scores import Row
from ie_cli.system.streams import read_lines
from ie_cli.triples import to_spos

Aliases = Mapping[str, set[str]]
NormalisedTriple = tuple[str, str, tuple[tuple[str, str], ...]]
"""Subject, predicate, and the object's sorted keys and values; texts are normalised for comparison."""


@dataclass(frozen=True, slots=True)
class OfficialCounts:
    """The numbers of gold and predicted triples, and of matches from either side, which may differ because of aliases."""

    gold: int = 0
    predicted: int = 0
    correct: int = 0
    recalled: int = 0

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.recalled / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def row(self, name: str) -> Row:
        """Return the counts as a row of a score table."""
        scored = self.gold or self.predicted
        scores = (self.precision, self.recall, self.f1) if scored else (None, None, None)
        return name, (*scores, self.gold, self.predicted, self.correct)

    def to_dict(self) -> dict[str, Any]:
        """Return scores and counts, unrounded."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
            "recalled": self.recalled,
        }


class OfficialScorer:
    """Counts sentences by the published rules; if a text occurs more than once, only its last occurrence counts.

    For each text, a hash and four numbers are kept in memory.

    Args:
        alias: the aliases of each name, from `read_aliases`.
    """

    def __init__(self, alias: Aliases | None = None) -> None:
        self._alias = alias or {}
        self._counts: dict[bytes, tuple[int, int, int, int]] = {}

    def add(self, text: str, gold: Iterable[Spo], predicted: Iterable[Spo]) -> None:
        """Count one sentence."""
        truth, guess = [_normalise(spo) for spo in gold], [_normalise(spo) for spo in predicted]
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._counts[key] = self._by_alias(truth, guess) if self._alias else _by_identity(truth, guess)

    def counts(self) -> OfficialCounts:
        """Return the sum over the sentences added so far."""
        gold, predicted, correct, recalled = (sum(row[i] for row in self._counts.values()) for i in range(4))
        return OfficialCounts(gold, predicted, correct, recalled)

    def _by_alias(
        self, gold: Iterable[NormalisedTriple], predicted: Iterable[NormalisedTriple]
    ) -> tuple[int, int, int, int]:
        truth, guess = _Triples(self._alias, gold), _Triples(self._alias, predicted)
        correct = sum(spo in truth for spo in guess.kept)
        return len(truth.kept), len(guess.kept), correct, sum(spo in guess for spo in truth.kept)


class _Triples:
    """A list of triples, distinct modulo aliases.

    Triples are indexed by predicate, subject and the first value of the object: comparing thousands of triples of one sentence
    pairwise would take minutes.

    Attributes:
        kept: the triples that are not in the list of the preceding ones.
    """

    def __init__(self, alias: Aliases, spos: Iterable[NormalisedTriple]) -> None:
        self._alias = alias
        self.kept: list[NormalisedTriple] = []
        self._by_names: dict[tuple[str, str, tuple[str, str]], list[NormalisedTriple]] = {}
        for spo in spos:
            if spo not in self:
                self.kept.append(spo)
                self._by_names.setdefault((spo[1], spo[0], spo[2][0]), []).append(spo)

    def __contains__(self, target: NormalisedTriple) -> bool:
        subject, predicate, object_ = target
        key, value = object_[0]
        subjects, values = self._names(subject), self._names(value)
        if len(subjects) * len(values) > len(self.kept):
            return any(self._matches(target, member) for member in self.kept)
        return any(
            self._matches(target, member)
            for name in subjects
            for other in values
            for member in self._by_names.get((predicate, name, (key, other)), ())
        )

    def _names(self, text: str) -> set[str]:
        """Return ``A(text)``."""
        return {text, *self._alias.get(text, ())}

    def _matches(self, target: NormalisedTriple, member: NormalisedTriple) -> bool:
        (subject, predicate, object_), (other, other_predicate, other_object) = target, member
        return (
            predicate == other_predicate
            and self._is_name(other, subject)
            and len(object_) == len(other_object)  # keys are distinct and sorted
            and all(
                key == other_key and self._is_name(a, b) and self._is_name(b, a)
                for (key, a), (other_key, b) in zip(object_, other_object, strict=True)
            )
        )

    def _is_name(self, name: str, of: str) -> bool:
        """Return whether ``name ∈ A(of)``."""
        return name == of or name in self._alias.get(of, ())


def _by_identity(gold: Iterable[NormalisedTriple], predicted: Iterable[NormalisedTriple]) -> tuple[int, int, int, int]:
    """Count without aliases, when a triple is in a list only if it is equal to a member."""
    truth, guess = set(gold), set(predicted)
    both = len(truth & guess)
    return len(truth), len(guess), both, both


def _normalise(spo: Spo) -> NormalisedTriple:
    object_ = {"@value": spo.object, **dict(spo.slots)}
    values = tuple(sorted((key, _normalise_text(value)) for key, value in object_.items()))
    return _normalise_text(spo.subject), spo.predicate, values


def _normalise_text(text: str) -> str:
    """Return a text in lower case, without enclosing book-title marks."""
    text = text.lower()
    return text[1:-1] if text.startswith("《") and text.endswith("》") else text


def spos_of(document: Document) -> list[Spo]:
    """Return the triples of texts: those of the data, or triples built from the relations if there are none."""
    return to_spos(document.text, document.relations) if document.spos is None else document.spos


def read_aliases(path: str) -> dict[str, set[str]]:
    """Read lines of ``name<TAB>alias<TAB>alias…`` in lower case; if a name has several lines, the last one counts.

    Raises:
        DataError: a line has no name or no tab, or the file cannot be read.
    """
    aliases: dict[str, set[str]] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        name, *others = (part.strip() for part in line.lower().split("\t"))
        if not name or not others:
            problem = "no name before the first tab" if others else "no tab"
            raise DataError(
                f"{path}:{number}: {problem}: {line[:40]!r}", hint="write a name and its aliases, separated by tabs."
            )
        aliases[name] = {name, *filter(None, others)}
    return aliases
