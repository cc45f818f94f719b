"""CMeEE: ``{"text": …, "entities": [{"start_idx", "end_idx", "type", "entity"}]}`` in an array, the ends inclusive.

A file of this layout is detected and read as `jsonl`, which finds out from the mentions whether the ends are inclusive, as in the
first edition of CMeEE, or exclusive. This format writes inclusive ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ie_cli.document import Document
from ie_cli.document.fields import FORMAT_FIELDS as NATIVE_FIELDS
from ie_cli.document.fields import GUESSED, TRIPLES
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import RELATIONS_LOST, count_name_clashes, count_native_only, count_unlocated

FORMAT_FIELDS = NATIVE_FIELDS | {"text_pair", "events", GUESSED[0], TRIPLES}
"""The fields that a reader takes for annotation."""


def write(document: Document) -> str:
    """Return an object without a line end."""
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields["text"] = document.text
    fields["entities"] = [
        {
            "start_idx": entity.start,
            "end_idx": entity.end - 1,
            "type": entity.label,
            "entity": document.text[entity.start : entity.end],
        }
        for entity in sorted(document.entities)
    ]
    fields |= {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return jsonl.dump_value(jsonl.without_doubt(fields))


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return {
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **count_name_clashes(document, FORMAT_FIELDS),
        **count_native_only(document),
    }
