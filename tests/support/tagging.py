"""Plain, slow references for heads of tags: every sequence of tags, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.tag_scheme import SCHEMES

Span = tuple[int, int, int]
"""(label, first token, last token)."""


def follows(scheme: str, before: str, after: str) -> bool:
    """Whether a tag may follow another one; `^` is the start, `$` the end."""
    ends = before in ("^", "O") or before[0] in ("BI" if scheme == "bio" else "ES")
    if after[0] in "O$BS":
        return ends
    return before[0] in "BI" and before[1:] == after[1:]


def tag_names(scheme: str, labels: int) -> list[str]:
    """Return the tags in the order of their scores."""
    letters = "BI" if scheme == "bio" else "BIES"
    return [f"{letter}-{label}" for letter in letters for label in range(labels)] + ["O"]


def legal_paths(scheme: str, labels: int, length: int) -> Iterator[tuple[int, ...]]:
    """Yield the legal sequences of tags."""
    names = tag_names(scheme, labels)
    for path in product(range(len(names)), repeat=length):
        marked = ["^", *(names[tag] for tag in path), "$"]
        if all(follows(scheme, one, other) for one, other in zip(marked, marked[1:], strict=False)):
            yield path


def spans_of(scheme: str, labels: int, path: tuple[int, ...]) -> set[Span]:
    """Return the entities of a legal sequence of tags."""
    names, found, first = tag_names(scheme, labels), set(), 0
    for token, tag in enumerate(path):
        name = names[tag]
        if name[0] in "BS":
            first = token
        following = names[path[token + 1]][0] if token + 1 < len(path) else "$"
        if name[0] in "ES" or (scheme == "bio" and name[0] in "BI" and following != "I"):
            found.add((int(name[2:]), first, token))
    return found


def path_total(
    emissions: npt.NDArray[np.float64], transitions: npt.NDArray[np.float64] | None, path: tuple[int, ...]
) -> float:
    """Return the score of a sequence; `transitions` has the start as its last row and the end as its last column."""
    total = float(sum(emissions[token, tag] for token, tag in enumerate(path)))
    if transitions is None:
        return total
    last = len(transitions) - 1
    return total + float(sum(transitions[a, b] for a, b in zip((last, *path), (*path, last), strict=True)))


def margins(
    scheme: str, emissions: npt.NDArray[np.float64], transitions: npt.NDArray[np.float64] | None
) -> tuple[dict[Span, float], set[Span]]:
    """Return the margin of every span, and the spans of the best sequence."""
    length, count = emissions.shape
    labels = (count - 1) // len(SCHEMES[scheme].blocks)
    paths = [
        (path_total(emissions, transitions, path), spans_of(scheme, labels, path))
        for path in legal_paths(scheme, labels, length)
    ]
    every = set().union(*(spans for _, spans in paths))
    found = {
        span: max(total for total, spans in paths if span in spans)
        - max(total for total, spans in paths if span not in spans)
        for span in every
    }
    return found, max(paths, key=lambda pair: pair[0])[1]
