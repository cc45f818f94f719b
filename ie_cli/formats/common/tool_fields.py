"""What the formats of annotation tools share: which user fields they can keep, and what they lose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.document.fields import FORMAT_FIELDS, GUESSED, TRIPLES
from ie_cli.formats.common.base import (
    NAMES_TAKEN,
    RELATIONS_LOST,
    SCORES_LOST,
    UNLOCATED_TRIPLES,
    count_native_only,
    count_unlocated,
)
from ie_cli.formats.common.native_fields import native_names

NOT_ACCEPTED = ("reject", "ignore")
"""The values of the field ``answer`` with which a record is no annotated one, as Prodigy writes them."""


def taken_names(document: Document, *names: str) -> tuple[str, ...]:
    """Return the names of user fields that a format without native entities cannot store for a document.

    Args:
        document: the document.
        names: the names that always have another meaning in the format.
    """
    return (*names, "answer") if document.meta.get("answer") in NOT_ACCEPTED else names


def user_fields(document: Document, taken: Collection[str] = ()) -> dict[str, Any]:
    """Return the user fields of a document that a record with fields of almost native names can store.

    Args:
        document: the document.
        taken: names that have another meaning in the format.
    """
    names = {*FORMAT_FIELDS, *taken}
    if GUESSED in document.meta.items():
        names |= {GUESSED[0], TRIPLES}
    if "events" in document.meta:
        names |= native_names(document.meta) & {"events"}
    return {name: value for name, value in document.meta.items() if name not in names}


def mentions_of(document: Document) -> list[Entity]:
    """Return the entities of a document and the arguments of its relations, in text order.

    An argument that is not among the entities has no score.
    """
    sides = [side for relation in document.relations for side in (relation.subject, relation.object)]
    arguments = [replace(side, score=None) for side in sides]
    return sorted(dict.fromkeys([*document.entities, *arguments]))


def count_tool_losses(document: Document, *, kept_fields: int, relations: bool, scores: bool) -> dict[str, int]:
    """Count what a format of an annotation tool cannot store.

    Args:
        document: the document.
        kept_fields: number of user fields that are written.
        relations: whether the format stores relations.
        scores: whether it stores the scores of what it stores.
    """
    counts = count_native_only(document)
    if scores:
        lost = 0 if relations else sum(relation.score is not None for relation in document.relations)
        counts[SCORES_LOST] = lost
    unlocated = count_unlocated(document)
    if relations:
        counts[UNLOCATED_TRIPLES] = unlocated
    else:
        counts[RELATIONS_LOST] = len(set(document.relations)) + unlocated
    counts[NAMES_TAKEN] = len(document.meta) - kept_fields
    return {what: count for what, count in counts.items() if count}
