"""What a document has lost when it was written in a format and read again, by kinds, ignoring what joining tokens changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.triples import role_arguments, triples_of


def squeezed(text: str) -> str:
    return "".join(text.split())


def placed(text: str, entity: Entity) -> tuple[int, int, str]:
    """Return the position of an entity among the non-whitespace characters, and its label as columns store it."""
    label = entity.label.replace("\t", " ")
    return len(squeezed(text[: entity.start])), len(squeezed(text[: entity.end])), label


def missing(before: Iterable[Any], after: Iterable[Any]) -> int:
    return len(set(before) - set(after))


def of(counts: Mapping[str, int], *words: str) -> int:
    """Sum the counts of losses whose description starts with some words."""
    return sum(count for what, count in counts.items() if what.startswith(words))


def entities_lost(before: Document, after: Document) -> int:
    """Count entities that are neither read back nor implied by a relation, be it by its role alone."""
    here: Callable[[Entity], tuple[int, int, str]] = lambda e: placed(before.text, e)  # noqa: E731
    there = {placed(after.text, e) for e in after.entities}
    for relation in after.relations:
        for role, side in role_arguments(relation):
            start, end, label = placed(after.text, side)
            there |= {(start, end, label), (start, end, role)}
    return missing(map(here, before.entities), there)


def surfaces_lost(before: Document, after: Document) -> int:
    """Count entities whose text and label no entity read back has."""

    def surfaces(document: Document) -> set[tuple[str, str]]:
        return {(squeezed(document.text[e.start : e.end]), e.label.replace("\t", " ")) for e in document.entities}

    return missing(surfaces(before), surfaces(after))


def relations_lost(before: Document, after: Document) -> int:
    def of_places(document: Document) -> set[tuple[Any, ...]]:
        return {
            (placed(document.text, r.subject), r.predicate, placed(document.text, r.object)) for r in document.relations
        }

    return len(of_places(before) - of_places(after))


def triples_lost(before: Document, after: Document) -> int:
    """Count lost triples of texts, as in data without offsets, ignoring whitespace, which joining tokens may change."""

    def of_texts(document: Document) -> set[tuple[str, ...]]:
        return {tuple(map(squeezed, triple)) for triple in triples_of(document)}

    return len(of_texts(before) - of_texts(after))
