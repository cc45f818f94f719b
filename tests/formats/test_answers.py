"""Answers of language models and GLiNER in their many forms, and the placement of their mentions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats.common.answers import Answer, Link, Mention, parse_answer
from ie_cli.formats.common.placing import PlacedText, folded, place

ANN = [Mention("Ann", "person")]
KNOWS = [Link("Ann", "knows", "Bob")]
FENCED = 'Sure! Here is the JSON:\n```json\n{"person": ["Ann"]}\n```\nAnything else?'


@pytest.mark.parametrize(
    "value",
    [
        {"entities": [{"text": "Ann", "label": "person"}]},
        {"entities": [{"mention": "Ann", "type": "person"}]},
        {"entities": [{"span": "Ann", "entity": "person"}]},
        {"entities": [{"entity": "Ann", "type": "person"}]},
        {"entities": [{"word": "Ann", "entity_group": "person"}]},
        {"entities": [["Ann", "person"]]},
        {"entities": {"person": ["Ann"], "city": [], "company": None}},
        {"entities": {"person": "Ann"}},
        {"entities": {"person": [{"text": "Ann"}]}},
        {"ner": [{"name": "Ann", "category": "person"}]},
        {"person": ["Ann"], "city": []},
        [{"text": "Ann", "label": "person"}],
        [["Ann", "person"]],
        '{"person": ["Ann"]}',
        json.dumps('{"person": ["Ann"]}'),
        FENCED,
        '<think>{"person": ["Bob"]}?</think> The answer is {"person": ["Ann"]}.',
        {"response": FENCED},
        {"response": {"body": {"choices": [{"message": {"role": "assistant", "content": FENCED}}]}}},
        {"result": {"message": {"content": [{"type": "text", "text": FENCED}]}}},
        {"predictions": [{"text": "Ann", "label": "person"}]},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_the_forms_of_mentions(value: Any) -> None:
    assert parse_answer(value) == Answer(ANN)


@pytest.mark.parametrize(
    "value",
    [
        {"relations": [{"subject": "Ann", "predicate": "knows", "object": "Bob"}]},
        {"relations": [{"head": "Ann", "relation": "knows", "tail": "Bob"}]},
        {"relations": [{"head": {"text": "Ann"}, "type": "knows", "tail": {"text": "Bob"}}]},
        {"relations": {"knows": [["Ann", "Bob"]]}},
        {"relation_extraction": {"knows": [{"head": "Ann", "tail": "Bob"}]}},
        {"triples": [["Ann", "knows", "Bob"]]},
        [["Ann", "knows", "Bob"]],
        [{"subject": "Ann", "predicate": "knows", "object": "Bob"}],
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_the_forms_of_triples(value: Any) -> None:
    assert parse_answer(value) == Answer([], KNOWS, related=True)


def test_scores_types_and_offsets_are_read() -> None:
    found = parse_answer(
        {
            "entities": [
                {"text": "Ann", "label": "person", "score": 0.9, "start": 0, "end": 3},
                ["Bob", "person", 0.5],
            ],
            "relations": [
                {
                    "subject": {"text": "Ann", "type": "person"},
                    "predicate": "in",
                    "object": "Rome",
                    "object_type": "city",
                    "confidence": 1,
                }
            ],
        }
    )
    assert found.mentions == [Mention("Ann", "person", 0.9, (0, 3)), Mention("Bob", "person", 0.5)]
    assert found.links == [Link("Ann", "in", "Rome", 1.0, "person", "city")]


def test_items_that_cannot_be_used_are_returned() -> None:
    items: list[Any] = [
        7,
        {"text": "Ann"},
        {"label": "person"},
        ["Ann"],
        {"text": " ", "label": "x"},
        {"text": "A", "label": 3},
    ]
    found = parse_answer({"entities": [*items, ["Ann", "person"]], "relations": [["Ann", "knows"]], "ner": "none"})
    assert (found.mentions, found.links) == (ANN, [])
    assert found.unusable == [*items, {"ner": "none"}, ["Ann", "knows"]]


@pytest.mark.parametrize(
    ("value", "is_record", "message"),
    [
        ("I cannot do that.", False, "no JSON in the answer"),
        (7, False, "expected an object"),
        ({"count": 3}, False, "no field with entities or relations (found: count)"),
        ({"text": "Ann", "person": ["Ann"]}, True, "no field with entities or relations (found: person, text)"),
        (json.loads("[" * 120 + "]" * 120), False, "nested too deeply"),
    ],
)
def test_an_answer_without_annotation_is_an_error(value: Any, is_record: bool, message: str) -> None:
    with pytest.raises(DataError) as raised:
        parse_answer(value, is_record=is_record)
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("text", "mention", "expected"),
    [
        ("Ann met Ann", "Ann", ["Ann", "Ann"]),
        ("Anna met ann", "Ann", ["ann"]),
        ("in New\n  York now", "New York", ["New\n  York"]),
        ("在 北 京 大学", "北京大学", ["北 京 大学"]),
        ("ＡＢＣ公司", "ABC公司", ["ＡＢＣ公司"]),
        ("ABC公司", "ＡＢＣ 公司", ["ABC公司"]),
        ("the O’Neill – Smith case", "O'Neill - Smith", ["O’Neill – Smith"]),
        ("Jose\u0301 sleeps", "José", ["Jose\u0301"]),
        ("José sleeps", "Jose\u0301", ["José"]),
        ("José sleeps", "Jose", []),
        ("20㎏ of it", "g", []),
        ("20㎏ of it", "20kg", ["20㎏"]),
        ("Nor\u200bthwind Ltd", "Northwind Ltd", ["Nor\u200bthwind Ltd"]),
        ("Straße 7", "STRASSE 7", ["Straße 7"]),
        ("", "Ann", []),
        ("Ann", " ", []),
    ],
)
def test_a_mention_is_found_as_it_is_written_in_the_text(text: str, mention: str, expected: list[str]) -> None:
    spans, is_folded = PlacedText(text).find(mention)
    assert [text[start:end] for start, end in spans] == expected
    assert is_folded == (bool(expected) and mention not in expected)


TEXT = st.text(st.sampled_from("aＡé e\u0301北 \n㎏ß’'"), max_size=30)


@given(TEXT)
def test_folding_keeps_the_places(text: str) -> None:
    for keep_spaces in (True, False):
        characters, places = folded(text, keep_spaces=keep_spaces)
        assert len(characters) == len(places)
        assert places == sorted(places)
        assert folded(characters, keep_spaces=keep_spaces)[0] == characters
    assert folded(text)[0].replace(" ", "") == folded(text, keep_spaces=False)[0]


@given(TEXT, st.integers(0, 30), st.integers(1, 10))
def test_what_is_found_differs_only_in_what_folding_ignores(text: str, start: int, length: int) -> None:
    mention = text[start : start + length]
    inside = PlacedText(text)
    for span in inside.find(mention.upper())[0]:
        assert folded(text[span[0] : span[1]], keep_spaces=False)[0] == folded(mention.upper(), keep_spaces=False)[0]


TWICE = "Ann met Bob. Bob left Rome, and Ann stayed."


def starts(*mentions: Mention, choice: Any) -> list[int]:
    return [entity.start for entity in place(TWICE, Answer(list(mentions)), choice).entities]


def test_which_occurrences_are_meant() -> None:
    ann, bob = Mention("Ann", "p"), Mention("Bob", "p")
    assert starts(ann, choice="all") == starts(ann, ann, choice=None) == [0, 32]
    assert starts(ann, choice="first") == [0]
    assert starts(ann, ann, choice="first") == [0, 32]
    assert starts(Mention("Rome", "c"), ann, choice="nearest") == [22, 32]
    assert starts(bob, ann, choice="nearest") == [0, 8] == starts(ann, bob, choice="nearest")
    assert starts(Mention("Ann", "p", None, (30, 33)), choice="nearest") == [32]


def test_right_offsets_are_used_and_wrong_ones_are_counted() -> None:
    right, wrong = Mention("Ann", "p", 0.7, (32, 35)), Mention("Bob", "p", None, (2, 5))
    placed = place(TWICE, Answer([right, wrong, Mention("", "p", None, (0, 3)), Mention("", "p", None, (90, 99))]))
    assert placed.entities == [Entity(0, 3, "p"), Entity(8, 11, "p"), Entity(13, 16, "p"), Entity(32, 35, "p")]
    assert placed.entities[-1].score == 0.7
    assert (placed.moved, len(placed.absent)) == (1, 1)


def test_what_is_not_in_the_text_or_too_often_is_returned() -> None:
    cat, rome = Mention("cat", "animal"), Mention("Rome", "city")
    placed = place(TWICE, Answer([cat, rome, rome], [Link("Ann", "knows", "cat")]), "first")
    assert placed.absent == [cat, Link("Ann", "knows", "cat")]
    assert placed.repeated == [rome]
    assert len(placed.entities) == 1


def test_triples_take_the_nearest_pair_and_the_labels_of_the_mentions() -> None:
    links = [Link("ANN", "knows", "Bob", 0.5), Link("Bob", "left", "Rome", None, None, "city")]
    placed = place(TWICE, Answer([Mention("Ann", "person")], links))
    ann, bob, later, rome = (
        Entity(0, 3, "person"),
        Entity(8, 11, "entity"),
        Entity(13, 16, "entity"),
        Entity(22, 26, "city"),
    )
    assert placed.relations == [Relation(ann, "knows", bob), Relation(later, "left", rome)]
    assert placed.relations[0].score == 0.5
    assert placed.folded == 1
    Document(TWICE, placed.entities, placed.relations)
    assert len(place(TWICE, Answer([], links), "all").relations) == 6


@pytest.mark.parametrize(
    ("text", "mentions", "choice", "starts"),
    [
        ("Ann Lee met Ann.", ["Ann Lee", "Ann"], None, [0, 12]),
        ("Ann Lee met Ann.", ["Ann", "Ann Lee"], "first", [0, 12]),  # in any order
        ("Ann Lee met Ann.", ["Ann Lee", "Ann"], "nearest", [0, 12]),
        ("Ann Lee met Ann.", ["Ann Lee", "Ann", "Ann"], "first", [0, 0, 12]),  # listed twice: in both places
        ("Ann Lee met Bob.", ["Ann Lee", "Ann"], None, [0, 0]),  # nowhere else
        ("Lee Ann and Ann, Lee Ann.", ["Lee Ann", "Ann"], None, [0, 12, 17]),
        ("Ann", ["Ann", "Ann"], None, [0]),
    ],
)
def test_a_part_of_a_longer_mention_is_the_last_choice(
    text: str, mentions: list[str], choice: Any, starts: list[int]
) -> None:
    placed = place(text, Answer([Mention(mention, "person") for mention in mentions]), choice)
    assert [entity.start for entity in placed.entities] == starts
    assert placed.repeated == []


def test_a_part_with_another_label_is_placed_everywhere() -> None:
    placed = place("Oslo University in Oslo", Answer([Mention("Oslo University", "org"), Mention("Oslo", "city")]))
    assert [(entity.start, entity.label) for entity in placed.entities] == [(0, "city"), (0, "org"), (19, "city")]
