"""Report texts that are near duplicates, within a split and between splits."""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import IO

from ie_cli.data.findings import Finding
from ie_cli.data.near_duplicates import SIMILARITY, groups, similarity_of
from ie_cli.errors import counted
from ie_cli.system.atomic import storing

_IN_MEMORY = 2**26  # bytes of texts, above which they are in a temporary file
_SHOWN = 3
_COMPARED = 20  # texts of a group that are compared with one that is shown, to show the most similar one
_BETWEEN_SHARE, _INSIDE_SHARE = 0.01, 0.05
"""Shares of near duplicates above which they are a warning; in train, some are usual."""


@dataclass(slots=True, weakref_slot=True)
class StoredTexts:
    """The distinct texts of a split with their places, in a file that is in memory while it is small."""

    _file: IO[bytes] | None = None
    _places: array[int] = field(default_factory=lambda: array("Q", [0]))

    def __len__(self) -> int:
        return len(self._places) - 1

    def __iter__(self) -> Iterator[str]:
        return (self.read(number)[0] for number in range(len(self)))

    def add(self, text: str, where: str) -> None:
        """Add a text that is not a duplicate of an earlier one.

        Raises:
            StorageError: the temporary file cannot be written.
        """
        with storing(tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with this object
                weakref.finalize(self, self._file.close)
            self._file.seek(0, 2)
            self._file.write(f"{where}\0{text}".encode("utf-8", "surrogatepass"))
            self._places.append(self._file.tell())

    def read(self, number: int) -> tuple[str, str]:
        """Return a text and its place."""
        if self._file is None:
            raise IndexError(number)
        self._file.seek(self._places[number])
        stored = self._file.read(self._places[number + 1] - self._places[number])
        where, _, text = stored.decode("utf-8", "surrogatepass").partition("\0")
        return text, where


@dataclass(frozen=True, slots=True)
class NearGroups:
    """The groups of near duplicates among the texts of some splits, which are those that `ie split` keeps together.

    Attributes:
        texts: the distinct texts by split, train first.
        members: the numbers of the texts in each group with several texts, by split.
    """

    texts: Mapping[str, StoredTexts]
    members: Sequence[Mapping[str, Sequence[int]]]

    @classmethod
    def of(cls, texts: Mapping[str, StoredTexts]) -> NearGroups:
        """Find the groups.

        Raises:
            StorageError: the temporary files cannot be written.
        """
        numbers = groups(text for stored in texts.values() for text in stored)
        sizes = Counter(numbers)
        found: dict[int, dict[str, list[int]]] = {}
        rest = iter(numbers)
        for split, stored in texts.items():
            for number, group in enumerate(islice(rest, len(stored))):
                if sizes[group] > 1:
                    found.setdefault(group, {}).setdefault(split, []).append(number)
        return cls(texts, list(found.values()))

    def inside(self, split: str) -> list[Sequence[int]]:
        """Return the groups with several texts of a split: the numbers of these texts."""
        return [group[split] for group in self.members if len(group.get(split, ())) > 1]

    def between(self, one: str, other: str) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Return the groups with texts of two splits: the numbers of the texts of each.

        Texts of `other` that are equal to one of `one` are left out: they are reported as such.
        """
        found: list[tuple[Sequence[int], Sequence[int]]] = []
        for group in self.members:
            if one in group and other in group:
                known = {self.texts[one].read(number)[0] for number in group[one]}
                if near := [number for number in group[other] if self.texts[other].read(number)[0] not in known]:
                    found.append((group[one], near))
        return found

    def describe(self, split: str, number: int, other: str, others: Sequence[int]) -> str:
        """Return a text and the most similar one of some others, with their places, from where they begin to differ."""
        text, where = self.texts[split].read(number)
        candidates = [self.texts[other].read(one) for one in others[:_COMPARED]]
        similar, (other_text, other_where) = max(
            ((similarity_of(text, one[0]), one) for one in candidates), key=lambda pair: pair[0]
        )
        at = next(
            (i for i, (a, b) in enumerate(zip(text, other_text, strict=False)) if a != b),
            min(len(text), len(other_text)),
        )
        at = max(0, at - 15)
        one, another = (f"{'…' if at else ''}{shown[at : at + 40]}" for shown in (text, other_text))
        return f"{where} {one!r} and {other_where} {another!r} ({similar:.0%})"


def near_findings(texts: Mapping[str, StoredTexts]) -> Iterator[Finding]:
    """Yield a finding for each split, and for each pair of splits, with near duplicates.

    Args:
        texts: the distinct texts of the splits by their names, train first.

    Raises:
        StorageError: the temporary files cannot be written.
    """
    near = NearGroups.of(texts)
    alike = f"(they have at least {SIMILARITY:.0%} of their character sequences in common)"
    for one, other in combinations(texts, 2):
        if found := near.between(one, other):
            count, total = sum(len(others) for _, others in found), len(texts[other])
            listed = _listed(near.describe(other, others[0], one, ones) for ones, others in found)
            is_near = "is a near duplicate" if count == 1 else "are near duplicates"
            yield Finding(
                "warning" if count / total >= _BETWEEN_SHARE else "note",
                f"{count:,} of {counted(total, 'distinct text')} of {other} {is_near} of texts of {one} {alike}: scores on "
                f"{other} may be too high; remove them from one of the two:{listed}",
            )
    for split, stored in texts.items():
        if inside := near.inside(split):
            count = sum(map(len, inside))
            repeated = count - len(inside)
            listed = _listed(near.describe(split, group[1], split, group[:1]) for group in inside)
            yield Finding(
                "warning" if repeated / len(stored) >= _INSIDE_SHARE else "note",
                f"{split}: {count:,} of {counted(len(stored), 'distinct text')} are near duplicates, in "
                f"{counted(len(inside), 'group')} {alike}: they count several times; remove them unless they are "
                f"meant:{listed}",
            )


def _listed(pairs: Iterator[str]) -> str:
    return "".join(f"\n  {pair}" for pair in islice(pairs, _SHOWN))
