r"""OneKE, IEPile and InstructIE: ``text`` with ``entity`` and ``relation`` by their texts, or instructions with answers in JSON.

::

    {"text": "周雨晨住在青川", "entity": [{"entity": "周雨晨", "entity_type": "人物"}],
     "relation": [{"head": "周雨晨", "relation": "住地", "tail": "青川", "head_type": "人物", "tail_type": "地点"}]}
    {"task": "NER", "source": "notes", "output": "{\"人物\": [\"周雨晨\"]}",
     "instruction": "{\"instruction\": \"…\", \"schema\": [\"人物\"], \"input\": \"周雨晨住在青川\"}"}

The text may be named ``input``. There are no offsets: every occurrence of an entity is one (with ``data.mentions: first``, the
first), and relations are located like other triples. Instructions of the tasks NER and RE are read; consecutive ones with the
same text and source are one document. The first layout is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document, Entity, Spo
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.annotation_fields import require_no_other_annotation
from ie_cli.formats.common.base import (
    BadLine,
    Lines,
    Reading,
    Record,
    count_name_clashes,
    count_native_only,
    require_storable,
    short,
)
from ie_cli.formats.common.json_stream import lines_or_array, name_of, objects_of, string_of
from ie_cli.formats.common.mention_places import MentionTally
from ie_cli.formats.common.text_groups import RepeatedTexts, TextGroup, grouped
from ie_cli.formats.duie import LocationTally
from ie_cli.system.json_reading import loads
from ie_cli.triples import Mentions, locate, simple_triples, text_triples, to_spos

FORMAT_FIELDS = frozenset({"id", "text", "input", "entity", "relation"})
INSTRUCTION = frozenset({"instruction", "output", "task"})
HINT = (
    'write each line as {"text": "…", "entity": [{"entity": "…", "entity_type": "…"}], "relation": [{"head": "…", '
    '"relation": "…", "tail": "…"}]}.'
)
ENTITIES_LOST = (
    "entities lose their place, because this format has no offsets and their text cannot be located there again"
)
ADDED = "occurrences of entities in the text that are not annotated are read back as entities"
NO_OFFSETS = "relations lose their offsets, which this format cannot store"
OTHER_PLACE = "relations are read back with other spans or types, which are guessed from their texts"
SLOTS = "slots of complex objects become separate triples named PREDICATE.SLOT"


@dataclass(frozen=True, slots=True)
class _Part:
    """The annotation of a record, by its texts.

    Attributes:
        entities: mentions with their labels.
        spos: triples; None if the record has no list of them.
    """

    entities: list[tuple[str, str]] = field(default_factory=list)
    spos: list[Spo] | None = None


def is_instruction(fields: Mapping[str, Any]) -> bool:
    """Return whether a record is an instruction with its answer."""
    given = fields.get("instruction"), fields.get("output")
    return all(isinstance(value, str) and value.lstrip().startswith("{") for value in given) and "input" not in fields


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each record, or for consecutive instructions about the same text."""
    tally, triples, repeated = MentionTally(path), LocationTally(path), RepeatedTexts(path, "instruction")

    def read_part(fields: dict[str, Any], text: str) -> _Part:
        if not reading.annotation:
            return _Part()
        return _answer(fields) if is_instruction(fields) else _lists(fields)

    instructed = False
    for group in grouped(lines_or_array(lines, path), _split, read_part, HINT, joins=is_instruction):
        if isinstance(group, BadLine):
            yield group
            continue
        instructed = instructed or len(group.parts) > 1
        repeated.add(group.text)
        yield _document(group, reading.mentions, tally, triples)
    tally.report(reading)
    triples.report(reading)
    if instructed and reading.annotation:
        repeated.report(reading)


