"""The data releases of CasRel, PRGC, TPLinker and SPN4RE: a text and its triples, one object per line or in an array.

``triple_list`` (CasRel, PRGC) holds ``[subject, predicate, object]``; ``relationMentions`` (SPN4RE, CopyRE; the text is
``sentText``) holds ``em1Text``, ``label``, ``em2Text``. They have no offsets: the reader locates them in the text
(`triples.locate`). ``relation_list`` (TPLinker) may have ``subj_char_span`` and ``obj_char_span``, end exclusive, or
``…_tok_span``, which count tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.document.fields import FORMAT_FIELDS as NATIVE_FIELDS
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.annotation_fields import AnnotationTally, require_no_other_relations
from ie_cli.formats.common.base import (
    Lines,
    Reading,
    Record,
    checked_entity,
    count_name_clashes,
    count_native_only,
    error_at,
    require_storable,
    short,
)
from ie_cli.formats.common.json_stream import name_of, objects_of, read_records, string_of
from ie_cli.formats.common.token_spans import spans_in
from ie_cli.formats.duie import LocationTally
from ie_cli.triples import Span, locate, simple_triples

_RELATION_FIELDS = ("triple_list", "relation_list", "relationMentions")
FORMAT_FIELDS = NATIVE_FIELDS | {"sentText", "entity_list", *_RELATION_FIELDS}

_NO_RELATION = "None"
"""The label of two mentions without a relation in NYT."""

_ROLES = (("subject", "subj_"), ("object", "obj_"))
HINT = (
    'write each record as {"text": "…", "triple_list": [["SUBJECT", "PREDICATE", "OBJECT"]]}, or with a relation_list.'
)
_TOKENS_HINT = "give character spans (subj_char_span, obj_char_span, char_span), or a triple_list, which needs none."


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report the triples that could not be located."""
    tally, fields_tally = LocationTally(path), AnnotationTally(path, "triple_list", "relations")

    skipped = 0

    def convert(fields: dict[str, Any], where: str) -> Document:
        nonlocal skipped
        meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        document = Document(_text(fields), [], [], jsonl.id_of(fields), meta, where)
        if not reading.annotation:
            return document
        fields_tally.expect(fields, "relation_list", "relationMentions", "entity_list")
        if all(fields.get(name) is None for name in _RELATION_FIELDS):
            require_no_other_relations(fields, "relation_list", FORMAT_FIELDS)
        source = _Source(fields, document.text)
        document.entities, types = _entities(source)
        relations = _relations(source, document.entities)
        if relations is not None:
            document.relations, document.related = relations, True
            return document
        document.spos, repeated, unrelated = _spos(fields, types)
        skipped += unrelated
        if document.spos is not None:
            located = locate(document.text, document.spos, reading.mentions)
            document.relations = located.relations
            tally.add(located, where, repeated=repeated)
        return document

    yield from read_records(lines, path, convert, HINT)
    tally.report(reading)
    fields_tally.report(reading)
    if skipped:
        reading.report(f"{path}: pairs of mentions without a relation ({_NO_RELATION}), which are skipped: {skipped:,}")


def _text(fields: Mapping[str, Any]) -> str:
    if "text" not in fields and "sentText" in fields:
        return jsonl.text_of({"text": fields["sentText"]})
    return jsonl.text_of(fields)


