"""W2NER: ``{"sentence": ["Ann", "slept"], "ner": [{"index": [0], "type": "name"}]}``, an array of objects or one per line.

``sentence`` lists tokens or characters, and ``index`` the tokens of an entity. Entities may nest. An entity whose tokens do not
follow each other cannot be read: it is left out and counted. The text is joined from the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Lines, Reading, Record, count_name_clashes, short
from ie_cli.formats.common.joining import look_ahead, tokens_in
from ie_cli.formats.common.json_stream import convert_objects, name_of, objects_of, read_objects
from ie_cli.formats.common.token_fields import TokenText, is_integer, tokens_of
from ie_cli.formats.common.word_tokens import count_entity_losses, split_entities

FORMAT_FIELDS = frozenset({"id", "sentence", "ner"})
HINT = 'write each record as {"sentence": ["Ann", "slept"], "ner": [{"index": [0], "type": "name"}]}.'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report the entities that are left out."""
    gaps = 0
    joining, objects = look_ahead(
        read_objects(lines, path),
        lambda found: tokens_in(found[2].get("sentence")) if isinstance(found[2], dict) else [],
        path,
        reading,
    )

    def convert(fields: dict[str, Any], where: str) -> Document:
        nonlocal gaps
        tokens = TokenText.joined(tokens_of(fields, "sentence"), joining)
        document = tokens.document(where, keep_columns=reading.keep_columns)
        document.id = jsonl.id_of(fields)
        document.meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        for value in objects_of(fields, "ner") if reading.annotation else ():
            index = _index(value, len(tokens.tokens))
            label = name_of(value, "type", "label")
            if all(after == before + 1 for before, after in pairwise(index)):
                document.entities.append(tokens.entity(index[0], index[-1], label))
            else:
                gaps += 1
        document.entities = list(dict.fromkeys(document.entities))
        return document

    yield from convert_objects(objects, convert, HINT)
    if gaps:
        reading.report(f"{path}: entities whose tokens do not follow each other, which are left out: {gaps:,}")


def _index(value: dict[str, Any], tokens: int) -> list[int]:
    index = value.get("index")
    if (
        not isinstance(index, list)
        or not index
        or not all(is_integer(token) and 0 <= token < tokens for token in index)
        or any(after <= before for before, after in pairwise(index))
    ):
        raise DataError(f"'index' must list tokens below {tokens} in their order, got {short(index)}", hint=HINT)
    return index


def write(document: Document) -> str:
    """Return an object without a line end."""
    words = split_entities(document)
    places = dict.fromkeys((first, last, entity.label) for entity, (first, last) in words.spans.items())
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields["sentence"] = words.tokens
    fields["ner"] = [{"index": list(range(first, last + 1)), "type": label} for first, last, label in places]
    fields |= {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return jsonl.dump(fields).removesuffix("\n")


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    losses = count_entity_losses(document, split_entities(document))
    return {**losses, **count_name_clashes(document, FORMAT_FIELDS)}
