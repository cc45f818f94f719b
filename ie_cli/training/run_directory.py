"""The folder of a training run: what is in it, who works in it, and whether the run in it can be gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError

from ie_cli.data.reading import TaskData
from ie_cli.errors import DataError, RecipeError
from ie_cli.inference.model_directory import FACTS, must_be_named_in_utf8, must_be_replaceable
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.system.atomic import locked, refuse_locked, replace_text, storing
from ie_cli.system.checksums import require_intact, sealed
from ie_cli.system.json_reading import loads
from ie_cli.system.temporary import is_workspace, sweep, workspace

MODEL, CHECKPOINTS, RUN, LOG, TENSORBOARD, LOCK = "model", "checkpoints", "run.json", "log.csv", "tensorboard", ".lock"
RUN_FILES = (RUN, CHECKPOINTS, MODEL, LOG, TENSORBOARD)  # what a run writes into its folder
CHECKPOINT_NAME = re.compile(r"step-(\d{9})")
_FREE = {
    "training.trackers",
    "training.checkpoint_every",
    "training.checkpoints",
    "training.eval_batch_size",
    "card.language",
    "card.license",
}
_PRECISION = "training.precision"
_BY_CONTENT = re.compile(r"(?:tasks\.(?P<task>[^.]+)\.)?data\.(?P<part>train|dev|test|schema_file)")
"""Files of a recipe whose contents count, not their names."""

Facts = dict[str, Any]


def refuse_existing(output: Path, *, overwrite: bool = False, resume: bool = False) -> None:
    """Raise where there is something in `output` already that nobody asked to replace or to go on with.

    Raises:
        DataError: what is there, and what to do.
        ModelError: `model` is no model folder.
    """
    must_be_named_in_utf8(output)
    if output.is_file():
        raise DataError(f"{output} is a file", hint="give a folder with --output.")
    if not output.exists() or not any(not _is_rest(path) for path in output.iterdir()):
        return
    facts = read_run(output) if not overwrite else None
    if not overwrite and not resume:
        what, remedy = "exists already", "choose another folder with --output, or replace it with --overwrite."
        if facts is not None and not facts["finished"]:
            what = "holds a run that is not finished"
            remedy = "go on with it: --resume; or replace it with --overwrite."
        raise DataError(f"{output} {what}", hint=remedy)
    there = [name for name in RUN_FILES if os.path.lexists(output / name)]
    known = (output / RUN).is_file() or (output / MODEL / FACTS).is_file()  # older versions wrote no run.json
    if there and not known and overwrite:
        raise DataError(
            f"{output / there[0]}: no run of `ie` wrote it, as far as one can see",
            hint="choose another folder with --output, or move it away.",
        )
    if there and facts is None and resume:
        raise DataError(
            f"{output} holds {there[0]}, but no {RUN} that tells how a run was begun",
            hint="begin anew in another folder with --output, or replace it with --overwrite.",
        )
    if not (output / MODEL).is_symlink():
        must_be_replaceable(output / MODEL)


def _is_rest(path: Path) -> bool:
    """Whether a file is the lock, or what a process left that ended too early."""
    return path.name == LOCK or is_workspace(path.name)


@contextmanager
def own_folder(output: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it.

    Raises:
        DataError: another run works in it.
        StorageError: it cannot be made.
    """
    with storing(output):
        output.mkdir(parents=True, exist_ok=True)
    with locked(output / LOCK, _busy(output), remove=True):
        yield


def refuse_busy(output: Path) -> None:
    """Tell early that another run works in a folder.

    Raises:
        DataError: it does.
    """
    refuse_locked(output / LOCK, _busy(output))


def _busy(output: Path) -> str:
    return f"{output}: another run is at work in it"


def clear(output: Path) -> None:
    """Remove what an earlier run wrote; files of others stay. `run.json` goes first: the rest then counts for nothing."""
    tidy(output)
    for name in RUN_FILES:
        if name == CHECKPOINTS:
            discard_checkpoints(output)
        else:
            discard(output / name)


def tidy(output: Path) -> None:
    """Make up for a process that ended too early: put back a model that was being replaced, remove what has no name."""
    for folder in (output, output / MODEL, output / CHECKPOINTS):
        if not folder.is_symlink():
            sweep(folder)


def finish_folder(output: Path) -> None:
    """Remove what a finished run needs no more."""
    tidy(output)
    discard_checkpoints(output)


def discard_checkpoints(output: Path) -> None:
    """Remove the checkpoints of a run, and their folder where nothing else is in it; a link is removed as such."""
    folder = output / CHECKPOINTS
    if folder.is_symlink() or not folder.is_dir():
        discard(folder)
        return
    for path in folder.iterdir():
        if CHECKPOINT_NAME.fullmatch(path.name):
            discard(path)
    with suppress(OSError):
        folder.rmdir()