@dataclass(slots=True)
class _Source:
    """A record and its text; `tokens` holds the spans of its tokens once a token span needs them."""

    fields: dict[str, Any]
    text: str
    tokens: list[Span] | None = None

    def place(self, value: dict[str, Any], prefix: str, mention: Any, label: Any) -> Entity | None:
        """Return the entity of the span fields with a prefix, or None if there is none.

        Raises:
            DataError: the span does not cover the mention.
        """
        for unit in ("char_span", "tok_span"):
            span = value.get(prefix + unit)
            if span is None:
                continue
            if not isinstance(span, list) or len(span) != 2:
                raise DataError(f"'{prefix}{unit}' must be [start, end], got {short(span)}")
            if unit == "char_span":
                start, end = span
                return checked_entity(start, end, label, self.text, mention=mention)
            start, end = self._characters(span, prefix + unit, mention)
            return checked_entity(start, end, label, self.text)
        return None

    def _characters(self, span: list[Any], name: str, mention: Any) -> Span:
        if self.tokens is None:
            self.tokens = _token_spans(self.text, self.fields.get("tokens"))
        first, last = span
        if type(first) is int and type(last) is int and 0 <= first < last <= len(self.tokens):
            start, end = self.tokens[first][0], self.tokens[last - 1][1]
            if (
                isinstance(mention, str)
                and mention.split()
                and _without_whitespace(mention) == _without_whitespace(self.text[start:end])
            ):
                return start, end
        raise DataError(
            f"'{name}' {short(span)} does not cover {short(mention)}: it counts tokens of an unknown tokenizer, which "
            "cannot be mapped to the text",
            hint=_TOKENS_HINT,
        )


def _without_whitespace(text: str) -> str:
    return "".join(text.split())


def _token_spans(text: str, tokens: Any) -> list[Span]:
    """Return the spans of the given tokens, or of words separated by whitespace if none are given."""
    if tokens is None:
        return [match.span() for match in re.finditer(r"\S+", text)]
    if not isinstance(tokens, list) or not all(isinstance(token, str) and token for token in tokens):
        raise DataError(f"'tokens' must be a list of non-empty strings, got {short(tokens)}")
    return spans_in(text, tokens, _TOKENS_HINT)


def _entities(source: _Source) -> tuple[list[Entity], dict[str, str]]:
    """Return the entities that have spans, and the types of all entities by their texts."""
    entities: dict[Entity, None] = {}
    types: dict[str, str] = {}
    for number, value in enumerate(objects_of(source.fields, "entity_list")):
        mention, label = value.get("text"), value.get("type") or NO_TYPE
        try:
            entity = source.place(value, "", mention, label)
            label = name_of({"type": label}, "type", "type")
        except DataError as error:
            raise error_at(f"entity_list[{number}]", error) from error
        if entity is not None:
            entities.setdefault(entity)
            mention = source.text[entity.start : entity.end]
        if isinstance(mention, str):
            types.setdefault(mention, label)
    return list(entities), types


def _relations(source: _Source, entities: Sequence[Entity]) -> list[Relation] | None:
    """Return the relations of a ``relation_list``, or None if their arguments have no spans."""
    if source.fields.get("relation_list") is None:
        return None
    labels = _labels(entities)
    relations: list[Relation] = []
    without: list[int] = []
    any_span = False
    for number, value in enumerate(objects_of(source.fields, "relation_list")):
        try:
            predicate = name_of(value, "predicate", "predicate")
            arguments = [_argument(source, value, role, prefix, labels) for role, prefix in _ROLES]
        except DataError as error:
            raise error_at(f"relation_list[{number}]", error) from error
        any_span |= any(arguments)
        subject, object_ = arguments
        if subject is not None and object_ is not None:
            relations.append(Relation(subject, predicate, object_))
        else:
            without.append(number)
    if without and any_span:
        raise DataError(
            f"relation_list[{without[0]}] lacks the span of an argument, but other relations have spans",
            hint="give spans to all relations or to none.",
        )
    return None if without else relations


def _argument(
    source: _Source, value: dict[str, Any], role: str, prefix: str, labels: Mapping[Span, str]
) -> Entity | None:
    entity = source.place(value, prefix, value.get(role), role)
    if entity is None:
        return None
    label = value.get(f"{prefix}type") or labels.get((entity.start, entity.end), NO_TYPE)
    return replace(entity, label=name_of({f"{prefix}type": label}, f"{prefix}type", "type"))


def _labels(entities: Sequence[Entity]) -> dict[Span, str]:
    """Return the label of each span, or the first of several."""
    labels: dict[Span, str] = {}
    for entity in entities:
        labels.setdefault((entity.start, entity.end), entity.label)
    return labels


