"""Tags in JSON: ``{"tokens": ["Ann", "slept"], "ner_tags": ["B-name", "O"]}``, one object per line or in an array.

The tokens may be in ``words``, and the tags in ``tags``, ``labels`` or ``label``, in any scheme that columns may have. Tags may
be numbers if a file beside the data contains their names: ``dataset_info.json`` of a data set of the Hugging Face hub,
``labels.json``, ``label2id.json`` or ``id2label.json`` with a list or a map, or ``labels.txt`` with one name per line.

The text is joined from the tokens. If the record has a string ``text`` or ``sentence`` that consists of the tokens and
whitespace, that is the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Lines, Reading, Record, count_name_clashes
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, lines_or_array
from ie_cli.formats.common.tag_fields import LOOK_AHEAD, TaggedReader
from ie_cli.formats.common.tag_names import NAMES_HINT, find_tag_names
from ie_cli.formats.common.tag_schemes import OUTSIDE
from ie_cli.formats.common.word_tokens import count_entity_losses, split_flat_entities

FORMAT_FIELDS = frozenset({"id", "text", "sentence", "tokens", "ner_tags"})
HINT = 'write each record as {"tokens": ["Ann", "slept"], "ner_tags": ["B-name", "O"]}.'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report how its tags are read."""
    stream = lines_or_array(lines, path)
    head = list(islice(stream, LOOK_AHEAD if reading.annotation else 1))
    names = partial(find_tag_names, path)
    reader = TaggedReader.of(list(map(_fields, head)), path, reading, names_of=names, names_hint=NAMES_HINT)
    yield from convert_objects(reader.look_ahead(chain(head, stream), _fields), reader.document, HINT)
    reader.report()


def _fields(found: FoundObject) -> dict[str, Any]:
    fields = found[2]
    return {} if isinstance(fields, DataError) else fields


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
