"""Named entities: labelled spans of the text, which may nest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.metrics.entities import EntityScorer, EntityScores
from ie_cli.metrics.entity_errors import EntityErrors
from ie_cli.metrics.scored_items import Scored, scored_entities
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.base import ScoringOptions, TrainingItems, Words
from ie_cli.tasks.diagnosis import diagnose
from ie_cli.tasks.kinds import ENTITIES, describe_entities
from ie_cli.tasks.proposal import Proposal, flat_line, is_flat


class NerTask:
    """The extraction of entities."""

    name = "ner"
    metric = "f1"
    words = Words(
        title="Named-entity recognition",
        tags=("named-entity-recognition",),
        item="entity",
        items="entities",
        a_item="an entity",
        annotated="annotated entities",
        name="label",
        names="labels",
        attribute="entities",
        jq=".entities[]",
    )
    kinds = (ENTITIES,)
    schema_first = False

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """Build the schema from the labels of the training data, or from those that the recipe lists."""
        return LabelSchema.build(statistics.labels, section.data.labels)

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Accept everything: entities have offsets in every format, so these data support all settings of a recipe."""

    def validate_options(self, options: ScoringOptions) -> None:
        """Check that no option for relations is set."""
        if options.official is not None or options.match is not None:
            option = "--scorer duie" if options.official is not None else "--match"
            raise DataError(f"{option} applies to relations, but the model extracts entities", hint=f"omit {option}.")

    def misfit(self, schema: LabelSchema) -> str | None:
        """Return ``predicates`` or ``grades`` if the schema has any: a model of entities has neither."""
        return "predicates" if schema.predicates else "grades" if schema.grades is not None else None

    def items(self, document: Document) -> set[Hashable]:
        """Return the distinct entities."""
        return set(document.entities)

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """Return the (label, mention) pairs that occur."""
        return {
            (entity.label, document.text[entity.start : entity.end])
            for document in documents
            for entity in document.entities
        }

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> EntityScorer:
        """Return a scorer of entities by span and label."""
        return EntityScorer(schema.labels, seen=options.seen, documents=options.documents, seqeval=options.seqeval)

    def scored_items(
        self, gold: Document, predicted: Document, schema: LabelSchema, options: ScoringOptions
    ) -> tuple[set[Hashable], Scored]:
        """Return the gold entities, and those of a prediction with their probabilities."""
        return set(gold.entities), scored_entities(predicted.entities)

    def errors(self, keep: int, options: ScoringOptions) -> EntityErrors:
        """Return an analysis of errors in spans and labels."""
        return EntityErrors(keep=keep)

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Return the number of entities and labels."""
        return [describe_entities(counts, schema)]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """Return the most likely cause of an F1 of 0."""
        if not isinstance(scores, EntityScores):
            raise TypeError(f"expected the scores of entities, got {type(scores).__name__}")
        return diagnose(
            self.words,
            items,
            scores.micro,
            boundaries=scores.boundaries,
            parts=scores.labels,
            known=schema.labels,
            ceiling=scores.ceiling,
        )

    def annotation(self, document: Document) -> dict[str, list[Entity]]:
        """Return the distinct entities."""
        return {"entities": sorted(set(document.entities))}

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """Return a schema with the labels of the recipe, or with those of the data."""
        labels = section.data.labels or sorted(statistics.labels)
        return LabelSchema(tuple(labels)) if labels else None

    def schema_of(self, document: Document) -> LabelSchema:
        """Return a schema with the labels of the entities."""
        return LabelSchema(tuple(sorted({entity.label for entity in document.entities})))

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        """Yield nothing: there are no checks specific to this task."""
        return iter(())

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """Propose the default head, flat or nested; for few examples without overlaps, a CRF, which is then better."""
        if not statistics.labels:
            return None
        head = (flat_line(statistics, overlapping),)
        few = (
            ("name: crf", "better with few examples; it cannot nest. From about 50 on, use efficient_global_pointer"),
        )
        return Proposal(
            names={"entities": statistics.labels}, head=head, few=few if is_flat(statistics, overlapping) else ()
        )
