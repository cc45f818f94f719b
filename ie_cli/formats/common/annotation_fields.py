"""Find the annotation of a JSON record, so that a field with an unexpected name is not taken for a text without annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from ie_cli.errors import DataError, nearest
from ie_cli.formats.common.base import Reading, format_field_names, quoted, short
from ie_cli.formats.common.brat_lines import describe_beyond
from ie_cli.formats.common.entity_fields import has_entity_form, has_native_form
from ie_cli.formats.common.tag_schemes import OUTSIDE, split_tag

ENTITY_FIELDS = frozenset(
    {"entities", "entity", "ents", "spans", "label", "labels", "ner", "annotations", "annotation", "mentions"}
    | {"named_entities", "entity_mentions", "entitymentions", "entity_list"}
)
"""Names under which other tools store entities."""
_CLASSES = frozenset({"label", "labels", "tag", "tags", "class", "classes", "category", "categories"})
"""Names under which other tools store entities, or classes of the complete text."""
_TAGS = _CLASSES | {"ner", "ner_tags", "bio_tags", "entities"}
_RELATION_FIELDS = frozenset({"relations", "relation", "triples", "triplets", "spo", "spos"})
_OTHER_FORMATS = {
    "spo_list": "duie",
    "triple_list": "triples",
    "relation_list": "triples",
    "relationMentions": "triples",
    "event_list": "duee",
}
_RELATION_LISTS = _RELATION_FIELDS | _OTHER_FORMATS.keys()
_RELATION_KEYS = frozenset({"subject", "predicate", "object"})
_RELATION_FORM = '{"subject": ENTITY, "predicate": "knows", "object": ENTITY}'
_FORM = '{"start": 0, "end": 3, "label": "name"}'
_TYPING_ERROR = 0.8
"""The similarity from which on a name is taken for another one with a typing error."""
_EMPTY = "write an empty list if a text has no annotation"


def entity_field(fields: Mapping[str, Any], *, annotated: bool) -> str | None:
    """Return the field with the entities of a native record, or None if it has none.

    It is ``entities``, or else the field with a known name and the form of entities.

    Args:
        fields: the fields of the record.
        annotated: whether the record has another annotation, such as relations; fields with unknown names are then the user's.

    Raises:
        DataError: another field could contain the entities, but its name or its form leaves a doubt.
    """
    if fields.get("entities") is not None:
        _require_characters(fields, "entities")
        return "entities"
    similar = [name for name, value in fields.items() if _is_list_of_entities(value)]
    known = [name for name in similar if _is_similar(name, ENTITY_FIELDS)]
    if len(known) > 1 or (len(similar) > 1 and not annotated):
        raise DataError(
            f"no field 'entities', and several fields could be the entities: {format_field_names(similar)}",
            hint="rename the one with the entities to 'entities'.",
        )
    if known:
        _require_characters(fields, known[0])
        _require_accepted(fields, known[0])
        return known[0]
    if similar and not annotated:
        raise DataError(
            f"no field 'entities', but {quoted(similar[0])} has the form of entities",
            hint=f"rename it to 'entities', or add \"entities\": [] if it means something else: {_EMPTY}.",
        )
    if not annotated:
        require_no_other_annotation(fields, "entities", ENTITY_FIELDS - {"entities"})
    return next((name for name, value in fields.items() if value == [] and _is_similar(name, ENTITY_FIELDS)), None)


def require_no_other_annotation(
    fields: Mapping[str, Any], wanted: str, names: frozenset[str] = ENTITY_FIELDS | _RELATION_FIELDS
) -> None:
    """Check that a record without the field of its format has no other field that could contain the annotation.

    Raises:
        DataError: it has; the message names it.
    """
    for name, value in fields.items():
        if name == wanted or not value:
            continue
        if (other := _OTHER_FORMATS.get(name)) is not None and isinstance(value, list):
            raise DataError(
                f"no field '{wanted}', but {quoted(name)}, which belongs to the format {other}",
                hint=f"give the format of the file as {other}, or rename the field to '{wanted}'.",
            )
        if _is_tag_sequence(name, value) or (_is_similar(name, names | {wanted}) and _is_annotation(name, value)):
            raise DataError(
                f"no field '{wanted}', and {quoted(name)} has a form that is not read: {short(value)}",
                hint=_form_hint(wanted, name, value),
            )


def require_no_other_relations(
    fields: Mapping[str, Any], wanted: str = "relations", known: frozenset[str] = frozenset()
) -> None:
    """Check that a record without its field of relations has no list in another field that could contain the relations.

    Args:
        fields: the record.
        wanted: the field of its format.
        known: fields that contain something else.

    Raises:
        DataError: it has; the message names it.
    """
    for name, value in fields.items():
        if name == wanted or name in known or not isinstance(value, list) or not value:
            continue
        renamable = _is_relation(value[0]) or (_ratio(name, wanted) >= _TYPING_ERROR and _is_list_of(value, dict))
        if renamable or (name in _RELATION_LISTS and isinstance(value[0], (dict, list))):
            remedy = f"rename it to '{wanted}'" if renamable else f'write "{wanted}": [{_RELATION_FORM}]'
            raise DataError(
                f"no field '{wanted}', but {quoted(name)} could contain them: {short(value)}",
                hint=f'{remedy}, or add "{wanted}": [] if it means something else.',
            )


def _is_relation(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= _RELATION_KEYS


def text_hint(fields: Mapping[str, Any]) -> str:
    """Return what to do about a record without ``text``, using the names of its fields."""
    nested = [
        name for name, value in fields.items() if _is_list_of(value, dict) and all("text" in item for item in value)
    ]
    if nested:
        return f"the records seem to be in {quoted(nested[0])}; extract them with: jq -c '.[{short(nested[0])}][]' IN > OUT"
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    written = {name: len(value) for name, value in texts.items() if not value.isascii() or " " in value}
    name = nearest("text", texts) or max(written, key=lambda key: written[key], default=None)
    renamed = f"; rename a field with: jq -c '.text = .[{short(name)}]' IN > OUT" if name is not None else "."
    return f'give each record a field "text"{renamed}'


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _is_list_of_entities(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(has_entity_form, value))


def _is_known(name: str, names: frozenset[str]) -> bool:
    return name.casefold() in names


def _is_similar(name: str, names: frozenset[str]) -> bool:
    """Return whether a name is known, or is ``entities`` with a typing error."""
    return _is_known(name, names) or _ratio(name, "entities") >= _TYPING_ERROR


@lru_cache(maxsize=1024)
def _ratio(name: str, other: str) -> float:
    return SequenceMatcher(None, name.casefold(), other).ratio()


def _is_tag_sequence(name: str, value: Any) -> bool:
    """Return whether a field has tags such as ``B-PER``."""
    if not _is_list_of(value, str) or not _is_known(name, _TAGS):
        return False
    return all(map(split_tag, value)) and any(tag != OUTSIDE for tag in value)


def _is_annotation(name: str, value: Any) -> bool:
    """Return whether a value could be annotation, not classes of the complete text such as ``["sport"]`` or ``{"sport": 1}``."""
    if not isinstance(value, (list, dict)):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return not _is_known(name, _CLASSES) or any(isinstance(part, (list, dict)) for part in parts)


def _form_hint(wanted: str, name: str, value: Any) -> str:
    if wanted == "entities" and isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
        return f"if this is CLUENER's layout, give the format of the file as cluener; {_EMPTY}."
    form = f'"entities": [{_FORM}]' if wanted == "entities" else f"'{wanted}' in the layout of the format"
    return f"write {form}, or rename {quoted(name)} if it is no annotation; {_EMPTY}."


def _require_characters(fields: Mapping[str, Any], name: str) -> None:
    """Check that the offsets of entities do not count tokens, as they may in a record that lists its tokens.

    Raises:
        DataError: this cannot be decided.
    """
    tokens = next((key for key in ("tokens", "words") if _is_list_of(fields.get(key), str)), None)
    if tokens is None or not _is_list_of_entities(fields[name]) or all(map(has_native_form, fields[name])):
        return
    if not all(isinstance(item, dict) and isinstance(item.get("text"), str) for item in fields[name]):
        raise DataError(
            f"the offsets in {quoted(name)} may count characters or {tokens}: {short(fields[name])}",
            hint="give each entity start, end and label, the offsets counting characters, or its text too.",
        )


def _require_accepted(fields: Mapping[str, Any], name: str) -> None:
    """Check that an annotator has not rejected the entities of a record, as Prodigy notes in the field ``answer``.

    Raises:
        DataError: the answer is not ``accept``.
    """
    if fields.get("answer") in ("reject", "ignore"):
        raise DataError(
            f"the annotator's answer to {quoted(name)} is {quoted(fields['answer'])}",
            hint="keep the accepted records with: jq -c 'select(.answer == \"accept\")' IN > OUT",
        )


class AnnotationTally:
    """Counts the records of a file by the field of their annotation, and the fields that are not kept.

    Args:
        path: the name of the file.
        wanted: the name of the field that the format prescribes.
        items: what the field contains, for the report.

    Attributes:
        dropped: how often each field of an entity or a relation occurs that is not kept.
        malformed: how often each field of a pair of texts has a form that is not read.
        beyond: how much of each kind of a brat annotation, which records keep, the data model cannot express.
    """

    def __init__(self, path: str, wanted: str = "entities", items: str = "entities") -> None:
        self._path, self._wanted, self._items = path, wanted, items
        self.dropped: Counter[str] = Counter()
        self.malformed: Counter[str] = Counter()
        self.beyond: Counter[str] = Counter()
        self._records = self._without = self._related = self._entities_alone = self._unread = 0
        self._renamed: Counter[str] = Counter()

    def add(self, field: str | None, *, annotated: bool = False, related: bool = False) -> None:
        """Count a record.

        Args:
            field: the field with the annotation, if there is one.
            annotated: whether the record has another annotation.
            related: whether the record has the field ``relations``.
        """
        self._records += 1
        self._without += field is None and not annotated
        self._related += related
        self._entities_alone += field is not None and not annotated
        if field is not None and field != self._wanted:
            self._renamed[field] += 1

    def expect(self, fields: Mapping[str, Any], *others: str) -> bool:
        """Count a record, and return whether it has the field that the format prescribes, or one of `others`.

        Raises:
            DataError: it has not, but another field could contain the annotation.
        """
        found = next((name for name in (self._wanted, *others) if fields.get(name) is not None), None)
        if found is None:
            require_no_other_annotation(fields, self._wanted)
        self.add(None if found is None else self._wanted)
        return found is not None

    def add_unread(self, fields: Mapping[str, Any]) -> None:
        """Count a record with entities in the native field, if the format does not read them."""
        self._unread += _is_list_of_entities(fields.get("entities"))

    def report(self, reading: Reading) -> None:
        """Report the counts."""
        for line in self._lines():
            reading.report(f"{self._path}: {line}")
        for line in describe_beyond(self._path, self.beyond):
            reading.report(line)

    def _lines(self) -> Iterator[str]:
        total, items, alone = f"{self._records:,}", self._items, self._entities_alone
        for name, count in self._renamed.items():
            yield f"records with the {items} in the field {quoted(name)}: {count:,} of {total}"
        if self._without:
            yield (
                f"records without a field '{self._wanted}', which count as texts without {items}: {self._without:,} of {total}"
            )
        if self._unread:
            yield f"records with 'entities', which this format does not read: {self._unread:,} of {total}"
        if self._related and alone:
            yield f"records without a field 'relations', which count as texts without relations: {alone:,} of {total}"
        if self.malformed:
            listed = ", ".join(f"{name} {count:,}" for name, count in self.malformed.items())
            yield (
                "fields of pairs that are not read, because text_pair and label must be strings and score a finite number: "
                f"{listed}"
            )
        if self.dropped:
            listed = ", ".join(f"{name} {count:,}" for name, count in self.dropped.most_common(10))
            yield f"fields of entities and relations that are not kept: {listed}"
