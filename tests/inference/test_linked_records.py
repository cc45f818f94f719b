from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import native_documents

from ie_cli.document import Document
from ie_cli.formats import BadLine, jsonl
from ie_cli.formats.common.annotation_fields import AnnotationTally
from ie_cli.inference.canonical_names import CanonicalName, NameIndex
from ie_cli.inference.linked_records import has_annotation, is_error_record, mentions_of, with_links
from ie_cli.inference.linking import Link

INDEX = NameIndex([CanonicalName("Q1", "Ann"), CanonicalName(2, "Bob")])
LINKS = (Link(0, 0.87654321), Link(), Link(1, 1.0, is_equal=True))
WRITTEN = ({"id": "Q1", "name": "Ann", "score": 0.876543}, None, {"id": 2, "name": "Bob", "score": 1.0})


def read(fields: dict[str, Any]) -> Document:
    document = jsonl.from_fields(fields, AnnotationTally("file"))
    document.fields = fields
    return document


def without_links(fields: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The same fields without the links of entities, and these links in the order in which they are written."""
    fields, links = copy.deepcopy(fields), []
    relations, events = fields.get("relations") or (), fields.get("events")
    holders = [
        *fields["entities"],
        *(relation[role] for relation in relations for role in ("subject", "object")),
        *(one for event in (events if isinstance(events, list) else ()) if isinstance(event, dict)
          for one in (event.get("arguments") or ()) if isinstance(one, dict)),
    ]  # fmt: skip
    for holder in holders:
        if "link" in holder:
            links.append(holder.pop("link"))
    return fields, links


@given(native_documents(), st.integers(0, 3))
def test_records_keep_everything_and_each_entity_has_a_link(document: Document, context: int) -> None:
    fields = json.loads(jsonl.write(document))
    for entity in fields["entities"]:
        entity["note"] = [1, {"a": None}]
    found = read(fields)
    before = copy.deepcopy(fields)
    mentions = mentions_of(found, context)
    linked = with_links(found, iter(LINKS * len(mentions)), INDEX)
    assert fields == before
    kept, links = without_links(linked.fields or {})
    assert kept == before
    assert links == [WRITTEN[number % 3] for number in range(len(mentions))]
    spans = [
        *found.entities,
        *(entity for relation in found.relations for entity in (relation.subject, relation.object)),
    ]
    arguments = [one for event in fields["events"] for one in event["arguments"]] if found.events else []
    assert len(mentions) == len(spans) + len(arguments)
    for mention, span in zip(mentions, spans, strict=False):
        assert mention == (
            found.text[span.start : span.end],
            found.text[max(0, span.start - context) : span.end + context],
            span.label,
        )
    assert read(json.loads(jsonl.dump(linked.fields or {}))) == found


def test_other_forms_of_entities_are_linked() -> None:
    found = read({"text": "Ann met Bob", "label": [[0, 3, "person"], [8, 11, "person"]]})
    assert [mention.text for mention in mentions_of(found)] == ["Ann", "Bob"]
    linked = with_links(found, iter(LINKS), INDEX).fields
    assert linked is not None
    assert linked["label"] == [
        {"start": 0, "end": 3, "label": "person", "text": "Ann", "link": WRITTEN[0]},
        {"start": 8, "end": 11, "label": "person", "text": "Bob", "link": None},
    ]
    found = read({"text": "Ann", "entities": [{"start_offset": 0, "end_offset": 3, "type": "person"}]})
    linked = with_links(found, iter(LINKS), INDEX).fields
    assert linked is not None
    assert linked["entities"] == [{"start_offset": 0, "end_offset": 3, "type": "person", "link": WRITTEN[0]}]


def test_relations_in_the_forms_of_annotation_tools_are_kept() -> None:
    ann, bob = {"id": 7, "start": 0, "end": 3, "label": "P"}, {"id": 8, "start": 8, "end": 11, "label": "P"}
    relations = [{"from_id": 7, "to_id": 8, "type": "met"}, {"head_span": ann, "child_span": bob, "label": "met"}]
    found = read({"text": "Ann met Bob", "entities": [ann, bob], "relations": relations})
    assert len(mentions_of(found)) == 2
    linked = with_links(found, iter(LINKS), INDEX).fields
    assert linked is not None
    assert linked["relations"] == relations
    assert [entity["link"] for entity in linked["entities"]] == list(WRITTEN[:2])


def test_earlier_links_are_replaced() -> None:
    found = read({"text": "Ann", "entities": [{"start": 0, "end": 3, "label": "p", "link": {"id": "old"}, "note": 1}]})
    linked = with_links(found, iter(LINKS), INDEX).fields
    assert linked is not None
    assert linked["entities"] == [{"start": 0, "end": 3, "label": "p", "link": WRITTEN[0], "note": 1}]


def test_arguments_without_a_label_are_mentions() -> None:
    event = {"type": "visit", "arguments": [{"role": "guest", "start": 0, "end": 3}]}
    found = read({"text": "Ann", "events": [event]})
    assert [(mention.text, mention.label) for mention in mentions_of(found)] == [("Ann", None)]
    linked = with_links(found, iter(LINKS), INDEX).fields
    assert linked is not None
    assert linked["events"][0]["arguments"][0]["link"] == WRITTEN[0]


def test_records_without_annotation_are_known() -> None:
    assert not has_annotation(read({"text": "Ann"}))
    for annotation in ({"entities": []}, {"relations": []}, {"label": [[0, 3, "person"]]}):
        assert has_annotation(read({"text": "Ann", **annotation}))


def test_records_of_errors_are_known() -> None:
    error = BadLine("file:1", "", None)  # type: ignore[arg-type]
    for raw, expected in (
        ('{"error": "no text", "line": "{}"}', True),
        ('{"error": 1}', False),
        ("{", False),
        ("[]", False),
    ):
        assert is_error_record(BadLine(error.where, raw, error.error)) is expected
