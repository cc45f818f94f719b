"""Which of several columns of tags to read: one, or all if they are layers of nested entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ie_cli.formats.common.tag_schemes import Span, spans_of

_CHUNKS = frozenset(["ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP"])
"""The labels of chunks in CoNLL-2000 and 2003, whose columns are beside those of entities."""
_NEARLY_ALL = 0.9
_EARLIER_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Layers:
    """The columns of tags to read.

    Attributes:
        columns: the columns.
        note: how they were chosen, for the report of the reader, or an empty text.
        as_before: whether version 0.1 read the same columns.
    """

    columns: tuple[int, ...]
    note: str = ""
    as_before: bool = True


def choose_layers(tags: Mapping[int, Sequence[Sequence[str]]], *, width: int, nested: bool) -> Layers | None:
    """Choose from the columns of tags, or return None if it is unclear which to read.

    Args:
        tags: the tags of the first sentences by column.
        width: the number of all columns.
        nested: whether several columns may be layers of nested entities.
    """
    columns = tuple(tags)
    spans = {column: [spans_of(sequence)[0] for sequence in tags[column]] for column in columns}
    labels = {column: {label for found in spans[column] for _, _, label in found} for column in columns}
    before = columns[-1:]
    if (
        len(columns) == 2
        and width <= _EARLIER_WIDTH
        and (labels[columns[0]] & labels[columns[1]] or not labels[columns[1]])
    ):
        before = columns
    rest = tuple(column for column in columns if not labels[column] or not labels[column] <= _CHUNKS) or columns[-1:]
    if len(rest) == 1:
        return Layers(rest, as_before=rest == before)
    if nested and _are_layers([spans[column] for column in rest]):
        return Layers(rest, "nested entities", rest == before)
    first, last = rest[0], rest[-1]
    if len(rest) == 2 and labels[first] and labels[last] and not labels[first] & labels[last]:
        note = f"column {first} contains other tags, which are not read"
        return Layers(rest[-1:], note, rest[-1:] == before)
    return None


def _are_layers(columns: Sequence[Sequence[Sequence[Span]]]) -> bool:
    """Return whether nearly all spans of each column are inside or around those of the columns before it."""
    below: list[set[tuple[int, int]]] = [set() for _ in columns[0]]
    for layer in columns:
        total = proper = 0
        for spans, known in zip(layer, below, strict=True):
            found = {(first, last) for first, last, _ in spans}
            total += len(found)
            proper += sum(any(_is_inside(span, other) or _is_inside(other, span) for other in known) for span in found)
        if any(below) and proper < _NEARLY_ALL * total:
            return False
        for spans, known in zip(layer, below, strict=True):
            known.update((first, last) for first, last, _ in spans)
    return True


def _is_inside(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]
