"""Whitespace at the ends of spans, which no token covers."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.corpora import recipe
from support.runner import ie, said

from ie_cli.data.dataset import splits
from ie_cli.doctor.data_checks import check
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo, trimming
from ie_cli.document.trimming import TrimCounts, is_invisible, trim_document, trim_span
from ie_cli.formats import Reading, read_documents
from ie_cli.triples import locate, triples_of

TEXT = " Ann \u3000met\u200b Bob\ufeff\n"
ANN, MET, BOB = (0, 5), (4, 10), (10, 15)
"""Each with whitespace or an invisible character at both ends."""


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(trimming) == (0, 1)


@given(st.text("ab \u3000\u200b\x00", max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_a_trimmed_span_is_the_longest_one_without_invisible_ends(text: str, start: int, end: int) -> None:
    start, end = min(start, len(text)), min(end, len(text))
    first, last = trim_span(text, start, end)
    if first >= last:
        assert all(map(is_invisible, text[start:end]))
    else:
        assert not (is_invisible(text[first]))
        assert not (is_invisible(text[last - 1]))
        assert all(map(is_invisible, text[start:first] + text[last:end]))
        assert start <= first < last <= end


def test_every_span_of_a_document_is_trimmed_and_empty_ones_are_removed() -> None:
    ann, met, bob, empty = (Entity(*span, "x", 0.5) for span in (ANN, MET, BOB, (4, 6)))
    event = Event("meeting", MET, (Argument("who", ann), Argument("whom", empty)))
    counts = TrimCounts()
    found = trim_document(
        Document(
            TEXT,
            [ann, Entity(1, 4, "x"), empty],
            [Relation(ann, "knows", bob), Relation(ann, "knows", empty)],
            events=[event, Event("nothing", (4, 6))],
        ),
        counts,
    )
    ann, bob = Entity(1, 4, "x"), Entity(11, 14, "x")
    assert found.entities == [ann]
    assert found.entities[0].score == 0.5
    assert found.relations == [Relation(ann, "knows", bob)]
    assert found.events == [Event("meeting", (6, 9), (Argument("who", ann),)), Event("nothing", None)]
    assert counts == TrimCounts(trimmed=3, removed=1)
    again = TrimCounts()
    assert trim_document(found, again) is found
    assert again == TrimCounts()


def test_mentions_of_triples_are_trimmed_and_found() -> None:
    spo = Spo("Ann\u200b", "knows", " Bob", (("when", "met "),), "person", "person", (("when", "time"),))
    counts = TrimCounts()
    found = trim_document(Document(TEXT, relations=locate(TEXT, [spo], "nearest").relations, spos=[spo]), counts)
    assert triples_of(found) == {("Ann", "knows", "Bob"), ("Bob", "knows.when", "met")}
    assert found.relations[0] == Relation(Entity(1, 4, "person"), "knows", Entity(11, 14, "person"))
    assert len(found.relations) == 2
    assert counts == TrimCounts(trimmed=3)


def test_a_record_without_a_text_is_unchanged() -> None:
    submission = Document("", [Entity(0, 3, "x")])
    assert trim_document(submission, TrimCounts()) is submission


def write(path: Path, *fields: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in fields), encoding="utf-8")
    return str(path)


def spans(*places: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "label": "x"} for start, end in places]


def test_readers_trim_on_request_and_triples_without_offsets_always(tmp_path: Path) -> None:
    reports: list[str] = []
    native = write(tmp_path / "a.jsonl", {"text": TEXT, "entities": spans(ANN, (11, 14), (4, 6))})
    [kept] = read_documents(native, reading=Reading(report=reports.append))
    assert len(kept.entities) == 3
    assert reports == []
    [trimmed] = read_documents(native, reading=Reading(trim=True, report=reports.append))
    assert trimmed.entities == [Entity(1, 4, "x"), Entity(11, 14, "x")]
    assert reports == [
        f"{native}: spans with whitespace or invisible characters at the ends, which were trimmed: 1; spans without any other "
        "character, which were removed: 1"
    ]
    triple = {"subject": " Ann ", "predicate": "p", "object": "Bob\t"}  # neither occurs in the text with these ends
    for fields in (
        {"text": "Ann met Bob", "spo_list": [triple]},
        {"text": "Ann met Bob", "triple_list": [[*triple.values()]]},
    ):
        reports.clear()
        [document] = read_documents(write(tmp_path / "b.json", fields), reading=Reading(report=reports.append))
        assert triples_of(document) == {("Ann", "p", "Bob")}
        assert len(document.relations) == 1
        assert [report.endswith("trimmed: 2") for report in reports] == [True]


def test_convert_trims_and_reports(tmp_path: Path) -> None:
    source, out = write(tmp_path / "a.jsonl", {"text": TEXT, "entities": spans(ANN)}), tmp_path / "out.jsonl"
    assert "trimmed" not in said(ie("convert", source, str(out)))
    assert json.loads(out.read_text(encoding="utf-8"))["entities"][0]["text"] == " Ann "
    assert "which were trimmed: 1" in said(ie("convert", source, str(out), "--trim"))
    assert json.loads(out.read_text(encoding="utf-8"))["entities"][0]["text"] == "Ann"


def test_check_names_the_remedy_of_each_reason_and_the_remedy_helps(tmp_path: Path) -> None:
    text = " 王伟 在云州\ufe0f"
    train = write(tmp_path / "t.jsonl", *({"text": f"{text}{n}", "entities": spans((0, 4), (5, 8))} for n in range(5)))

    def findings(*, trim: bool, tokenization: str = "subword") -> str:
        made = recipe(Path(train), data={"dev": None, "trim": trim}, encoder={"tokenization": tokenization})
        return "\n".join(finding.text for finding in check(made))

    lost = findings(trim=False)
    assert "5 of 10 entities (50.00%) can never be predicted: 5 whitespace or control character at the boundary" in lost
    assert "boundary: data.trim: true removes it from both ends of every span" in lost
    assert "tokenization: char" not in lost
    assert "never be predicted" not in findings(trim=True)


def test_the_fingerprint_of_data_changes_only_if_they_are_trimmed(tmp_path: Path) -> None:
    train = write(tmp_path / "t.jsonl", {"text": TEXT, "entities": spans(ANN)})
    prints = [
        splits(recipe(Path(train), data={"dev": None, "trim": trim}).data)[0].fingerprint for trim in (False, True)
    ]  # type: ignore[arg-type]
    assert prints[0] != prints[1]