def discard(path: Path) -> None:
    """Remove a file or a folder; a folder loses its name first, so that it is never there in part. Links are not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with workspace(path.parent, path.name) as room:
        os.replace(path, room / "gone")


def run_facts(
    recipe: Recipe,
    data: Mapping[str, TaskData],
    schemas: Mapping[str, Mapping[str, Any]],
    *,
    encoder: str,
    precision: Precision,
    techniques: Sequence[str] = (),
) -> Facts:
    """What must be the same for a run to go on: the recipe, the data, the schema, the encoder, the precision.

    Args:
        data, schemas: by task.
        encoder: its configuration and tokenizer as text.
        precision: what the recipe's comes to on this machine.
        techniques: their names.
    """
    of_data = {
        name: {"train": part.train.fingerprint, "dev": part.dev.fingerprint if part.dev is not None else None}
        for name, part in data.items()
    }
    return {
        "format_version": 1,
        "finished": False,
        "recipe": recipe.model_dump(mode="json"),
        "data": _by_form(recipe, of_data),
        "schema": _by_form(recipe, {name: json.loads(json.dumps(schema)) for name, schema in schemas.items()}),
        **({"techniques": list(techniques)} if techniques else {}),
        "precision": precision,
        "encoder": hashlib.blake2b(encoder.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
    }


def _by_form(recipe: Recipe, parts: Mapping[str, Any]) -> Any:
    """What is known of each task; of a recipe in the short form without the name, as version 0.1 has it."""
    return dict(parts) if recipe.tasks else next(iter(parts.values()))


def read_run(output: Path) -> Facts | None:
    """The facts of the run in a folder; None where there is none.

    Raises:
        DataError: the file is damaged, or written by a newer version.
    """
    file = output / RUN
    if not file.is_file():
        return None
    try:
        facts: Facts = loads(file.read_text(encoding="utf-8"))
        if facts["format_version"] > 1:
            raise DataError(f"{file}: written by a newer version", hint="update: pip install -U ie-cli")
        if not isinstance(facts["finished"], bool) or not {"recipe", "data", "schema", "encoder"} <= facts.keys():
            raise ValueError("incomplete")
        require_intact(facts)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{file}: damaged: {error}", hint="begin anew with --overwrite.") from error
    return facts


def write_run(output: Path, facts: Facts) -> None:
    """Store the facts of a run."""
    replace_text(output / RUN, json.dumps(sealed(facts), ensure_ascii=False, indent=2) + "\n")


def refuse_changed(output: Path, before: Facts, now: Facts) -> None:
    """Raise where a run was begun with something else than it would go on with.

    Raises:
        RecipeError, DataError: naming what differs.
    """
    old, new = _flat(_filled(before["recipe"])), _flat(now["recipe"])
    changed = []
    for name in sorted((old.keys() | new.keys()) - _FREE):
        if old.get(name) == new.get(name):
            continue
        if name == _PRECISION and old.get(name) == "auto":
            continue  # what it came to is compared
        match = _BY_CONTENT.fullmatch(name)
        if match and isinstance(old.get(name), (str, list)) and isinstance(new.get(name), (str, list)):
            known = before["data"].get(match["task"], {}) if match["task"] else before["data"]
            if match["part"] not in ("train", "dev") or known.get(match["part"]) is not None:
                continue  # moved, perhaps: what is in it is compared
        if name == "encoder.name" and os.path.isdir(str(new.get(name))):
            continue  # moved, perhaps: its configuration and tokenizer are compared
        changed.append(f"{name} was {_short(old.get(name))} and is {_short(new.get(name))}")
    hint = "take the change back; or begin anew in another folder with --output, or with --overwrite."
    if changed:
        raise RecipeError(f"{output} was begun with another recipe: {'; '.join(changed[:8])}", hint=hint)
    for name in new:
        match = _BY_CONTENT.fullmatch(name)
        if match is None or match["part"] not in ("train", "dev"):
            continue
        then, since = (
            facts["data"].get(match["task"], {}) if match["task"] else facts["data"] for facts in (before, now)
        )
        if then.get(match["part"]) != since.get(match["part"]):
            files = ", ".join(new[name]) if isinstance(new[name], list) else new[name]
            raise DataError(f"{output} was begun with other data: {name} ({files}) was changed since", hint=hint)
    kinds = {"schema": "labels or predicates", "encoder": "encoder settings or tokenizer", "techniques": "techniques"}
    for what, called in kinds.items():
        if before.get(what) != now.get(what):
            raise DataError(f"{output} was begun with other {called}", hint=hint)


def refuse_other_precision(output: Path, before: Facts, now: Facts) -> Precision | None:
    """The precision that a run was begun in, where the recipe demands another one for the rest; None where it is the same.

    Raises:
        DataError: nobody demands it, but `auto` comes to another one on this machine.
    """
    then, since = before.get("precision", now["precision"]), now["precision"]  # version 0.2 did not store it
    if then == since:
        return None
    if _flat(now["recipe"])[_PRECISION] != "auto":
        return cast(Precision, then)
    raise DataError(
        f"{output} was begun in {then}, but {_PRECISION}: auto is {since} on this machine",
        hint=f"go on as it was begun, if slower: --set {_PRECISION}={then}; or change it for the rest of the run: "
        f"--set {_PRECISION}={since}.",
    )


def _filled(recipe: Any) -> Any:
    """The recipe of an earlier version with the defaults of fields that came later."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _short(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 40 else shown[:39] + "…"


State = Literal["none", "unfinished", "finished"]


def state_of(output: Path) -> State:
    """How far the run in a folder came."""
    facts = read_run(output)
    if facts is None:
        return "none"
    return "finished" if facts["finished"] else "unfinished"
