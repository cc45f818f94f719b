"""DuIE 1 and 2, and CMeIE: reading, reports and writing. The sentences are invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import TEXT

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.document.fields import NO_TYPE
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_documents, read_records
from ie_cli.formats.common.base import Format
from ie_cli.formats.duie import MERGED, NO_OFFSETS

FILM = "《北方的灯塔》由周雨晨执导，凭此片她2011年获松湖奖。"
FIRST = {
    "text": FILM,
    "spo_list": [
        {
            "predicate": "导演",
            "object_type": "人物",
            "subject_type": "影视作品",
            "object": "周雨晨",
            "subject": "北方的灯塔",
        }
    ],
}
SECOND = {
    "text": FILM,
    "spo_list": [
        {
            "predicate": "导演",
            "object_type": {"@value": "人物"},
            "subject_type": "影视作品",
            "object": {"@value": "周雨晨"},
            "subject": "北方的灯塔",
        }
    ],
}
DIRECTS = Spo("北方的灯塔", "导演", "周雨晨", (), "影视作品", "人物")
AWARD = Spo(
    "周雨晨",
    "获奖",
    "松湖奖",
    (("inWork", "北方的灯塔"), ("onDate", "2011年")),
    "人物",
    "奖项",
    (("inWork", "作品"), ("onDate", "Date")),
)
AWARD_FIELDS = {
    "predicate": "获奖",
    "subject": "周雨晨",
    "subject_type": "人物",
    "object": {"onDate": "2011年", "@value": "松湖奖", "inWork": "北方的灯塔"},
    "object_type": {"inWork": "作品", "@value": "奖项", "onDate": "Date"},
}


def records(*lines: str, **options: Any) -> list[Record]:
    return list(FORMATS["duie"].read(enumerate(lines, 1), "d.json", Reading(**options)))


def one(fields: dict[str, Any], **options: Any) -> Document:
    [record] = records(json.dumps(fields, ensure_ascii=False), **options)
    assert isinstance(record, Document), record
    return record


def written(name: str, document: Document) -> str:
    write = FORMATS[name].write
    assert write is not None
    return write(document)


def again(name: str, document: Document) -> Document:
    [record] = records(written(name, document).removesuffix("\n"))
    assert isinstance(record, Document), record
    return record


def full(spos: list[Spo] | None) -> list[tuple[Any, ...]]:
    """Return triples with their types, which equality ignores."""
    assert spos is not None
    return [(spo, spo.subject_type, spo.object_type, spo.slot_types) for spo in spos]


def triple(**changes: Any) -> dict[str, Any]:
    """Return a record of one triple with changed fields, or without those whose change is `...`."""
    fields = {"subject": "周雨晨", "predicate": "获奖", "object": {"@value": "松湖奖"}} | changes
    return {"text": FILM, "spo_list": [{name: value for name, value in fields.items() if value is not ...}]}


@pytest.mark.parametrize("record", [FIRST, SECOND], ids=["first", "second"])
def test_both_editions_hold_the_same_triple(record: dict[str, Any]) -> None:
    document = one(record)
    assert full(document.spos) == full([DIRECTS])
    film, person = Entity(1, 6, "影视作品"), Entity(8, 11, "人物")
    assert document.relations == [Relation(film, "导演", person)]
    assert (document.text, document.entities, document.id, document.meta) == (FILM, [], None, {})


def test_slots_of_a_complex_object_are_sorted_and_have_their_types() -> None:
    document = one({"text": FILM, "spo_list": [AWARD_FIELDS]})
    assert full(document.spos) == full([AWARD])
    assert [relation.predicate for relation in document.relations] == ["获奖", "获奖.inWork", "获奖.onDate"]


@pytest.mark.parametrize(
    "types", [{}, {"subject_type": None, "object_type": None}, {"subject_type": "", "object_type": {"@value": ""}}]
)
def test_without_types_every_mention_is_an_entity(types: dict[str, Any]) -> None:
    document = one(triple(object={"@value": "松湖奖", "onDate": "2011年"}, **types))
    expected = Spo("周雨晨", "获奖", "松湖奖", (("onDate", "2011年"),), NO_TYPE, NO_TYPE, (("onDate", NO_TYPE),))
    assert full(document.spos) == full([expected])


def test_one_type_for_the_object_is_that_of_its_value() -> None:
    document = one(triple(object={"@value": "松湖奖", "onDate": "2011年"}, object_type="奖项"))
    assert document.spos is not None
    assert (document.spos[0].object_type, document.spos[0].slot_types) == ("奖项", (("onDate", NO_TYPE),))


def test_cmeie_with_windows_line_ends_and_byte_order_marks(tmp_path: Path) -> None:
    record = {
        "spo_list": [
            {
                "Combined": False,
                "predicate": "药物治疗",
                "subject": "云州热",
                "subject_type": "疾病",
                "object": {"@value": "青川素"},
                "object_type": {"@value": "药物"},
            }
        ],
        "text": "云州热@\ufeff可用青川素治疗。",
    }
    line = json.dumps(record, ensure_ascii=False)
    (tmp_path / "c.jsonl").write_bytes(f"\ufeff{line}\r\n{line}\r\n".encode())
    messages: list[str] = []
    first, second = read_documents(str(tmp_path / "c.jsonl"), detected=messages.append)
    assert messages == ["duie"]
    assert first == second
    assert first.text == record["text"]
    assert full(first.spos) == full([Spo("云州热", "药物治疗", "青川素", (), "疾病", "药物")])
    assert [(r.subject.start, r.object.start) for r in first.relations] == [(0, 7)]
    assert (first.where, second.where) == (f"{tmp_path / 'c.jsonl'}:1", f"{tmp_path / 'c.jsonl'}:2")


@pytest.mark.parametrize("fields", [{}, {"spo_list": None}])
def test_test_data_have_no_triples_and_no_offsets_to_guess(fields: dict[str, Any]) -> None:
    assert one({"text": FILM} | fields) == Document(FILM)


def test_a_text_without_triples_is_not_one_without_annotation() -> None:
    assert one({"text": FILM, "spo_list": []}) == Document(FILM, spos=[])


@pytest.mark.parametrize("spo_list", [SECOND["spo_list"], "spam", [3]])
def test_text_to_predict_has_no_annotation(spo_list: Any) -> None:
    messages: list[str] = []
    document = one({"text": FILM, "spo_list": spo_list, "id": 3}, annotation=False, report=messages.append)
    assert document == Document(FILM, id=3)
    assert messages == []


def test_other_fields_are_kept() -> None:
    document = one(SECOND | {"id": "a1", "source": {"page": [1, None]}, "entities": "mine"})
    assert document.id == "a1"
    assert document.meta == {"source": {"page": [1, None]}, "entities": "mine"}


def test_blank_lines_are_skipped_and_counted() -> None:
    found = records("", json.dumps(FIRST), "  ", json.dumps(SECOND), "")
    assert [record.where for record in found] == ["d.json:2", "d.json:4"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"spo_list": []}, "no field 'text' (found: spo_list)"),
        ({"text": 3, "spo_list": []}, "'text' must be a string, got 3"),
        (SECOND | {"id": 1.5}, "'id' must be a string or an integer, got 1.5"),
        ({"text": FILM, "spo_list": {}}, "'spo_list' must be a list, got {}"),
        ({"text": FILM, "spo_list": "导演"}, "'spo_list' must be a list, got \"导演\""),
        ({"text": FILM, "spo_list": ["a"]}, "a triple must be an object with subject, predicate and object, got \"a\""),
        ({"text": FILM, "spo_list": [None]}, "a triple must be an object with subject, predicate and object, got null"),
        (triple(subject=...), 'a triple lacks subject: {"predicate": "获奖", "object": {"@value": "松湖奖"}}'),
        (triple(predicate=...), 'a triple lacks predicate: {"subject": "周雨晨", "object": {"@value": "松湖奖"}}'),
        (triple(object=..., predicate=...), 'a triple lacks predicate, object: {"subject": "周雨晨"}'),
        (triple(subject=5), "'subject' must be a non-empty string, got 5"),
        (triple(subject=None), "'subject' must be a non-empty string, got null"),
        (triple(predicate=""), "'predicate' must be a non-empty string, got \"\""),
        (triple(predicate=["获奖"]), "'predicate' must be a non-empty string, got [\"获奖\"]"),
        (triple(object=3), "'object' must be a string or map '@value' and slots to strings, got 3"),
        (triple(object=["松湖奖"]), "'object' must be a string or map '@value' and slots to strings, got [\"松湖奖\"]"),
        (triple(object=None), "'object' has no '@value': null"),
        (triple(object={}), "'object' has no '@value': {}"),
        (triple(object={"inWork": "a"}), "'object' has no '@value': {\"inWork\": \"a\"}"),
        (
            triple(object={"@value": "松湖奖", "onDate": 2011}),
            "'object' must be a string or map '@value' and slots to strings, got "
            '{"@value": "松湖奖", "onDate": 2011}',
        ),
        (triple(subject_type=7), "'subject_type' must be a string, got 7"),
        (triple(object_type=7), "'object_type' must be a string or map '@value' and slots to strings, got 7"),
        (
            triple(object_type={"@value": 7}),
            "'object_type' must be a string or map '@value' and slots to strings, got {\"@value\": 7}",
        ),
    ],
)  # fmt: skip
def test_an_invalid_record_is_reported_with_its_place(record: dict[str, Any], message: str) -> None:
    line = json.dumps(record, ensure_ascii=False)
    first, bad, last = records(json.dumps(FIRST), line, json.dumps(SECOND))
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(bad, BadLine)
    assert (bad.where, bad.raw, bad.error.message) == ("d.json:2", line, f"d.json:2: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "spo_list": [', "not valid JSON: "),
        ("nonsense", "not valid JSON: "),
        ("[" * 100_000, "not valid JSON: "),
        ("[]", "expected a JSON object, got an array"),
        ("null", "expected a JSON object, got null"),
    ],
)
def test_invalid_json_is_reported_with_its_place(line: str, message: str) -> None:
    bad, good = records(line, json.dumps(FIRST))
    assert isinstance(good, Document)
    assert isinstance(bad, BadLine)
    assert bad.raw == line
    assert bad.error.message.startswith(f"d.json:1: {message}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["subject", "predicate", "object", "@value", "object_type", "云"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["id", "text", "spo_list"]), JSON | st.text(max_size=9)))
def test_any_object_is_an_example_or_a_bad_line(fields: dict[str, Any]) -> None:
    [record] = records(json.dumps(fields))
    if isinstance(record, BadLine):
        assert record.error.message.startswith("d.json:1: ")


@given(st.text(max_size=40))
def test_any_line_is_an_example_or_a_bad_line(line: str) -> None:
    assert all(isinstance(record, (Document, BadLine)) for record in records(line))


@pytest.mark.parametrize(
    ("lines", "format"),
    [
        ([FIRST], "duie"),
        ([SECOND], "duie"),
        ([{"spo_list": [], "text": FILM}], "duie"),
        ([{"text": FILM, "spo_list": [], "entities": []}], "duie"),
        (['{"text": "', SECOND], "duie"),
        ([{"text": FILM}], "jsonl"),  # test data: a text alone, which both formats read alike
    ],
)
def test_the_format_is_detected_from_its_list_of_triples(tmp_path: Path, lines: list[Any], format: str) -> None:
    content = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (tmp_path / "x").write_text("\n".join(content), encoding="utf-8")
    messages: list[str] = []
    list(read_records(str(tmp_path / "x"), detected=messages.append))
    assert messages == [format]


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_an_array_is_read_like_lines(indent: int | None, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps([FIRST, SECOND], indent=indent), encoding="utf-8")
    assert list(read_documents(tmp_path / "x")) == list(records(json.dumps(FIRST), json.dumps(SECOND)))


def reported(*documents: dict[str, Any], **options: Any) -> list[str]:
    messages: list[str] = []
    records(*map(json.dumps, documents), report=messages.append, **options)
    return messages


ACTORS = "林若曦主演《甲》，何明也主演《甲》；林若曦导演《乙》。"


def acts(*spos: tuple[str, str]) -> dict[str, Any]:
    return {"text": ACTORS, "spo_list": [{"subject": s, "predicate": "主演", "object": o} for s, o in spos]}


def test_triples_of_one_place_are_not_worth_a_word() -> None:
    assert reported(acts(("乙", "何明")), {"text": "无", "spo_list": []}, {"text": ACTORS, "spo_list": []}) == []


def test_triples_of_several_places_are_counted() -> None:
    assert reported(acts(("甲", "林若曦"), ("乙", "何明")), acts(("甲", "何明")), mentions="first") == [
        "d.json: triples without offsets: 3; with several possible positions: 2 (mentions: first); not found in the text: 0"
    ]


def test_the_first_unlocated_triple_is_reported() -> None:
    assert reported(acts(("乙", "何明")), acts(("丙", "何明"), ("甲", "王伟")), acts(("丁", "何明"))) == [
        "d.json: triples without offsets: 4; with several possible positions: 0 (mentions: nearest); not found in the text: 3, "
        "first in d.json:2: 丙 | 主演 | 何明"
    ]


def test_a_slot_without_a_place_is_counted_as_a_triple() -> None:
    [messages] = reported(triple(object={"@value": "松湖奖", "inWork": "南方的灯塔", "onDate": "2011年"}))
    assert messages == (
        "d.json: triples without offsets: 3; with several possible positions: 0 (mentions: nearest); not found in the text: 1, "
        "first in d.json:1: 松湖奖 | 获奖.inWork | 南方的灯塔"
    )


@pytest.mark.parametrize(
    ("mentions", "places"),
    [
        ("nearest", {(15, 18)}),
        ("first", {(6, 0)}),
        ("all", {(6, 0), (6, 18), (15, 0), (15, 18)}),
    ],
)
def test_a_triple_is_located_according_to_the_recipe(mentions: str, places: set[tuple[int, int]]) -> None:
    document = one(acts(("甲", "林若曦")), mentions=mentions)
    assert {(r.subject.start, r.object.start) for r in document.relations} == places
    assert document.spos == [Spo("甲", "主演", "林若曦")]


def json_can_hold(text: str) -> bool:
    """Two halves of a surrogate pair side by side are one character in JSON."""
    return bool(json.loads(json.dumps(text)) == text)


WORD = st.text(max_size=3).filter(json_can_hold)
NAME = st.text(min_size=1, max_size=4) | st.sampled_from(["获奖", "上映时间", "p.q", "/a/b", "it's"])
TYPE = st.sampled_from(["人物", "Text", "a b", NO_TYPE])
META = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name not in {"id", "text", "spo_list"}),
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    max_size=2,
)
IDS = st.none() | st.integers() | st.text(max_size=4)


@st.composite
def annotated(draw: st.DrawFn) -> Document:
    """Generate any text with any triples, of mentions that occur in it and of others."""
    text = draw(TEXT.filter(json_can_hold))
    boundary = st.integers(0, len(text))
    mention = st.builds(lambda a, b: text[min(a, b) : max(a, b)], boundary, boundary).filter(json_can_hold) | WORD

    def spo() -> Spo:
        slots = tuple(sorted(draw(st.dictionaries(NAME.filter("@value".__ne__), mention, max_size=2)).items()))
        types = tuple((slot, draw(TYPE)) for slot, _ in slots)
        return Spo(draw(mention), draw(NAME), draw(mention), slots, draw(TYPE), draw(TYPE), types)

    return Document(text, id=draw(IDS), meta=draw(META), spos=[spo() for _ in range(draw(st.integers(0, 3)))])


@given(annotated())
def test_the_second_edition_is_read_as_it_was_written(document: Document) -> None:
    back = again("duie", document)
    assert (back.text, back.id, back.meta) == (document.text, document.id, document.meta)
    assert full(back.spos) == full(document.spos)
    assert written("duie", back) == written("duie", document)


@given(annotated())
def test_the_first_edition_is_read_as_it_was_written_without_slots(document: Document) -> None:
    back = again("duie1", document)
    assert (back.text, back.id, back.meta) == (document.text, document.id, document.meta)
    simple = [Spo(s.subject, s.predicate, s.object, (), s.subject_type, s.object_type) for s in document.spos or []]
    assert full(back.spos) == full(list(dict.fromkeys(simple)))
    assert written("duie1", back) == written("duie1", document)


@given(annotated())
def test_relations_slice_the_text(document: Document) -> None:
    for relation in again("duie", document).relations:
        for side in (relation.subject, relation.object):
            assert 0 <= side.start < side.end <= len(document.text)


def of_slots(format: Format, document: Document) -> int:
    """Count the lost slots as reported by a format."""
    return sum(count for what, count in format.count_losses(document).items() if "slots" in what)


@given(annotated())
def test_the_first_edition_counts_the_slots_it_drops(document: Document) -> None:
    assert of_slots(FORMATS["duie1"], document) == sum(len(spo.slots) for spo in document.spos or [])
    assert of_slots(FORMATS["duie"], document) == 0


def test_entities_without_a_relation_are_lost_in_both_editions() -> None:
    film, person = Entity(1, 6, "影视作品"), Entity(8, 11, "人物")
    document = Document(FILM, [film, person, Entity(17, 22, "Date")], [Relation(film, "导演", person)])
    for name in ("duie", "duie1"):
        losses = dict(FORMATS[name].count_losses(document))
        assert losses.pop(NO_OFFSETS) == 1
        assert sum(losses.values()) == 1


def test_the_layout_is_the_official_one() -> None:
    line = written("duie", Document(FILM, id=7, meta={"source": "甲"}, spos=[DIRECTS, AWARD]))
    assert json.loads(line) == {"id": 7, "text": FILM, "spo_list": [*SECOND["spo_list"], AWARD_FIELDS], "source": "甲"}


def test_the_layout_of_the_first_edition_has_strings_as_objects() -> None:
    line = written("duie1", Document(FILM, spos=[DIRECTS, AWARD]))
    plain = {name: AWARD_FIELDS[name] for name in ("predicate", "subject", "subject_type")}
    award = {**plain, "object": "松湖奖", "object_type": "奖项"}
    assert json.loads(line) == {"text": FILM, "spo_list": [*FIRST["spo_list"], award]}


def test_an_example_without_triples_has_an_empty_list() -> None:
    assert json.loads(written("duie", Document("无"))) == {"text": "无", "spo_list": []}


@pytest.mark.parametrize("name", ["duie", "duie1"])
def test_a_record_is_one_line_of_utf8(name: str) -> None:
    text = "一\n二\r\u2028三\u0085👩\u200d🔬"
    line = written(name, Document(text, spos=[Spo("一\n二", "获\n奖", "三\u0085")]))
    assert (line.count("\n"), line.count("\r"), line[-1]) == (1, 0, "\n")
    assert "\\u" not in line
    assert "👩\u200d🔬" in line


@given(annotated())
def test_objects_are_maps_of_strings(document: Document) -> None:
    for fields in json.loads(written("duie", document))["spo_list"]:
        assert set(fields) == {"predicate", "subject", "subject_type", "object", "object_type"}
        assert fields["object"].keys() == fields["object_type"].keys() >= {"@value"}
        assert all(isinstance(value, str) for name in ("object", "object_type") for value in fields[name].values())


def place(mention: str, label: str, score: float) -> Entity:
    at = FILM.index(mention)
    return Entity(at, at + len(mention), label, score)


def predicted() -> Document:
    """Return the output of a model: scored relations between spans, including slots, without triples of texts."""
    person, award = place("周雨晨", "人物", 0.8), place("松湖奖", "奖项", 0.7)
    made = [
        Relation(award, "获奖.onDate", place("2011年", "Date", 0.6), 0.6),
        Relation(place("北方的灯塔", "影视作品", 0.9), "导演", person, 0.9),
        Relation(award, "获奖.inWork", place("北方的灯塔", "作品", 0.9), 0.8),
        Relation(person, "获奖", award, 0.7),
    ]
    return Document(FILM, [], made, id=3, meta={"source": 1})


def test_a_prediction_is_written_with_its_complex_objects() -> None:
    back = again("duie", predicted())
    assert full(back.spos) == full(sorted([DIRECTS, AWARD]))
    assert (back.id, back.meta) == (3, {"source": 1})


def test_a_prediction_in_the_first_edition_has_no_slots() -> None:
    back = again("duie1", predicted())
    assert back.spos == sorted([DIRECTS, Spo("周雨晨", "获奖", "松湖奖")])
    assert of_slots(FORMATS["duie1"], predicted()) == 2


def test_a_slot_without_its_object_is_written_as_a_triple() -> None:
    document = predicted()
    document.relations = [relation for relation in document.relations if "." in relation.predicate]
    assert again("duie", document).spos == [
        Spo("松湖奖", "获奖.inWork", "北方的灯塔"),
        Spo("松湖奖", "获奖.onDate", "2011年"),
    ]


@pytest.mark.parametrize("name", ["duie", "duie1"])
def test_an_input_field_never_replaces_the_annotation(name: str) -> None:
    document = predicted()
    document.meta = {"spo_list": [{"subject": "x", "predicate": "y", "object": "z"}]}  # of a native record
    assert [spo["predicate"] for spo in json.loads(written(name, document))["spo_list"]] == ["导演", "获奖"]


def test_repeated_triples_and_relations_that_are_merged_are_counted() -> None:
    assert reported(acts(("乙", "何明"), ("乙", "何明"))) == [
        "d.json: triples that repeat another one of their text and count once: 1"
    ]
    text = "甲乙甲乙"
    relations = [Relation(Entity(n, n + 1, "x"), "p", Entity(n + 1, n + 2, "y")) for n in (0, 2)]
    losses = FORMATS["duie"].count_losses(Document(text, relations=relations))
    assert (losses[MERGED], losses[NO_OFFSETS]) == (1, 1)
