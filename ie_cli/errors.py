"""The errors of `ie`: each says where, what was got and what to do; the CLI prints them without a traceback, exit code 1."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

OUT_OF_MEMORY = "out of memory"
"""How the message begins of every error of too little memory."""


class IEError(Exception):
    """An error of the user's input or surroundings, told in one or two lines.

    Args:
        message: where it is and what was got, e.g. ``data.jsonl:17: entity 'ORG' covers 12-40, but the text has 31``.
        hint: what to do about it; printed on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RecipeError(IEError):
    """A recipe that cannot be read or does not fit the schema; the message lists every fault at once."""


class DataError(IEError):
    """A data file that cannot be read, or a line in it that is wrong."""


class ModelError(IEError):
    """An encoder or a model folder that cannot be loaded, or does not fit."""


class TrainingError(IEError):
    """A training run that cannot go on, e.g. a loss that is not finite."""


class StorageError(IEError):
    """A file that cannot be written: the disk is full, or not ours to write to."""


class ServiceError(IEError):
    """A service that cannot start: its address, its token, or a package that is missing."""


class HubError(IEError):
    """A request that the Hub refuses, or that does not reach it."""


def hints(*parts: str | None) -> str | None:
    """Several hints as one, of which each may be left out."""
    said = [part.strip() for part in parts if part]
    if len(said) < 2:
        return said[0] if said else None
    return "; ".join(part.removesuffix(".") for part in said) + "."


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where no candidate is near."""
    near = nearest(word, candidates)
    return f"; did you mean '{near}'?" if near else ""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that looks most like a word, None where none does."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
