"""Count the examples without annotation by file: a file whose annotation is not found looks like negative examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ie_cli.data.findings import Finding
from ie_cli.errors import counted


@dataclass(slots=True)
class FileCounts:
    """The number of examples of a file, and how many of them have no item of the task."""

    examples: int = 0
    negatives: int = 0

    def add(self, *, annotated: bool) -> None:
        """Count an example."""
        self.examples += 1
        self.negatives += not annotated


def negatives_by_file(files: Mapping[str, FileCounts], a_item: str) -> Iterator[Finding]:
    """Yield how many examples of each file have no annotation, and a warning for a file in which none has.

    Args:
        files: the counts by file.
        a_item: the word for an item with its article, e.g. ``an entity``.
    """
    annotated = sum(counts.examples - counts.negatives for counts in files.values())
    for name, counts in files.items():
        text = f"{name}: {counts.negatives:,} of {counted(counts.examples, 'example')} without {a_item}"
        if len(files) > 1 and counts.negatives == counts.examples and annotated:
            others = sum(other.examples for other in files.values()) - counts.examples
            text += (
                f", whereas {annotated:,} of {others:,} in the other files have one: check its fields and its format"
            )
            yield Finding("warning", text)
        else:
            yield Finding("note", text)
