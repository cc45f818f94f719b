"""The columns of multi-head selection: exact examples, errors with their places, round trips."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import documents, joined_documents

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import BadLine, Reading, Record
from ie_cli.formats.multihead import count_losses, read, write

ROWS = """\
#doc 17
0\tAnna\tB-Peop\t['N']\t[0]
1\tMeyer\tI-Peop\t['Live_In', 'Work_For']\t[4, 6]
2\tof\tO\t['N']\t[2]
3\tNew\tB-Loc\t['N']\t[3]
4\tVale\tI-Loc\t['N']\t[4]
5\t，\tO\t['N']\t[5]
6\t#\tB-Org\t['Based_In']\t[4]
"""
ANNA, VALE, HASH = Entity(0, 10, "Peop"), Entity(14, 22, "Loc"), Entity(23, 24, "Org")
RELATIONS = [Relation(ANNA, "Live_In", VALE), Relation(ANNA, "Work_For", HASH), Relation(HASH, "Based_In", VALE)]


def records(text: str, **options: Any) -> list[Record]:
    return list(read(enumerate(text.split("\n"), 1), "x.txt", Reading(**options)))


def one(text: str, **options: Any) -> Document:
    [record] = records(text, **options)
    assert isinstance(record, Document), record
    return record


def test_a_relation_is_in_the_row_of_the_last_token_of_its_subject() -> None:
    document = one(ROWS)
    assert document == Document("Anna Meyer of New Vale，#", [ANNA, VALE, HASH], RELATIONS, 17)
    assert document.where == "x.txt:1"
    assert write(document) == ROWS


def test_ids_empty_lines_and_joiners() -> None:
    text = "#doc a 1\n0\ta\tO\t['N']\t[0]\n\n1\tb\tO\t['N']\t[1]\n#doc\n#doc -5\n0\tc\tO\t['N']\t[0]\n#doc 007\n"
    assert records(text) == [Document("a b", id="a 1"), Document(""), Document("c", id=-5), Document("", id="007")]
    assert one("0\ta\tO\t['N']\t[0]\n") == Document("a")  # rows before the first mark
    assert one("#doc 1\n0\ta\tO\t['N']\t[0]\n1\tb\tO\t['N']\t[1]\n", joiner="_").text == "a_b"


def test_text_to_predict_has_no_annotation() -> None:
    assert one(ROWS, annotation=False) == Document("Anna Meyer of New Vale，#", id=17)
    assert one("#doc 1\n0\ta\n1\tb", annotation=False) == Document("a b", id=1)


def test_tags_that_continue_nothing_are_reported() -> None:
    reported: list[str] = []
    assert one("#doc 1\n0\ta\tI-X\t['N']\t[0]", report=reported.append).entities == [Entity(0, 1, "X")]
    assert reported == [
        "x.txt: 1 tag without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\tb\tO\t['N']", "expected 5 columns, got 4"),
        ("1 b O ['N'] [1]", "expected 5 columns, got 1"),
        ("2\tb\tO\t['N']\t[1]", "expected the index 1, got '2'"),
        ("1\t\tO\t['N']\t[1]", "the token is empty"),
        ("1\tb\tX\t['N']\t[1]", "expected a tag such as O or B-PER, got 'X'"),
        ("1\tb\tO\tN\t[1]", "expected a list of predicates, got 'N'"),
        ("1\tb\tO\t['N'\t[1]", "expected a list of predicates, got \"['N'\""),
        ("1\tb\tO\t[3]\t[1]", "expected a list of predicates, got '[3]'"),
        ("1\tb\tO\t['']\t[1]", "expected a list of predicates, got \"['']\""),
        ("1\tb\tO\t['\\d']\t[1]", "expected a list of predicates, got \"['\\\\d']\""),
        ("1\tb\tO\t[exit()]\t[1]", "expected a list of predicates, got '[exit()]'"),
        ("1\tb\tO\t" + "(" * 5000 + "\t[1]", "expected a list of predicates, got '((("),
        ("1\tb\tO\t['N']\t1", "expected a list of indices, got '1'"),
        ("1\tb\tO\t['N']\t[True]", "expected a list of indices, got '[True]'"),
        ("1\tb\tO\t['N']\t['1']", "expected a list of indices, got \"['1']\""),
        ("1\tb\tO\t['N', 'p']\t[1]", "got 2 predicates, but 1 head"),
    ],
)
def test_a_bad_row_spoils_its_document_alone(row: str, message: str) -> None:
    good = "#doc 1\n0\ta\tO\t['N']\t[0]\n"
    before, bad, after = records(f"{good}#doc 2\n0\ta\tB-X\t['N']\t[0]\n{row}\n{good}")
    assert before == after == Document("a", id=1)
    assert isinstance(bad, BadLine)
    assert bad.where == "x.txt:3"
    assert bad.raw == f"#doc 2\n0\ta\tB-X\t['N']\t[0]\n{row}"
    assert bad.error.message.startswith("x.txt:5: " + message), bad.error.message
    assert "five columns" in str(bad.error.hint)


@pytest.mark.parametrize(
    ("tag", "head", "message", "hint"),
    [
        (
            "B-X",
            1,
            "x.txt:2: relation 'p': no entity ends at token 1 ('b')",
            "identify the object of a relation by its last token",
        ),
        ("B-X", 9, "x.txt:2: relation 'p': no entity ends at token 9", "object of a relation"),
        ("B-X", -1, "x.txt:2: relation 'p': no entity ends at token -1", "object of a relation"),
        (
            "O",
            0,
            "x.txt:2: relation 'p': no entity ends at token 0 ('a')",
            "subject of a relation",
        ),
    ],
)
def test_a_relation_needs_two_entities(tag: str, head: int, message: str, hint: str) -> None:
    [bad] = records(f"#doc 1\n0\ta\t{tag}\t['p']\t[{head}]\n1\tb\tO\t['N']\t[1]\n")
    assert isinstance(bad, BadLine)
    assert bad.error.message == message
    assert hint in str(bad.error.hint)


@given(st.lists(joined_documents(flat=True), max_size=3))
def test_documents_are_read_as_they_were_written(some: list[Document]) -> None:
    back = records("".join(map(write, some)))
    for record in (*some, *back):  # a row names all relations of its subject
        assert isinstance(record, Document)
        record.relations.sort()
    assert back == some
    assert not any(value for document in some for value in count_losses(document).values())


@given(documents())
def test_losses_of_any_example_are_counted(document: Document) -> None:
    back = one(write(document))
    assert "".join(back.text.split()) == "".join(document.text.split())
    overlapping, blank, ragged, relations, broken, blanks, unnamed = count_losses(document).values()
    assert (back.text != document.text) <= bool(broken or blanks)
    assert len(back.relations) == len(document.relations) - relations - unnamed
    everything = {*document.entities, *(entity for r in document.relations for entity in (r.subject, r.object))}
    assert len(back.entities) == len(everything) - overlapping - blank


def test_of_overlapping_entities_the_longer_is_written() -> None:
    city, paper = Entity(0, 8, "LOC"), Entity(0, 14, "ORG")
    document = Document("New York Times", [city], [Relation(paper, "in", city), Relation(paper, "N", paper)])
    rows = ["#doc", "0\tNew\tB-ORG\t['N']\t[0]", "1\tYork\tI-ORG\t['N']\t[1]", "2\tTimes\tI-ORG\t['N']\t[2]"]
    assert write(document) == "\n".join(rows) + "\n"
    assert list(count_losses(document).values()) == [1, 0, 0, 1, 0, 0, 1]


def test_an_id_stays_on_its_line() -> None:
    assert write(Document("", id="a\nb\t c")) == "#doc a b c\n"


def test_reading_is_a_stream() -> None:
    taken = 0

    def lines() -> object:
        nonlocal taken
        for number in range(1, 10**9):
            taken = number
            yield number, "0\ta\tO\t['N']\t[0]" if number % 2 == 0 else "#doc 1"

    # The first 1,000 tokens decide how tokens are joined.
    assert len(list(islice(read(lines(), "x", Reading()), 2000))) == 2000  # type: ignore[arg-type]
    assert taken == 4001
    assert len(list(islice(read(lines(), "x", Reading(tokens="words")), 500))) == 500  # type: ignore[arg-type]
    assert taken == 1001
