"""Errors of `ie`. Each names the place, the value found and the remedy; the CLI prints it without a traceback, exit code 1."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

OUT_OF_MEMORY = "out of memory"
"""The beginning of the message of every out-of-memory error."""


class IEError(Exception):
    """An error in the user's input or environment, reported in one or two lines.

    Args:
        message: the place and the value found, e.g. ``data.jsonl:17: entity 'ORG' covers 12-40, but the text has 31``.
        hint: what to do about it; printed on a separate line.
    """

    everywhere = False
    """Whether all processes of a training run raise the error, so that only the first one reports it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # shown below the message in a traceback


class RecipeError(IEError):
    """A recipe that cannot be read or does not fit the schema; the message lists every problem at once."""


class DataError(IEError):
    """A data file that cannot be read, or an invalid line in it."""


class ModelError(IEError):
    """An encoder or a model directory that cannot be loaded or is incompatible."""


class TrainingError(IEError):
    """A training run that cannot continue, e.g. because the loss is not finite."""


class StorageError(IEError):
    """A file that cannot be written, e.g. because the disk is full or write permission is missing."""


class ServiceError(IEError):
    """A service that cannot start because of its address, its token or a missing package."""


class HubError(IEError):
    """A request that the Hub rejects, or that does not reach it."""


def join_hints(*parts: str | None) -> str | None:
    """Join several hints into one, skipping those that are None or empty."""
    given = [part.strip() for part in parts if part]
    if len(given) < 2:
        return given[0] if given else None
    return "; ".join(part.removesuffix(".") for part in given) + "."


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun in the singular or plural; the plural is ``noun + "s"`` unless given.

    >>> counted(1, "record"), counted(1200, "record"), counted(0, "entity", "entities")
    ('1 record', '1,200 records', '0 entities')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return seconds formatted as ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or an empty string if no candidate is similar."""
    near = nearest(word, candidates)
    return f"; did you mean '{near}'?" if near else ""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to a word, or None if none is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
