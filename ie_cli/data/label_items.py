"""The annotated items of a document by their labels, whatever its task."""

from __future__ import annotations

from collections import Counter

from ie_cli.document import Document
from ie_cli.triples import simple_triples, typed_entities_of


def label_items(document: Document) -> Counter[tuple[str, str]]:
    """Return the numbers of distinct items of a document by kind and label.

    Kinds are ``entity``, ``relation``, ``event`` and, of a pair of texts, ``class``. Relations without offsets
    are triples of texts.
    """
    found: Counter[tuple[str, str]] = Counter(("entity", entity.label) for entity in set(typed_entities_of(document)))
    if document.spos is None:
        found.update(("relation", relation.predicate) for relation in set(document.relations))
    else:
        found.update(("relation", predicate) for _, predicate, _ in simple_triples(document.spos))
    found.update(("event", event.type) for event in set(document.events))
    if document.label is not None:
        found["class", document.label] += 1
    return found
