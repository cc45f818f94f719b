"""The JSON layouts of CoNLL04, an array of objects: that of SpERT and that of the table of tags.

SpERT has ``tokens``, ``entities`` (type, start and end in tokens, end exclusive) and ``relations`` (type, head and tail by
entity index). The table has BILOU ``tags`` instead of entities, and numbers the entities in text order. The text is joined
from the tokens; ``orig_id`` is the id of the example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ie_cli.document import Document, Entity, Relation
from ie_cli.document.fields import FORMAT_FIELDS as NATIVE_FIELDS
from ie_cli.errors import DataError, counted
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import (
    Lines,
    Reading,
    Record,
    checked_entity,
    count_name_clashes,
    quoted,
    short,
)
from ie_cli.formats.common.joining import join_tokens, look_ahead, tokens_in
from ie_cli.formats.common.json_stream import convert_objects, name_of, objects_of, read_objects, string_of
from ie_cli.formats.common.tag_schemes import OUTSIDE, spans_of, split_tag
from ie_cli.formats.common.token_fields import is_integer, tokens_of
from ie_cli.formats.common.word_tokens import Words, count_word_losses, split_flat, split_words
from ie_cli.formats.conll import INVALID_TAGS
from ie_cli.formats.kept_columns import rows_of

FORMAT_FIELDS = NATIVE_FIELDS | {"tokens", "tags", "orig_id"}
HINT = (
    'write each record as {"tokens": ["Ann", "slept"], "entities": [{"type": "name", "start": 0, "end": 1}], '
    '"relations": []}, or with "tags" instead of entities.'
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, whose fields determine the layout."""
    repaired = 0
    joining, objects = look_ahead(
        read_objects(lines, path),
        lambda found: tokens_in(found[2].get("tokens")) if isinstance(found[2], dict) else [],
        path,
        reading,
    )

    def convert(fields: dict[str, Any], where: str) -> Document:
        nonlocal repaired
        tokens = joining.tokens_of(tokens_of(fields, "tokens"))
        text, starts = join_tokens(tokens, joining.joiner)
        meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        columns = rows_of(tokens, starts) if reading.keep_columns else None
        document = Document(text, [], [], _id(fields), meta, where, columns=columns)
        if not reading.annotation:
            return document
        ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
        if fields.get("entities") is None and fields.get("tags") is not None:
            spans, broken = _tagged(fields["tags"], len(tokens))
            repaired += broken
        else:
            spans = [_span(value, len(tokens)) for value in objects_of(fields, "entities")]
        entities = [checked_entity(starts[first], ends[last], label, text) for first, last, label in spans]
        document.entities = list(dict.fromkeys(entities))
        document.relations = [_relation(value, entities) for value in objects_of(fields, "relations")]
        document.related = True
        return document

    yield from convert_objects(objects, convert, HINT)
    if repaired:
        reading.report(INVALID_TAGS.format(path=path, count=counted(repaired, "tag")))


def _id(fields: Mapping[str, Any]) -> str | int | None:
    given = fields.get("orig_id")
    return jsonl.id_of(fields if given is None else {"id": given})


def _tagged(tags: Any, tokens: int) -> tuple[list[tuple[int, int, str]], int]:
    """Return the spans of a tag sequence, and the number of its invalid tags."""
    if not isinstance(tags, list):
        raise DataError(f"'tags' must be a list, got {short(tags)}")
    if len(tags) != tokens:
        raise DataError(f"got {counted(tokens, 'token')}, but {counted(len(tags), 'tag')}")
    for tag in tags:
        if not isinstance(tag, str) or split_tag(tag) is None:
            raise DataError(f"expected a tag such as O or B-PER, got {short(tag)}")
    return spans_of(tags)


def _span(value: dict[str, Any], tokens: int) -> tuple[int, int, str]:
    start, end = value.get("start"), value.get("end")
    if not (is_integer(start) and is_integer(end) and 0 <= start < end <= tokens):
        raise DataError(
            f"an entity must satisfy 0 <= start < end <= {tokens}, the number of tokens, got {short(value)}",
            hint="count tokens from 0, the end exclusive.",
        )
    return start, end - 1, string_of(value, "type")


def _relation(value: dict[str, Any], entities: Sequence[Entity]) -> Relation:
    predicate = name_of(value, "type", "predicate")
    arguments = []
    for name in ("head", "tail"):
        index = value.get(name)
        if not (is_integer(index) and 0 <= index < len(entities)):
            raise DataError(
                f"relation {quoted(predicate)}: {name} must be an entity index below {len(entities)}, got {short(index)}",
                hint="count entities from 0.",
            )
        arguments.append(entities[index])
    return Relation(arguments[0], predicate, arguments[1])


def write(document: Document) -> str:
    """Return an object in SpERT's layout, without a line end; arguments of relations are written as entities too."""
    words = split_words(document)
    index: dict[tuple[int, int, str], int] = {}
    places = {}
    for entity, (first, last) in words.spans.items():
        places[entity] = index.setdefault((first, last + 1, entity.label), len(index))
    entities = [{"type": label, "start": start, "end": end} for start, end, label in index]
    return _record(document, words, {"entities": entities}, places)


def write_table(document: Document) -> str:
    """Return an object in the table layout, without a line end; of overlapping entities, the longer one is written."""
    words = split_flat(document)
    tags = [OUTSIDE] * len(words.tokens)
    for entity, (first, last) in words.spans.items():
        tags[first : last + 1] = _bilou(last - first + 1, entity.label)
    return _record(document, words, {"tags": tags}, {entity: n for n, entity in enumerate(words.spans)})


def _bilou(length: int, label: str) -> list[str]:
    if length == 1:
        return [f"U-{label}"]
    return [f"B-{label}", *[f"I-{label}"] * (length - 2), f"L-{label}"]


def _record(document: Document, words: Words, annotation: dict[str, Any], places: Mapping[Entity, int]) -> str:
    relations = [
        {"type": relation.predicate, "head": places[relation.subject], "tail": places[relation.object]}
        for relation in words.relations
    ]
    fields = {"tokens": words.tokens, **annotation, "relations": relations}
    if document.id is not None:
        fields["orig_id"] = document.id
    fields |= {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return jsonl.dump(fields).removesuffix("\n")


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return {**count_word_losses(document, split_words(document)), **count_name_clashes(document, FORMAT_FIELDS)}


def count_losses_table(document: Document) -> Mapping[str, int]:
    """Count what `write_table` cannot store."""
    return {**count_word_losses(document, split_flat(document)), **count_name_clashes(document, FORMAT_FIELDS)}
