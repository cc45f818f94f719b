"""Score the model of a run on the development data during training, and the stored model at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.gold import GoldSet
from ie_cli.evaluation.thresholds import scores_by_threshold
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.integrity import replace_tasks
from ie_cli.inference.pipeline import Engine
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.reports.model_card import model_card
from ie_cli.tasks import ScoringOptions
from ie_cli.training.diagnostics import describe_thresholds, thresholds_to_try
from ie_cli.training.events import score_values
from ie_cli.training.setup import TrainingSetup


class Evaluator:
    """Scores the model of a run with the same functions that predict."""

    def __init__(self, recipe: Recipe, setup: TrainingSetup) -> None:
        self._recipe, self._setup = recipe, setup

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
        return model_card(self._recipe, {name: task.schema for name, task in tasks.items()}, scores, whole_words=whole)

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
        return list(
            score_values(
                {
                    name: task.task.scorer(task.schema, self._options(name)).scores()
                    for name, task in self._setup.tasks.items()
                    if task.data.dev_documents is not None
                },
                named=len(self._setup.tasks) > 1,
            )
        )

    def dev_scores(self) -> dict[str, Scores]:
        """Return the scores of each task on its development data."""
        return {
            name: score(
                self._engine.only(name),
                gold,
                task=self._setup.tasks[name].task,
                schema=self._setup.tasks[name].schema,
                options=self._options(name),
                ceilings=gold.ceilings,
            )
            for name, gold in self._gold.items()
        }

    def final_scores(self, directory: Path) -> dict[str, dict[str, Scores]]:
        """Load a model directory as users would, score it by split and task, and store the scores in it.

        Cuts between classes are chosen on dev and stored, too; test is scored with them.
        """
        extractor = Extractor.from_pretrained(
            directory, device=self._recipe.training.device, precision=self._setup.precision
        )
        # An earlier process that was killed here may have stored cuts, with which dev would not be scored in the same way.
        extractor.tasks = {name: replace(task, decision=()) for name, task in extractor.tasks.items()}
        seen = {
            name: task.task.seen(task.data.documents)
            for name, task in self._setup.tasks.items()
            if task.data.dev_documents is not None or task.data.test_documents is not None
        }
        scores: dict[str, dict[str, Scores]] = {}
        for split in ("dev", "test"):
            if found := self._split_scores(split, extractor.engine(), seen):
                scores[split] = found
            if split == "dev" and (decisions := _decisions(found)):
                extractor.tasks = {
                    name: replace(task, decision=decisions.get(name, ())) for name, task in extractor.tasks.items()
                }
                replace_tasks(directory, extractor.tasks)
        extractor.write_scores(
            directory, {split: _fields(parts, named=len(self._setup.tasks) > 1) for split, parts in scores.items()}
        )
        extractor.write_card(directory, self._card(scores))
        return scores

    def _split_scores(
        self, split: Literal["dev", "test"], engine: Engine, seen: Mapping[str, Collection[Any]]
    ) -> dict[str, Scores]:
        """Return the scores of each task that has documents in a split."""
        found = {}
        for name, task in self._setup.tasks.items():
            documents = task.data.dev_documents if split == "dev" else task.data.test_documents
            if documents is not None:
                found[name] = score(
                    engine.only(name),
                    documents,
                    task=task.task,
                    schema=task.schema,
                    options=self._options(name, seen[name]),
                    ceilings=self._gold[name].ceilings if split == "dev" else None,
                )
        return found

    def advise_thresholds(self, directory: Path, scores: Mapping[str, Mapping[str, Scores]]) -> list[str]:
        """Say which threshold would have a better score on dev, if precision and recall are far apart there.

        Args:
            directory: the model directory.
            scores: the scores of that model by split and task.
        """
        advice = []
        for name, part in scores.get("dev", {}).items():
            task, gold = self._setup.tasks[name], self._gold[name]
            if task.data.dev_is_train or not (thresholds := thresholds_to_try(part, task.section.head)):
                continue
            extractor = Extractor.from_pretrained(
                directory, device=self._recipe.training.device, precision=self._setup.precision
            )
            found = scores_by_threshold(
                extractor,
                gold,
                thresholds,
                name=name,
                task=task.task,
                schema=task.schema,
                options=self._options(name),
            )
            advice.append(("" if len(self._setup.tasks) == 1 else f"{name}: ") + describe_thresholds(part, found))
        return advice

    def _options(self, name: str, seen: Collection[Any] | None = None) -> ScoringOptions:
        return scoring_options(self._recipe, self._setup.tasks[name].section, seen)


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


def _fields(scores: Mapping[str, Scores], *, named: bool) -> dict[str, Any]:
    """Return the scores by task as JSON values; if the run has only one task, without its name."""
    fields = {name: part.to_dict() for name, part in scores.items()}
    return fields if named else next(iter(fields.values()))
