"""Triples of texts: locating them, and round trips of complex objects."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli import triples
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.formats import Reading, duie
from ie_cli.triples import (
    entities_of,
    locate,
    occurrences,
    simple_triples,
    slot_of,
    text_triples,
    to_spos,
    typed_entities_of,
)

TEXT = "张三主演《甲》，李四也主演《甲》；张三2018年1月在北京获奖。"


@pytest.mark.parametrize(
    ("text", "mention", "found"),
    [
        ("aXbXc", "X", []),
        ("a X b", "X", [(2, 3)]),
        ("2018年，18岁", "18", [(6, 8)]),
        ("3D和2D", "D", [(1, 2), (4, 5)]),  # a letter after a digit begins a run of its own
        ("Tolói", "Tol", []),
        ("啊啊啊", "啊啊", [(0, 2), (1, 3)]),
        ("abc", "", []),
        ("谷歌Google公司", "Google", [(2, 8)]),
        ("Римский папа живёт в Рим", "Рим", [(21, 24)]),
        ("Αθηναίος, Αθηνα", "Αθηνα", [(10, 15)]),
        ("भारतीय सेना भारत में", "भारत", [(12, 16)]),  # the next letter of the first word follows without a mark
        ("हिन्दी", "हिन्द", []),  # cuts a vowel sign off
        ("বাংলাদেশ বাংলা", "বাংলা", [(9, 14)]),
        ("Ελλάδα١٢", "Ελλάδα", [(0, 6)]),
        ("١٢٣ ١٢", "١٢", [(4, 6)]),  # digits of any script
        ("１２３ １２", "１２", [(4, 6)]),
        ("Ｇｏｏｇｌｅ", "Ｇｏ", []),
        ("Tolo\u0301i Tolo", "Tolo", [(7, 11)]),  # the accent is a code point of its own
        ("👩\u200d🔬 👩", "👩", [(4, 5)]),
        ("서울에서는 서울대학교, 서울", "서울", [(0, 2), (13, 15)]),  # with particles, but not in a compound
        ("Google은", "Google", [(0, 6)]),
        ("남서울에 서울", "서울", [(5, 7)]),
        ("وباريس والباريس باريسية", "باريس", [(1, 6), (10, 15)]),  # a conjunction and an article, but not a suffix
        ("ובלונדון", "לונדון", [(2, 8)]),
        ("กรุงเทพ", "เทพ", [(4, 7)]),
        ("東京タワー", "タワー", [(2, 5)]),
    ],
)
def test_occurrences_are_not_part_of_a_longer_run(text: str, mention: str, found: list[tuple[int, int]]) -> None:
    assert occurrences(text, mention) == found


@given(st.text("ab1一. ", max_size=12), st.text("ab1一. ", min_size=1, max_size=3))
def test_occurrences_slice_the_text(text: str, mention: str) -> None:
    found = occurrences(text, mention)
    assert all(text[start:end] == mention for start, end in found)
    assert found == sorted(set(found))


def test_slots_are_recognised_by_their_form() -> None:
    assert slot_of("上映时间.inArea") == ("上映时间", "inArea")
    assert slot_of("a.b.c") == ("a.b", "c")
    for plain in ("作者", "/people/person/place", "a.", ".a", "/a/b./c/d", "v.2"):
        assert slot_of(plain) is None


def places(mentions: str, *spos: Spo) -> set[tuple[int, int]]:
    return {(r.subject.start, r.object.start) for r in locate(TEXT, spos, mentions).relations}  # type: ignore[arg-type]


def test_the_nearest_pair_the_first_ones_or_all() -> None:
    assert places("nearest", Spo("甲", "主演", "张三")) == {(14, 17)}  # 甲》；张三 is nearer than 张三主演《甲
    assert places("nearest", Spo("李四", "主演", "甲")) == {(8, 5)}
    assert places("first", Spo("甲", "主演", "张三")) == {(5, 0)}
    assert places("all", Spo("甲", "主演", "张三")) == {(5, 0), (5, 17), (14, 0), (14, 17)}


def test_all_pairs_are_bounded_and_a_triple_beyond_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    spos = [Spo("甲", "主演", "张三"), Spo("甲", "编剧", "张三"), Spo("李四", "主演", "甲"), Spo("甲", "续", "甲")]
    whole = locate(TEXT, spos, "all")
    assert (len(whole.relations), whole.truncated) == (4 + 4 + 2 + 2, 0)
    monkeypatch.setattr(triples, "MAX_PAIRS", 6)
    some = locate(TEXT, spos, "all")
    # Four pairs for the first, none left for the second, two for the third, none for the last.
    assert [relation.predicate for relation in some.relations] == ["主演"] * 4 + ["编剧"] + ["主演"] * 2 + ["续"]
    assert (some.truncated, some.ambiguous, some.triples, some.absent) == (2, 4, 4, [])
    nearest = locate(TEXT, [spos[1]], "nearest").relations
    assert [relation for relation in some.relations if relation.predicate == "编剧"] == nearest
    assert locate(TEXT, spos, "nearest").truncated == 0


def test_a_mention_that_occurs_thousands_of_times_is_reported() -> None:
    line = json.dumps({"text": "a b " * 2_000, "spo_list": [{"subject": "a", "predicate": "p", "object": "b"}]})
    reported: list[str] = []
    [document] = duie.read([(1, line)], "x.json", Reading(mentions="all", report=reported.append))
    assert isinstance(document, Document)
    assert len(document.relations) == 1
    assert reported[1].startswith("x.json: ")
    assert "nearest pair" in reported[1]
    assert "more than 100,000 pairs of positions, or 10 per character" in reported[1]
    assert reported[1].endswith(": 1")


def test_the_pairs_of_all_texts_together_are_bounded_by_the_size_of_the_data() -> None:
    """Without the limit per character, 24,000 bytes had 1.2 million pairs, each of them a relation."""
    fields = {"text": "甲乙" * 300, "spo_list": [{"subject": "甲", "predicate": p, "object": "乙"} for p in "pq"]}
    reported: list[str] = []
    lines = [(n, json.dumps(fields)) for n in range(1, 14)]
    documents = list(duie.read(lines, "x.json", Reading(mentions="all", report=reported.append)))
    found = [len(document.relations) for document in documents if isinstance(document, Document)]
    assert found == [2] * 13
    assert reported[1].endswith(": 26")
    few = json.dumps(fields | {"text": "甲乙" * 5 + "。" * 300})
    [document] = duie.read([(1, few)], "x.json", Reading(mentions="all"))
    assert isinstance(document, Document)
    assert len(document.relations) == 50


def test_slots_with_very_many_fillers_give_no_more_triples_than_fillers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 60)))
    value = Entity(0, 1, "v")
    relations = [Relation(Entity(1, 2, "s"), "p", value)]
    relations += [Relation(value, f"p.{'abc'[n % 3]}", Entity(n, n + 1, "f")) for n in range(2, 50)]
    found = to_spos(text, relations)
    assert len(found) == 16
    assert set(simple_triples(found)) == text_triples(text, relations)
    monkeypatch.setattr(triples, "MAX_COMBINATIONS", 16**3)
    assert len(to_spos(text, relations)) == 16**3


def test_subject_and_object_of_one_text_take_two_spans_if_there_are_two() -> None:
    assert places("nearest", Spo("张三", "p", "张三")) <= {(0, 17), (17, 0)}
    assert places("nearest", Spo("李四", "p", "李四")) == {(8, 8)}


def test_unlocated_triples_are_listed_and_ambiguous_ones_counted() -> None:
    spos = [Spo("张三", "获奖", "金奖", (("onDate", "2018年"),)), Spo("张三", "主演", "甲"), Spo("李四", "主演", "甲")]
    located = locate(TEXT, spos, "nearest")
    assert located.triples == 4
    assert located.ambiguous == 2
    assert located.absent == [("张三", "获奖", "金奖"), ("金奖", "获奖.onDate", "2018年")]


def test_places_out_of_reach_are_not_taken() -> None:
    located = locate(TEXT, [Spo("张三", "主演", "甲")], "first", reachable=lambda span: span[0] > 0)
    assert [(r.subject.start, r.object.start) for r in located.relations] == [(17, 5)]


def test_another_case_is_found_if_the_exact_one_is_not() -> None:
    located = locate("the BBC and abc", [Spo("Bbc", "p", "abc")], "nearest")
    assert [r.subject for r in located.relations] == [Entity(4, 7, "")]


def test_types_come_from_the_triple() -> None:
    spo = Spo("张三", "获奖", "获奖", (("onDate", "2018年"),), "人物", "奖项", (("onDate", "Date"),))
    [first, second] = locate(TEXT, [spo], "nearest").relations
    assert (first.subject.label, first.object.label) == ("人物", "奖项")
    assert (second.predicate, second.subject.label, second.object.label) == ("获奖.onDate", "奖项", "Date")
    [back] = to_spos(TEXT, [second, first])
    assert back == spo
    assert (back.subject_type, back.object_type, back.slot_types) == ("人物", "奖项", (("onDate", "Date"),))


def relation(text: str, subject: str, predicate: str, object_: str) -> Relation:
    a, b = text.index(subject), text.index(object_)
    return Relation(Entity(a, a + len(subject), "x"), predicate, Entity(b, b + len(object_), "x"))


def test_a_slot_belongs_to_every_triple_that_has_its_value() -> None:
    text = "甲乙丙丁"
    made = [
        relation(text, "甲", "饰演", "丙"),
        relation(text, "乙", "饰演", "丙"),
        relation(text, "丙", "饰演.inWork", "丁"),
    ]
    slots = (("inWork", "丁"),)
    assert to_spos(text, made) == sorted([Spo("甲", "饰演", "丙", slots), Spo("乙", "饰演", "丙", slots)])


def test_two_fillers_of_a_slot_give_two_triples_two_slots_one() -> None:
    text = "甲丙丁戊己"
    made = [relation(text, "甲", "获奖", "丙")]
    made += [relation(text, "丙", "获奖.inWork", filler) for filler in "丁戊"]
    made += [relation(text, "丙", "获奖.onDate", "己")]
    assert to_spos(text, made) == [
        Spo("甲", "获奖", "丙", (("inWork", "丁"), ("onDate", "己"))),
        Spo("甲", "获奖", "丙", (("inWork", "戊"), ("onDate", "己"))),
    ]


def test_a_predicate_with_only_a_dot_is_not_a_slot() -> None:
    text = "甲乙"
    assert to_spos(text, [relation(text, "甲", "org.founder", "乙")]) == [Spo("甲", "org.founder", "乙")]


WORDS = st.sampled_from("甲乙丙丁戊己庚辛")


@given(
    st.lists(
        st.tuples(WORDS, st.sampled_from("pq"), WORDS, st.dictionaries(st.sampled_from(["a", "b"]), WORDS, max_size=2)),
        max_size=5,
        unique_by=lambda spo: (spo[1], spo[2]),  # values of their own: only then does rebuilding by value lose nothing
    )
)
def test_there_and_back_gives_the_same_triples(drawn: list[tuple[str, str, str, dict[str, str]]]) -> None:
    text = "甲乙丙丁戊己庚辛"
    spos = [Spo(s, p, o, tuple(sorted(slots.items()))) for s, p, o, slots in drawn]
    located = locate(text, spos, "nearest")
    assert not located.absent
    assert to_spos(text, located.relations) == sorted(spos)
    assert text_triples(text, located.relations) == set(simple_triples(spos))


@given(st.text("ab一", max_size=14), st.text("ab一", min_size=1, max_size=2), st.text("ab一", min_size=1, max_size=2))
def test_the_nearest_pair_is_that_of_the_plain_form(text: str, subject: str, object_: str) -> None:
    pairs = [
        (a, b) for a in occurrences(text, subject) for b in occurrences(text, object_) if subject != object_ or a != b
    ]
    distances = [max(0, b[0] - a[1], a[0] - b[1]) for a, b in pairs]
    located = locate(text, [Spo(subject, "p", object_)], "nearest")
    if pairs:
        [found] = located.relations
        (start, end), (other, last) = (found.subject.start, found.subject.end), (found.object.start, found.object.end)
        assert max(0, other - end, start - last) == min(distances)
        every = locate(text, [Spo(subject, "p", object_)], "all").relations
        spans = [((r.subject.start, r.subject.end), (r.object.start, r.object.end)) for r in every]
        assert sorted(spans) == sorted(pairs)


def test_subjects_and_objects_listed_by_a_role_model_are_not_types() -> None:
    role, org, place = Entity(0, 2, "subject"), Entity(0, 2, "Org"), Entity(3, 5, "Loc")
    document = Document("ab cd", [place, role, place], [Relation(org, "in", place)])
    assert entities_of(document) == {role, org, place}
    assert typed_entities_of(document) == [place, org]
    alone = Document("ab cd", [place, role])
    assert typed_entities_of(alone) == [place, role]  # without relations the names are labels like others
