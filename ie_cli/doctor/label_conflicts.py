"""Find strings that have one label in nearly all places and another one in a few, the most one-sided ones first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ie_cli.data.findings import Finding
from ie_cli.doctor.consistency import one_sidedness
from ie_cli.document import Document, Entity
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

_STRINGS = 500_000
"""Different strings that are counted, a matter of memory; those after them are not."""
_SHOWN = 5
_ENOUGH = 5  # occurrences with the usual label
_MAJORITY = 0.8  # share of the usual label, below which a string is ambiguous
_SHARE = 0.01  # entities with an unusual label, above which they are a warning

Labels = tuple[str, ...]


@dataclass(slots=True)
class LabelCounts:
    """How often each string of a split has which labels; those of one span count together, as they may nest on purpose."""

    spans: int = 0
    _counts: dict[str, dict[Labels, int]] = field(default_factory=dict)
    _places: dict[tuple[str, Labels], str] = field(default_factory=dict)

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with its entities; the labels of triples without offsets depend on the predicate, not on the string."""
        if document.spos is not None:
            return
        labels: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        for span in spans:
            labels[span.start, span.end].append(span.label)
        for (start, end), several in labels.items():
            self.spans += 1
            mention, found = document.text[start:end], tuple(sorted(several))
            if mention not in self._counts and len(self._counts) >= _STRINGS:
                continue
            counts = self._counts.setdefault(mention, {})
            counts[found] = counts.get(found, 0) + 1
            self._places.setdefault((mention, found), document.where or "")

    def findings(self, split: str) -> Iterator[Finding]:
        """Yield the findings about strings with an unusual label, and about ambiguous strings."""
        usual: list[tuple[float, str]] = []
        ambiguous: list[tuple[int, str]] = []
        exceptions = 0
        for mention, counts in self._counts.items():
            if len(counts) < 2:
                continue
            most, total = max(counts.values()), sum(counts.values())
            if most >= _ENOUGH and most >= _MAJORITY * total:
                exceptions += total - most
                usual.append((one_sidedness(most, total - most), mention))
            else:
                ambiguous.append((total, mention))
        if usual:
            strings = counted(len(usual), "string", "strings")
            places = counted(exceptions, "place")
            yield Finding(
                "warning" if exceptions >= _SHARE * self.spans else "note",
                f"{split}: {strings} with one label in at least {_MAJORITY:.0%} of the places, and another one in {places}, "
                f"which may be wrong:{self._listed(usual)}",
            )
        if ambiguous:
            strings = counted(len(ambiguous), "string has", "strings have")
            yield Finding(
                "note",
                f"{split}: {strings} several labels, none of them in nearly all places; check that the guidelines say when:"
                f"{self._listed(ambiguous)}",
            )

    def _listed(self, found: Sequence[tuple[float, str]]) -> str:
        """Return the first strings with their labels and the place of the rarest one."""
        lines = ""
        for _, mention in sorted(found, key=lambda item: (-item[0], item[1]))[:_SHOWN]:
            counts = sorted(self._counts[mention].items(), key=lambda item: (-item[1], item[0]))
            shown = ", ".join(f"{' + '.join(labels)} {count:,}" for labels, count in counts)
            rarest = counts[-1][0]
            lines += f"\n  {quoted(mention)}: {shown}; {' + '.join(rarest)} first in {self._places[mention, rarest]}"
        return lines
