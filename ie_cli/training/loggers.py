"""Logs of a run beside its model: `log.csv` and TensorBoard events."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ie_cli.errors import RecipeError
from ie_cli.system.atomic import replace_text, storing

Values = dict[str, float]
Log = Callable[[int, Values], None]


@contextmanager
def open_loggers(names: Sequence[str], folder: Path, *, after: int = 0) -> Iterator[Log]:
    """Open the logs that the recipe names; the function that comes back writes one point to all of them.

    Args:
        after: the step that the run goes on from: later points of an earlier process are dropped.

    Raises:
        RecipeError: TensorBoard is asked for but not installed.
        StorageError: a log cannot be written.
    """
    with ExitStack() as stack:
        logs = [stack.enter_context(LOGGERS[name](folder, after)) for name in dict.fromkeys(names)]

        def log(step: int, values: Values) -> None:
            for write in logs:
                write(step, values)

        yield log


COLUMNS = ("step", "epoch", "loss", "sentences_per_second", "learning_rate", "precision", "recall", "f1")


@contextmanager
def _csv(folder: Path, after: int) -> Iterator[Log]:
    path = folder / "log.csv"
    kept = [row for row in _rows(path) if int(row["step"]) <= after] if after else []
    start = io.StringIO()
    writer = csv.DictWriter(start, COLUMNS)
    writer.writeheader()
    writer.writerows(kept)
    replace_text(path, start.getvalue())
    file = path.open("a", encoding="utf-8", newline="")
    writer = csv.DictWriter(file, COLUMNS)

    def log(step: int, values: Values) -> None:
        with storing(path):
            writer.writerow({"step": step, **values})
            file.flush()

    try:
        yield log
    finally:
        with suppress(OSError):  # all rows are written, or their error was told
            file.close()


def must_be_there(names: Sequence[str]) -> None:
    """Tell early what a log needs and is not installed.

    Raises:
        RecipeError: of TensorBoard.
    """
    if "tensorboard" in names:
        _summary_writer()


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier process, the last of which may be cut off."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row["step"] or "").isdigit() and None not in row.values()]


@contextmanager
def _tensorboard(folder: Path, after: int) -> Iterator[Log]:
    writer = _summary_writer()(folder / "tensorboard", purge_step=after + 1 if after else None)

    def log(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError(
            "training.trackers: tensorboard is not installed", hint="pip install 'ie-cli[tensorboard]'"
        ) from error
    return SummaryWriter


LOGGERS = {"csv": _csv, "tensorboard": _tensorboard}
