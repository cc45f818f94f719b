"""The JSON layouts with tokens: tags, W2NER, OneIE and DyGIE++; exact examples, losses, errors with their places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from support.random_documents import joined_documents

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_records
from ie_cli.formats.common.base import TokenFile
from ie_cli.formats.common.detect import detect
from ie_cli.formats.common.token_fields import TokenText
from ie_cli.formats.conll_writer import OTHER_WHITESPACE

ANN, BOB = Entity(0, 3, "person"), Entity(8, 11, "person")
TEXT = "Ann met Bob ."
TOKENS = ["Ann", "met", "Bob", "."]
MEETING = Event("meeting", (4, 7), (Argument("who", ANN), Argument("whom", BOB)))
WHOLE = Document(TEXT, [ANN, BOB], [Relation(ANN, "knows", BOB)], "a1", {"source": 3}, events=[MEETING])


def read(name: str, *records: Any, **options: Any) -> list[Record]:
    lines = [json.dumps(fields, ensure_ascii=False) for fields in records]
    return list(FORMATS[name].read(enumerate(lines, 1), "x.json", Reading(**options)))


def one(name: str, fields: dict[str, Any], **options: Any) -> Document:
    [record] = read(name, fields, **options)
    assert isinstance(record, Document), record
    return record


def losses(name: str, document: Document) -> dict[str, int]:
    return {what: count for what, count in FORMATS[name].count_losses(document).items() if count}


def framed(name: str, *some: Document) -> str:
    before, between, after = FORMATS[name].frame
    write = FORMATS[name].write
    assert write is not None
    return before + between.join(map(write, some)) + after


def again(name: str, *some: Document) -> list[Record]:
    lines = framed(name, *some).removesuffix("\n").split("\n")
    return list(FORMATS[name].read(enumerate(lines, 1), "x.json", Reading()))


# Tags


@pytest.mark.parametrize("tokens", ["tokens", "words", "text"])
@pytest.mark.parametrize("tags", ["ner_tags", "tags", "labels", "label"])
def test_tokens_and_tags_have_several_names(tokens: str, tags: str, tmp_path: Path) -> None:
    fields = {tokens: TOKENS, tags: ["B-person", "O", "B-person", "O"], "id": "a1", "pos_tags": [1, 2, 1, 3]}
    file = tmp_path / "x.json"
    file.write_text(json.dumps(fields))
    detected: list[str] = []
    found = list(read_records(str(file), detected=detected.append))
    assert found == [Document(TEXT, [ANN, BOB], [], "a1", {"pos_tags": [1, 2, 1, 3]})]
    assert detected == (["conll04"] if (tokens, tags) == ("tokens", "tags") else ["bio-json"])


@pytest.mark.parametrize(
    ("tags", "spans", "said"),
    [
        ("B-x I-x O U-y", [(0, 7, "x"), (12, 13, "y")], []),
        ("I-x I-x B-x O", [(0, 7, "x"), (8, 11, "x")], []),
        ("x-B x-I O O", [(0, 7, "x")], ["x.json: the prefix follows the label (PER-B)"]),
        ("x x O O", [(0, 7, "x")], ["x.json: labels without prefixes: equal neighbours are one entity"]),
        (
            "B-y I-x O O",
            [(0, 3, "y"), (4, 7, "x")],
            [
                "x.json: 1 tag without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
            ],
        ),
    ],
)
def test_every_scheme_of_tags_is_read(tags: str, spans: list[tuple[int, int, str]], said: list[str]) -> None:
    reported: list[str] = []
    document = one("bio-json", {"tokens": TOKENS, "ner_tags": tags.split()}, report=reported.append)
    assert [(e.start, e.end, e.label) for e in document.entities] == spans
    assert reported == said


INFO = {"features": {"ner_tags": {"feature": {"names": ["O", "B-person"], "_type": "ClassLabel"}, "_type": "Sequence"}}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", ["O", "B-person"]),
        ("label2id.json", {"B-person": 1, "O": 0}),
        ("id2label.json", {"0": "O", "1": "B-person"}),
        ("labels.txt", "O\nB-person\n"),
        ("dataset_info.json", INFO),
        ("dataset_infos.json", {"default": INFO}),
    ],
)
def test_the_names_of_numbers_are_in_a_file_beside_the_data(name: str, content: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"tokens": TOKENS, "ner_tags": [1, 0, 1, 0]}))
    reported: list[str] = []
    decided: list[TokenFile] = []
    reading = Reading(report=reported.append, decided=decided.append)
    assert list(read_records(str(file), reading=reading)) == [Document(TEXT, [ANN, BOB])]
    assert reported == [f"{file}: the names of the numbers in 'ner_tags' are those of {tmp_path / name}"]
    assert decided == [TokenFile("words", ("O", "B-person"))]  # other names give other data


def test_numbers_without_names_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"text": TEXT, "tokens": TOKENS, "ner_tags": [1, 0, 1, 0]}))
    [bad] = read_records(str(file))
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"{file}:1: 'ner_tags' contains numbers without names, such as 1"
    assert "labels.json beside it" in str(bad.error.hint)
    (tmp_path / "labels.json").write_text('["O"]')
    [bad] = read_records(str(file))
    assert isinstance(bad, BadLine)
    assert "must contain numbers below 1, the number of names in" in bad.error.message
    (tmp_path / "labels.json").write_text('{"O": 0, "B-x": 2}')  # no name for 1: not a list of names
    [bad] = read_records(str(file))
    assert isinstance(bad, BadLine)
    assert "numbers without names" in bad.error.message
    [unread] = read_records(str(file), reading=Reading(annotation=False))
    assert unread == Document(TEXT)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"words": ["a"]}, "no field 'tokens' (found: words)"),
        ({"tokens": "Ann"}, "'tokens' must be a list of strings, got \"Ann\""),
        ({"tokens": ["a", ""], "ner_tags": ["O", "O"]}, 'token 1 must be a non-empty string, got ""'),
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "got 2 tokens, but 1 tag in 'ner_tags'"),
        ({"tokens": ["a"], "ner_tags": "O"}, "'ner_tags' must be a list, got \"O\""),
        ({"tokens": ["a"], "ner_tags": ["PER"]}, 'expected a tag such as O or B-PER, got "PER"'),
        ({"tokens": ["a"], "ner_tags": [0.5]}, "expected a tag such as O or B-PER, got 0.5"),
        ({"tokens": ["a"], "labels": ["O"]}, "no field 'ner_tags', but 'labels'"),
        ({"tokens": ["a"], "ner_tags": ["O"], "id": [1]}, "'id' must be a string or an integer, got [1]"),
    ],
)
def test_a_bad_record_of_tags_is_reported_with_its_place(fields: dict[str, Any], message: str) -> None:
    good = {"tokens": ["a", "b"], "ner_tags": ["B-x", "O"]}
    first, bad, last = read("bio-json", good, fields, good)
    assert first == last == Document("a b", [Entity(0, 1, "x")])
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"x.json:2: {message}"
    assert bad.error.hint


def test_records_without_tags_are_counted() -> None:
    reported: list[str] = []
    good = {"tokens": ["a"], "ner_tags": ["O"]}
    assert read("bio-json", good, {"tokens": ["b"]}, report=reported.append) == [Document("a"), Document("b")]
    assert reported == ["x.json: records without a field 'ner_tags', which count as texts without entities: 1"]


@pytest.mark.parametrize("name", ["bio-json", "oneie"])
def test_the_text_of_a_record_is_kept_if_it_consists_of_the_tokens(name: str) -> None:
    reported: list[str] = []
    tags: dict[str, Any] = {"ner_tags": ["O"] * 4} if name == "bio-json" else {"entity_mentions": []}
    texts = ["Ann  met\tBob. ", "Ann met", "Ann met Bob. No", "Ann met, Bob."]
    found = read(name, *({"tokens": TOKENS, "sentence": text, **tags} for text in texts), report=reported.append)
    assert [record.text for record in found if isinstance(record, Document)] == [texts[0], TEXT, TEXT, TEXT]
    assert reported == [
        "x.json: records whose 'sentence' does not consist of their tokens, which are joined instead: 3"
    ]


def test_tokens_are_found_in_a_text() -> None:
    placed = TokenText.placed(["a", "aa", "中"], " a aa中 ")
    assert placed is not None
    assert placed.starts == [1, 3, 5]
    assert TokenText.placed([], " ") is not None
    assert TokenText.placed([], "a") is None
    assert TokenText.placed(["a"], "ba") is None


# W2NER


def test_tokens_that_do_not_follow_each_other_are_counted() -> None:
    reported: list[str] = []
    ner = [{"index": [0, 1], "type": "x"}, {"index": [0, 2], "type": "x"}, {"index": [1], "type": "y"}]
    document = one("w2ner", {"sentence": TOKENS, "ner": ner, "word": [[0]]}, report=reported.append)
    assert document == Document(TEXT, [Entity(0, 7, "x"), Entity(4, 7, "y")], meta={"word": [[0]]})
    assert reported == ["x.json: entities whose tokens do not follow each other, which are left out: 1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ner": []}, "no field 'sentence' (found: ner)"),
        ({"sentence": "Ann", "ner": []}, "'sentence' must be a list of strings, got \"Ann\""),
        ({"sentence": ["a"], "ner": {}}, "'ner' must be a list, got {}"),
        ({"sentence": ["a"], "ner": [{"index": [1], "type": "x"}]}, "'index' must list tokens below 1 in their order, got [1]"),
        ({"sentence": ["a", "b"], "ner": [{"index": [1, 0], "type": "x"}]}, "'index' must list tokens below 2 in their order"),
        ({"sentence": ["a"], "ner": [{"index": [], "type": "x"}]}, "'index' must list tokens below 1 in their order, got []"),
        ({"sentence": ["a"], "ner": [{"index": [0]}]}, "no field 'type': {\"index\": [0]}"),
    ],
)  # fmt: skip
def test_a_bad_record_of_w2ner_is_reported_with_its_place(fields: dict[str, Any], message: str) -> None:
    first, bad = read("w2ner", {"sentence": ["a"], "ner": []}, fields)
    assert first == Document("a")
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x.json:2: {message}"), bad.error.message


# OneIE


def oneie(**changes: Any) -> dict[str, Any]:
    [line] = framed("oneie", WHOLE).splitlines()
    return json.loads(line) | changes


def test_mentions_are_written_and_read() -> None:
    assert oneie()["entity_mentions"][1] == {"id": "E1", "text": "Bob", "entity_type": "person", "start": 2, "end": 3}
    assert again("oneie", WHOLE) == [WHOLE]
    assert losses("oneie", WHOLE) == {}
    apart = Document("Ann  met\nBob", [Entity(0, 3, "x"), Entity(1, 2, "y"), Entity(3, 5, "z"), Entity(3, 8, "z")])
    [back] = again("oneie", apart)
    assert isinstance(back, Document)
    assert (back.text, back.entities) == (apart.text, [Entity(0, 3, "x"), Entity(1, 2, "y"), Entity(5, 8, "z")])
    assert sum(losses("oneie", apart).values()) == 2  # one consists of whitespace, one starts with it


def test_the_arguments_of_a_relation_may_be_in_any_order() -> None:
    fields = oneie()
    fields["relation_mentions"][0]["arguments"].reverse()
    assert one("oneie", fields) == WHOLE


def test_fields_of_mentions_that_are_not_kept_are_counted() -> None:
    reported: list[str] = []
    fields = oneie()
    for mention in fields["entity_mentions"]:
        mention |= {"mention_type": "NAM", "entity_subtype": "Individual"}
    assert one("oneie", fields, report=reported.append) == WHOLE
    assert reported == [
        "x.json: fields of mentions that are not kept: mention_type of entity_mentions 2, entity_subtype of entity_mentions 2"
    ]


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("entity_mentions", {"end": 1}, "entity_mentions[0]: 'person' covers tokens 0-1, which are 'Ann', but its text is 'met'"),
        ("entity_mentions", {"end": 9}, "entity_mentions[0]: a mention must satisfy 0 <= start < end <= 4, "),
        ("entity_mentions", {"entity_type": ""}, "entity_mentions[0]: 'entity_type' must be a non-empty string, got \"\""),
        ("relation_mentions", {"arguments": []}, "relation_mentions[0]: a relation must have two arguments, got 0"),
        ("relation_mentions", {"arguments": [{"entity_id": "z"}] * 2}, "relation_mentions[0]: 'entity_id' of an argument must"),
        ("event_mentions", {"trigger": None}, "event_mentions[0]: 'trigger' must be an object with start and end, got null"),
        ("event_mentions", {"arguments": [{"entity_id": "E0"}]}, "event_mentions[0]: no field 'role'"),
    ],
)  # fmt: skip
def test_a_bad_mention_is_reported_with_its_place(place: str, change: dict[str, Any], message: str) -> None:
    fields = oneie()
    fields[place][0] |= {"text": "met"} if "end" in change else {}
    fields[place][0] |= change
    [bad] = read("oneie", fields)
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x.json:1: {message}"), bad.error.message


# DyGIE++


SENTENCES = {
    "doc_key": "a1",
    "sentences": [["Ann", "slept", "."], ["She", "met", "Bob", "."]],
    "ner": [[[0, 0, "person"]], [[5, 5, "person"]]],
    "relations": [[[0, 0, 5, 5, "knows"]], []],
    "events": [[], [[[4, "meeting"], [0, 0, "who"], [5, 5, "whom"]]]],
}


def test_documents_with_sentences_are_read_and_written() -> None:
    reported: list[str] = []
    clusters = [[[0, 0], [3, 3]]]
    document = one("dygie", {**SENTENCES, "clusters": clusters, "dataset": "d"}, report=reported.append)
    ann, bob = Entity(0, 3, "person"), Entity(20, 23, "person")
    meeting = Event("meeting", (16, 19), (Argument("who", ann), Argument("whom", bob)))
    meta = {"dataset": "d", "sentences": [[0, 11], [12, 25]]}
    text = "Ann slept . She met Bob ."
    assert document == Document(text, [ann, bob], [Relation(ann, "knows", bob)], "a1", meta, events=[meeting])
    assert reported == ["x.json: clusters of coreference, which are not kept: 1"]
    assert json.loads(framed("dygie", document)) == {**SENTENCES, "dataset": "d"}
    assert losses("dygie", document) == {}
    [native] = again("jsonl", document)
    assert isinstance(native, Document)
    assert framed("dygie", native) == framed("dygie", document)


@pytest.mark.parametrize("sentences", [5, [], [[0, 3]], [[0, 3], [4, 9]], [[0, 2], [2, 13]], [["0", 13]]])
def test_sentences_that_do_not_divide_the_text_are_counted(sentences: Any) -> None:
    document = Document(TEXT, [ANN], meta={"sentences": sentences})
    assert json.loads(framed("dygie", document))["sentences"] == [TOKENS]
    assert list(losses("dygie", document).values()) == [1]


def test_events_that_dygie_cannot_express_are_counted() -> None:
    def of(*events: Event, text: str = TEXT) -> dict[str, int]:
        document = Document(text, [ANN, BOB], events=list(events))
        [back] = again("dygie", document)
        assert isinstance(back, Document)
        lost = losses("dygie", document)
        assert len(set(document.events) - set(back.events)) == sum(
            n for what, n in lost.items() if what.startswith("events")
        )
        return lost

    assert of(MEETING) == {}
    assert (
        sum(
            of(
                MEETING, Event("x"), Event("x", (0, 7)), Event("x", (4, 7), (Argument("a", Entity(4, 7, "y")),))
            ).values()
        )
        == 3
    )
    assert sum(of(Event("x", (3, 7)), Event("y", (4, 7), (Argument("a", Entity(4, 7, "entity")),))).values()) == 1
    assert set(of(MEETING, text="Ann met Bob  .")) == {OTHER_WHITESPACE}
    spaced = Document("Ann  met", [ANN], events=[Event("x", (5, 8))])
    assert [what.split()[0] for what in losses("dygie", spaced)] == ["texts", "events"]


def test_an_argument_has_the_first_label_of_its_span() -> None:
    other = Entity(0, 3, "subject of study")
    document = Document(TEXT, [ANN, other, BOB], [Relation(other, "knows", BOB)])
    [back] = again("dygie", document)
    assert isinstance(back, Document)
    assert back.relations == [Relation(ANN, "knows", BOB)]
    assert [count for what, count in losses("dygie", document).items() if what.startswith("relations")] == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": None}, "'sentences' must be a list of lists of tokens, got null"),
        ({"sentences": [["a"], "b"]}, "'sentences[1]' must be a list of strings, got \"b\""),
        ({"sentences": [["a"], [""]]}, 'token 0 must be a non-empty string, got ""'),
        ({"ner": [[]]}, "'ner' must contain one list for each of 2 sentences, got [[]]"),
        ({"ner": [[[0, 0]], []]}, "ner[0][0]: expected [start, end, label], got [0, 0]"),
        ({"ner": [[], [[6, 7, "x"]]]}, "ner[1][0]: a span must satisfy 0 <= start <= end < 7, the number of tokens, got [6, 7]"),
        ({"ner": [[[0, 0, ""]], []]}, "ner[0][0]: an entity's label must be a non-empty string, got ''"),
        ({"relations": [[[0, 0, 9, 9, "p"]], []]}, "relations[0][0]: a span must satisfy"),
        ({"relations": [[[0, 0, 1, 1, None]], []]}, "relations[0][0]: a predicate must be a non-empty string, got null"),
        ({"events": [[], [[]]]}, "events[1][0]: an event must be a list of its trigger and its arguments, got []"),
        ({"events": [[], [[[4]]]]}, "events[1][0]: expected [token, type], got [4]"),
    ],
)  # fmt: skip
def test_a_bad_document_is_reported_with_its_place(change: dict[str, Any], message: str) -> None:
    [bad] = read("dygie", SENTENCES | change)
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x.json:1: {message}"), bad.error.message
    assert bad.error.hint


# CMeEE


def test_cmeee_is_written_with_inclusive_ends_and_read_with_both() -> None:
    document = Document("云云州", [Entity(0, 1, "x"), Entity(1, 3, "y")])
    written = json.loads(framed("cmeee", document))
    assert written[0]["entities"] == [
        {"start_idx": 0, "end_idx": 0, "type": "x", "entity": "云"},
        {"start_idx": 1, "end_idx": 2, "type": "y", "entity": "云州"},
    ]
    assert again("cmeee", document) == [document]
    for entity in written[0]["entities"]:
        entity["end_idx"] += 1
    assert one("cmeee", written[0]) == document


# All of them


@settings(max_examples=20)
@given(document=joined_documents(flat=False))
def test_documents_of_tokens_are_read_as_they_were_written(document: Document) -> None:
    for name in ("w2ner", "dygie", "oneie"):
        expected = Document(document.text, document.entities, document.relations, document.id, document.meta)
        if name == "w2ner":
            expected.relations = []
        elif any(what.startswith("relations") for what in losses(name, document)):
            continue
        assert again(name, document) == [expected]


def test_what_is_written_is_detected() -> None:
    others = {"duie1": "duie", "conll04-table": "conll04", "doccano-relations": "doccano"}
    others |= dict.fromkeys(("cmeee", "doccano"), "jsonl")  # which reads these records as they are
    document = Document(TEXT, [ANN, BOB], [Relation(ANN, "knows", BOB)], events=[MEETING])
    pair = Document("Ann met Bob.", text_pair="They met.", label="yes")
    names = [name for name, format in FORMATS.items() if format.write is not None and name != "html"]
    for name in names:
        some = [pair, pair] if name == "pairs" else [document, document]
        lines = framed(name, *some).split("\n")
        assert detect(list(enumerate(lines, 1)), "x") == others.get(name, name), (name, lines)


def test_tokens_are_columns_if_they_are_kept() -> None:
    make: dict[str, Callable[[], dict[str, Any]]] = {
        "bio-json": lambda: {"tokens": TOKENS, "ner_tags": ["O"] * 4},
        "w2ner": lambda: {"sentence": TOKENS, "ner": []},
        "oneie": lambda: {"tokens": TOKENS, "entity_mentions": []},
        "dygie": lambda: {"sentences": [TOKENS[:2], TOKENS[2:]], "ner": [[], []]},
    }
    for name, fields in make.items():
        columns = one(name, fields(), keep_columns=True).columns
        assert columns is not None
        assert [row[0] for row in columns.rows] == TOKENS
