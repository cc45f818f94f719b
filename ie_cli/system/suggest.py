"""Near misses, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where no candidate is near."""
    near = nearest(word, candidates)
    return f"; did you mean '{near}'?" if near else ""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that looks most like a word, None where none does."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
