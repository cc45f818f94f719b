"""A custom task: the names in a text, wherever they are; scored by the share of texts that are completely correct.

What is not its own (how its labels are found, what `ie check` says of its data) it takes from the task of entities.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.metrics.scores import Ceiling, ScoreTable
from ie_cli.recipe.heads import HEADS, HeadSpec, PointerSection
from ie_cli.tasks import ScoringOptions
from ie_cli.tasks.ner import NerTask


@dataclass(frozen=True)
class NamesScores:
    texts: int
    right: int

    @property
    def primary(self) -> float:
        return self.right / self.texts if self.texts else 0.0

    @property
    def support(self) -> int:
        return self.texts

    @property
    def documents(self) -> None:
        return None

    @property
    def ceilings(self) -> Mapping[str, Ceiling]:
        return {}

    def values(self) -> dict[str, float]:
        return {"exact": self.primary}

    def tables(self) -> list[ScoreTable]:
        return [ScoreTable("names", ("", "exact", "texts"), (("all", (self.primary, self.texts)),))]

    def to_dict(self) -> dict[str, Any]:
        return {"exact": self.primary, "texts": self.texts, "right": self.right}


class NamesScorer:
    def __init__(self) -> None:
        self.texts, self.right = 0, 0

    def add(self, gold: Document, predicted: Document) -> None:
        self.texts += 1
        self.right += names(gold) == names(predicted)

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> NamesScores:
        return NamesScores(self.texts, self.right)


def names(document: Document) -> set[Hashable]:
    return {(entity.label, document.text[entity.start : entity.end]) for entity in document.entities}


class NamesTask:
    """The task."""

    name = "names"
    metric = "exact"
    words = replace(NerTask.words, title="Names of a text", tags=("names",))

    def items(self, document: Document) -> set[Hashable]:
        return names(document)

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> NamesScorer:
        return NamesScorer()

    def diagnose(self, *given: object) -> str:
        return "No text is wholly right."

    def __getattr__(self, name: str) -> Any:
        return getattr(NerTask(), name)


class NamesSection(PointerSection):
    """The head of the task."""

    name: Literal["names_pointer"]
    """The toy."""


NAMES_HEAD: HeadSpec = replace(HEADS["global_pointer"], section=NamesSection, tasks=("names",))
