"""Join what is found in the windows of a text, and in the pieces of a text that is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ie_cli.codecs.base import Annotation, Candidates
from ie_cli.document import Entity
from ie_cli.inference.pairs import annotate_pair

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Engine, Pending


def annotation_of(engine: Engine, pending: Pending) -> Annotation:
    """Return the annotation of a document from the candidates of all its windows."""
    annotation = Annotation()
    for part in engine.tasks:
        if part.codec.reads != "windows":
            annotation.add(annotate_pair(engine, part, pending))
        elif not pending.pieces:
            found = pending.found.get(part.name, {})
            merged = {name: _concatenate(windows) for name, windows in found.items()}
            annotation.add(
                part.decoder.annotate(merged, part.bounded(pending.tokens), engine.plan, pending.document.text)
            )
    for piece in pending.pieces:
        annotation.append(shifted(annotation_of(engine, piece.pending), piece.start))
    return annotation


def _concatenate(windows: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([found.entries for found in windows]), np.concatenate([found.scores for found in windows])
    )


def shifted(found: Annotation, by: int) -> Annotation:
    """Return the annotation of a piece with the offsets of the whole text."""

    def moved(entity: Entity) -> Entity:
        return replace(entity, start=entity.start + by, end=entity.end + by, document_text=None)

    return replace(
        found,
        entities=[moved(entity) for entity in found.entities],
        relations=[
            replace(relation, subject=moved(relation.subject), object=moved(relation.object))
            for relation in found.relations
        ],
    )
