"""CLUENER: ``{"text": …, "label": {label: {mention: [[start, end inclusive], …]}}}``, one object per line.

Its test data have an ``id`` and no labels, and a submission has the form ``{"id": …, "label": …}``. An example with an id is
written in this form, an example without an id in that of the training data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats.common.annotation_fields import AnnotationTally
from ie_cli.formats.common.base import (
    FIELDS_LOST,
    RELATIONS_LOST,
    Lines,
    Reading,
    Record,
    checked_entity,
    count_name_clashes,
    count_native_only,
    count_unlocated,
    quoted,
    require_storable,
)
from ie_cli.formats.common.json_stream import read_lines_or_array
from ie_cli.formats.jsonl import dump, id_of, text_of

FORMAT_FIELDS = frozenset({"id", "text", "label"})
HINT = 'write each line as {"text": "Ann slept", "label": {"name": {"Ann": [[0, 2]]}}}, the end inclusive.'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record; the mentions of a submission cannot be checked, because it has no text."""
    tally = AnnotationTally(path, "label", "entities")

    def convert(fields: dict[str, Any], where: str) -> Document:
        submission = "text" not in fields and fields.get("id") is not None and "label" in fields
        text = "" if submission else text_of(fields)
        labels = fields["label"] if reading.annotation and tally.expect(fields) else None
        entities = list(_entities(labels or {}, None if submission else text))
        meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        return Document(text, entities, [], id_of(fields), meta, where)

    yield from read_lines_or_array(lines, path, convert, HINT)
    tally.report(reading)


def _entities(labels: Any, text: str | None) -> Iterator[Entity]:
    if not isinstance(labels, dict) or not all(isinstance(mentions, dict) for mentions in labels.values()):
        raise DataError("'label' must map labels to objects that map mentions to spans")
    for label, mentions in labels.items():
        for mention, spans in mentions.items():
            if not isinstance(spans, list) or not all(isinstance(s, list) and len(s) == 2 for s in spans):
                raise DataError(f"label {quoted(label)}: the spans of {quoted(mention)} must be a list of [start, end]")
            for start, end in spans:
                yield _entity(start, end, label, mention, text)


def _entity(start: Any, end: Any, label: str, mention: str, text: str | None) -> Entity:
    if isinstance(end, bool) or not isinstance(end, int):
        raise DataError(f"label {quoted(label)}: the end of {quoted(mention)} must be an integer, got {quoted(end)}")
    if text is None:
        if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start <= end:
            raise DataError(
                f"label {quoted(label)}: [{quoted(start)}, {quoted(end)}] of {quoted(mention)} is not a span"
            )
        if not label:
            raise DataError("an entity's label must be a non-empty string, got ''")
        require_storable(label, "label")
        return Entity(start, end + 1, label)
    try:
        return checked_entity(start, end + 1, label, text, mention=mention)
    except DataError as error:
        raise DataError(
            error.message, hint="use inclusive ends, as in CLUENER: [0, 1] covers two characters."
        ) from error


def write(document: Document) -> str:
    """Return one line: a submission if the example has an id, otherwise the form of the training data."""
    labels: dict[str, dict[str, list[list[int]]]] = {}
    for entity in sorted(document.entities):
        mention = document.text[entity.start : entity.end]
        labels.setdefault(entity.label, {}).setdefault(mention, []).append([entity.start, entity.end - 1])
    first: dict[str, Any] = {"text": document.text} if document.id is None else {"id": document.id}
    # Data from another format may contain fields with these names.
    meta = (
        {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS} if document.id is None else {}
    )
    return dump(first | {"label": labels} | meta)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    submission = {
        "texts cannot be stored in a submission, the form of records with an id": int(bool(document.text)),
        FIELDS_LOST: len(document.meta),
    }
    return {
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **(count_name_clashes(document, FORMAT_FIELDS) if document.id is None else submission),
        **count_native_only(document),
    }
