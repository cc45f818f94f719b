"""Conversion between tag sequences and token spans, for the schemes IOB1, IOB2 (BIO), BIOES, BILOU and BMES."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
_PREFIXES = frozenset("BIOESLUM")
_BEGIN, _LAST = frozenset("BSU"), frozenset("ESLU")

_BREAK = re.compile(r"[\t\n\r]")

Span = tuple[int, int, str]


def split_tag(tag: str) -> tuple[str, str] | None:
    """Split a tag: ``("B", "PER")`` for ``B-PER`` or ``B_PER``, ``("O", "")`` for ``O``, None if it is not a tag."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if len(tag) > 2 and tag[0] in _PREFIXES and tag[0] != OUTSIDE and tag[1] in "-_":
        return tag[0], tag[2:]
    return None


def spans_of(tags: Sequence[str]) -> tuple[list[Span], int]:
    """Decode spans (first token, last token, label) from a valid or invalid sequence, as conlleval and seqeval do.

    A span starts at B, S and U, and at every tag that does not continue the previous one; this rule covers all schemes.

    Returns:
        The spans, and the number of invalid tags, which should continue a span but have none to continue.
    """
    spans: list[Span] = []
    repaired = 0
    first: int | None = None
    before = (OUTSIDE, "")
    for token, tag in enumerate([*tags, OUTSIDE]):
        parts = split_tag(tag) or (OUTSIDE, "")
        prefix, label = parts
        ended = prefix == OUTSIDE or prefix in _BEGIN or label != before[1] or before[0] in _LAST
        if first is not None and ended:
            spans.append((first, token - 1, before[1]))
            first = None
        if prefix != OUTSIDE and first is None:
            first = token
            repaired += prefix not in _BEGIN
        before = parts
    return spans, repaired


def count_broken_labels(labels: Iterable[str]) -> dict[str, int]:
    """Count the labels that columns cannot store, by description; empty if there are none."""
    count = sum(_BREAK.search(label) is not None for label in labels)
    return {"labels that contain a tab or a line break get a space instead": count} if count else {}


def scheme_of(tags: Iterable[Sequence[str]]) -> str:
    """Return the name of the scheme of some sequences.

    >>> scheme_of([["B-PER", "I-PER", "O"]])
    'BIO'
    >>> scheme_of([["I-PER", "I-PER", "B-PER"]])
    'IOB1'
    """
    prefixes: set[str] = set()
    begins_plain = begins_inside = False
    for sequence in tags:
        before = (OUTSIDE, "")
        for tag in sequence:
            parts = split_tag(tag) or (OUTSIDE, "")
            prefixes.add(parts[0])
            starts_span = before[0] == OUTSIDE or before[1] != parts[1]
            begins_plain |= parts[0] == "B" and starts_span
            begins_inside |= parts[0] == "I" and starts_span
            before = parts
    if prefixes & {"L", "U"}:
        return "BILOU"
    if "M" in prefixes:
        return "BMES"
    if prefixes & {"E", "S"}:
        return "BIOES"
    return "IOB1" if begins_inside and not begins_plain else "BIO"


def bio_tags(length: int, spans: Iterable[Span]) -> list[str]:
    """Encode non-overlapping spans as BIO tags for columns; a tab or line break in a label becomes a space.

    >>> bio_tags(4, [(1, 2, "PER")])
    ['O', 'B-PER', 'I-PER', 'O']
    """
    tags = [OUTSIDE] * length
    for first, last, label in spans:
        label = _BREAK.sub(" ", label)
        tags[first] = f"B-{label}"
        tags[first + 1 : last + 1] = [f"I-{label}"] * (last - first)
    return tags
