"""Relations: triples of a subject, a predicate and an object, and where the data annotate them, the entities too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema, read_schema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError, RecipeError
from ie_cli.metrics.relation_errors import RelationErrors
from ie_cli.metrics.relations import RelationScorer, RelationScores, items
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.heads import RelationSection, heads_of
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.base import ScoringOptions, TrainingItems, Words
from ie_cli.tasks.diagnosis import diagnose
from ie_cli.tasks.kinds import ENTITIES, RELATIONS
from ie_cli.tasks.proposal import Line, Proposal, flat_line
from ie_cli.triples import ABSENT, ROLES, entities_of, triples_of


class RelationTask:
    """Relations."""

    name = "relation"
    metric = "f1"
    words = Words(
        title="Relation extraction",
        tags=("relation-extraction", "gplinker"),
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
        """Predicates of the data or of a schema file; entity labels where the data annotate entities, else roles."""
        head, data = section.head, section.data
        if not isinstance(head, RelationSection):
            raise TypeError(f"expected the section of a head for relations, got {type(head).__name__}")
        known = read_schema(data.schema_file) if data.schema_file is not None else None
        typed = head.entity_rows == "types" or (head.entity_rows == "auto" and bool(statistics.labels))
        schema = LabelSchema.of_relations(
            {*statistics.labels, *statistics.arguments} if typed else None,
            statistics.pairs,
            listed=data.labels if typed else None,
            known=known,
            observed=head.type_pairs == "observed",
            slots=statistics.slots,
        )
        return replace(schema, constrained=schema.constrained and head.type_pairs != "any")

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Refuse scores on guessed offsets."""
        match = recipe.training.match
        if statistics.guessed and match in ("strict", "boundaries"):
            raise RecipeError(
                f"training.match: {match}, but the data give no offsets: such scores on guessed offsets would be luck",
                hint="use training.match: text.",
            )

    def validate_options(self, options: ScoringOptions) -> None:
        """Refuse what is for entities."""
        if options.seqeval:
            raise DataError("--scorer seqeval is for entities, and these are relations", hint="leave it out.")

    def misfit(self, schema: LabelSchema) -> str | None:
        """A model of relations has predicates."""
        return None if schema.predicates else "no predicates"

    def items(self, document: Document) -> set[Hashable]:
        """The distinct triples: by spans and labels, or by their texts where the data give no offsets."""
        return set(items(document, "strict" if document.spos is None else "text"))

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """The triples of texts that occur."""
        return {triple for document in documents for triple in triples_of(document)}

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> RelationScorer:
        """Relations in three ways to match, and the entities of a model that has types of its own."""
        return RelationScorer(
            schema.predicates,
            schema.labels,
            options.match,
            entities=not schema.roles if schema.predicates else None,
            seen=options.seen,
            official=options.official,
            documents=options.documents,
        )

    def errors(self, keep: int, options: ScoringOptions) -> RelationErrors:
        """Errors of predicates, types and boundaries."""
        return RelationErrors(keep=keep, match=options.match)

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Entities where there are types of them, and relations."""
        entities = [] if schema.roles else [f"{counts['entities']} entities of {len(schema.labels)} labels"]
        return [*entities, f"{counts['relations']} relations of {len(schema.predicates)} predicates"]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """The likeliest cause."""
        if not isinstance(scores, RelationScores):
            raise TypeError(f"expected the scores of relations, got {type(scores).__name__}")
        return diagnose(
            self.words,
            items,
            scores.micro,
            boundaries=scores.boundaries,
            parts=scores.predicates,
            known=schema.predicates,
        )

    def annotation(self, document: Document) -> dict[str, list[Any]]:
        """The triples by their texts, and where entities are annotated, these and the arguments."""
        entities = sorted(entities_of(document)) if document.entities else []
        return {"entities": entities, "relations": sorted(triples_of(document))}

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """The schema that training builds."""
        if not statistics.pairs:
            return None
        self.validate(recipe, section, statistics)
        return self.build_schema(section, statistics)

    def schema_of(self, document: Document) -> LabelSchema:
        """The predicates, and the types where entities are annotated."""
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
        """Triples of which none occurs in its text; of some that do not, `ie check` tells as of all that is lost."""
        if split == "train" and items.total and items.lost.get(ABSENT, 0) >= items.total:
            yield Finding(
                "error",
                f"train: none of its {items.total} relations stands in its text: there is nothing to train on",
            )
            yield Finding("note", "hint: do the texts and the triples belong together?")

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """The default head, and where entities are annotated, whether they may nest."""
        if not statistics.pairs:
            return None
        rows = "no entities annotated: a row for subjects, one for objects"
        nesting: tuple[Line, ...] = ()
        if statistics.labels:
            rows = "a row for each entity type"
            nesting = (flat_line(statistics, overlapping),)
        return Proposal(
            names={"entities": statistics.labels, "relations": statistics.predicates},
            head=((f"name: {heads_of(self.name)[0]}", rows), *nesting),
        )
