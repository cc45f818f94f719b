"""Pairs of texts: how similar they are, as one of several ordered classes or as a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

from ie_cli.data.class_order import order_of_classes
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.metrics.pair_errors import PairErrors
from ie_cli.metrics.pairs import PairScorer, PairScores
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.heads import heads_of
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.recipe.yaml import flow
from ie_cli.tasks.base import ScoringOptions, TrainingItems, Words
from ie_cli.tasks.kinds import GRADED, PAIRS, Pair, pair_of
from ie_cli.tasks.proposal import Proposal


class MatchTask:
    """The similarity of two texts."""

    name = "match"
    metric = "spearman"
    words = Words(
        title="Similarity of text pairs",
        tags=("sentence-similarity",),
        item="pair",
        items="pairs",
        a_item="an annotated pair",
        annotated="annotated pairs",
        name="label",
        names="labels",
        attribute="score",
        jq="{label, score}",
        example='Document("…", text_pair="…")',
        pipeline="sentence-similarity",
    )
    kinds = (PAIRS,)
    schema_first = False

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """Build a schema with the classes of the training data in their order, or with the range of the scores."""
        return LabelSchema.of_pairs(statistics.pair_labels, statistics.pair_scores, section.data.labels)

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Accept everything: what data of pairs need is checked when the schema is built."""

    def validate_options(self, options: ScoringOptions) -> None:
        """Check that no option for entities or relations is set."""
        given = {
            "--scorer duie": options.official is not None,
            "--match": options.match is not None,
            "--scorer seqeval": options.seqeval,
        }
        for option, is_set in given.items():
            if is_set:
                what = "entities" if options.seqeval else "relations"
                raise DataError(f"{option} applies to {what}, but these are pairs of texts", hint=f"omit {option}.")

    def misfit(self, schema: LabelSchema) -> str | None:
        """Return ``predicates`` or ``fewer than two classes``: a model of pairs has classes or grades."""
        if schema.predicates:
            return "predicates"
        return "fewer than two classes" if schema.grades is None and len(schema.labels) < 2 else None

    def items(self, document: Document) -> set[Hashable]:
        """Return the pair with its class or score, if it has one."""
        pair = pair_of(document)
        return set() if pair is None else {pair}

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """Return the texts that occur, on either side of a pair."""
        return {text for document in documents if document.text_pair is not None for text in _texts(document)}

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> PairScorer:
        """Return a scorer of classes or scores."""
        return PairScorer(schema.labels, graded=schema.grades is not None, seen=options.seen, cut_by=options.cut_by)

    def errors(self, keep: int, options: ScoringOptions) -> PairErrors:
        """Return an analysis of wrong classes or far ranks."""
        return PairErrors(keep=keep)

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Return the number of pairs and their classes, or the range of their scores."""
        pairs = counted(counts["pairs"], "pair")
        if schema.grades is None:
            return [f"{pairs} with {counted(len(schema.labels), 'class', 'classes')}: {' < '.join(schema.labels)}"]
        low, high = schema.grades
        return [f"{pairs} with scores from {low:g} to {high:g}"]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """Return the most likely cause of a rank correlation of 0."""
        if not isinstance(scores, PairScores):
            raise TypeError(f"expected the scores of pairs, got {type(scores).__name__}")
        if not scores.pairs:
            return "The dev data contain no annotated pairs: check data.dev."
        if scores.constant == "gold":
            return "All dev pairs have the same class or score: check data.dev."
        advice = items.learning.advise() if items.learning is not None else "Train longer (training.epochs)."
        if scores.constant == "predicted":
            return f"The model gives all pairs the same score. {advice}"
        return f"The scores are in no better order than by chance. {advice}"

    def annotation(self, document: Document) -> dict[str, list[Pair]]:
        """Return the pair with its class or score, if it has one."""
        pair = pair_of(document)
        return {"pairs": [] if pair is None else [pair]}

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """Return the schema that training would build; classes that the recipe does not list follow those that it lists."""
        found, listed = statistics.pair_labels, section.data.labels
        if not found and statistics.pair_scores is None:
            return None
        if listed is not None:
            listed = [*listed, *sorted(set(found) - set(listed))]
        return LabelSchema.of_pairs(found, statistics.pair_scores, listed)

    def schema_of(self, document: Document) -> LabelSchema:
        """Return a schema with the class or the score of the pair."""
        pair = pair_of(document)
        if pair is None or pair.score is None:
            return LabelSchema(() if pair is None or pair.label is None else (pair.label,))
        return LabelSchema((), grades=(pair.score, pair.score))

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        """Yield pairs without a class or score, and a mixture of both."""
        labelled, annotated = statistics.pair_labels.total(), names["pairs"].total()
        if missing := statistics.text_pairs - annotated:
            yield Finding("warning", f"{split}: {counted(missing, 'pair')} with neither a class nor a score: left out")
        if split != "train" and 0 < labelled < annotated:
            graded = annotated - labelled
            yield Finding("warning", f"{split}: {counted(graded, 'pair')} with a score, but no class: not scored")

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """Propose the default head."""
        if not statistics.pair_labels and statistics.pair_scores is None:
            return None
        graded = statistics.text_pairs - statistics.pair_labels.total()
        names = statistics.pair_labels or Counter({GRADED: graded})
        classes = sorted(statistics.pair_labels)
        unordered = bool(classes) and order_of_classes(classes) is None
        order = (f"labels: {flow(classes)}", "write them from the least to the most similar")
        comment = "each text is encoded alone; cross_encoder reads both together, which is more exact and slower"
        return Proposal(
            names={"pairs": names},
            head=tuple((f"name: {head}", comment) for head in heads_of(self.name)[:1]),
            data=(order,) if unordered else (),
        )


def _texts(document: Document) -> tuple[str, str]:
    return document.text, document.text_pair or ""
