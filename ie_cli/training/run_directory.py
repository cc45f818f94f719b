"""The directory of a training run: its files, its lock, and whether its run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ie_cli.data.reading import TaskData
from ie_cli.errors import DataError
from ie_cli.inference.model_directory import FACTS, require_replaceable, require_utf8_name
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.system.atomic import locked, replace_text, require_unlocked, storing
from ie_cli.system.checksums import require_intact, with_checksum
from ie_cli.system.distribution import upgrade_hint
from ie_cli.system.json_reading import read_json
from ie_cli.system.temporary import is_workspace, sweep, workspace
from ie_cli.training.series_directory import SERIES_FILES, member_directories, require_familiar, require_no_series

MODEL, CHECKPOINTS, RUN, LOG, TENSORBOARD, LOCK = "model", "checkpoints", "run.json", "log.csv", "tensorboard", ".lock"
TOKENS, SCORES, RATE_FACTORS, WHOLE_WORDS = "tokens", "scores", "rate_factors", "whole_words"
PROCESSES = "processes"
"""The field for the number of processes that a run was started with, whose batches it keeps; it is left out for one."""
RUN_FILES = (RUN, CHECKPOINTS, MODEL, LOG, TENSORBOARD)  # files that a run writes into its directory
CHECKPOINT_NAME = re.compile(r"step-(\d{9})")
Facts = dict[str, Any]


def require_new_output(output: Path, *, overwrite: bool = False, resume: bool = False) -> None:
    """Check that `output` contains nothing, or only what `overwrite` or `resume` allows.

    Raises:
        DataError: `output` contains something else.
        ModelError: `model` in it is not a model directory.
    """
    require_utf8_name(output)
    if output.is_file():
        raise DataError(f"{output} is a file", hint="name a directory with --output.")
    if not contents_of(output):
        return
    (require_familiar if overwrite else require_no_series)(output)
    facts = read_run(output) if not overwrite else None
    if not overwrite and not resume:
        what = f"already exists{_trained_on(facts)}"
        remedy = "set another name in the recipe, or another directory with --output; --overwrite replaces the run."
        if facts is not None and not facts["finished"]:
            what = f"contains an unfinished run{_trained_on(facts)}"
            remedy = "continue it with --resume, or replace it with --overwrite."
        raise DataError(f"{output} {what}", hint=remedy)
    present = [name for name in RUN_FILES if os.path.lexists(output / name)]
    # Older versions wrote no run.json, and neither do several runs that are compared.
    known = (output / RUN).is_file() or (output / MODEL / FACTS).is_file()
    if present and not known and overwrite:
        raise DataError(
            f"{output / present[0]}: this does not seem to have been written by `ie`",
            hint="choose another directory with --output, or move this file away.",
        )
    if present and facts is None and resume:
        raise DataError(
            f"{output} contains {present[0]}, but no {RUN} with the settings of the run",
            hint="start again in another directory with --output, or replace it with --overwrite.",
        )
    if not (output / MODEL).is_symlink():
        require_replaceable(output / MODEL)


def _trained_on(facts: Facts | None) -> str:
    """Name the training data of a run: two recipes may give their runs the same name."""
    recipe = (facts or {}).get("recipe")
    sections = [recipe, *(recipe.get("tasks") or {}).values()] if isinstance(recipe, dict) else []
    parts = [
        part["data"].get("train") for part in sections if isinstance(part, dict) and isinstance(part.get("data"), dict)
    ]
    files = [str(file) for part in parts for file in (part if isinstance(part, list) else [part])]
    return f", trained on {', '.join(dict.fromkeys(files))}" if files else ""


def require_outside(output: Path, model: str | None) -> None:
    """Check that the model that a run starts from is not in the directory that the run writes.

    Raises:
        DataError: the run would replace the model, and could not be resumed then.
    """
    if model is not None and Path(model).resolve().is_relative_to(output.resolve()):
        raise DataError(
            f"{output}: training.init_from ({model}) is in this directory, which the run would replace",
            hint="choose another directory with --output.",
        )


def contents_of(output: Path) -> list[str]:
    """Return the names in a directory without the lock and what interrupted processes have left; empty if it is missing."""
    if not output.exists():
        return []
    return [path.name for path in output.iterdir() if path.name != LOCK and not is_workspace(path.name)]


@contextmanager
def locked_directory(output: Path) -> Iterator[None]:
    """Create the directory, and lock it against other runs.

    Raises:
        DataError: another run uses it.
        StorageError: it cannot be created.
    """
    with storing(output):
        output.mkdir(parents=True, exist_ok=True)
    with locked(output / LOCK, _busy(output), remove=True):
        yield


def require_idle(output: Path) -> None:
    """Check that no other run uses a directory.

    Raises:
        DataError: another run uses it.
    """
    require_unlocked(output / LOCK, _busy(output))


def _busy(output: Path) -> str:
    return f"{output}: another run is using this directory"


def clear(output: Path, *, keep: Path | None = None) -> None:
    """Remove the files of an earlier run, and keep others; `run.json` goes first, which invalidates the rest.

    If the directory contains several runs that were compared, their files are removed, too.

    Args:
        output: the directory.
        keep: the directory of one of several runs that is kept.
    """
    clean_up(output)
    for name in RUN_FILES:
        if name == CHECKPOINTS:
            discard_checkpoints(output)
        else:
            discard(output / name)
    for directory in member_directories(output):
        if directory != keep:
            clear(directory)
            with suppress(OSError):  # it contains other files
                directory.rmdir()
    for name in SERIES_FILES:  # last, so that the runs are found again if the process ends in between
        discard(output / name)


def clean_up(output: Path) -> None:
    """Clean up after an interrupted process: restore a model that was being replaced, and remove temporary files."""
    for directory in (output, output / MODEL, output / CHECKPOINTS):
        if not directory.is_symlink():
            sweep(directory)


def finish_directory(output: Path) -> None:
    """Remove what a finished run no longer needs."""
    clean_up(output)
    discard_checkpoints(output)


def discard_checkpoints(output: Path) -> None:
    """Remove the checkpoints of a run, and their directory if it is then empty; a link itself is removed, not its target."""
    directory = output / CHECKPOINTS
    if directory.is_symlink() or not directory.is_dir():
        discard(directory)
        return
    for path in directory.iterdir():
        if CHECKPOINT_NAME.fullmatch(path.name):
            discard(path)
    with suppress(OSError):
        directory.rmdir()


def discard(path: Path) -> None:
    """Remove a file or directory, which is renamed first so that it never appears in part; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with workspace(path.parent, path.name) as room:
        os.replace(path, room / "gone")


