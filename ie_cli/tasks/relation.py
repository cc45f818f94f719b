"""Relations: triples of a subject, a predicate and an object; also their entities, if the data annotate entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema, pairs_of, read_schema, several_pairs
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError, RecipeError, counted
from ie_cli.metrics.relation_errors import RelationErrors
from ie_cli.metrics.relations import RelationScorer, RelationScores, items, with_text
from ie_cli.metrics.scored_items import Scored, scored_relations
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.heads import RelationSection, heads_of
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.base import ScoringOptions, TrainingItems, Words
from ie_cli.tasks.diagnosis import diagnose
from ie_cli.tasks.kinds import ENTITIES, RELATIONS, describe_entities
from ie_cli.tasks.proposal import Line, Proposal, flat_line
from ie_cli.triples import ABSENT, ROLES, entities_of, text_triples, triples_of


class RelationTask:
    """The extraction of relations."""

    name = "relation"
    metric = "f1"
    words = Words(
        title="Relation extraction",
        tags=("relation-extraction",),
        item="relation",
        items="relations",
        a_item="a relation",
        annotated="relations",
        name="predicate",
        names="predicates",
        attribute="relations",
        jq=".relations[]?",
    )
    kinds = (ENTITIES, RELATIONS)
    schema_first = True

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """Build a schema with the predicates of the data or a schema file, and with entity types or roles as labels."""
        head, data = section.head, section.data
        if not isinstance(head, RelationSection):
            raise TypeError(f"expected the section of a head for relations, got {type(head).__name__}")
        known = read_schema(data.schema_file) if data.schema_file is not None else None
        typed = head.has_entity_types(annotated=bool(statistics.labels))
        schema = LabelSchema.of_relations(
            {*statistics.labels, *statistics.arguments} if typed else None,
            statistics.pairs,
            listed=data.labels if typed else None,
            known=known,
            observed=head.allowed_pairs == "observed",
            slots=statistics.slots,
        )
        return replace(schema, constrained=schema.constrained and head.allowed_pairs != "any")

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Check that scores do not depend on guessed offsets."""
        match = recipe.training.match
        if statistics.guessed and match in ("strict", "boundaries"):
            raise RecipeError(
                f"training.match: got {match}, but the data have no offsets: scores on guessed offsets would be arbitrary",
                hint="use training.match: text.",
            )

    def validate_options(self, options: ScoringOptions) -> None:
        """Check that no option for entities is set."""
        if options.seqeval:
            raise DataError(
                "--scorer seqeval applies to entities, but these are relations",
                hint="omit --scorer seqeval.",
            )

    def misfit(self, schema: LabelSchema) -> str | None:
        """Return ``no predicates`` if the schema has none: a model of relations needs them."""
        return None if schema.predicates else "no predicates"

    def items(self, document: Document) -> set[Hashable]:
        """Return the distinct triples: of spans and labels, or of texts if the data have no offsets."""
        return set(items(document, "strict" if document.spos is None else "text"))

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """Return the triples of texts that occur."""
        return {triple for document in documents for triple in triples_of(document)}

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> RelationScorer:
        """Return a scorer of relations by three criteria, and of the entities if the model has entity types."""
        return RelationScorer(
            schema.predicates,
            schema.labels,
            options.match,
            entities=not schema.roles if schema.predicates else None,
            seen=options.seen,
            official=options.official,
            documents=options.documents,
        )

    def scored_items(
        self, gold: Document, predicted: Document, schema: LabelSchema, options: ScoringOptions
    ) -> tuple[set[Hashable], Scored]:
        """Return the gold triples, and those of a prediction with the smallest probability of what they need."""
        match = options.match or ("strict" if gold.spos is None else "text")
        return set(items(gold, match)), scored_relations(with_text(predicted, gold.text), match, schema.slots)

    def errors(self, keep: int, options: ScoringOptions) -> RelationErrors:
        """Return an analysis of errors in predicates, types and boundaries."""
        return RelationErrors(keep=keep, match=options.match)

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Return the number of entities and labels, if there are entity types, and of relations and predicates."""
        entities = [] if schema.roles else [describe_entities(counts, schema)]
        relations = counted(counts["relations"], "relation")
        return [*entities, f"{relations} with {counted(len(schema.predicates), 'predicate')}"]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """Return the most likely cause of an F1 of 0."""
        if not isinstance(scores, RelationScores):
            raise TypeError(f"expected the scores of relations, got {type(scores).__name__}")
        return diagnose(
            self.words,
            items,
            scores.micro,
            boundaries=scores.boundaries,
            parts=scores.predicates,
            known=schema.predicates,
            ceiling=scores.ceilings.get("relations"),
        )

    def annotation(self, document: Document) -> dict[str, list[Any]]:
        """Return the relations by their texts and, if entities are annotated, the entities including the arguments."""
        entities = sorted(entities_of(document)) if document.entities else []
        if document.spos is None:  # relations with equal texts and different spans are different ones
            triples = [triple for each in set(document.relations) for triple in text_triples(document.text, [each])]
        else:
            triples = list(triples_of(document))
        return {"entities": entities, "relations": sorted(triples)}

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """Return the schema that training would build."""
        if not statistics.pairs:
            return None
        self.validate(recipe, section, statistics)
        return self.build_schema(section, statistics)

    def schema_of(self, document: Document) -> LabelSchema:
        """Return a schema with the predicates and, if entities are annotated, their types."""
        predicates = tuple(sorted({predicate for _, predicate, _ in triples_of(document)}))
        if document.entities or not predicates:
            return LabelSchema(tuple(sorted({entity.label for entity in entities_of(document)})), predicates)
        return LabelSchema(ROLES, predicates)

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        """Yield an error if no triple occurs in its text, and the predicates of train that join several pairs of types.

        `ie check` reports single triples with all unreachable items.
        """
        if split == "train" and items.total and items.unreachable.get(ABSENT, 0) >= items.total:
            yield Finding(
                "error",
                f"train: none of the {items.total:,} relations occurs in its text: there is nothing to train on",
            )
            yield Finding("note", "hint: check that the texts and the triples belong together.")
        several = several_pairs(pairs_of(statistics.pairs))
        if split == "train" and several:
            first = next(iter(several))
            shown = ", ".join(f"{a} → {b} {statistics.pairs[a, first, b]:,}" for a, b in several[first][:4])
            yield Finding(
                "note",
                f"train: predicates that join several pairs of types: {len(several)} of {len(statistics.predicates)}, first "
                f"{first}: {shown}{', …' if len(several[first]) > 4 else ''}",
            )

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """Propose the default head and, if entities are annotated, whether they may nest."""
        if not statistics.pairs:
            return None
        comment = "no entities annotated: the spans are labelled as subject or object"
        nesting: tuple[Line, ...] = ()
        if statistics.labels:
            comment = "the spans are labelled with entity types"
            nesting = (flat_line(statistics, overlapping),)
        return Proposal(
            names={"entities": statistics.labels, "relations": statistics.relations},
            head=((f"name: {heads_of(self.name)[0]}", comment), *nesting),
        )
