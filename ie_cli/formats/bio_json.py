"""Tags in JSON: ``{"tokens": ["Ann", "slept"], "ner_tags": ["B-name", "O"]}``, one object per line or in an array.

The tokens may be in ``words``, and the tags in ``tags``, ``labels`` or ``label``, in any scheme that columns may have. Tags may
be numbers if a file beside the data contains their names: ``dataset_info.json`` of a data set of the Hugging Face hub,
``labels.json``, ``label2id.json`` or ``id2label.json`` with a list or a map, or ``labels.txt`` with one name per line.

The text is joined from the tokens. If the record has a string ``text`` or ``sentence`` that consists of the tokens and
whitespace, that is the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import (
    Lines,
    Reading,
    Record,
    count_name_clashes,
    format_field_names,
    quoted,
    short,
)
from ie_cli.formats.common.joining import look_ahead, tokens_in
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, lines_or_array
from ie_cli.formats.common.tag_names import NAMES_HINT, TagNames, find_tag_names
from ie_cli.formats.common.tag_schemes import OUTSIDE, PREFIXED, TagStyle, scheme_of, spans_of, style_of
from ie_cli.formats.common.token_fields import RecordTexts, checked_tokens, is_integer, is_list_of_strings
from ie_cli.formats.common.word_tokens import count_entity_losses, split_flat_entities
from ie_cli.formats.conll import INVALID_TAGS

TOKEN_FIELDS = ("tokens", "words", "text", "sentence")
"""The names of the field with the tokens; ``text`` and ``sentence`` may be strings instead."""
TAG_FIELDS = ("ner_tags", "tags", "labels", "label", "bio_tags", "ner")
"""The names of the field with the tags, the most specific first."""
FORMAT_FIELDS = frozenset({"id", "text", "sentence", "tokens", "ner_tags"})
HINT = 'write each record as {"tokens": ["Ann", "slept"], "ner_tags": ["B-name", "O"]}.'
_LOOK_AHEAD = 2000
_UNPREFIXED = 3
"""The rank of the style of tags without prefixes."""


def is_tagged(fields: Mapping[str, Any]) -> bool:
    """Return whether a record has tokens and as many tags."""
    tokens = token_field(fields)
    return tokens is not None and _tag_field(fields, len(fields[tokens])) is not None


def token_field(fields: Mapping[str, Any]) -> str | None:
    """Return the field with the tokens, or None if there is none."""
    return next((name for name in TOKEN_FIELDS if is_list_of_strings(fields.get(name))), None)


def _tag_field(fields: Mapping[str, Any], count: int) -> str | None:
    """Return the first field that contains as many strings or numbers as there are tokens, or None."""
    for name in TAG_FIELDS:
        value = fields.get(name)
        if (
            isinstance(value, list)
            and len(value) == count
            and (is_list_of_strings(value) or all(map(is_integer, value)))
        ):
            return name
    return None


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report how its tags are read."""
    stream = lines_or_array(lines, path)
    head = list(islice(stream, _LOOK_AHEAD if reading.annotation else 1))
    tags = _Tags.of(head, path, reading)
    joining, objects = look_ahead(chain(head, stream), _tokens_in, path, _signed(reading, tags))
    texts = RecordTexts(path, joining)

    def convert(fields: dict[str, Any], where: str) -> Document:
        name = tags.tokens or next((one for one in TOKEN_FIELDS if isinstance(fields.get(one), list)), "tokens")
        if name not in fields:
            raise DataError(f"no field '{name}' (found: {format_field_names(fields)})")
        tokens, text = texts.find(checked_tokens(fields[name], name), fields)
        document = tokens.document(where, keep_columns=reading.keep_columns)
        document.id = jsonl.id_of(fields)
        document.meta = {key: value for key, value in fields.items() if key not in {"id", name, tags.field, text}}
        if reading.annotation:
            spans = tags.spans(fields, len(tokens.tokens))
            document.entities = [tokens.entity(first, last, label) for first, last, label in spans]
        return document

    yield from convert_objects(objects, convert, HINT)
    texts.report(reading)
    tags.report(reading)


def _tokens_in(found: FoundObject) -> list[str]:
    fields = found[2]
    name = None if isinstance(fields, DataError) else token_field(fields)
    return [] if name is None or isinstance(fields, DataError) else tokens_in(fields[name])


def _signed(reading: Reading, tags: _Tags) -> Reading:
    """Return the options of reading; the decision about the file of tokens also names the tags."""
    if not tags.names:
        return reading
    decided = reading.decided
    return replace(reading, decided=lambda file: decided(replace(file, signature=(*file.signature, *tags.names))))


