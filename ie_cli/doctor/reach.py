"""Gold items that no prediction could ever return on the tokens and windows of a recipe, with reasons and remedies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.codecs.base import build_codec, find_reachable
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.alignment import APART, INSIDE_TOKEN, TOO_LONG
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import HeadSection
from ie_cli.recipe.schema import EncoderSection
from ie_cli.tasks import Kind, Task, TrainingItems

_SHOWN = 3


@dataclass(slots=True)
class _KindReach:
    """Of one kind: how many gold items, how many of them are lost by reason, and the first of these."""

    total: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Reach:
    """Counts over a split.

    Attributes:
        head: whose codec says what it can express.
        schema: what may refuse gold items; None refuses none.
        longest: tokens of the longest text. windowed: texts that one window does not hold.
    """

    task: Task
    head: HeadSection
    tokenizer: TextTokenizer
    plan: WindowPlan
    schema: LabelSchema | None = None
    longest: int = 0
    windowed: int = 0
    _kinds: dict[str, _KindReach] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Count a document."""
        [tokens] = self.tokenizer.encode([document.text])
        self.longest = max(self.longest, len(tokens))
        self.windowed += len(tokens) > self.plan.capacity
        schema = self.schema or self.task.schema_of(document)
        totals, lost = self._find(document, tokens, schema)
        for kind in self.task.kinds:
            found = self._kinds.setdefault(kind.items, _KindReach())
            found.total += totals.get(kind.items, 0)
            for item, reason in lost.get(kind.items, ()):
                found.lost[reason] += 1
                shown = found.shown.setdefault(reason, [])
                if len(shown) < _SHOWN:
                    shown.append(f"{document.where}: {kind.show(document.text, item)}")

    def _find(
        self, document: Document, tokens: Tokens, schema: LabelSchema
    ) -> tuple[Mapping[str, int], Mapping[str, Sequence[tuple[Any, str]]]]:
        """By kind, how many gold items a document has, and which of them are lost, with the reason."""
        found = find_reachable(build_codec(self.head, schema), document, tokens, self.plan)
        return found.counts, found.lost

    def items(self) -> TrainingItems:
        """The gold items of what the task extracts."""
        found = self._kinds.get(self.task.words.items, _KindReach())
        return TrainingItems(found.total, found.lost)

    def findings(self, split: str, encoder: EncoderSection) -> Iterator[Finding]:
        """What is lost, by kind."""
        for kind in self.task.kinds:
            found = self._kinds.get(kind.items)
            if found is not None and found.lost:
                yield _report(split, kind, found, encoder)


def _report(split: str, kind: Kind, found: _KindReach, encoder: EncoderSection) -> Finding:
    lost = found.lost.total()
    causes = ", ".join(f"{count} {reason}" for reason, count in found.lost.most_common())
    share = f" ({lost / found.total:.2%})" if found.total else ""
    text = f"{split}: {lost} of {found.total} {kind.items}{share} can never be predicted: {causes}"
    windows = f"raise encoder.stride (now {encoder.stride}) or encoder.max_length (now {encoder.max_length})"
    remedies = {
        INSIDE_TOKEN: "encoder.tokenization: char makes every boundary reachable",
        TOO_LONG: windows,
        APART: windows,
    }
    for reason, shown in found.shown.items():
        text += f"\n  {reason}: {remedies.get(reason, 'mend the annotation')}"
        text += "".join(f"\n    {line}" for line in shown)
    return Finding("warning", text)
