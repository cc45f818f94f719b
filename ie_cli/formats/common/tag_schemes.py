"""Conversion between tag sequences and token spans, for the schemes IOB1, IOB2 (BIO), BIOES, BILOU and BMES."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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


NO_LABEL = "entity"
"""The label of entities whose tags have none, such as B, I and O alone."""
_BARE = frozenset("BIOESLUM")
_LABEL = re.compile(r"[^\W\d_][\w./+-]{0,39}")


@lru_cache
def _prefixed(tag: str) -> str | None:
    return tag if split_tag(tag) else None


@lru_cache
def _suffixed(tag: str) -> str | None:
    if tag == OUTSIDE:
        return tag
    suffixed = len(tag) > 2 and tag[-1] in _PREFIXES and tag[-1] != OUTSIDE and tag[-2] in "-_"
    return f"{tag[-1]}-{tag[:-2]}" if suffixed else None


@lru_cache
def _bare(tag: str) -> str | None:
    return tag if tag == OUTSIDE else f"{tag}-{NO_LABEL}" if tag in _BARE else None


@lru_cache
def _unprefixed(tag: str) -> str | None:
    if tag == OUTSIDE:
        return tag
    # A column of broken prefixed tags must not be read as one of labels.
    return f"I-{tag}" if _LABEL.fullmatch(tag) and not split_tag(tag) and not _suffixed(tag) else None


@dataclass(frozen=True, slots=True)
class TagStyle:
    """A way to write tags.

    Attributes:
        standard: converts a tag to a prefix and a label, as in ``B-PER``; the result is None if it is not a tag.
        example: a tag.
        note: what is unusual, for the report of a reader.
        rank: styles with a higher rank do not count beside others.
    """

    standard: Callable[[str], str | None]
    example: str
    note: str = ""
    rank: int = 0


PREFIXED = TagStyle(_prefixed, "B-PER")
_STYLES = (
    PREFIXED,
    TagStyle(_suffixed, "PER-B", "the prefix follows the label (PER-B)", 1),
    TagStyle(_bare, "B", f"tags without labels: the label is {NO_LABEL!r}", 2),
    TagStyle(_unprefixed, "PER", "labels without prefixes: equal neighbours are one entity", 3),
)
_NEARLY_ALL, _COMMON = 0.9, 0.2


def style_of(values: Sequence[str]) -> TagStyle | None:
    """Return the style in which nearly all values of a column are tags, or None if it is not a column of tags.

    >>> [style_of(values.split()).example for values in ("O B-X", "X-B X-I O", "B I O", "O PER PER")]
    ['B-PER', 'PER-B', 'B', 'PER']
    >>> style_of("DT NN VB".split())
    """
    counts = Counter(values)
    for style in _STYLES:
        tags = {value for value in counts if style.standard(value) is not None}
        count = sum(counts[tag] for tag in tags)
        if not (is_nearly_all(count, len(values)) if style.rank == 0 else count and count >= _NEARLY_ALL * len(values)):
            continue
        if style.rank < 2 or _is_plausible(style, {tag: counts[tag] for tag in tags}, len(values)):
            return style
    return None


def is_nearly_all(count: int, total: int) -> bool:
    """Return whether a count is at most a tenth below a total, or one below it: the lines of a file may contain errors."""
    return count > 0 and (count >= _NEARLY_ALL * total or count + 1 == total > 2)


def _is_plausible(style: TagStyle, tags: dict[str, int], total: int) -> bool:
    """Return whether a column of such tags is not one of parts of speech or of words: O is frequent, and labels recur."""
    outside, labels = tags.get(OUTSIDE, 0), tags.keys() - {OUTSIDE}
    if outside < _COMMON * total or not labels:
        return False
    return (
        bool(labels & {"B", "I", "S", "U"}) if style.example == "B" else len(labels) <= max(3, (total - outside) // 2)
    )


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
    known = {tag: split_tag(tag) or (OUTSIDE, "") for tag in {*tags, OUTSIDE}}
    for token, tag in enumerate([*tags, OUTSIDE]):
        if tag == OUTSIDE and first is None:
            before = (OUTSIDE, "")
            continue
        parts = known[tag]
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
