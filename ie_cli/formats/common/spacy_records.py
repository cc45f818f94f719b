"""The records of spaCy's JSON: pairs of text and annotation, paragraphs of tokens, and documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.common.base import Lines, short
from ie_cli.formats.common.json_object import parse_object, parse_value
from ie_cli.formats.common.json_stream import FoundObject, objects_of, read_head, read_objects

Fields = dict[str, Any]
_PAIR_HINT = 'write a pair of a text and its annotation as ["Ann slept", {"entities": [[0, 3, "PERSON"]]}].'


def records_in(lines: Lines, path: str) -> Iterator[FoundObject]:
    """Yield the pairs, paragraphs and documents of a file as objects.

    A pair becomes the annotation with the text. Paragraphs have the id of their document.
    """
    stream = iter(lines)
    head = read_head(stream)
    first = next((line for _, line in head if line.strip()), "")
    every = chain(head, stream)
    found = _pairs_by_line(every, path) if is_pair_line(first) else read_objects(every, path, parse_record)
    for where, raw, fields in found:
        if isinstance(fields, DataError):
            yield where, raw, fields
            continue
        try:
            yield from _parts(where, raw, fields)
        except DataError as error:
            yield where, raw, error


def is_pair_line(line: str) -> bool:
    """Return whether a line is a complete pair of a text and its annotation."""
    if not line.lstrip().startswith("["):
        return False
    try:
        return _is_pair(parse_value(line.strip().removesuffix(",")))
    except DataError:
        return False


def is_spacy_record(fields: Mapping[str, Any]) -> bool:
    """Return whether an object is a document in one of spaCy's forms that the native reader cannot read."""
    paragraphs = fields.get("paragraphs")
    if isinstance(paragraphs, list) and "text" not in fields:
        return True
    if "text" in fields:
        return isinstance(fields.get("spans"), dict) and "entities" not in fields
    return _has_pairs(fields)


def is_paragraph(fields: Mapping[str, Any]) -> bool:
    """Return whether a record is a paragraph of tokens."""
    return "text" not in fields and ("sentences" in fields or "raw" in fields)


def tokens_of(fields: Mapping[str, Any]) -> list[Fields]:
    """Return the tokens of all sentences of a paragraph.

    Raises:
        DataError: a token has no text, or a field is of another type.
    """
    tokens = [token for sentence in objects_of(dict(fields), "sentences") for token in objects_of(sentence, "tokens")]
    for number, token in enumerate(tokens):
        if not isinstance(token.get("orth"), str) or not token["orth"]:
            raise DataError(f"token {number} must have a non-empty 'orth', got {short(token)}")
    return tokens


def parse_record(raw: str) -> Fields:
    """Parse an object, or a pair of a text and its annotation.

    Raises:
        DataError: it is neither.
    """
    return _pair(parse_value(raw)) if raw.lstrip().startswith("[") else parse_object(raw)


def _pairs_by_line(lines: Lines, path: str) -> Iterator[FoundObject]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", line, parse_record(line)
        except DataError as error:
            yield f"{path}:{number}", line, error


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)


def _pair(value: Any) -> Fields:
    """Return the annotation of a pair with its text.

    Raises:
        DataError: it is no pair.
    """
    if not _is_pair(value):
        raise DataError(f"expected a pair of a text and its annotation, got {short(value)}", hint=_PAIR_HINT)
    text, annotation = value
    return {"text": text} | {name: part for name, part in annotation.items() if name != "text"}


def _has_pairs(fields: Mapping[str, Any]) -> bool:
    """Return whether an object contains pairs, as some annotation tools for spaCy export them."""
    values = fields.get("annotations")
    pairs = [value for value in values if value is not None] if isinstance(values, list) else []
    return bool(pairs) and _is_pair(pairs[0])


def _parts(where: str, raw: str, fields: Fields) -> Iterator[FoundObject]:
    """Yield the paragraphs or pairs of an object, or the object itself."""
    if "text" not in fields and _has_pairs(fields):
        for number, value in enumerate(fields["annotations"], 1):
            if value is None:  # a text that was skipped
                continue
            try:
                yield f"{where} (annotation {number})", short(value), _pair(value)
            except DataError as error:
                yield f"{where} (annotation {number})", short(value), error
        return
    if "text" in fields or "paragraphs" not in fields:
        yield where, raw, fields
        return
    paragraphs = objects_of(fields, "paragraphs")
    for number, paragraph in enumerate(paragraphs, 1):
        several = len(paragraphs) > 1
        place = f"{where} (paragraph {number})" if several else where
        known = fields.get("id")
        name = f"{known}-{number}" if several and known is not None else known
        yield place, raw, paragraph | ({} if known is None else {"id": name})
