"""Find problems of pairs of texts: duplicates, contradictions, texts that several splits share, labels that teach nothing."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ie_cli.data.class_order import order_of_classes
from ie_cli.data.findings import Finding
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted
from ie_cli.recipe.schema import TaskSection, TrainingSection

_SHOWN = 3
_SHARED = 0.05  # texts that occur again with another one are usual in such data
_RATIO = 20
"""Pairs of the most frequent class for each of the rarest one, above which the rarest is hardly learned."""
_ANY = 0
"""The hash of a missing label, which contradicts none."""


@dataclass(slots=True)
class PairChecks:
    """The pairs of a split, as 8-byte hashes.

    Attributes:
        total: number of pairs.
        duplicates: number of pairs that occurred before.
        swapped: number of pairs that occurred before in the other order.
        contradictions, swapped_contradictions: those of them with another label, with their places.
        empty: number of pairs with an empty text.
        equal: number of pairs of twice the same text, by class.
        equal_grades: the same for grades.
    """

    total: int = 0
    duplicates: int = 0
    swapped: int = 0
    contradictions: list[str] = field(default_factory=list)
    swapped_contradictions: list[str] = field(default_factory=list)
    empty: int = 0
    equal: Counter[str] = field(default_factory=Counter)
    equal_grades: Counter[float] = field(default_factory=Counter)
    _labels: dict[int, int] = field(default_factory=dict)
    _texts: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, document: Document) -> None:
        """Count a document, if it is a pair."""
        first, second = document.text, document.text_pair
        if second is None:
            return
        self.total += 1
        self.empty += not (first.strip() and second.strip())
        if first == second and document.label is not None:
            self.equal[document.label] += 1
        elif first == second and document.score is not None:
            self.equal_grades[document.score] += 1
        one, other = _hash(first), _hash(second)
        self._texts.extend((one, other))
        key, reverse = _key(one, other), _key(other, one)
        labelled = document.label is not None or document.score is not None
        label = _hash(repr((document.label, None if document.label is not None else document.score)))
        label = label if labelled else _ANY
        if (before := self._labels.get(key)) is not None:
            self.duplicates += 1
            self._compare(before, label, self.contradictions, document)
        elif (before := self._labels.get(reverse)) is not None:
            self.swapped += 1
            self._compare(before, label, self.swapped_contradictions, document)
        self._labels.setdefault(key, label)

    def _compare(self, before: int, label: int, places: list[str], document: Document) -> None:
        if before != label and _ANY not in (before, label):
            places.append(
                f"{document.where}: {quoted(document.text[:40])} and {quoted((document.text_pair or '')[:40])}"
            )

    def shared_with(self, train: PairChecks) -> tuple[int, int]:
        """Return how many distinct pairs train contains in either order, and how many pairs have a text that train contains."""
        known = train._labels
        either = zip(self._texts[::2], self._texts[1::2], strict=True)
        whole = sum(_key(one, other) in known or _key(other, one) in known for one, other in dict.fromkeys(either))
        texts = set(train._texts)
        some = sum(
            one in texts or other in texts for one, other in zip(self._texts[::2], self._texts[1::2], strict=True)
        )
        return whole, some

    @property
    def distinct(self) -> int:
        """The number of distinct pairs."""
        return len(self._labels)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _key(one: int, other: int) -> int:
    return hash((one, other))


def about_pairs(
    split: str, found: PairChecks, statistics: DatasetStatistics, section: TaskSection
) -> Iterator[Finding]:
    """Yield the findings about the pairs of one split."""
    for places, again in (
        (found.contradictions, "again with a different class or score"),
        (found.swapped_contradictions, "again in the other order with a different class or score"),
    ):
        if places:
            listed = "".join(f"\n  {place}" for place in places[:_SHOWN])
            occur = counted(len(places), "pair occurs", "pairs occur")
            yield Finding("warning", f"{split}: {occur} {again}:{listed}")
    if found.duplicates or found.swapped:
        other = f", and {found.swapped} in the other order" if found.swapped else ""
        yield Finding("warning", f"{split}: {found.duplicates} of {found.total} pairs occurred before{other}")
    if found.empty:
        yield Finding("warning", f"{split}: {counted(found.empty, 'pair')} with an empty text")
    yield from _equal_texts(split, found, statistics, section.data.labels)


def _equal_texts(
    split: str, found: PairChecks, statistics: DatasetStatistics, listed: Sequence[str] | None
) -> Iterator[Finding]:
    """Yield a finding about pairs of twice the same text that are not labelled as the most similar ones."""
    classes = listed or order_of_classes(statistics.pair_labels)
    if classes and (low := found.equal.total() - found.equal[classes[-1]]):
        which = f"a class other than {quoted(classes[-1])}, the most similar one"
        yield Finding(
            "warning", f"{split}: {low} of {counted(found.equal.total(), 'pair')} of equal texts with {which}"
        )
    if found.equal_grades and statistics.pair_scores is not None:
        middle = sum(statistics.pair_scores) / 2
        if low := sum(count for grade, count in found.equal_grades.items() if grade < middle):
            which = f"a score below {middle:g}, the middle of all scores"
            total = counted(found.equal_grades.total(), "pair")
            yield Finding("warning", f"{split}: {low} of {total} of equal texts with {which}")


def pairs_to_learn(statistics: DatasetStatistics, section: TaskSection, training: TrainingSection) -> Iterator[Finding]:
    """Yield findings about the labels of the training data: rare classes, and batches in which nothing can be compared."""
    labels = statistics.pair_labels
    if len(labels) < 2:
        return
    [(most, many), *_, (rare, few)] = labels.most_common()
    if few * _RATIO < many:
        yield Finding(
            "warning",
            f"train: the class {quoted(rare)} has {few} pairs, {quoted(most)} {many}, which is {many / few:.0f} times as many: a "
            "model may not learn it; leave out pairs of the frequent class, or add others",
        )
    if not section.head.compares_pairs or training.batch_tokens is not None or training.accumulation > 1:
        return  # the pairs of accumulated batches are compared with each other
    pairs, size = labels.total(), training.batch_size
    batches = -(-pairs // size)
    if single := max(0, batches - (pairs - many)):
        yield Finding(
            "warning",
            f"train: at least {single} of {counted(batches, 'batch', 'batches')} of each epoch contain only pairs of the class "
            f"{quoted(most)}, from which head {section.head.name} learns nothing, because it compares the pairs of a batch: "
            f"raise training.batch_size (now {size})",
        )


def between_pairs(split: str, train: PairChecks, other: PairChecks, *, alone: bool = False) -> Iterator[Finding]:
    """Yield findings about pairs and texts of a split that train contains, too; `alone` is without a recipe."""
    if not train.total or not other.total:
        return
    whole, some = other.shared_with(train)
    if whole:
        remedy = (
            "set data.dev: 0.1 to split pairs off train"
            if split == "dev" and not alone
            else "remove them from one of the two"
        )
        kind: Literal["error", "warning"] = "error" if whole == other.distinct else "warning"
        yield Finding(
            kind,
            f"train contains {whole} of {counted(other.distinct, 'pair')} of {split}, in this or the other order: scores on "
            f"{split} will be too high; {remedy}",
        )
    if some:
        share = some / other.total
        yield Finding(
            "warning" if share >= _SHARED else "note",
            f"{split}: {some} of {counted(other.total, 'pair')} ({share:.1%}) have a text that train contains, too: only the "
            "others show how a model scores texts that it has not seen",
        )
