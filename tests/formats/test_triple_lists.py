"""CasRel, PRGC, TPLinker and SPN4RE: exact examples, errors with their places, round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import LABELS, PREDICATES, TEXT, documents

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.formats import BadLine, Reading, Record, jsonl
from ie_cli.formats.common.json_stream import ARRAY
from ie_cli.formats.triple_lists import count_losses, read, write

TEXT9 = "Anna 在👩云州"  # code points: Anna 0-4, 在 5, 👩 6, 云州 7-9


def records(*fields: Any, **options: Any) -> list[Record]:
    lines = json.dumps(fields, indent=1, ensure_ascii=False).split("\n")
    return list(read(enumerate(lines, 1), "x.json", Reading(**options)))


def one(fields: dict[str, Any], **options: Any) -> Document:
    [record] = records(fields, **options)
    assert isinstance(record, Document), record
    return record


def again(*some: Document) -> list[Record]:
    text = ARRAY[0] + ARRAY[1].join(map(write, some)) + ARRAY[2]
    return list(read(enumerate(text.split("\n"), 1), "x.json", Reading()))


def relation(text: str, subject: str, predicate: str, object_: str, *kinds: str) -> Relation:
    """Return a relation between the first occurrences of two mentions."""
    ends = zip((subject, object_), kinds or ("entity", "entity"), strict=True)
    first, second = (Entity(text.index(m), text.index(m) + len(m), kind) for m, kind in ends)
    return Relation(first, predicate, second)


def test_casrel_has_no_offsets() -> None:
    reported: list[str] = []
    document = one(
        {"text": TEXT9, "triple_list": [["Anna", "lives in", "云州"], ["云州", "x", "nowhere"]], "split": 3},
        report=reported.append,
    )
    assert document.spos == [Spo("Anna", "lives in", "云州"), Spo("云州", "x", "nowhere")]
    assert document.relations == [relation(TEXT9, "Anna", "lives in", "云州")]
    assert (document.entities, document.id, document.meta) == ([], None, {"split": 3})
    assert reported == [
        "x.json: triples without offsets: 2; with several possible positions: 0 (mentions: nearest); not found in the text: 1, "
        "first in x.json:2: 云州 | x | nowhere"
    ]


def test_a_duplicate_triple_counts_once() -> None:
    assert one({"text": "a b", "triple_list": [["a", "p", "b"], ["a", "p", "b"]]}).spos == [Spo("a", "p", "b")]


@pytest.mark.parametrize(("mentions", "starts"), [("nearest", [4]), ("first", [0]), ("all", [0, 4])])
def test_mentions_select_the_occurrences(mentions: str, starts: list[int]) -> None:
    document = one({"text": "a x a b", "triple_list": [["a", "p", "b"]]}, mentions=mentions)
    assert [r.subject.start for r in document.relations] == starts


def test_spn4re_has_its_text_under_another_name() -> None:
    mentions = [{"em1Text": "a", "em2Text": "b", "label": "/p/q"}, {"em1Text": "b", "em2Text": "a", "label": "None"}]
    document = one({"sentText": "a b", "relationMentions": mentions, "sentId": 7, "entityMentions": [{"text": "a"}]})
    assert (document.text, document.spos) == ("a b", [Spo("a", "/p/q", "b")])
    assert document.meta == {"sentId": 7, "entityMentions": [{"text": "a"}]}


TPLINKER = {
    "id": "t1",
    "text": TEXT9,
    "relation_list": [
        {
            "subject": "Anna",
            "predicate": "lives in",
            "object": "云州",
            "subj_char_span": [0, 4],
            "obj_char_span": [7, 9],
            "subj_tok_span": [99, 100],
            "obj_tok_span": [100, 101],
        }
    ],
    "entity_list": [{"text": "Anna", "type": "person", "char_span": [0, 4], "tok_span": [99, 100]}],
}


def test_tplinker_has_exact_offsets_and_types_of_entities() -> None:
    document = one({**TPLINKER, "triple_list": [["is", "not", "asked"]]})
    assert document.relations == [relation(TEXT9, "Anna", "lives in", "云州", "person", "entity")]
    assert (document.entities, document.spos, document.id) == ([Entity(0, 4, "person")], None, "t1")


def test_types_are_kept_as_they_are() -> None:
    listed = [{"text": "a", "type": kind, "char_span": [0, 1]} for kind in ("DEFAULT", "/p/q")]
    document = one({"text": "a", "entity_list": [*listed, {"text": "a", "char_span": [0, 1]}, *listed]})
    assert document.entities == [Entity(0, 1, "DEFAULT"), Entity(0, 1, "/p/q"), Entity(0, 1, "entity")]


def test_a_relation_list_without_spans_is_a_list_of_triples() -> None:
    listed = [{"text": "b", "type": "place"}]
    document = one(
        {
            "text": "a b",
            "relation_list": [{"subject": "a", "predicate": "p", "object": "b"}],
            "entity_list": listed,
        }
    )
    assert document.spos == [Spo("a", "p", "b")]
    assert document.relations == [relation("a b", "a", "p", "b", "entity", "place")]
    assert document.entities == []


@pytest.mark.parametrize("tokens", [None, ["Ann", "a", "B.", "of", "云", "州"]])
def test_token_spans_are_located_if_the_tokens_are_known(tokens: list[str] | None) -> None:
    text = "Anna  B. of\t云州"
    spans = [[0, 2], [3, 4]] if tokens is None else [[0, 3], [4, 6]]
    value = {
        "subject": "Anna B.",
        "predicate": "p",
        "object": "云州",
        "subj_tok_span": spans[0],
        "obj_tok_span": spans[1],
    }
    document = one({"text": text, "relation_list": [value], **({"tokens": tokens} if tokens else {})})
    assert document.relations == [Relation(Entity(0, 8, "entity"), "p", Entity(12, 14, "entity"))]
    assert document.spos is None


def test_text_to_predict_has_no_annotation() -> None:
    for fields in (TPLINKER, {"text": TEXT9, "id": "t1", "triple_list": "spam"}):
        assert one(fields, annotation=False) == Document(TEXT9, id="t1")
    assert one({"text": "a"}) == Document("a")
    assert one({"text": "a", "triple_list": []}) == Document("a", spos=[])
    assert one({"text": "a", "triple_list": None, "relation_list": None}) == Document("a")


def spans(**changes: Any) -> dict[str, Any]:
    return {"text": TEXT9, "relation_list": [{**TPLINKER["relation_list"][0], **changes}]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"triple_list": []}, "no field 'text' (found: triple_list)"),
        ({"sentText": 3, "relationMentions": []}, "'text' must be a string, got 3"),
        ({"text": "a", "id": []}, "'id' must be a string or an integer, got []"),
        ({"text": "a", "triple_list": {}}, "'triple_list' must be a list, got {}"),
        ({"text": "a", "triple_list": [["a", "b"]]}, 'a triple must be [subject, predicate, object], got ["a", "b"]'),
        ({"text": "a", "triple_list": [["a", "", "a"]]}, "'predicate' must be a non-empty string, got \"\""),
        ({"text": "a", "triple_list": [["a", "p", 7]]}, "'object' must be a non-empty string, got 7"),
        ({"text": "a", "relation_list": ["a"]}, "'relation_list' must contain objects, got \"a\""),
        ({"text": "a", "relation_list": [{}]}, "relation_list[0]: no field 'predicate': {}"),
        ({"sentText": "a", "relationMentions": 1}, "'relationMentions' must be a list, got 1"),
        ({"sentText": "a", "relationMentions": [{"em1Text": "a", "label": "p"}]}, "no field 'em2Text': {\"em1Text\""),
        (spans(subj_char_span=[0, 3]), "relation_list[0]: entity 'subject' covers characters 0-3, which are 'Ann', but"),
        (spans(obj_char_span=[8, 10]),
         "relation_list[0]: entity 'object' covers characters 8-10, but the text has 9 (its off"),
        (spans(obj_char_span=[8]), "relation_list[0]: 'obj_char_span' must be [start, end], got [8]"),
        (spans(obj_char_span=["7", 9]), "relation_list[0]: entity 'object': start must be an integer, got '7'"),
        (spans(obj_char_span=None),
         "relation_list[0]: 'obj_tok_span' [100, 101] does not cover \"云州\": it counts"),
        (spans(obj_char_span=None, obj_tok_span=None), "relation_list[0] lacks the span of an argument"),
        (spans(subj_type=4), "relation_list[0]: 'subj_type' must be a non-empty string, got 4"),
        ({**TPLINKER, "entity_list": [{"text": "Anna", "type": [], "char_span": [0, 3]}]},
         "entity_list[0]: entity 'entity' covers characters 0-3, which are 'Ann', but"),
        ({**TPLINKER, "entity_list": [{"text": "Anna", "type": 7}]}, "entity_list[0]: 'type' must be a non-empty string, got 7"),
        ({**spans(subj_char_span=None), "tokens": ["Anna", "云州"]},
         "relation_list[0]: 'tokens' do not match the text: token 1 is \"云州\""),
        ({**spans(subj_char_span=None), "tokens": ["Anna", ""]},
         'relation_list[0]: \'tokens\' must be a list of non-empty strings, got ["Anna", ""]'),
    ],
)  # fmt: skip
def test_a_bad_record_is_reported_with_its_place(fields: dict[str, Any], message: str) -> None:
    good = {"text": "good", "triple_list": []}
    first, bad, last = records(good, fields, good)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(bad, BadLine)
    assert bad.where == "x.json:6"
    assert json.loads(bad.raw) == fields
    assert bad.error.message.startswith("x.json:6: " + message), bad.error.message


def test_errors_in_token_spans_have_a_hint() -> None:
    [bad] = records(spans(subj_char_span=None, obj_char_span=None))
    assert isinstance(bad, BadLine)
    assert "triple_list" in str(bad.error.hint)


@given(st.lists(documents(), max_size=3))
def test_exact_examples_are_read_as_they_were_written(some: list[Document]) -> None:
    assert again(*some) == some


@given(TEXT, st.data())
def test_triples_without_offsets_are_read_as_they_were_written(text: str, data: st.DataObject) -> None:
    mention = st.sampled_from([text[a:b] for a in range(len(text)) for b in range(a + 1, len(text) + 1)] + ["absent"])
    triples = data.draw(st.lists(st.tuples(mention, PREDICATES, mention), max_size=4))
    kinds = data.draw(st.dictionaries(mention, LABELS, max_size=3))
    entities = [{"text": text[a:b], "type": "甲", "char_span": [a, b]} for a, b in [(0, 1)] if text]
    fields = {
        "text": text,
        "id": 4,
        "triple_list": [list(triple) for triple in triples],
        "entity_list": entities,
        "x": 1,
    }
    document = one(fields)
    assert again(document) == [document]
    assert not any(count_losses(document).values())
    typed = one({**fields, "entity_list": [{"text": mention, "type": kind} for mention, kind in kinds.items()]})
    [back] = again(typed)
    assert isinstance(back, Document)
    assert back.spos == typed.spos


def test_what_is_written_has_the_fields_of_both() -> None:
    document = one({**TPLINKER, "source": "mine"})
    assert json.loads(write(document)) == {
        "id": "t1",
        "text": TEXT9,
        "triple_list": [["Anna", "lives in", "云州"]],
        "relation_list": [
            {
                "predicate": "lives in",
                "subject": "Anna",
                "subj_char_span": [0, 4],
                "object": "云州",
                "obj_char_span": [7, 9],
            }
        ],
        "entity_list": [{"text": "Anna", "type": "person", "char_span": [0, 4]}],
        "source": "mine",
    }
    assert json.loads(write(Document("a", spos=[Spo("a", "p", "a")], meta={"entities": 1}))) == {
        "text": "a",
        "triple_list": [["a", "p", "a"]],
    }


def test_slots_and_types_are_lost_and_counted() -> None:
    spo = Spo("片", "上映时间", "五月", (("inArea", "云州"), ("inWork", "x")), "影视作品", "entity")
    document = Document("片五月云州x", spos=[spo])
    assert json.loads(write(document))["triple_list"] == [
        ["片", "上映时间", "五月"],
        ["五月", "上映时间.inArea", "云州"],
        ["五月", "上映时间.inWork", "x"],
    ]
    assert list(count_losses(document).values()) == [2, 1]
    assert not any(count_losses(Document("ab", [], [relation("ab", "a", "p", "b")])).values())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.sampled_from(["a", "", "ab"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["subject", "predicate", "object", "subj_char_span", "obj_tok_span", "type", "char_span"]),
            inner,
        )
    ),
)
NAMES = ["id", "sentText", "triple_list", "relation_list", "entity_list", "relationMentions", "tokens"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON_VALUES))
def test_any_object_is_an_example_or_a_bad_line(fields: dict[str, Any]) -> None:
    [record] = records({"text": "ab a", **fields})
    assert isinstance(record, (Document, BadLine))


def test_a_misspelt_field_of_relations_is_reported_although_entities_are_there() -> None:
    entities = [{"text": "Ann", "type": "x", "char_span": [0, 3]}]
    misspelt = [{"subject": "Ann", "predicate": "p", "object": "Bob"}]
    [record] = records({"text": "Ann met Bob", "relathon_list": misspelt, "entity_list": entities})
    assert isinstance(record, BadLine)
    assert "no field 'relation_list', but 'relathon_list' could contain them" in record.error.message
    assert one({"text": "Ann met Bob", "entity_list": entities}).entities == [Entity(0, 3, "x")]


def test_a_user_field_that_looks_like_relations_can_be_read_back() -> None:
    document = Document("Ann met Bob", [], [], meta={"event_list": [{"trigger": "met"}]})
    [back] = jsonl.read([(1, jsonl.write(document))], "x.jsonl", Reading())
    assert isinstance(back, Document), back
    assert (back.meta, back.relations) == (document.meta, [])
    assert jsonl.write(back) == jsonl.write(document)
