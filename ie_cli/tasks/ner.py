"""Named entities: labelled spans of the text, which may nest."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.metrics.entities import EntityScorer, EntityScores
from ie_cli.metrics.entity_errors import EntityErrors
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.base import ScoringOptions, TrainingItems, Words
from ie_cli.tasks.diagnosis import diagnose


class NerTask:
    """Entities."""

    name = "ner"
    metric = "f1"
    words = Words(
        title="Named-entity recognition",
        tags=("named-entity-recognition", "global-pointer"),
        item="entity",
        items="entities",
        a_item="an entity",
        name="label",
        names="labels",
        attribute="entities",
        jq=".entities[]",
    )

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """The labels of the training data, or as the recipe lists them."""
        return LabelSchema.build(statistics.labels, section.data.labels)

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Entities have offsets in every format: nothing that a recipe may ask of them is refused."""

    def validate_options(self, options: ScoringOptions) -> None:
        """Refuse what is for relations."""
        if options.official is not None or options.match is not None:
            option = "--scorer duie" if options.official is not None else "--match"
            raise DataError(f"{option} is for relations, and the model extracts entities", hint="leave it out.")

    def items(self, document: Document) -> set[Hashable]:
        """The distinct entities."""
        return set(document.entities)

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """The (label, mention) pairs that occur."""
        return {
            (entity.label, document.text[entity.start : entity.end])
            for document in documents
            for entity in document.entities
        }

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> EntityScorer:
        """Entities by span and label."""
        return EntityScorer(schema.labels, seen=options.seen, documents=options.documents, seqeval=options.seqeval)

    def errors(self, keep: int, options: ScoringOptions) -> EntityErrors:
        """Errors of spans and labels."""
        return EntityErrors(keep=keep)

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Entities and their labels."""
        return [f"{counts['entities']} entities of {len(schema.labels)} labels"]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """The likeliest cause."""
        if not isinstance(scores, EntityScores):
            raise TypeError(f"expected the scores of entities, got {type(scores).__name__}")
        return diagnose(
            self.words,
            items,
            scores.micro,
            boundaries=scores.boundaries,
            parts=scores.labels,
            known=schema.labels,
        )
