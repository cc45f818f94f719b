"""Exports of annotation tools in formats that are read, not written: `EXPORTS` makes them from documents."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

from ie_cli.document import Document
from ie_cli.formats.common.tag_schemes import bio_tags


def doccano_characters(documents: Sequence[Document]) -> str:
    """Return a row for each character, with its tag; of overlapping entities, the last one counts."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for number, document in enumerate(documents, 1):
        tags = bio_tags(len(document.text), [(one.start, one.end - 1, one.label) for one in document.entities])
        writer.writerows([number, character, tag, "{}"] for character, tag in zip(document.text, tags, strict=True))
    return out.getvalue()


def label_studio_table(documents: Sequence[Document]) -> str:
    """Return a row for each document, with its entities as regions in JSON."""
    out = io.StringIO(newline="")
    names = ["annotation_id", "annotator", "created_at", "id", "label", "lead_time", "text", "updated_at"]
    writer = csv.DictWriter(out, names, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    for number, document in enumerate(documents, 1):
        regions = [
            {"start": one.start, "end": one.end, "text": document.mention(one), "labels": [one.label]}
            for one in document.entities
        ]
        writer.writerow(
            {
                "id": number,
                "annotation_id": number,
                "text": document.text,
                "label": json.dumps(regions) if regions else "",
            }
        )
    return out.getvalue()


EXPORTS: dict[str, Callable[[Sequence[Document]], str]] = {
    "doccano-csv": doccano_characters,
    "label_studio-csv": label_studio_table,
}
"""The function that makes a file, by the name of the format."""
