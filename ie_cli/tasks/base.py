"""A task says what is extracted, from what data, how it is scored and spoken of. How it is done is a head's business."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.relations import Match
from ie_cli.metrics.scores import ErrorAnalysis, Scorer, Scores
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks.kinds import Kind
from ie_cli.tasks.proposal import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a task is spoken of in messages, model cards and hints.

    Attributes:
        title: the task, e.g. ``Named-entity recognition``.
        tags: of a model card.
        item, items: what is extracted; `items` is also the kind under which gold items are counted.
        name, names: what an item is called by: a label, a predicate.
        a_item: the item with its article.
        annotated: the items of the training data.
        attribute: of a `Document`, the one that holds the items.
        jq: the filter that gives the items of native JSON lines.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """What a user may say of scoring.

    Attributes:
        match: what makes a relation right; None: text where offsets are guessed, else strict.
        seen: items of the training data as `Task.seen` gives them; recall on all others is then reported by itself.
        official: the scorer of DuIE's rules, for relations.
        seqeval: score by seqeval too, for entities that do not overlap.
        documents: keep the counts of each document.
    """

    match: Match | None = None
    seen: Collection[Any] | None = None
    official: OfficialScorer | None = None
    seqeval: bool = False
    documents: bool = False


@dataclass(frozen=True, slots=True)
class TrainingItems:
    """The gold items of the training data, or of another split, and by reason how many of them no model could learn."""

    total: int
    lost: Mapping[str, int]


class Task(Protocol):
    """What is extracted."""

    @property
    def name(self) -> str:
        """As a recipe names it."""

    @property
    def metric(self) -> str:
        """The score that the best model is chosen by, as logs and messages name it."""

    @property
    def words(self) -> Words:
        """How it is spoken of."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What `ie check` and `ie init` count of its annotation; the kind `words.items` is what it extracts."""

    @property
    def schema_first(self) -> bool:
        """Whether the schema may refuse gold items: `ie check` then reads train once before it looks at any of them."""

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        """The labels that a model learns, from the recipe and the counts of the training data.

        Raises:
            DataError: the data hold nothing to learn, or something that the recipe does not list.
        """

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        """Refuse what the recipe asks of these data and cannot have.

        Raises:
            RecipeError: with what to write instead.
        """

    def validate_options(self, options: ScoringOptions) -> None:
        """Refuse options of scoring that mean nothing for this task.

        Raises:
            DataError: naming the option.
        """

    def misfit(self, schema: LabelSchema) -> str | None:
        """What a schema has that a model of this task has not, or lacks; None where it fits."""

    def items(self, document: Document) -> set[Hashable]:
        """What is extracted of a document, gold or predicted, as it is compared."""

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        """What a scorer takes as seen in training."""

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> Scorer:
        """What counts the pairs of gold and predicted documents of a model with this schema.

        Args:
            schema: without a label where there is no model; the order and the kinds of items are then those of the data.
        """

    def errors(self, keep: int, options: ScoringOptions) -> ErrorAnalysis:
        """What sorts the errors by kind, and keeps so many examples of each."""

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        """The gold items of the training data in words, e.g. ``2097 entities of 6 labels``."""

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        """Why a model that has seen many items still finds nothing right, and what to do."""

    # What `ie check` and `ie init` ask

    def annotation(self, document: Document) -> Mapping[str, Sequence[Any]]:
        """Of each kind the distinct items of a document, sorted."""

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        """The schema that a model of these data would have; None where they hold nothing to learn.

        Raises:
            DataError, RecipeError: what training would refuse, unless `ie check` reports it for any task: labels that the
                recipe does not list.
        """

    def schema_of(self, document: Document) -> LabelSchema:
        """A schema that knows all that one document holds."""

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        """What is wrong with the annotation of a split, beyond what is counted for any task.

        Args:
            split: ``train``, ``dev`` or ``test``.
            names: by kind, the names that occur and how often.
            items: of the kind that the task extracts.
        """

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        """Its part of a recipe for these data, None where they are not for it.

        Args:
            overlapping: examples in which two entities share a character.
        """
