"""`ie check --deep`: predict each fold of the training data with a model that has not seen it, and compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ie_cli.data.dataset import splits
from ie_cli.data.findings import Finding
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.mention_counts import MentionCounts
from ie_cli.doctor.suspects import LOWEST, SHOWN, Suspects
from ie_cli.errors import DataError, IEError, duration
from ie_cli.recipe.schema import HASH_CNN, DataSection, Recipe
from ie_cli.system.signals import Stopped
from ie_cli.system.temporary import scratch
from ie_cli.tasks import TASKS
from ie_cli.tasks.kinds import ENTITIES

FOLDS = 5
_EPOCHS, _FEWEST_STEPS, _BATCH = 6, 600, 16
_ENOUGH_SECONDS = 2.0  # after which the time of a training is estimated
_NEVER = 1_000_000  # steps between evaluations: the last weights are as good for this


_READING = {
    *(
        "train",
        "format",
        "text_column",
        "label_columns",
        "joiner",
        "mentions",
        "trim",
        "rename",
        "ignore",
        "no_relation",
    ),
}
"""The fields of a data section that the small model shares."""


def recipe_of_models(recipe: Recipe) -> Recipe:
    """Return the recipe of the models: the given one if it only extracts entities, otherwise one for the first task's entities.

    Raises:
        DataError: the data contain no entities.
    """
    [section, *others] = recipe.instances().values()
    if not others and TASKS[section.task].words.attribute == ENTITIES.items and recipe.data is not None:
        return recipe
    return small_recipe(section.data)


def small_recipe(data: DataSection) -> Recipe:
    """Return a recipe for a small model of the entities of some data, which is built from scratch.

    Raises:
        DataError: no entity is annotated.
    """
    train = splits(data)[0].unfiltered()
    statistics = DatasetStatistics.of(train)
    if not statistics.labels:
        raise DataError(
            f"{', '.join(train.sources)}: contains no entities with labels",
            hint="omit --deep for these data.",
        )
    steps = max(1, statistics.documents // _BATCH)
    fields: dict[str, Any] = {
        "name": "check",
        "task": "ner",
        "data": data.model_dump(include=_READING, exclude_unset=True),
        "encoder": {"name": HASH_CNN, "max_length": 128, "stride": 32},
        "head": {"name": "efficient_global_pointer", "flat": False},
        "training": {
            "epochs": max(_EPOCHS, -(-_FEWEST_STEPS // steps)),
            "batch_size": _BATCH,
            "head_learning_rate": 2e-3,
        },
    }
    return Recipe.model_validate(fields)


def recipe_without_fold(recipe: Recipe, number: int, folds: int) -> Recipe:
    """Return a recipe that trains without a fold, for the last weights."""
    [section] = recipe.instances().values()
    data = section.data.model_copy(update={"fold": f"{number}/{folds}", "dev": None, "test": None})
    options: dict[str, Any] = {"eval_every": _NEVER, "patience": None, "trackers": []}
    training = recipe.training.model_copy(update=options)
    return recipe.model_copy(update={"data": data, "training": training})


def find_suspects(
    recipe: Recipe, *, folds: int = FOLDS, report: Callable[[str], None], alone: bool = False
) -> Iterator[Finding]:
    """Yield a finding with the places in the training data that are most likely wrong, or an error if no model can be trained.

    Args:
        recipe: the recipe of the data.
        folds: number of models.
        report: called with the progress.
        alone: whether the recipe only describes data that are checked without one.
    """
    [section, *_] = recipe.instances().values()
    try:
        models = small_recipe(section.data) if alone else recipe_of_models(recipe)
        suspects = collect_suspects(models, folds=folds, report=report)
    except IEError as error:
        yield Finding("error", f"--deep: {error.message}")
        yield from (Finding("note", f"hint: {hint}") for hint in filter(None, [error.hint]))
        return
    yield from suspects.findings("train", folds=folds)


def _time_left(began: float, done: int, folds: int) -> str:
    """Return how long the other models will take, if as long as those before them."""
    return f", about {duration((time.monotonic() - began) / done * (folds - done))} left" if done else ""


@contextmanager
def _keeping_nothing(number: int, folds: int) -> Iterator[None]:
    """Say of an interrupted training that nothing of it is kept: this is no run that could be resumed."""
    try:
        yield
    except Stopped as stopped:
        kept = f"stopped while training without fold {number} of {folds}; nothing is kept"
        raise Stopped(stopped.signum, kept) from stopped


def collect_suspects(recipe: Recipe, *, folds: int, report: Callable[[str], None], kept: int = SHOWN) -> Suspects:
    """Train the models, and return the places in the training data that they contradict.

    Args:
        recipe: the recipe of the models, of a single task that extracts entities.
        folds: number of models.
        report: called with the progress.
        kept: number of the best places to keep.

    Raises:
        IEError: a model cannot be trained.
    """
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import extract
    from ie_cli.training.events import Progress
    from ie_cli.training.folds import require_folds
    from ie_cli.training.run import train
    from ie_cli.training.run_directory import MODEL
    from ie_cli.training.series_plan import folds_plan

    [section] = recipe.instances().values()
    data = section.data.model_copy(update={"dev": None, "test": None, "fold": None})
    require_folds(folds_plan(recipe.model_copy(update={"data": data}), folds))
    suspects = Suspects(MentionCounts.of(lambda: splits(data)[0].unfiltered()), kept)
    began, announced = time.monotonic(), False
    for number in range(1, folds + 1):
        report(f"training without fold {number} of {folds}{_time_left(began, number - 1, folds)}")
        without = recipe_without_fold(recipe, number, folds)
        with scratch("check") as directory, _keeping_nothing(number, folds):
            for event in train(without, directory / "run"):
                elapsed = time.monotonic() - began
                if not announced and isinstance(event, Progress) and elapsed >= _ENOUGH_SECONDS:
                    announced = True
                    report(f"about {duration(folds * (elapsed + event.seconds_left))} for the {folds} models")
            extractor = Extractor.from_pretrained(directory / "run" / MODEL, device=recipe.training.device)
            [part] = without.instances().values()
            fold = splits(part.data, tokens=next(iter(extractor.tasks.values())).tokens)[1]
            engine = extractor.engine(threshold=LOWEST, flat=False, split="never")
            for gold, predicted in zip(fold or (), extract(engine, fold or ()), strict=True):
                suspects.add(gold, predicted)
    return suspects
