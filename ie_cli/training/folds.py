"""Folds of the training data: whether a model can be trained without each of them, and the scores of all held-out predictions."""

from __future__ import annotations

from pathlib import Path

from ie_cli.data.dataset import fold_place, splits
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError, IEError
from ie_cli.evaluation.evaluate import score
from ie_cli.inference.extractor import Extractor
from ie_cli.metrics.scores import Scorer, Scores
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import TaskSection
from ie_cli.tasks import TASKS
from ie_cli.training.evaluator import scoring_options
from ie_cli.training.run_directory import MODEL
from ie_cli.training.series_plan import SeriesPlan
from ie_cli.training.setup import validate_names


def require_folds(plan: SeriesPlan) -> None:
    """Check before the first run that every fold has annotated examples, and that the rest of the data fits the recipe.

    Raises:
        DataError, RecipeError: a fold would fail after others have been trained.
    """
    sections = plan.members[0].recipe.instances()
    rests = {name: _statistics_without_each(section, len(plan.members)) for name, section in sections.items()}
    for number, member in enumerate(plan.members):
        schemas: dict[str, LabelSchema] = {}
        try:
            for name, section in member.recipe.instances().items():
                task, statistics = TASKS[section.task], rests[name][number]
                task.validate(member.recipe, section, statistics)
                schemas[name] = task.build_schema(section, statistics)
            validate_names(member.recipe, schemas)
        except IEError as error:
            raise type(error)(
                f"without fold {member.label} of {len(plan.members)}: {error.message}", hint=error.hint
            ) from error


def _statistics_without_each(section: TaskSection, count: int) -> list[DatasetStatistics]:
    """Return the statistics of the training data without each fold, from one pass over the data.

    Raises:
        DataError: a fold contains nothing that can be scored, or the data cannot be read.
    """
    task, found = TASKS[section.task], [DatasetStatistics() for _ in range(count)]
    annotated = [0] * count
    train = splits(section.data)[0].unfiltered()
    train.require_rereadable()
    for document in train:
        place = fold_place(document.text, count)
        annotated[place - 1] += bool(task.items(document))
        for number, statistics in enumerate(found, 1):
            if number != place:
                statistics.add(document)
    if 0 in annotated:
        raise DataError(
            f"{', '.join(train.sources)}: fold {annotated.index(0) + 1} of {count} contains no {task.words.items}",
            hint="use fewer folds, or check data.train and data.format.",
        )
    return found


def pooled_scores(plan: SeriesPlan, output: Path, precisions: list[Precision]) -> dict[str, Scores]:
    """Predict every fold with the model that has not seen it, and return the scores of all these predictions by task.

    Args:
        plan: the runs, all finished.
        output: the directory that contains theirs.
        precisions: the precision of each run.
    """
    scorers: dict[str, Scorer] = {}
    for member, precision in zip(plan.members, precisions, strict=True):
        device = member.recipe.training.device
        extractor = Extractor.from_pretrained(output / member.name / MODEL, device=device, precision=precision)
        engine = extractor.engine()
        for name, section in member.recipe.instances().items():
            task, trained = TASKS[section.task], extractor.tasks[name]
            options = scoring_options(member.recipe, section)
            scorer = scorers.setdefault(name, task.scorer(trained.schema, options))
            fold = splits(section.data, tokens=trained.tokens)[1]
            score(
                engine.only(name),
                fold or (),
                task=task,
                schema=trained.schema,
                options=options,
                each=scorer.add,
                ceilings={},
            )
    return {name: scorer.scores() for name, scorer in scorers.items()}