class _Tags:
    """Decides how the tags of a file are read, and reads those of each record.

    Attributes:
        field: the field with the tags.
        tokens: the field with the tokens; None if the first records have none.
        names: the names of tags that are numbers, or none.
    """

    def __init__(self, path: str, field: str, tokens: str | None, names: TagNames | None, style: TagStyle) -> None:
        self.field, self.tokens = field, tokens
        self._path, self._source, self._style = path, names, style
        self.names = () if names is None else names.names
        self._repaired = self._without = 0
        self._begins = True

    @classmethod
    def of(cls, head: Sequence[FoundObject], path: str, reading: Reading) -> _Tags:
        """Decide from the first records, and report it."""
        records = [fields for _, _, fields in head if isinstance(fields, dict) and token_field(fields)]
        tokens = None if not records else token_field(records[0])
        given = [(fields, _tag_field(fields, len(fields[str(token_field(fields))]))) for fields in records]
        field = next((name for _, name in given if name is not None), TAG_FIELDS[0])
        values = [tag for fields, name in given if name == field for tag in fields[field]]
        names = None
        if any(map(is_integer, values)) and reading.annotation:
            names = find_tag_names(path, field)
            if names is not None:
                reading.report(f"{path}: the names of the numbers in '{field}' are those of {names.path}")
                values = [names.names[tag] for tag in values if is_integer(tag) and 0 <= tag < len(names.names)]
        style = style_of([tag for tag in values if isinstance(tag, str)]) or PREFIXED
        if style.note and reading.annotation:
            reading.report(f"{path}: {style.note}")
        tags = cls(path, field, tokens, names, style)
        tags._begins = style.rank < _UNPREFIXED and tags._scheme(records) != "IOB1"
        return tags

    def _scheme(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Return the scheme of the tags of the first records, as far as they are valid."""
        named = (
            [self.names[tag] if is_integer(tag) and 0 <= tag < len(self.names) else tag for tag in fields[self.field]]
            for fields in records
            if isinstance(fields.get(self.field), list)
        )
        return scheme_of(
            [self._style.standard(tag) or OUTSIDE for tag in tags if isinstance(tag, str)] for tags in named
        )

    def spans(self, fields: Mapping[str, Any], count: int) -> list[tuple[int, int, str]]:
        """Return the spans of a record with a number of tokens.

        Raises:
            DataError: the tags are missing or invalid.
        """
        tags = fields.get(self.field)
        if tags is None:
            other = next(
                (name for name in TAG_FIELDS if name != self.field and isinstance(fields.get(name), list)), None
            )
            if other is not None:
                raise DataError(
                    f"no field '{self.field}', but '{other}'",
                    hint=f"give the tags of all records in the field '{self.field}', as in the first ones.",
                )
            self._without += 1
            return []
        if not isinstance(tags, list):
            raise DataError(f"'{self.field}' must be a list, got {short(tags)}")
        if len(tags) != count:
            raise DataError(f"got {counted(count, 'token')}, but {counted(len(tags), 'tag')} in '{self.field}'")
        spans, broken = spans_of([self._standard(tag) for tag in tags])
        self._repaired += broken * self._begins  # in IOB1 and without prefixes, no tag marks a beginning
        return spans

    def _standard(self, tag: Any) -> str:
        """Return a tag with its prefix and label, as in ``B-PER``."""
        name = self._name(tag) if is_integer(tag) else tag
        found = self._style.standard(name) if isinstance(name, str) else None
        if found is None:
            raise DataError(f"expected a tag such as O or {self._style.example}, got {short(name)}")
        return found

    def _name(self, tag: int) -> str:
        if self._source is None:
            raise DataError(f"'{self.field}' contains numbers without names, such as {tag}", hint=NAMES_HINT)
        if not 0 <= tag < len(self.names):
            raise DataError(
                f"'{self.field}' must contain numbers below {len(self.names)}, the number of names in "
                f"{self._source.path}, got {short(tag)}",
                hint=NAMES_HINT,
            )
        return self.names[tag]

    def report(self, reading: Reading) -> None:
        """Report what was missing or invalid."""
        if self._repaired:
            reading.report(INVALID_TAGS.format(path=self._path, count=counted(self._repaired, "tag")))
        if self._without and reading.annotation:
            reading.report(
                f"{self._path}: records without a field {quoted(self.field)}, which count as texts without entities: "
                f"{self._without:,}"
            )


def write(document: Document) -> str:
    """Return one line; of overlapping entities, the longer one is written."""
    words = split_flat_entities(document)
    tags = [OUTSIDE] * len(words.tokens)
    for entity, (first, last) in words.spans.items():
        tags[first : last + 1] = [f"B-{entity.label}", *[f"I-{entity.label}"] * (last - first)]
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields |= {"tokens": words.tokens, "ner_tags": tags}
    fields |= {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return jsonl.dump(fields)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    losses = count_entity_losses(document, split_flat_entities(document))
    return {**losses, **count_name_clashes(document, FORMAT_FIELDS)}
