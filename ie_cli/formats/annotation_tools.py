"""The formats of annotation tools, for the table of formats."""

from __future__ import annotations

from ie_cli.formats import (
    doccano,
    doccano_csv,
    label_studio,
    label_studio_csv,
    label_studio_writer,
    prodigy,
    spacy_json,
)
from ie_cli.formats.common.base import Format
from ie_cli.formats.common.json_stream import ARRAY

ANNOTATION_TOOLS: dict[str, Format] = {
    "doccano": Format(
        "doccano",
        "doccano: text and label: [[start, end, label]], also with relations; written without them",
        doccano.read,
        doccano.write,
        doccano.count_losses,
        by_line=True,
        arrays=True,
    ),
    "doccano-relations": Format(
        "doccano-relations",
        "the layout of doccano for projects with relations: text, entities with ids, relations",
        doccano.read,
        doccano.write_relations,
        doccano.count_losses_relations,
        by_line=True,
        arrays=True,
    ),
    "doccano-csv": doccano_csv.FORMAT,
    "label_studio": Format(
        "label_studio",
        "Label Studio: JSON and JSON-MIN; written as tasks with predictions",
        label_studio.read,
        label_studio_writer.write,
        label_studio_writer.count_losses,
        ARRAY,
        setup=label_studio_writer.setup,
    ),
    "label_studio-csv": label_studio_csv.FORMAT,
    "prodigy": Format(
        "prodigy",
        "Prodigy: text, spans, relations, tokens and answer",
        prodigy.read,
        prodigy.write,
        prodigy.count_losses,
        by_line=True,
        arrays=True,
    ),
    "spacy-json": Format(
        "spacy-json",
        "spaCy: pairs of text and entities, training data of version 2, Doc.to_json; written as pairs",
        spacy_json.read,
        spacy_json.write,
        spacy_json.count_losses,
        ARRAY,
        options=("joiner",),
    ),
}