def tokens_of_run(facts: Facts, recipe: Recipe) -> dict[str, Any]:
    """Return what the tokens of each task's training data are in a run; in runs of version 0.1, words."""
    found = facts.get(TOKENS, dict.fromkeys(recipe.instances(), "words"))
    return found if isinstance(found, dict) else {}


def whole_words_of_run(facts: Facts) -> tuple[str, ...]:
    """Return the tasks of a run that find only spans of whole words; in runs of earlier versions, there are none."""
    return tuple(facts.get(WHOLE_WORDS, ()))


def run_facts(
    recipe: Recipe,
    data: Mapping[str, TaskData],
    schemas: Mapping[str, Mapping[str, Any]],
    *,
    encoder: str,
    precision: Precision,
    techniques: Sequence[str] = (),
    initial: str | None = None,
    rate_factors: bool = True,
    whole_words: Sequence[str] = (),
    processes: int = 1,
) -> Facts:
    """Return the settings that must not change if a run is resumed: recipe, data, schema, encoder and precision.

    Args:
        recipe: the recipe.
        data: the data by task.
        schemas: the schemas by task.
        encoder: configuration and tokenizer of the encoder as text.
        precision: the precision that the recipe results in on this machine.
        techniques: names of the techniques.
        initial: hash of the model that the run starts from.
        rate_factors: whether some weights of heads learn faster than others.
        whole_words: names of the tasks that find only spans of whole words.
        processes: number of processes of the run.
    """
    data_fingerprints = {
        name: {"train": part.train.fingerprint, "dev": part.dev.fingerprint if part.dev is not None else None}
        for name, part in data.items()
    }
    return {
        "format_version": 1,
        "finished": False,
        "recipe": recipe.model_dump(mode="json"),
        "data": _by_task(recipe, data_fingerprints),
        TOKENS: {name: part.train.tokens for name, part in data.items()},
        "schema": _by_task(recipe, {name: json.loads(json.dumps(schema)) for name, schema in schemas.items()}),
        **({"techniques": list(techniques)} if techniques else {}),
        **({RATE_FACTORS: True} if rate_factors else {}),
        **({"initial": initial} if initial is not None else {}),
        **({WHOLE_WORDS: list(whole_words)} if whole_words else {}),
        **({PROCESSES: processes} if processes > 1 else {}),
        "precision": precision,
        "encoder": hashlib.blake2b(encoder.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
    }


def _by_task(recipe: Recipe, parts: Mapping[str, Any]) -> Any:
    """Return values by task, or the only value without its name if the recipe has the short form, as in version 0.1."""
    return dict(parts) if recipe.tasks else next(iter(parts.values()))


def stored_schemas(recipe: Recipe, facts: Facts) -> Mapping[str, Any]:
    """Return the schemas of a run by task; empty if they are those of another form of the recipe."""
    schema: Mapping[str, Any] = facts["schema"]
    if recipe.tasks:
        return schema if set(schema) == set(recipe.tasks) else {}
    return {} if "labels" not in schema else dict.fromkeys(recipe.instances(), schema)


def read_run(output: Path) -> Facts | None:
    """Read the facts of the run in a directory; return None if there is no run.

    Raises:
        DataError: the file is damaged, or was written by a newer version.
    """
    file = output / RUN
    if not file.is_file():
        return None
    try:
        facts: Facts = read_json(file)
        if facts["format_version"] > 1:
            raise DataError(f"{file}: was written by a newer version", hint=f"upgrade `ie`: {upgrade_hint()}")
        if not isinstance(facts["finished"], bool) or not {"recipe", "data", "schema", "encoder"} <= facts.keys():
            raise ValueError("incomplete")
        require_intact(facts)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{file}: damaged: {error}", hint="start again with --overwrite.") from error
    return facts


def write_run(output: Path, facts: Facts) -> None:
    """Store the facts of a run."""
    replace_text(output / RUN, json.dumps(with_checksum(facts), ensure_ascii=False, indent=2) + "\n")
