"""Discontinuous spans, which the data model does not contain: a brat directory keeps their lines in a user field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ie_cli.document.fields import BRAT

if TYPE_CHECKING:
    from ie_cli.document import Document

FRAGMENTS = re.compile(r"\d{1,15} \d{1,15}(?:;\d{1,15} \d{1,15})*")
"""The offsets of a text-bound annotation of brat."""


@dataclass(frozen=True, slots=True)
class DiscontinuousSpan:
    """A span of several pieces; each has a start and an end, in characters, the end exclusive."""

    label: str
    pieces: tuple[tuple[int, int], ...]

    def mention(self, text: str) -> str:
        """Return the text of the pieces, with an ellipsis for what is between two of them."""
        return " … ".join(text[start:end] for start, end in self.pieces)


def pieces_of(offsets: str) -> list[tuple[int, int]]:
    """Return the pieces that offsets such as ``0 4;15 24`` name."""
    return [(int(start), int(end)) for start, end in (piece.split(" ") for piece in offsets.split(";"))]


def are_discontinuous(pieces: Sequence[tuple[int, int]], text: str) -> bool:
    """Return whether there is text between two pieces, or their order is not that of the text."""
    return any(b[0] < a[1] or text[a[1] : b[0]].strip() for a, b in pairwise(pieces))


def discontinuous_spans(document: Document) -> list[DiscontinuousSpan]:
    """Return the discontinuous spans whose lines a document keeps, in their order."""
    lines = document.meta.get(BRAT)
    return list(_spans(lines, document.text)) if isinstance(lines, list) else []


def _spans(lines: Sequence[object], text: str) -> Iterator[DiscontinuousSpan]:
    for line in lines:
        if not isinstance(line, str) or not line.startswith("T"):
            continue
        label, _, offsets = line.partition("\t")[2].partition("\t")[0].partition(" ")
        if not label or not FRAGMENTS.fullmatch(offsets):
            continue
        pieces = pieces_of(offsets)
        if all(0 <= start < end <= len(text) for start, end in pieces) and are_discontinuous(pieces, text):
            yield DiscontinuousSpan(label, tuple(pieces))
