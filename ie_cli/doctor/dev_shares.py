"""Choose the share of the training data that `ie init` proposes as development data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ie_cli.data.dataset import place_of
from ie_cli.document import Document
from ie_cli.tasks import TASKS, Task

_SHARES = (0.1, 0.2, 0.3, 0.5)


@dataclass(slots=True)
class DevShares:
    """A part of `DatasetStatistics` that counts the annotated documents that each share would select.

    Attributes:
        annotated: number of annotated documents by task.
        selected: how many of these are in dev, by task and share.
    """

    annotated: Counter[str] = field(default_factory=Counter)
    selected: Counter[tuple[str, float]] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        place = place_of(document.text)
        for name, task in TASKS.items():
            if task.annotation(document)[task.words.items]:
                self.annotated[name] += 1
                self.selected.update((name, share) for share in _SHARES if place < share)

    def choose(self, task: Task) -> float | None:
        """Return the smallest share with which both train and dev contain annotated documents, None if there is none."""
        total = self.annotated[task.name]
        return next((share for share in _SHARES if 0 < self.selected[task.name, share] < total), None)
