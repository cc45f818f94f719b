"""Score an engine on gold examples, through the very function that predicts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator

from ie_cli.codecs.targets import find_reachable
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.evaluation.environment import describe_environment
from ie_cli.evaluation.result import ErrorSummary, EvaluationResult
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.entities import EntityScorer, EntityScores
from ie_cli.metrics.relations import Match, RelationScorer, RelationScores
from ie_cli.metrics.scores import Ceiling
from ie_cli.tasks import ScoringOptions, Task
from ie_cli.triples import Triple, triples_of

Scores = EntityScores | RelationScores
Seen = Collection[tuple[str, str]] | Collection[Triple]


def score(
    engine: Engine,
    gold: Iterable[Document],
    *,
    each: Callable[[Document, Document], None] | None = None,
    seen: Seen | None = None,
    match: Match | None = None,
    official: OfficialScorer | None = None,
) -> Scores:
    """Predict and score a stream of gold examples against all their entities or relations, reachable or not.

    Args:
        each: called with every pair of gold and predicted example, e.g. to sort the errors.
        seen: what `mentions` or `triples` gives of the training data; recall on all else is then reported by itself.
        match: what makes a relation right; None: text where offsets are guessed, else strict.
        official: the scorer of DuIE's rules, for relations.
    """
    scorer = new_scorer(engine.schema, seen=seen, match=match, official=official)
    reach = Reach(engine)
    waiting: deque[Document] = deque()

    def remember() -> Iterator[Document]:
        for document in gold:
            waiting.append(document)
            yield document

    for predicted in extract(engine, remember()):
        document = waiting.popleft()
        reach.add(document)
        scorer.add(document, predicted)
        if each is not None:
            each(document, predicted)
    return scorer.scores({"entities": reach.entities.ceiling(), "relations": reach.relations.ceiling()})


def new_scorer(
    schema: LabelSchema,
    *,
    seen: Seen | None = None,
    match: Match | None = None,
    official: OfficialScorer | None = None,
) -> EntityScorer | RelationScorer:
    """What counts the pairs of gold and prediction of a model with this schema."""
    if not schema.predicates:
        return EntityScorer(schema.labels, seen=seen)  # type: ignore[arg-type]
    return RelationScorer(
        schema.predicates,
        schema.labels,
        match,
        entities=not schema.roles,
        seen=seen,  # type: ignore[arg-type]
        official=official,
    )


def mentions(documents: Iterable[Document]) -> set[tuple[str, str]]:
    """The (label, mention) pairs that occur in some data, e.g. to tell seen from unseen ones."""
    return {
        (entity.label, document.text[entity.start : entity.end])
        for document in documents
        for entity in document.entities
    }


def triples(documents: Iterable[Document]) -> set[Triple]:
    """The triples of texts that occur in some data."""
    return {triple for document in documents for triple in triples_of(document)}


def seen_in(documents: Iterable[Document], schema: LabelSchema) -> Seen:
    """What the scorer of a model takes as seen in training."""
    return triples(documents) if schema.predicates else mentions(documents)


class _Tally:
    """Gold items, and by reason those out of reach."""

    def __init__(self) -> None:
        self._total, self._reasons = 0, Counter[str]()

    def add(self, total: int, reasons: Iterable[str]) -> None:
        self._total += total
        self._reasons.update(reasons)

    def ceiling(self) -> Ceiling:
        """Reachable and total, with the reasons of the rest."""
        return Ceiling(self._total - self._reasons.total(), self._total, dict(self._reasons))


class Reach:
    """Counts the gold entities and relations that the tokens, the windows and the schema of an engine can express."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.entities, self.relations = _Tally(), _Tally()

    def add(self, document: Document) -> None:
        """Count one gold example; a triple without offsets is in reach if any of its places is."""
        if not document.entities and not document.relations and not document.spos:
            return
        engine = self._engine
        [tokens] = engine.tokenizer.encode([document.text])
        found = find_reachable(document, tokens, engine.plan, engine.schema)
        self.entities.add(found.entities, (reason for _, reason in found.lost_entities))
        self.relations.add(found.relations, (reason for _, reason in found.lost_relations))


def evaluate(
    engine: Engine,
    gold: Iterable[Document],
    *,
    task: Task,
    options: ScoringOptions,
    model: str,
    data: str,
    keep: int = 0,
    each: Callable[[], None] | None = None,
) -> EvaluationResult:
    """Predict, score, and sort the errors.

    Args:
        model, data: their names, for reports.
        keep: examples of each kind of error.
        each: called after every document.

    Raises:
        DataError: an option has no meaning for the task or these data.
    """
    task.validate_options(options)
    scorer, analysis = task.scorer(engine.schema, options), task.errors(keep, options)

    def add(truth: Document, guess: Document) -> None:
        scorer.add(truth, guess)
        analysis.add(truth, guess)
        if each is not None:
            each()

    reach = score(engine, gold, each=add)
    return EvaluationResult(
        task=task.name,
        model=model,
        data=data,
        scores=scorer.scores(reach.ceilings),
        errors=ErrorSummary.of(analysis),
        environment=describe_environment(engine.backend),
    )
