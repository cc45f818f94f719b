"""`ie eval`: score a model, or a file of predictions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ie_cli.commands.console import counting, say, show_scores, warn
from ie_cli.commands.inputs import Input, ModelChoice, warn_capped
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import Reading, read_documents
from ie_cli.metrics.entities import EntityScores
from ie_cli.metrics.entity_errors import KINDS, EntityErrors
from ie_cli.metrics.relation_errors import RELATION_KINDS, RelationErrors
from ie_cli.triples import ROLES

if TYPE_CHECKING:
    from ie_cli.evaluation.evaluate import Scores
    from ie_cli.metrics.duie import OfficialScorer
    from ie_cli.metrics.relations import Match


@dataclass(frozen=True, slots=True)
class Report:
    """What is scored, and how it is shown.

    Attributes:
        match: what makes a relation right; None: text where offsets are guessed, else strict.
        scorer: `duie` also scores relations by DuIE's published rules, with the names of the file `alias`.
    """

    as_json: bool
    errors: int
    train_data: str | None
    quiet: bool
    match: Match | None = None
    scorer: Literal["duie"] | None = None
    alias: str | None = None

    def official(self) -> OfficialScorer | None:
        """The scorer of DuIE's rules, where it is asked for."""
        from ie_cli.metrics.duie import OfficialScorer, read_aliases

        if self.scorer is None:
            return None
        return OfficialScorer(read_aliases(self.alias) if self.alias is not None else None)

    def training_documents(self, data: Input, reading: Reading) -> Iterator[Document] | None:
        """The training data, where they were given; they are read as the gold data are."""
        if self.train_data is None:
            return None
        return replace(data, path=self.train_data).documents(replace(reading, report=lambda text: None))

    def show(self, scores: Scores, title: str, cases: ErrorCases) -> None:
        """Print scores: a table, or one JSON object on stdout."""
        entities = isinstance(scores, EntityScores)
        kinds = KINDS if entities else RELATION_KINDS
        analysis = cases.entities if entities else cases.relations
        if self.as_json:
            fields = scores.to_dict() | {"errors": {kind: analysis.counts[kind] for kind in kinds}}
            sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
            return
        show_scores(scores, title)
        say("errors: " + ", ".join(f"{analysis.counts[kind]} {_KIND_NAMES[kind]}" for kind in kinds))
        for kind in kinds if self.errors else ():
            for case in analysis.samples.get(kind, []):
                say(f"  {_KIND_NAMES[kind]}: {case.describe()}")


_KIND_NAMES = {
    "label": "wrong label",
    "predicate": "wrong predicate",
    "type": "wrong type",
    "boundary": "wrong border",
    "both": "wrong border and label",
    "missed": "missed",
    "invented": "invented",
}


@dataclass(slots=True)
class ErrorCases:
    """The errors, of entities and of relations."""

    keep: int
    match: Match | None
    entities: EntityErrors = field(init=False)
    relations: RelationErrors = field(init=False)

    def __post_init__(self) -> None:
        self.entities = EntityErrors(keep=self.keep)
        self.relations = RelationErrors(keep=self.keep, match=self.match)

    def add(self, gold: Document, predicted: Document) -> None:
        """Sort the errors of one document."""
        self.entities.add(gold, predicted)
        self.relations.add(gold, predicted)


def run_eval(model: ModelChoice, data: Input, report: Report) -> None:
    """`ie eval MODEL DATA`."""
    from ie_cli.evaluation.evaluate import score, seen_in

    data.must_exist()
    engine, recipe = model.engine()
    if not engine.schema.predicates and (report.scorer is not None or report.match is not None):
        option = "--scorer" if report.scorer is not None else "--match"
        raise DataError(f"{option} is for relations, and the model extracts entities", hint="leave it out.")
    reading = data.reading(quiet=report.quiet, recipe=recipe)
    train = report.training_documents(data, reading)
    cases = ErrorCases(report.errors, report.match)
    with counting("evaluating", quiet=report.quiet) as count:

        def each(gold: Document, predicted: Document) -> None:
            cases.add(gold, predicted)
            count()

        scores = score(
            engine,
            data.documents(reading),
            each=each,
            seen=seen_in(train, engine.schema) if train is not None else None,
            match=report.match,
            official=report.official(),
        )
    warn_capped(engine)
    _need_gold(scores, data)
    report.show(scores, f"{model.path} on {data.path}", cases)


def run_eval_predictions(predictions: str, data: Input, report: Report) -> None:
    """`ie eval --predictions FILE DATA`."""
    from ie_cli.evaluation.prediction_files import pair_documents

    reading = data.reading(quiet=report.quiet)
    guesses = read_documents(predictions, reading=Reading(report=reading.report))
    pairs = pair_documents(data.documents(reading), guesses)
    cases = ErrorCases(report.errors, report.match)
    scores = _score_pairs(pairs, cases, report, report.training_documents(data, reading))
    _need_gold(scores, data)
    report.show(scores, f"{predictions} on {data.path}", cases)


def _score_pairs(
    pairs: Iterable[tuple[Document, Document]], cases: ErrorCases, report: Report, train: Iterable[Document] | None
) -> Scores:
    """Scores of relations where gold holds any, else of entities."""
    from ie_cli.evaluation.evaluate import mentions, triples
    from ie_cli.metrics.entities import EntityScorer
    from ie_cli.metrics.relations import RelationScorer

    trained = list(train) if train is not None else None
    entities = EntityScorer(seen=mentions(trained) if trained is not None else None)
    relations = RelationScorer(
        match=report.match,
        entities=True,
        seen=triples(trained) if trained is not None else None,
        official=report.official(),
    )
    named = related = 0
    labels: set[str] = set()
    for truth, guess in pairs:
        entities.add(truth, guess)
        relations.add(truth, guess)
        cases.add(truth, guess)
        named += len(truth.entities)
        related += len(truth.relations) + len(truth.spos or ())
        labels.update(entity.label for entity in guess.entities)
    if not related:
        if report.scorer is not None:
            warn("--scorer duie is left aside: the gold data hold no relations")
        return entities.scores()
    scores = relations.scores()
    # A role model's subjects and objects are no entities of these data.
    return scores if named and not (labels and labels <= set(ROLES)) else replace(scores, entities=None)


def _need_gold(scores: Scores, data: Input) -> None:
    if not scores.micro.gold:
        what = "entity" if isinstance(scores, EntityScores) else "relation"
        raise DataError(f"{data.path}: no {what} in it: nothing to score", hint="give data with gold annotation.")
