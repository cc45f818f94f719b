"""Logs of a run beside its model: `log.csv` and TensorBoard events."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ie_cli.errors import RecipeError

Values = dict[str, float]
Log = Callable[[int, Values], None]


@contextmanager
def open_trackers(names: Sequence[str], folder: Path) -> Iterator[Log]:
    """Open the logs that the recipe names; the function that comes back writes one point to all of them.

    Raises:
        RecipeError: TensorBoard is asked for but not installed.
    """
    with ExitStack() as stack:
        logs = [stack.enter_context(TRACKERS[name](folder)) for name in dict.fromkeys(names)]

        def log(step: int, values: Values) -> None:
            for write in logs:
                write(step, values)

        yield log


COLUMNS = ("step", "epoch", "loss", "windows_per_second", "learning_rate", "precision", "recall", "f1")


@contextmanager
def _csv(folder: Path) -> Iterator[Log]:
    with (folder / "log.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()

        def log(step: int, values: Values) -> None:
            writer.writerow({"step": step, **values})
            file.flush()

        yield log


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Log]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError(
            "training.trackers: tensorboard is not installed", hint="pip install 'ie-cli[tensorboard]'"
        ) from error
    writer = SummaryWriter(folder / "tensorboard")

    def log(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


TRACKERS = {"csv": _csv, "tensorboard": _tensorboard}
