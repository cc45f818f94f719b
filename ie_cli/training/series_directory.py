"""The directory of several runs that are compared: their names and scores in `seeds.json` or `folds.json`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ie_cli.errors import DataError, RecipeError
from ie_cli.inference.model_directory import CARD, WEIGHTS, new_directory, read_card
from ie_cli.reports.model_card import with_section
from ie_cli.system.atomic import replace_text
from ie_cli.system.checksums import require_intact, with_checksum
from ie_cli.system.distribution import upgrade_hint
from ie_cli.system.json_reading import read_json
from ie_cli.system.text import write_text
from ie_cli.training.series_plan import SeriesPlan
from ie_cli.training.series_summary import SeriesSummary

_FILES = {"seed": "seeds.json", "fold": "folds.json"}
SERIES_FILES = tuple(_FILES.values())
SHARES = "processes"
"""The field for the number of processes for whose batches together the runs are computed; it is left out for one."""
_MEMBER = re.compile(r"(?:seed|fold)-\d{1,10}")
Facts = dict[str, Any]


def member_directories(output: Path) -> list[Path]:
    """Return the directories of the runs that are compared in a directory; empty if it contains no such runs."""
    if not any((output / name).is_file() for name in SERIES_FILES):
        return []
    found = (path for path in output.iterdir() if _MEMBER.fullmatch(path.name))
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def read_series(output: Path) -> Facts | None:
    """Read the facts of the runs that are compared in a directory; return None if there are none.

    Raises:
        DataError: the file is damaged, or was written by a newer version.
    """
    for kind, name in _FILES.items():
        file = output / name
        if not file.is_file():
            continue
        try:
            facts: Facts = read_json(file)
            if facts["format_version"] > 1:
                raise DataError(f"{file}: was written by a newer version", hint=f"upgrade `ie`: {upgrade_hint()}")
            names = facts["runs"]
            if facts["kind"] != kind or not isinstance(facts["finished"], bool) or not isinstance(names, list):
                raise ValueError("incomplete")
            if not isinstance(facts.get(SHARES, 1), int):
                raise ValueError(f"{SHARES} is not a number")
            require_intact(facts)
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise DataError(f"{file}: damaged: {error}", hint="start again with --overwrite.") from error
        return facts
    return None


def write_series(output: Path, plan: SeriesPlan, results: Mapping[str, Any] | None = None, *, shares: int = 1) -> None:
    """Store the names of runs and, when all are finished, their results.

    Args:
        output: the directory that contains them.
        plan: the runs.
        results: their results.
        shares: number of processes for whose batches together their steps are computed.
    """
    facts = {
        "format_version": 1,
        "kind": plan.kind,
        "finished": results is not None,
        "runs": plan.names,
        **({SHARES: shares} if shares > 1 else {}),
        **(results or {}),
    }
    text = json.dumps(with_checksum(facts), ensure_ascii=False, indent=2)
    replace_text(output / _FILES[plan.kind], text + "\n")


def require_familiar(output: Path) -> None:
    """Check that the files that an overwritten series would lose were written by `ie`: anybody may call a file `seeds.json`.

    Raises:
        DataError: a file is something else.
    """
    for name in SERIES_FILES:
        file = output / name
        if os.path.lexists(file) and not member_directories(output) and not _has_runs(file):
            raise DataError(
                f"{file}: this does not seem to have been written by `ie`",
                hint="choose another directory with --output, or move this file away.",
            )


def _has_runs(file: Path) -> bool:
    """Return whether a file lists runs, damaged or not."""
    try:
        facts = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and {"format_version", "kind", "runs"} <= facts.keys()


def require_no_series(output: Path) -> None:
    """Check that a directory for a new run does not contain several runs that are compared.

    Raises:
        DataError: it does; the hint says how to continue them.
    """
    facts = read_series(output)
    if facts is None:
        return
    option = _option(facts)
    remedy = (
        f"continue them with {option} --resume" if not facts["finished"] else "choose another directory with --output"
    )
    raise DataError(
        f"{output} contains {'the' if facts['finished'] else 'unfinished'} runs of `ie train {option}`",
        hint=f"{remedy}, or replace them with --overwrite.",
    )


def require_same_plan(output: Path, plan: SeriesPlan) -> Facts | None:
    """Return the facts of the runs to resume, or None if there are none.

    More seeds than before are allowed: finished runs are kept, and the new ones are added.

    Raises:
        RecipeError: the directory contains other runs.
    """
    facts = read_series(output)
    if facts is None:
        return None
    before, now = facts["runs"], plan.names
    if before == now or (plan.kind == "seed" and before == now[: len(before)]):
        return facts
    raise RecipeError(
        f"{output} was started with {_option(facts)} ({before[0]} to {before[-1]}), now with {plan.option} "
        f"({now[0]} to {now[-1]})",
        hint=f"continue with {_option(facts)} and the same training.seed, or start again with --overwrite or another --output.",
    )


def _option(facts: Facts) -> str:
    return f"--{facts['kind']}s {len(facts['runs'])}"


def keep_model(source: Path, target: Path, summary: SeriesSummary) -> None:
    """Copy the model of one of several runs, and add the scores of all to its card; an older model is replaced.

    The weights are not copied if the file system can give one file two names.
    """
    with new_directory(target) as directory:
        for file in sorted(source.iterdir()):
            if not file.is_file() or file.name.startswith("."):
                continue
            if file.name == WEIGHTS and _linked(file, directory / file.name):
                continue
            shutil.copyfile(file, directory / file.name)
        if (card := read_card(source / CARD)) is not None:
            write_text(directory / CARD, with_section(card, f"Scores of {summary.title}", summary.table()))


def _linked(file: Path, name: Path) -> bool:
    """Give a file a second name, and return whether the file system supports that."""
    try:
        os.link(file, name)
    except (OSError, NotImplementedError):
        return False
    return True
