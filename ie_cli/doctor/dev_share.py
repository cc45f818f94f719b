"""Choose the share of the training data that becomes development data, by the documents that each share would select."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ie_cli.data.dataset import place_of
from ie_cli.document import Document
from ie_cli.tasks import Task

_SHARES = tuple(number / 100 for number in range(1, 51))
_WANTED = 0.1
_FEWEST = 50
"""A tenth of fewer documents is too little to choose a model by; RESULTS.md, "Few examples with a pretrained encoder"."""


@dataclass(slots=True)
class DevShares:
    """A part of `DatasetStatistics` that counts which documents each share would select; a hash of the text decides.

    Attributes:
        tasks: the tasks that may be proposed.
    """

    tasks: Sequence[Task]
    _documents: Counter[int] = field(default_factory=Counter)
    _annotated: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        smallest = bisect_right(_SHARES, place_of(document.text))  # the index of the smallest share that selects it
        self._documents[smallest] += 1
        for task in self.tasks:
            self._annotated[task.name, smallest] += bool(task.items(document))

    def choose(self, task: Task) -> tuple[float, int] | None:
        """Return a share and the number of documents that it selects.

        Return None for few documents, or if no share gives both splits annotation.

        A tenth is preferred, and any other share only if it selects about a tenth of the documents where 0.1 does not.
        """
        total = self._documents.total()
        if total < _FEWEST:
            return None
        found: list[tuple[bool, float, float, int]] = []
        for number, share in enumerate(_SHARES):
            selected = sum(self._documents[index] for index in range(number + 1))
            dev = sum(self._annotated[task.name, index] for index in range(number + 1))
            train = sum(self._annotated[task.name, index] for index in range(number + 1, len(_SHARES) + 1))
            if dev and train:
                off = abs(selected - _WANTED * total)
                far = share != _WANTED or off > max(1.0, 0.3 * _WANTED * total)
                found.append((far, off, share, selected))
        if not found:
            return None
        *_, share, selected = min(found)
        return share, selected
