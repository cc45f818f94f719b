"""The protocol of tasks: what is extracted, from which data, how it is scored and how messages refer to it.

How it is extracted is up to the head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.metrics.best_threshold import Measure
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.relations import Match
from ie_cli.metrics.scores import ErrorAnalysis, Scorer, Scores
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.kinds import Kind
from ie_cli.tasks.learning import Learning
from ie_cli.tasks.proposal import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words for a task in messages, model cards and hints.

    Attributes:
        title: the title of the task, e.g. ``Named-entity recognition``.
        tags: the tags in a model card.
        item, items: the word for an extracted item; `items` is also the kind under which gold items are counted.
        name, names: the word for the name of an item: a label, a predicate.
        a_item: the word for an item with its article.
        annotated: the word for the items of the training data.
        attribute: the attribute of `Document` that holds the items.
        jq: the jq filter that selects the items in native JSON lines.
        example: an input in Python, for the model card.
        pipeline: the closest task of the Hub, which has none for spans or relations.
    """

    title: str
    tags: tuple[str, ...]
    item: str
    items: str
    a_item: str
    annotated: str
    name: str
    names: str
    attribute: str
    jq: str
    example: str = '"…"'
    pipeline: str = "token-classification"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """The scoring options of a user.

    Attributes:
        match: the matching criterion of relations; None: text if offsets are guessed, else strict.
        seen: the items of the training data from `Task.seen`; the recall on all other items is then reported separately.
        official: the scorer of DuIE's rules, for relations.
        seqeval: also score with seqeval, for entities that do not overlap.
        documents: keep the counts of each document.
        cut_by: for pairs of texts that a model has given only scores, what is maximised by the cuts between their classes.
    """

    match: Match | None = None
    seen: Collection[Any] | None = None
    official: OfficialScorer | None = None
    seqeval: bool = False
    documents: bool = False
    cut_by: Measure = "accuracy"


@dataclass(frozen=True, slots=True)
class TrainingItems:
    """The gold items of the training data or another split, and how many of them cannot be learned, by reason.

    Attributes:
        learning: how the training on them goes, if it has begun.
    """

    total: int
    unreachable: Mapping[str, int]
    learning: Learning | None = None


@runtime_checkable
class ThresholdTask(Protocol):
    """What a task also defines if its items have probabilities, and its `metric` is ``f1``, their micro F1.

    For other tasks, no threshold is chosen.
    """

    def scored_items(
        self, gold: Document, predicted: Document, schema: LabelSchema, options: ScoringOptions
    ) -> tuple[set[Hashable], dict[Hashable, float]]:
        """Return the gold items, and the predicted ones with the probability that a threshold must stay below.

        Both are in the form in which the scorer compares them.

        Args:
            gold: the gold document.
            predicted: its prediction at a low threshold.
            schema: the schema of the model.
            options: the scoring options.
        """


class Task(Protocol):
    """The definition of what is extracted."""

    @property
    def name(self) -> str:
        """The name of the task in a recipe."""

    @property
    def metric(self) -> str:
        """The name, in logs and messages, of the score that the best model is selected by."""

    @property
    def words(self) -> Words:
        """The words for the task in messages."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of annotation that `ie check` and `ie init` count; the task extracts the kind `words.items`."""

    @property
    def schema_first(self) -> bool:
        """Whether the schema may exclude gold items: `ie check` then reads train once before it checks any of them."""

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """Build the schema that a model learns from the recipe and the counts of the training data.

        Raises:
            DataError: the data contain nothing to learn, or something that the recipe does not list.
        """

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Check that these data support the settings of the recipe.

        Raises:
            RecipeError: they do not; the hint says what to write instead.
        """

    def validate_options(self, options: ScoringOptions) -> None:
        """Check that all scoring options apply to this task.

        Raises:
            DataError: an option does not apply; the message names it.
        """

    def misfit(self, schema: LabelSchema) -> str | None:
        """Return what a schema lacks or must not have for this task, or None if it fits."""

    def items(self, document: Document) -> set[Hashable]:
        """Return the extracted items of a gold or predicted document, in the form in which they are compared."""

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """Return the items that a scorer regards as seen in training."""

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> Scorer:
        """Return a scorer of gold and predicted documents for a model with this schema.

        Args:
            schema: the schema of the model; without labels if there is no model, and the labels are then those of the data.
            options: the scoring options.
        """

    def errors(self, keep: int, options: ScoringOptions) -> ErrorAnalysis:
        """Return an error analysis that keeps `keep` examples of each kind."""

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """Describe the gold items of the training data, e.g. ``2,097 entities with 6 labels``."""

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """Explain why a model trained on many items still predicts nothing correctly, and what to do."""

    # Used by `ie check` and `ie init`

    def annotation(self, document: Document) -> Mapping[str, Sequence[Any]]:
        """Return the distinct items of a document by kind, sorted."""

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """Return the schema that a model of these data would have, or None if they contain nothing to learn.

        Raises:
            DataError, RecipeError: training would fail; labels that the recipe does not list are not an error here, because
                `ie check` reports them for every task.
        """

    def schema_of(self, document: Document) -> LabelSchema:
        """Return a schema with everything that one document contains."""

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        """Yield problems with the annotation of a split that only this task can find.

        Args:
            split: ``train``, ``dev`` or ``test``.
            statistics: the counts of the split.
            names: the names that occur and their counts, by kind.
            items: the items of the kind that the task extracts.
        """

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """Return the task's part of a recipe for these data, or None if they are not annotated for it.

        Args:
            statistics: the counts of the data.
            overlapping: the number of documents in which two entities share a character.
        """


def has_thresholds(task: Task) -> TypeGuard[ThresholdTask]:
    """Return whether a threshold can be chosen for a task."""
    return isinstance(task, ThresholdTask) and task.metric == "f1"
