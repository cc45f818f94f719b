"""Score the model of a run on the development data during training, and the stored model at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ie_cli.document import Document
from ie_cli.evaluation.gold import GoldSet
from ie_cli.evaluation.thresholds import ThresholdProbe, describe_better, threshold_probe
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.integrity import replace_tasks
from ie_cli.inference.pipeline import Engine
from ie_cli.metrics.scores import Ceiling, Scores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.modeling.devices import converted
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.recipe.threshold import DEFAULT_THRESHOLD, chooses_threshold
from ie_cli.reports.model_card import model_card
from ie_cli.system.signals import Stop
from ie_cli.tasks import ScoringOptions, has_thresholds
from ie_cli.training.events import choice_values, score_values
from ie_cli.training.joint_scoring import JointScoring, Scored
from ie_cli.training.processes import Processes
from ie_cli.training.setup import TaskSetup, TrainingSetup


class Evaluator:
    """Scores the model of a run with the same functions that predict.

    Args:
        recipe: the recipe.
        setup: the model and the data.
        processes: the processes of the run, all of which evaluate at the same time, and get the same scores.
        stop: checked by several processes during an evaluation.

    Attributes:
        choices: the thresholds that `final_scores` has found to be best on dev, by task.
    """

    def __init__(
        self, recipe: Recipe, setup: TrainingSetup, *, processes: Processes | None = None, stop: Stop | None = None
    ) -> None:
        self._recipe, self._setup = recipe, setup
        self._processes, self._stop = processes or Processes(), stop or Stop()
        self.choices: dict[str, ThresholdChoice] = {}

    def extractor(self) -> Extractor:
        """Return the model with its current weights."""
        setup = self._setup
        return Extractor(
            TorchBackend(setup.model, setup.precision),
            setup.trained_tasks(),
            setup.tokenizer,
            self._recipe,
            setup.pad_id,
        )

    def save_model(self, directory: Path) -> None:
        """Write the model with its current weights; its card has no scores yet."""
        extractor = self.extractor()
        extractor.card = self._card({})
        extractor.save_pretrained(directory)

    def _card(self, scores: Mapping[str, Mapping[str, Scores]]) -> str:
        tasks = self._setup.trained_tasks()
        whole = [name for name, task in tasks.items() if task.whole_words]
        schemas = {name: task.schema for name, task in tasks.items()}
        return model_card(self._recipe, schemas, scores, whole_words=whole, thresholds=self.chosen())

    @cached_property
    def _engine(self) -> Engine:
        """The engine for prediction, which caches the tokens of the development data."""
        engine = self.extractor().engine()
        return replace(engine, tokenizer=engine.tokenizer.with_cache())

    @cached_property
    def _gold(self) -> dict[str, GoldSet]:
        """The development data of each task that has any."""
        documents = {name: task.data.dev_documents for name, task in self._setup.tasks.items()}
        return {name: GoldSet(part, self._engine.only(name)) for name, part in documents.items() if part is not None}

    def columns(self) -> list[str]:
        """Return the columns of the logs for evaluations."""
        named, tasks = len(self._setup.tasks) > 1, self._setup.tasks
        empty = {
            name: task.task.scorer(task.schema, self._options(name)).scores()
            for name, task in tasks.items()
            if task.data.dev_documents is not None
        }
        none = ThresholdChoice(DEFAULT_THRESHOLD, 0.0, DEFAULT_THRESHOLD, 0.0)
        chosen = {name: none for name in empty if self._chooses(name) and has_thresholds(tasks[name].task)}
        return [*score_values(empty, named=named), *choice_values(chosen, named=named)]

    def _chooses(self, name: str) -> bool:
        """Return whether the threshold of a task is chosen on its development data."""
        task = self._setup.tasks[name]
        head = task.section.head
        return chooses_threshold(head.threshold, head.thresholds) and self._comparable(name)

    def _comparable(self, name: str) -> bool:
        """Return whether the development data of a task can tell which threshold is better."""
        task = self._setup.tasks[name]
        return task.data.dev_documents is not None and not task.data.dev_is_train and "dev" not in task.unannotated

    def as_stored(self) -> AbstractContextManager[None]:
        """Return a context in which the encoder has its weights as in the model that users load, in the precision of the run.

        The scores of a checkpoint, and the threshold chosen for it, are then those of the stored model to the last digit.
        """
        return converted(self._setup.model.encoder, self._setup.precision)

    def dev_scores(self) -> tuple[dict[str, Scores], dict[str, ThresholdChoice]]:
        """Return the scores of each task on its development data, and the threshold that would be chosen, if one is.

        The encoder must be `as_stored`.
        """
        found = {}
        for name, gold in self._gold.items():
            probe = self._probe(self.extractor(), name, self._engine) if self._chooses(name) else None
            found[name] = self._score(name, gold, self._engine, probe=probe, ceilings=self._ceilings(gold))
        return {name: one.scores for name, one in found.items()}, _choices(found)

    def _ceilings(self, gold: GoldSet) -> Mapping[str, Ceiling]:
        """Return the recall ceilings of development data, which only the process that scores needs."""
        return gold.ceilings if self._processes.first else {}

    def _probe(self, extractor: Extractor, name: str, engine: Engine) -> ThresholdProbe | None:
        return threshold_probe(
            extractor, name, engine.only(name), task=self._setup.tasks[name].task, options=self._options(name)
        )

    def _score(
        self,
        name: str,
        documents: Iterable[Document],
        engine: Engine,
        *,
        probe: ThresholdProbe | None = None,
        seen: Collection[Any] | None = None,
        ceilings: Mapping[str, Ceiling] | None,
    ) -> Scored:
        """Score a task on documents, and choose its threshold."""
        task = self._setup.tasks[name]
        scoring = JointScoring(
            processes=self._processes,
            stop=self._stop,
            task=task.task,
            schema=task.schema,
            options=self._options(name, seen),
            probe=probe,
        )
        return scoring.score(engine.only(name), documents, ceilings=ceilings)

    def final_scores(self, directory: Path) -> dict[str, dict[str, Scores]]:
        """Load a model directory as users would, score it by split and task, and store the scores in it.

        Cuts between classes and thresholds are chosen on dev and stored, too; the scores are those with them.
        """
        device, precision = self._recipe.training.device, self._setup.precision
        extractor = self._processes.together(
            lambda: Extractor.from_pretrained(directory, device=device, precision=precision)
        )
        # An earlier process that was killed here may have stored choices, with which dev would not be scored in the same way.
        stored = extractor.tasks
        extractor.tasks = {name: replace(task, decision=(), threshold=None) for name, task in stored.items()}
        seen = {name: _seen(task) for name, task in self._setup.tasks.items()}
        scores: dict[str, dict[str, Scores]] = {}
        if self._gold:
            scores["dev"] = self._choose(extractor, seen)
        if extractor.tasks != stored:
            self._processes.on_first(lambda: replace_tasks(directory, extractor.tasks))
        tests = {name: task.data.test_documents for name, task in self._setup.tasks.items()}
        engine = extractor.engine()
        if tested := {
            name: self._score(name, documents, engine, seen=seen[name], ceilings=None).scores
            for name, documents in tests.items()
            if documents is not None
        }:
            scores["test"] = tested
        self._processes.on_first(lambda: self._write(extractor, directory, scores))
        return scores

    def _write(self, extractor: Extractor, directory: Path, scores: Mapping[str, Mapping[str, Scores]]) -> None:
        extractor.write_scores(directory, self._fields(scores))
        extractor.write_card(directory, self._card(scores))

    def _choose(self, extractor: Extractor, seen: Mapping[str, Collection[Any]]) -> dict[str, Scores]:
        """Choose cuts and thresholds on dev, set them in a model, and return its scores on dev with them."""
        engine = extractor.engine()
        first = {}
        for name, gold in self._gold.items():
            probe = self._probe(extractor, name, engine) if self._comparable(name) else None
            ceilings = self._ceilings(gold)
            first[name] = self._score(name, gold, engine, probe=probe, seen=seen[name], ceilings=ceilings)
        scores = {name: one.scores for name, one in first.items()}
        decisions, self.choices = _decisions(scores), _choices(first)
        extractor.tasks = {
            name: replace(task, decision=decisions.get(name, ())) for name, task in extractor.tasks.items()
        }
        for name, choice in self.chosen().items():
            if not choice.changed:
                continue
            before = extractor.tasks
            extractor.tasks = {**before, name: replace(before[name], threshold=choice.threshold)}
            gold = self._gold[name]
            ceilings = self._ceilings(gold)
            found = self._score(name, gold, extractor.engine(), seen=seen[name], ceilings=ceilings).scores
            if found.primary > scores[name].primary:
                scores[name], self.choices[name] = found, replace(choice, f1=found.primary)
            else:  # only for heads whose items at a low threshold do not contain those at a higher one
                extractor.tasks = before
                del self.choices[name]
        return scores

    def chosen(self) -> dict[str, ThresholdChoice]:
        """Return the thresholds that `final_scores` has chosen on dev, by task."""
        return {name: choice for name, choice in self.choices.items() if self._chooses(name)}

    def threshold_advice(self) -> list[str]:
        """Say which threshold has a clearly better score on dev than those of a recipe that sets them."""
        advice = []
        for name, choice in self.choices.items():
            if choice.changed and not self._chooses(name):
                head, task = self._setup.tasks[name].section.head, "" if len(self._setup.tasks) == 1 else f"{name}: "
                field = "head.thresholds" if head.thresholds else "head.threshold"
                better = describe_better(choice, per_label=bool(head.thresholds))
                advice.append(f"{task}on dev, {better}; without {field} in the recipe, the threshold is chosen on dev")
        return advice

    def _fields(self, scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
        """Return the scores by split and task as JSON values; if the run has only one task, without its name."""
        found = {split: {name: part.to_dict() for name, part in parts.items()} for split, parts in scores.items()}
        for name, choice in self.chosen().items():
            found["dev"][name]["threshold"] = choice.to_dict()
        one = len(self._setup.tasks) == 1
        return {split: next(iter(parts.values())) if one else parts for split, parts in found.items()}

    def _options(self, name: str, seen: Collection[Any] | None = None) -> ScoringOptions:
        return scoring_options(self._recipe, self._setup.tasks[name].section, seen)


def _seen(task: TaskSetup) -> set[Any]:
    """Return the items of train that are also in dev or test: the scorers ask for no others, and train may have too many."""
    parts = [part for part in (task.data.dev_documents, task.data.test_documents) if part is not None]
    # The located relations of triples without offsets may have other texts than the triples.
    wanted = {
        item
        for part in parts
        for document in part
        for form in ([document] if document.spos is None else [document, replace(document, spos=None)])
        for item in task.task.seen([form])
    }
    if not wanted:
        return set()
    return {item for document in task.data.documents for item in task.task.seen([document]) if item in wanted}


def scoring_options(recipe: Recipe, section: TaskSection, seen: Collection[Any] | None = None) -> ScoringOptions:
    """Return the options with which the models of a recipe are scored for a task.

    Args:
        recipe: the recipe.
        section: the section of the task.
        seen: the items of the training data, to score all others separately.
    """
    match = recipe.training.match
    return ScoringOptions(match=None if match == "auto" else match, seen=seen, cut_by=section.head.cut_by)


def _decisions(scores: Mapping[str, Scores]) -> dict[str, tuple[float, ...]]:
    """Return the cuts that were chosen on these data, by task; scores of tasks without cuts need no such attribute."""
    found = {name: getattr(part, "decision", None) for name, part in scores.items()}
    return {name: cuts for name, cuts in found.items() if cuts is not None}


def _choices(found: Mapping[str, Scored]) -> dict[str, ThresholdChoice]:
    """Return the thresholds that are best for what was scored, by task."""
    return {name: one.choice for name, one in found.items() if one.choice is not None}
