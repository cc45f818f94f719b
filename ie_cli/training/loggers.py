"""Logs of a run: `log.csv` beside its model, and the trackers of accelerate for TensorBoard, Weights & Biases and MLflow."""

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
from ie_cli.system.text import escape_surrogates, open_text
from ie_cli.training.run_directory import LOG, TENSORBOARD

Values = dict[str, float]
Log = Callable[[int, Values], None]

PROJECT = "ie"
"""The name under which services keep all runs of `ie`."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What the loggers of a run need to know of it."""

    recipe: Recipe
    directory: Path
    columns: tuple[str, ...]
    after: int


@contextmanager
def open_loggers(
    names: Sequence[str], directory: Path, *, recipe: Recipe, columns: Sequence[str], after: int = 0
) -> Iterator[Log]:
    """Open logs by their names; the function that comes back writes one point to all of them.

    Args:
        recipe: what services are told of the run.
        columns: the names of all values that will be logged, in the order of `log.csv`; a point may lack some of them.
        after: the step that the run goes on from: later points of an earlier process are dropped.

    Raises:
        StorageError: a log cannot be written.
        TrainingError: a service does not take what is sent to it.
    """
    place = _Place(recipe, directory, ("step", *columns), after)
    with ExitStack() as stack:
        logs = [stack.enter_context(TRACKERS[name](place)) for name in dict.fromkeys(names)]

        def log(step: int, values: Values) -> None:
            for write in logs:
                write(step, values)

        yield log


def require_loggers(names: Sequence[str]) -> None:
    """Tell early what a log needs and is not installed.

    Raises:
        RecipeError: naming all such packages.
    """
    missing = [name for name, is_there in PACKAGES.items() if name in names and not is_there()]
    if missing:
        raise RecipeError(
            f"training.trackers: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install 'ie-cli[{','.join(missing)}]'",
        )


@contextmanager
def _csv(place: _Place) -> Iterator[Log]:
    path = place.directory / LOG
    kept = [row for row in _rows(path) if int(row["step"]) <= place.after] if place.after else []
    # An older version may have had other columns: its own stay, behind ours.
    columns = list(dict.fromkeys([*place.columns, *(name for row in kept for name in row)]))
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
        with suppress(OSError):  # all rows are written, or their error was told
            file.close()


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier process, the last of which may be cut off."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdecimal() and None not in row.values()]


def _tensorboard(place: _Place) -> AbstractContextManager[Log]:
    purged = place.after + 1 if place.after else None
    tracker = TensorBoardTracker(TENSORBOARD, place.directory, purge_step=purged)
    return _tracking(tracker, partial(storing, place.directory / TENSORBOARD))


def _wandb(place: _Place) -> AbstractContextManager[Log]:
    # What is given to wandb.init counts more than these variables; accelerate asks those of MLflow itself.
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    tracker = WandBTracker(project, name=escape_surrogates(os.environ.get("WANDB_NAME", place.recipe.name)))
    return _tracking(tracker, partial(_serving, "wandb"), place.recipe.model_dump(mode="json"))


def _mlflow(place: _Place) -> AbstractContextManager[Log]:
    tracker = MLflowTracker(PROJECT, run_name=escape_surrogates(place.recipe.name))
    return _tracking(tracker, partial(_serving, "mlflow"), place.recipe.model_dump(mode="json"))


@contextmanager
def _tracking(
    tracker: Any, telling: Callable[[], AbstractContextManager[None]], config: Mapping[str, Any] | None = None
) -> Iterator[Log]:
    """Log to a tracker of accelerate, whose errors `telling` puts into words."""
    PartialState()  # trackers need it; where there is an Accelerator, it is there already
    with telling():
        tracker.start()
        if config is not None:
            tracker.store_init_configuration(_writable(flatten_dict(config)))

    def log(step: int, values: Values) -> None:
        with telling():
            tracker.log(values, step=step)

    try:
        yield log
    except BaseException:
        with suppress(Exception):  # the first error is the one to tell
            tracker.finish()
        raise
    with telling():
        tracker.finish()


def _writable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values as services can take them: a file may have a name that is no UTF-8."""
    return {name: escape_surrogates(value) if isinstance(value, str) else value for name, value in config.items()}


@contextmanager
def _serving(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise errors of many kinds: of keys, connections, names
        raise TrainingError(
            f"training.trackers: {name}: {error}",
            hint="`--resume --set training.trackers=[csv]` goes on without it.",
        ) from error


TRACKERS: dict[str, Callable[[_Place], AbstractContextManager[Log]]] = {
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
