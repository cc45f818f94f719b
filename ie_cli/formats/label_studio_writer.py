"""Writing of Label Studio tasks with pre-annotations, and of the labelling configuration that they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import jsonl
from ie_cli.formats.common.label_studio_regions import LABELS
from ie_cli.formats.common.tool_fields import count_tool_losses, mentions_of

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
CONTROL, OBJECT = "label", "text"
"""The names of the labels and of the text in the configuration; those of Label Studio's template for named entities."""
MODEL = "ie"
_DATA_FIELDS = frozenset({"id", "text"})


def write(document: Document) -> str:
    """Return a task without a line end: its text and user fields as data, its annotation as a prediction."""
    data: dict[str, Any] = {"text": document.text}
    if document.id is not None:
        data["id"] = document.id
    data |= _kept(document)
    entities = mentions_of(document)
    ids = {entity: f"e{number}" for number, entity in enumerate(entities)}
    relations = sorted(dict.fromkeys(document.relations))
    result = [_region(document.text, entity, ids[entity]) for entity in entities]
    result += [_relation(relation, ids) for relation in relations]
    prediction: dict[str, Any] = {"model_version": MODEL}
    every = [entity.score for entity in entities] + [relation.score for relation in relations]
    scores = [score for score in every if score is not None]
    if scores and all(0 <= score <= 1 for score in scores):
        prediction["score"] = round(sum(scores) / len(scores), 6)
    prediction["result"] = result
    return jsonl.dump_value({"data": data, "predictions": [prediction]})


def _kept(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.meta.items() if name not in _DATA_FIELDS}


def _region(text: str, entity: Entity, number: str) -> dict[str, Any]:
    value = {
        "start": entity.start,
        "end": entity.end,
        "text": text[entity.start : entity.end],
        LABELS: [entity.label],
    }
    region = {"id": number, "from_name": CONTROL, "to_name": OBJECT, "type": LABELS, "value": value}
    return region | _score(entity.score)


def _relation(relation: Relation, ids: Mapping[Entity, str]) -> dict[str, Any]:
    fields = {"type": "relation", "from_id": ids[relation.subject], "to_id": ids[relation.object], "direction": "right"}
    return fields | {"labels": [relation.predicate]} | _score(relation.score)


def _score(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 6)}


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return count_tool_losses(document, kept_fields=len(_kept(document)), relations=True, scores=True)


def setup(labels: Iterable[str], predicates: Iterable[str]) -> str:
    """Return the labelling configuration of a project for these labels, in Label Studio's XML, with a sentence before it."""
    title = "the labelling configuration for Label Studio (Settings, Labeling Interface, Code):"
    return f"{title}\n{configuration(labels, predicates)}"


def configuration(labels: Iterable[str], predicates: Iterable[str]) -> str:
    """Return the XML alone; characters that XML cannot contain are replaced."""
    lines = ["<View>", f'  <Labels name="{CONTROL}" toName="{OBJECT}">']
    lines += [f"    <Label value={_value(label)}/>" for label in labels]
    lines += ["  </Labels>", f'  <Text name="{OBJECT}" value="$text"/>']
    if named := [f"    <Relation value={_value(predicate)}/>" for predicate in predicates]:
        lines += ["  <Relations>", *named, "  </Relations>"]
    return "\n".join([*lines, "</View>"])


def _value(name: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", name))