def _split(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the text of a record, and its fields other than text and annotation."""
    if is_instruction(fields):
        text = _parsed(fields, "instruction").get("input")
        rest = {name: value for name, value in fields.items() if name not in INSTRUCTION}
    else:
        name = "text" if "text" in fields or "input" not in fields else "input"
        text = fields.get(name)
        rest = {key: value for key, value in fields.items() if key not in {name, "entity", "relation"}}
    jsonl.id_of(fields)
    return jsonl.text_of({"text": text}), rest


def _parsed(fields: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        value = loads(fields[name], json.loads)
    except ValueError as error:
        raise DataError(f"'{name}' is not valid JSON: {short(fields[name])}") from error
    if not isinstance(value, dict):
        raise DataError(f"'{name}' must contain a JSON object, got {short(value)}")
    return value


def _answer(fields: dict[str, Any]) -> _Part:
    """Return the annotation of an instruction with its answer."""
    kind = fields.get("task")
    if kind not in ("NER", "RE"):
        raise DataError(
            f"instructions of the task {short(kind)} are not read, but those of NER and RE",
            hint='select them with: jq -c \'select(.task | IN("NER", "RE"))\' IN > OUT',
        )
    output = _parsed(fields, "output")
    for label, values in output.items():
        if not label or not isinstance(values, list):
            raise DataError(f"'output' must map names to lists, got {short({label: values})}")
        require_storable(label, "label" if kind == "NER" else "predicate")
    if kind == "NER":
        mentions = [(value, label) for label, values in output.items() for value in values]
        for value, _ in mentions:
            if not isinstance(value, str):
                raise DataError(f"an entity in 'output' must be a string, got {short(value)}")
        return _Part([pair for pair in mentions if pair[0]])
    spos = []
    for predicate, values in output.items():
        for value in objects_of({predicate: values}, predicate):
            spos.append(Spo(string_of(value, "subject"), predicate, string_of(value, "object"), (), NO_TYPE, NO_TYPE))
    return _Part([], spos)


def _lists(fields: dict[str, Any]) -> _Part:
    """Return the annotation in the lists of a record."""
    if fields.get("entity") is None and fields.get("relation") is None:
        require_no_other_annotation(fields, "entity")
    entities = [
        (string_of(value, "entity"), name_of(value, "entity_type", "label")) for value in objects_of(fields, "entity")
    ]
    if fields.get("relation") is None:
        return _Part(entities)
    spos = []
    for value in objects_of(fields, "relation"):
        head, tail = (name_of({name: value.get(name) or NO_TYPE}, name, "type") for name in ("head_type", "tail_type"))
        predicate = name_of(value, "relation", "predicate")
        spos.append(Spo(string_of(value, "head"), predicate, string_of(value, "tail"), (), head, tail))
    return _Part(entities, spos)


def _document(group: TextGroup[_Part], mentions: Mentions, tally: MentionTally, triples: LocationTally) -> Document:
    """Return the document of a group, with its entities and relations at their places in the text."""
    meta = {name: value for name, value in group.rest.items() if name != "id"}
    document = Document(group.text, [], [], jsonl.id_of(group.rest), meta, group.where)
    entities: dict[Entity, None] = {}
    for mention, label in dict.fromkeys(pair for part in group.parts for pair in part.entities):
        places = tally.find(mention, group.text, group.where)
        entities.update((Entity(*place, label), None) for place in places[: 1 if mentions == "first" else None])
    document.entities = list(entities)
    if any(part.spos is not None for part in group.parts):
        spos = [spo for part in group.parts for spo in part.spos or ()]
        document.spos = list(dict.fromkeys(spos))
        located = locate(group.text, document.spos, mentions)
        document.relations = located.relations
        triples.add(located, group.where, repeated=len(spos) - len(document.spos))
    return document


def write(document: Document) -> str:
    """Return one line."""
    part = _part_of(document)
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields["text"] = document.text
    if part.entities or part.spos is None:
        fields["entity"] = [{"entity": mention, "entity_type": label} for mention, label in part.entities]
    if part.spos is not None:
        fields["relation"] = [
            {
                "head": spo.subject,
                "relation": spo.predicate,
                "tail": spo.object,
                "head_type": spo.subject_type or NO_TYPE,
                "tail_type": spo.object_type or NO_TYPE,
            }
            for spo in part.spos
        ]
    return jsonl.dump(fields | {key: value for key, value in document.meta.items() if key not in _reserved()})


def _reserved() -> frozenset[str]:
    return FORMAT_FIELDS | INSTRUCTION


def _part_of(document: Document) -> _Part:
    """Return the annotation of a document by its texts; complex objects become simple triples."""
    entities = dict.fromkeys((document.mention(entity), entity.label) for entity in sorted(document.entities))
    if document.spos is None and not document.relations and not document.related:
        return _Part(list(entities))
    spos = document.spos if document.spos is not None else to_spos(document.text, document.relations)
    simple = [Spo(*triple, (), *types) for triple, types in simple_triples(spos).items()]
    return _Part(list(entities), simple)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store, by reading it again."""
    group = TextGroup("", document.text, {}, parts=[_part_of(document)])
    back = _document(group, "nearest", MentionTally(""), LocationTally(""))
    before, relations = set(document.entities), set(document.relations)
    counts = {
        ENTITIES_LOST: len(before - set(back.entities)),
        ADDED: len(set(back.entities) - before),
        NO_OFFSETS: len(text_triples(document.text, relations)) if document.spos is None else 0,
        OTHER_PLACE: len(relations - set(back.relations)),
        SLOTS: sum(len(spo.slots) for spo in document.spos or ()),
    }
    return {
        **{what: count for what, count in counts.items() if count},
        **count_name_clashes(document, _reserved()),
        **count_native_only(document),
    }
