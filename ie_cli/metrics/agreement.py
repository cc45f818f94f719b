"""Agreement of two annotations of the same texts beyond chance: Cohen's kappa on characters and on tokens.

A unit, i.e. a character or a token, belongs to the class of the labels of all entities that cover it, so that nested entities
form classes of their own; a token is covered by the entities that share a character with it. With the share p of units on whose
class both agree, and the share e that would agree by chance, given how often each side uses each class, kappa is
(p - e) / (1 - e) (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"). It is undefined if e is 1, e.g. if both sides
use one class only. The kappa of a label compares whether units have this label.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.formats.conll_writer import split_at_boundaries

Labels = frozenset[str]
Confusion = Counter[tuple[Labels, Labels]]
"""The numbers of units by their classes on both sides."""
_NONE: Labels = frozenset()


def kappa(confusion: Mapping[tuple[Any, Any], int]) -> float | None:
    """Return Cohen's kappa, or None if it is undefined.

    Args:
        confusion: the numbers of units by their classes on both sides.

    >>> kappa({("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15})
    0.4
    """
    total = sum(confusion.values())
    sides: tuple[Counter[Hashable], Counter[Hashable]] = (Counter(), Counter())
    agreed = 0
    for (one, other), count in confusion.items():
        sides[0][one] += count
        sides[1][other] += count
        agreed += count if one == other else 0
    chance = sum(count * sides[1][name] for name, count in sides[0].items())
    return (total * agreed - chance) / (total * total - chance) if total * total != chance else None


def label_kappas(confusion: Confusion) -> dict[str, float | None]:
    """Return the kappa of each label, in the order of their names."""
    labels = sorted({label for pair in confusion for side in pair for label in side})
    found = {}
    for label in labels:
        binary: Counter[tuple[bool, bool]] = Counter()
        for (one, other), count in confusion.items():
            binary[label in one, label in other] += count
        found[label] = kappa(binary)
    return found


def character_classes(text: str, one: Iterable[Entity], other: Iterable[Entity]) -> Confusion:
    """Return the characters of a text by their classes on both sides."""
    changes: dict[int, list[tuple[int, str, int]]] = {0: [], len(text): []}
    for side, entities in enumerate((one, other)):
        for entity in entities:
            changes.setdefault(entity.start, []).append((side, entity.label, 1))
            changes.setdefault(entity.end, []).append((side, entity.label, -1))
    covering: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    found: Confusion = Counter()
    for start, end in pairwise(sorted(changes)):
        for side, label, change in changes[start]:
            covering[side][label] += change
        found[frozenset(+covering[0]), frozenset(+covering[1])] += end - start
    return found


def token_classes(text: str, one: Iterable[Entity], other: Iterable[Entity]) -> Confusion:
    """Return the words and single CJK characters of a text by their classes on both sides."""
    spans = [piece for word in split_at_boundaries(text, ()) for piece in word]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    first, second = (_token_labels(side, starts, ends) for side in (one, other))
    covered = first.keys() | second.keys()
    found: Confusion = Counter((_labels_at(first, token), _labels_at(second, token)) for token in covered)
    if len(covered) < len(spans):
        found[_NONE, _NONE] += len(spans) - len(covered)
    return found


def classes_of(one: Document, other: Document) -> tuple[Confusion, Confusion]:
    """Return the tokens and the characters of a document by their classes in two annotations."""
    sides = set(one.entities), set(other.entities)
    return token_classes(one.text, *sides), character_classes(one.text, *sides)


def _token_labels(entities: Iterable[Entity], starts: Sequence[int], ends: Sequence[int]) -> dict[int, set[str]]:
    """Return the labels of the tokens that entities share a character with."""
    found: dict[int, set[str]] = {}
    for entity in entities:
        for token in range(bisect_right(ends, entity.start), bisect_left(starts, entity.end)):
            found.setdefault(token, set()).add(entity.label)
    return found


def _labels_at(found: Mapping[int, set[str]], token: int) -> Labels:
    return frozenset(found.get(token, ()))
