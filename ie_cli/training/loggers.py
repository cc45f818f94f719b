"""Logs of a run: `log.csv` beside the model, and accelerate's trackers for TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker
from accelerate.utils import is_mlflow_available, is_tensorboard_available, is_wandb_available
from transformers.utils import flatten_dict

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.recipe.schema import Recipe
from ie_cli.system.atomic import replace_text, storing
from ie_cli.system.distribution import install_hint
from ie_cli.system.text import escape_surrogates, open_text
from ie_cli.training.run_directory import LOG, TENSORBOARD

Values = dict[str, float]
Log = Callable[[int, Values], None]

PROJECT = "ie"
"""The project name for all runs of `ie` in tracking services."""


@dataclass(frozen=True, slots=True)
class _LogContext:
    """What loggers need to know about a run."""

    recipe: Recipe
    directory: Path
    columns: tuple[str, ...]
    after: int


@contextmanager
def open_loggers(
    names: Sequence[str], directory: Path, *, recipe: Recipe, columns: Sequence[str], after: int = 0
) -> Iterator[Log]:
    """Open logs by their names, and yield a function that writes a point to all of them.

    Args:
        names: names of the logs.
        directory: directory of the run.
        recipe: the recipe, which is sent to tracking services.
        columns: the names of all values to be logged, in the order of `log.csv`; a point may lack some of them.
        after: the step from which the run is resumed; later points of an earlier process are removed.

    Raises:
        StorageError: a log cannot be written.
        TrainingError: a tracking service reports an error.
    """
    context = _LogContext(recipe, directory, ("step", *columns), after)
    with ExitStack() as stack:
        logs = [stack.enter_context(TRACKERS[name](context)) for name in dict.fromkeys(names)]

        def log(step: int, values: Values) -> None:
            for write in logs:
                write(step, values)

        yield log


def require_loggers(names: Sequence[str]) -> None:
    """Check that the packages for some logs are installed.

    Raises:
        RecipeError: packages are missing.
    """
    missing = [name for name, is_installed in PACKAGES.items() if name in names and not is_installed()]
    if missing:
        raise RecipeError(
            f"training.trackers: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint=install_hint(*missing),
        )


@contextmanager
def _csv(context: _LogContext) -> Iterator[Log]:
    path = context.directory / LOG
    kept = [row for row in _rows(path) if int(row["step"]) <= context.after] if context.after else []
    # An older version may have written other columns; they are kept after the current ones.
    columns = list(dict.fromkeys([*context.columns, *(name for row in kept for name in row)]))
    start = io.StringIO()
    writer = csv.DictWriter(start, columns)
    writer.writeheader()
    writer.writerows(kept)
    replace_text(path, start.getvalue())
    file = open_text(path, "a")
    writer = csv.DictWriter(file, columns)

    def log(step: int, values: Values) -> None:
        with storing(path):
            writer.writerow({"step": step, **values})
            file.flush()

    try:
        yield log
    finally:
        with suppress(OSError):  # all rows are written, or their error has been reported
            file.close()


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of an earlier process, without a last row that is truncated."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdecimal() and None not in row.values()]


def _tensorboard(context: _LogContext) -> AbstractContextManager[Log]:
    purged = context.after + 1 if context.after else None
    tracker = TensorBoardTracker(TENSORBOARD, context.directory, purge_step=purged)
    return _tracking(tracker, partial(storing, context.directory / TENSORBOARD))


def _wandb(context: _LogContext) -> AbstractContextManager[Log]:
    # Arguments of wandb.init override these variables, so they are read here; accelerate reads those of MLflow itself.
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    tracker = WandBTracker(project, name=escape_surrogates(os.environ.get("WANDB_NAME", context.recipe.name)))
    return _tracking(tracker, partial(_service_errors, "wandb"), context.recipe.model_dump(mode="json"))


def _mlflow(context: _LogContext) -> AbstractContextManager[Log]:
    tracker = MLflowTracker(PROJECT, run_name=escape_surrogates(context.recipe.name))
    return _tracking(tracker, partial(_service_errors, "mlflow"), context.recipe.model_dump(mode="json"))


@contextmanager
def _tracking(
    tracker: Any, reporting: Callable[[], AbstractContextManager[None]], config: Mapping[str, Any] | None = None
) -> Iterator[Log]:
    """Log to a tracker of accelerate; `reporting` turns its errors into messages."""
    PartialState()  # trackers need it; an Accelerator would have created it already
    with reporting():
        tracker.start()
        if config is not None:
            tracker.store_init_configuration(_writable(flatten_dict(config)))

    def log(step: int, values: Values) -> None:
        with reporting():
            tracker.log(values, step=step)

    try:
        yield log
    except BaseException:
        with suppress(Exception):  # report only the first error
            tracker.finish()
        raise
    with reporting():
        tracker.finish()


def _writable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that services accept: the name of a file may not be valid UTF-8."""
    return {name: escape_surrogates(value) if isinstance(value, str) else value for name, value in config.items()}


@contextmanager
def _service_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise many types of errors: for keys, connections, names
        raise TrainingError(
            f"training.trackers: {name}: {error}",
            hint="continue without it: `--resume --set training.trackers=[csv]`.",
        ) from error


TRACKERS: dict[str, Callable[[_LogContext], AbstractContextManager[Log]]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
PACKAGES: dict[str, Callable[[], bool]] = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
    "mlflow": is_mlflow_available,
}
