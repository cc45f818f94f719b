"""Assignment of groups of records to parts such as train, dev and test.

`stratified` is iterative stratification (Sechidis et al. 2011, "On the Stratification of Multi-Label Data"): the label with
the fewest items that are not assigned yet comes first, and each group with this label goes to the part that lacks most items
of it. Large groups come first, then the order is that of the groups' places, which are hashes: the result does not depend on
the order of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Group:
    """Records that must be in the same part.

    Attributes:
        place: a number in [0, 1) that depends on the texts alone.
        records: the number of records.
        items: the numbers of annotated items by the index of their label.
    """

    place: float = 0.0
    records: int = 0
    items: Counter[int] = field(default_factory=Counter)


def by_place(groups: Sequence[Group], shares: Sequence[float]) -> list[int]:
    """Return the part of each group: the last parts take the lowest places, so that a text stays in its part if data are added.

    Args:
        groups: the groups.
        shares: the share of each part; they sum to 1.
    """
    limits = [sum(shares[part:]) for part in range(len(shares))]
    return [max(part for part, limit in enumerate(limits) if group.place < limit or part == 0) for group in groups]


def stratified(groups: Sequence[Group], shares: Sequence[float]) -> list[int]:
    """Return the part of each group, so that each part has its share of the items of each label.

    Args:
        groups: the groups; one without items counts as one with a label of its own.
        shares: the share of each part; they sum to 1.
    """
    parts: list[int] = [-1] * len(groups)
    totals: Counter[int] = Counter()
    members: dict[int, list[int]] = {}
    records = sum(group.records for group in groups)
    large = _LARGE * records * min(filter(None, shares))
    order = sorted(range(len(groups)), key=lambda n: (-max(0, groups[n].records - large), groups[n].place))
    for number in order:
        for label, count in _items(groups[number]).items():
            totals[label] += count
            members.setdefault(label, []).append(number)
    lacking = {label: [share * count for share in shares] for label, count in totals.items()}
    room = [share * records for share in shares]
    while totals:
        rarest = min(totals, key=lambda label: (totals[label], label))
        for number in members[rarest]:
            if parts[number] >= 0:
                continue
            parts[number] = part = max(range(len(shares)), key=lambda part: (lacking[rarest][part], room[part]))
            room[part] -= groups[number].records
            _take(_items(groups[number]), part, lacking, totals)
        totals.pop(rarest, None)
    return parts


_LARGE = 0.05
"""The share of the smallest part from which a group is large."""
_NO_ITEMS = -1
"""The label of groups without items."""


def _items(group: Group) -> Mapping[int, int]:
    return group.items or {_NO_ITEMS: group.records}


def _take(items: Mapping[int, int], part: int, lacking: Mapping[int, list[float]], totals: Counter[int]) -> None:
    """Record that items are assigned to a part."""
    for label, count in items.items():
        lacking[label][part] -= count
        totals[label] -= count
        if not totals[label]:
            del totals[label]