def _spos(fields: dict[str, Any], types: Mapping[str, str]) -> tuple[list[Spo] | None, int, int]:
    """Return the triples by their texts, without duplicates, or None if the record has no list of them.

    The numbers of duplicates, and of pairs that are marked as unrelated, are returned too.
    """
    skipped = 0
    if fields.get("relation_list") is not None:
        names, values = ("subject", "predicate", "object"), objects_of(fields, "relation_list")
    elif fields.get("triple_list") is not None:
        names, values = ("subject", "predicate", "object"), _triple_list(fields["triple_list"])
    elif fields.get("relationMentions") is not None:
        names, values = ("em1Text", "label", "em2Text"), objects_of(fields, "relationMentions")
        related = [value for value in values if value.get("label") != _NO_RELATION]
        skipped, values = len(values) - len(related), related
    else:
        return None, 0, 0
    spos: dict[Spo, None] = {}
    for value in values:
        subject, predicate, object_ = (string_of(value, name) for name in names)
        require_storable(predicate, "predicate")
        kinds = types.get(subject, NO_TYPE), types.get(object_, NO_TYPE)
        spos.setdefault(Spo(subject, predicate, object_, (), *kinds))
    return list(spos), len(values) - len(spos), skipped


def _triple_list(triples: Any) -> list[dict[str, Any]]:
    if not isinstance(triples, list):
        raise DataError(f"'triple_list' must be a list, got {short(triples)}")
    for triple in triples:
        if not isinstance(triple, list) or len(triple) != 3:
            raise DataError(f"a triple must be [subject, predicate, object], got {short(triple)}")
    return [dict(zip(("subject", "predicate", "object"), triple, strict=True)) for triple in triples]


def write(document: Document) -> str:
    """Return an object without a line end: its triples and, if offsets are exact, relations and entities with spans."""
    text, entities = document.text, list(dict.fromkeys(document.entities))
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields["text"] = text
    if document.spos is not None:
        fields["triple_list"] = [list(triple) for triple in simple_triples(document.spos)]
    else:
        triples = [(_mention(text, r.subject), r.predicate, _mention(text, r.object)) for r in document.relations]
        fields["triple_list"] = [list(triple) for triple in dict.fromkeys(triples)]
        labels = _labels(entities)
        fields["relation_list"] = [_relation_fields(text, relation, labels) for relation in document.relations]
    if entities or document.spos is None:
        fields["entity_list"] = [
            {"text": _mention(text, e), "type": e.label, "char_span": [e.start, e.end]} for e in entities
        ]
    fields |= {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return jsonl.dump(fields).removesuffix("\n")


def _relation_fields(text: str, relation: Relation, labels: Mapping[Span, str]) -> dict[str, Any]:
    """Return TPLinker's fields, and the types of arguments that ``entity_list`` does not give."""
    fields: dict[str, Any] = {"predicate": relation.predicate}
    for (role, prefix), entity in zip(_ROLES, (relation.subject, relation.object), strict=True):
        fields[role] = _mention(text, entity)
        fields[f"{prefix}char_span"] = [entity.start, entity.end]
        if entity.label != labels.get((entity.start, entity.end), NO_TYPE):
            fields[f"{prefix}type"] = entity.label
    return fields


def _mention(text: str, entity: Entity) -> str:
    return text[entity.start : entity.end]


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    spos = document.spos or []
    types: dict[str, str] = {}
    for entity in document.entities:
        types.setdefault(_mention(document.text, entity), entity.label)
    arguments = [pair for s in spos for pair in ((s.subject, s.subject_type), (s.object, s.object_type))]
    return {
        "slots of complex objects become separate triples named PREDICATE.SLOT": sum(len(spo.slots) for spo in spos),
        "types of subjects and objects cannot be stored in a list of triples": sum(
            bool(kind) and kind != types.get(mention, NO_TYPE) for mention, kind in arguments
        ),
        **count_name_clashes(document, FORMAT_FIELDS),
        **count_native_only(document),
    }
