"""Whether a recipe and its data still are those of the run in a directory, which `--resume` requires."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ie_cli.data.dataset import splits
from ie_cli.errors import DataError, RecipeError
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.threshold import DEFAULT_THRESHOLD
from ie_cli.training.run_directory import MODEL, RATE_FACTORS, Facts, tokens_of_run

_NO_EFFECT_ON_RESULT = {
    "training.trackers",
    "training.checkpoint_every",
    "training.checkpoints",
    "training.shard_weights",
}
_MAY_CHANGE = _NO_EFFECT_ON_RESULT | {"training.eval_batch_size", "card.language", "card.license"}
"""Fields that may change while a run is unfinished; the rest of the run uses their new values."""
_PRECISION = "training.precision"
_INITIAL = "training.init_from"
_BY_CONTENT = re.compile(r"(?:tasks\.(?P<task>[^.]+)\.)?data\.(?P<part>train|dev|test|schema_file)")
"""Fields for files that are compared by content, not by name."""


def with_started_thresholds(recipe: Recipe, before: Facts) -> Recipe:
    """Return a recipe with the default thresholds of an earlier version, if a run was started by one.

    Earlier versions stored the default as 0.5 and chose no threshold, so a run that they started does not, either. In runs of
    this version, which have rate factors, 0.5 is what the recipe set.
    """
    if before.get(RATE_FACTORS, False):
        return recipe
    stored = before["recipe"]
    heads = {name: (section, _stored_head(stored, name)) for name, section in recipe.instances().items()}
    earlier = {
        name: section.model_copy(update={"head": section.head.model_copy(update={"threshold": DEFAULT_THRESHOLD})})
        for name, (section, head) in heads.items()
        if section.head.threshold == "auto" and head.get("threshold") == DEFAULT_THRESHOLD
    }
    if recipe.tasks:
        return recipe.model_copy(update={"tasks": {**recipe.tasks, **earlier}})
    [head] = [section.head for section in (earlier or recipe.instances()).values()]
    return recipe.model_copy(update={"head": head})


def _stored_head(recipe: Any, task: str) -> Mapping[str, Any]:
    """Return the head of a task in a stored recipe; empty if it has no such task."""
    sections = recipe.get("tasks") or {}
    head = (sections.get(task) or {} if sections else recipe).get("head")
    return head if isinstance(head, dict) else {}


def require_unchanged(output: Path, before: Facts, now: Facts) -> None:
    """Check that a run to resume was started with the same recipe, data, schema, encoder and techniques.

    Raises:
        RecipeError, DataError: something differs.
    """
    old, new = _flatten(_with_defaults(before["recipe"])), _flatten(now["recipe"])
    changed = []
    for name in _different(old, new, _MAY_CHANGE):
        if name == _PRECISION and old.get(name) == "auto":
            continue  # the resulting precision is compared
        part, compared = _part(name), _stored_fingerprint(before, name) is not None
        named = isinstance(old.get(name), (str, list)) and isinstance(new.get(name), (str, list))
        if named and part and (compared or part not in ("train", "dev")):
            continue  # the file may have been moved; its content is compared
        if name == "encoder.name" and os.path.isdir(str(new.get(name))):
            continue  # the directory may have been moved; configuration and tokenizer are compared
        if name == _INITIAL and None not in (old.get(name), new.get(name)):
            continue  # the directory may have been moved; its content is compared
        changed.append(name)
    hint = "undo the change, or start again in another directory with --output or with --overwrite."
    if changed:
        raise RecipeError(f"{output} was started with a different recipe: {_describe(changed, old, new)}", hint=hint)
    for name in new:
        if _part(name) not in ("train", "dev"):
            continue
        if _stored_fingerprint(before, name) != _stored_fingerprint(now, name):
            raise DataError(f"{output} was started with different data: {_files(name, new)} has changed", hint=hint)
    kinds = {
        "schema": "labels or predicates",
        "encoder": "encoder settings or tokenizer",
        "techniques": "techniques",
        "initial": f"weights: the model in {_INITIAL} has changed",
    }
    for what, name in kinds.items():
        if before.get(what) != now.get(what):
            raise DataError(f"{output} was started with different {name}", hint=hint)


def require_same_result(output: Path, before: Facts, recipe: Recipe, initial: str | None) -> None:
    """Check that a finished run has the result that a recipe asks for, so that no change is ignored.

    Data are compared by content, if their files still exist.

    Args:
        output: the directory of the run.
        before: the facts of the run.
        recipe: the recipe.
        initial: hash of the model that the recipe starts from; None if there is none or its directory is missing.

    Raises:
        RecipeError, DataError: the result would differ.
    """
    old, new = _flatten(_with_defaults(before["recipe"])), _flatten(recipe.model_dump(mode="json"))
    now = dict(_fingerprints(recipe, tokens_of_run(before, recipe)))
    changed = [
        name
        for name in _different(old, new, _NO_EFFECT_ON_RESULT)
        if not (
            (name == _PRECISION and new.get(name) == before.get("precision"))
            or (name == _INITIAL and initial is not None and initial == before.get("initial"))
            or (now.get(name) is not None and _stored_fingerprint(before, name) is not None)
            or _was_moved(name, old.get(name), new.get(name))
        )
    ]
    hint = (
        f"train on from its model with --set {_INITIAL}={output / MODEL} and another --output, start again with --overwrite, or "
        "undo the change; `ie eval` scores the model on other data."
    )
    if changed:
        raise RecipeError(
            f"{output} is finished, and was trained with a different recipe: {_describe(changed, old, new)}", hint=hint
        )
    for name, fingerprint in now.items():
        if fingerprint is not None and _stored_fingerprint(before, name) not in (None, fingerprint):
            raise DataError(
                f"{output} is finished, and was trained with different data: {_files(name, new)} has changed", hint=hint
            )


def require_same_precision(output: Path, before: Facts, now: Facts) -> Precision | None:
    """Return the precision that a run was started in if the recipe sets a different one, or None if it is the same.

    Raises:
        DataError: the precision differs because `auto` results in another one on this machine.
    """
    then, since = before.get("precision", now["precision"]), now["precision"]  # version 0.2 did not store it
    if then == since:
        return None
    if _flatten(now["recipe"])[_PRECISION] != "auto":
        return cast(Precision, then)
    raise DataError(
        f"{output} was started in {then}, but {_PRECISION}: auto results in {since} on this machine",
        hint=f"continue in the same precision, even if it is slower: --set {_PRECISION}={then}; or change it for the rest "
        f"of the run: --set {_PRECISION}={since}.",
    )


def _fingerprints(recipe: Recipe, tokens: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield the fields for training and development data with the fingerprints of their contents, if they are files.

    Args:
        recipe: the recipe.
        tokens: what the tokens of each task's training data are in the run.
    """
    for task, section in recipe.instances().items():
        prefix = f"tasks.{task}." if recipe.tasks else ""
        train, dev, _ = splits(section.data, tokens=tokens.get(task))
        for part, split in (("train", train), ("dev", dev)):
            if split is not None:
                yield f"{prefix}data.{part}", split.fingerprint


