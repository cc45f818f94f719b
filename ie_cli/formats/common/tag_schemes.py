"""Tag sequences <-> token spans, for every scheme in use: IOB1, IOB2 (BIO), BIOES, BILOU, BMES."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTSIDE = "O"
_PREFIXES = frozenset("BIOESLUM")
_BEGIN, _LAST = frozenset("BSU"), frozenset("ESLU")

_BREAK = re.compile(r"[\t\n\r]")

Span = tuple[int, int, str]


def split_tag(tag: str) -> tuple[str, str] | None:
    """``("B", "PER")`` of ``B-PER`` or ``B_PER``, ``("O", "")`` of ``O``, None of what is no tag."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if len(tag) > 2 and tag[0] in _PREFIXES and tag[0] != OUTSIDE and tag[1] in "-_":
        return tag[0], tag[2:]
    return None


def spans_of(tags: Sequence[str]) -> tuple[list[Span], int]:
    """Spans (first, last token, label) of a valid or invalid sequence, as conlleval and seqeval read it.

    A span begins at B, S and U, and wherever a tag does not continue the one before it; one rule reads all schemes.

    Returns:
        The spans, and the number of tags that continue nothing although their scheme says they should.
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


def broken_labels(labels: Iterable[str]) -> dict[str, int]:
    """What is lost of labels that are written in columns, by what to say of it; empty where nothing is."""
    count = sum(_BREAK.search(label) is not None for label in labels)
    return {"labels hold a tab or a line break, and have a blank there": count} if count else {}


def scheme_of(tags: Iterable[Sequence[str]]) -> str:
    """Name the scheme of some sequences.

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
            fresh = before[0] == OUTSIDE or before[1] != parts[1]
            begins_plain |= parts[0] == "B" and fresh
            begins_inside |= parts[0] == "I" and fresh
            before = parts
    if prefixes & {"L", "U"}:
        return "BILOU"
    if "M" in prefixes:
        return "BMES"
    if prefixes & {"E", "S"}:
        return "BIOES"
    return "IOB1" if begins_inside and not begins_plain else "BIO"


def bio_tags(length: int, spans: Iterable[Span]) -> list[str]:
    """BIO tags of spans that do not overlap; for columns, so that a tab or line break in a label becomes a blank.

    >>> bio_tags(4, [(1, 2, "PER")])
    ['O', 'B-PER', 'I-PER', 'O']
    """
    tags = [OUTSIDE] * length
    for first, last, label in spans:
        label = _BREAK.sub(" ", label)
        tags[first] = f"B-{label}"
        tags[first + 1 : last + 1] = [f"I-{label}"] * (last - first)
    return tags