def _was_moved(name: str, old: Any, new: Any) -> bool:
    """Return whether a field names a file or directory that is no longer in its earlier place, under the same name."""
    if name != "encoder.name" and _part(name) is None:
        return False
    olds, news = ([value] if isinstance(value, str) else value for value in (old, new))
    if not isinstance(olds, list) or not isinstance(news, list) or len(olds) != len(news):
        return False
    return all(
        os.path.realpath(before) == os.path.realpath(now)
        or (os.path.basename(before) == os.path.basename(now) and os.path.exists(now) and not os.path.exists(before))
        for before, now in zip(olds, news, strict=True)
    )


def _different(old: Mapping[str, Any], new: Mapping[str, Any], ignored: set[str]) -> Iterator[str]:
    return (name for name in sorted((old.keys() | new.keys()) - ignored) if old.get(name) != new.get(name))


def _describe(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} was {_short(old.get(name))} and is now {_short(new.get(name))}" for name in names[:8])


def _part(name: str) -> str | None:
    """Return the part of the data that a field names files of: train, dev, test or schema_file."""
    match = _BY_CONTENT.fullmatch(name)
    return match["part"] if match else None


def _stored_fingerprint(facts: Facts, name: str) -> Any:
    """Return the fingerprint of the data that a field names."""
    match = _BY_CONTENT.fullmatch(name)
    if match is None:
        return None
    known = facts["data"].get(match["task"], {}) if match["task"] else facts["data"]
    return known.get(match["part"])


def _files(name: str, recipe: Mapping[str, Any]) -> str:
    value = recipe[name]
    return f"{name} ({', '.join(value) if isinstance(value, list) else value})"


def _with_defaults(recipe: Any) -> Any:
    """Return the recipe of an earlier version with defaults for fields that were added later."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe


def _flatten(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _short(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 40 else shown[:39] + "…"
