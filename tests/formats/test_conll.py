from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from ie_cli.document import ColumnRows, Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, Reading, Record
from ie_cli.formats.common.joining import join_tokens
from ie_cli.formats.common.tag_schemes import bio_tags
from ie_cli.formats.conll import read
from ie_cli.formats.conll_writer import count_losses, longest_non_overlapping, split_at_boundaries, write


def records(text: str, **options: object) -> list[Record]:
    reading = Reading(**options)  # type: ignore[arg-type]
    return list(read(enumerate(text.split("\n"), 1), "x.conll", reading))


def one(text: str, **options: object) -> Document:
    [record] = records(text, **options)
    assert isinstance(record, Document), record
    return record


def mentions(document: Document) -> list[tuple[str, str]]:
    return [(document.text[e.start : e.end], e.label) for e in document.entities]


TOKENS = st.lists(
    st.from_regex(r"[A-Za-z0-9.,:#'\-]{1,4}|[一-龥ぁ-ん，。]{1,3}", fullmatch=True), min_size=1, max_size=8
)


@given(TOKENS, st.none() | st.sampled_from(["", " ", "_"]))
def test_offsets_slice_the_tokens(tokens: list[str], joiner: str | None) -> None:
    text, starts = join_tokens(tokens, joiner)
    assert [text[start : start + len(token)] for start, token in zip(starts, tokens, strict=True)] == tokens
    if joiner is not None:
        assert text == joiner.join(tokens)


def test_no_space_next_to_chinese_characters() -> None:
    assert join_tokens(["我", "爱", "Python", "3", "。", "Yes", "！"], None)[0] == "我爱Python 3。Yes！"


@given(st.lists(TOKENS, min_size=1, max_size=4), st.data())
def test_read_gives_what_was_written(sentences: list[list[str]], data: st.DataObject) -> None:
    documents = []
    for tokens in sentences:
        text, starts = join_tokens(tokens, None)
        entities, at = [], 0
        while at < len(tokens):
            length = data.draw(st.integers(0, 2))
            if length and at + length <= len(tokens):
                end = starts[at + length - 1] + len(tokens[at + length - 1])
                entities.append(Entity(starts[at], end, data.draw(st.sampled_from(["PER", "LOC"]))))
            at += max(1, length)
        documents.append(Document(text, entities))
    # A rule restores spaces between tokens; it would add a space where a word was split.
    rebuilt = "".join(write(document) for document in documents)
    back = [record for record in records(rebuilt) if isinstance(record, Document)]
    assume([document.text for document in back] == [document.text for document in documents])
    assert back == documents


@given(st.text(max_size=30), st.data())
def test_whatever_is_written_is_read_and_slices(text: str, data: st.DataObject) -> None:
    boundaries = data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6, unique=True)) if text else []
    pairs = zip(sorted(boundaries)[::2], sorted(boundaries)[1::2], strict=False)
    document = Document(text, [Entity(a, b, "X") for a, b in pairs])
    for record in records(write(document), label_columns=(1,), text_column=0) if text.strip() else []:
        assert isinstance(record, Document)
        assert len(record.entities) <= len(document.entities)
        squeezed = "".join(record.text.split())
        assert squeezed == "".join(text.split())


def test_of_overlapping_entities_the_longer_is_written() -> None:
    document = Document("New York Times", [Entity(0, 8, "LOC"), Entity(0, 14, "ORG")])
    assert write(document) == "New\tB-ORG\nYork\tI-ORG\nTimes\tI-ORG\n\n"
    assert write(Document("ab，c", [Entity(1, 2, "X")])) == "a\tO\nb\tB-X\n，\tO\nc\tO\n\n"


def plain_longest(entities: list[Entity]) -> list[Entity]:
    """Compare each entity with all that were chosen before."""
    chosen: list[Entity] = []
    for entity in sorted(set(entities), key=lambda e: (e.start - e.end, e.start, e.label)):
        if all(entity.end <= other.start or other.end <= entity.start for other in chosen):
            chosen.append(entity)
    return sorted(chosen)


def plain_write(document: Document) -> str:
    """Compare each entity with all tokens."""
    entities = plain_longest(document.entities)
    tokens = [piece for word in split_at_boundaries(document.text, entities) for piece in word]
    spans = []
    for entity in entities:
        inside = [n for n, (start, end) in enumerate(tokens) if entity.start <= start and end <= entity.end]
        if inside:
            spans.append((inside[0], inside[-1], entity.label))
    tags = bio_tags(len(tokens), spans)
    return "".join(f"{document.text[a:b]}\t{tag}\n" for (a, b), tag in zip(tokens, tags, strict=True)) + "\n"


@given(st.text("ab 中文，\u3000", min_size=1, max_size=20), st.data())
def test_the_longest_and_their_tokens_are_those_of_the_plain_form(text: str, data: st.DataObject) -> None:
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda pair: pair[0] != pair[1])
    drawn = data.draw(st.lists(st.tuples(ends, st.sampled_from("XY")), max_size=10))
    entities = [Entity(min(pair), max(pair), label) for pair, label in drawn]
    assert longest_non_overlapping(entities) == plain_longest(entities)
    assert write(Document(text, entities)) == plain_write(Document(text, entities))


def test_what_one_column_cannot_express_is_counted() -> None:
    document = Document("New Yorker", [Entity(0, 8, "LOC"), Entity(0, 3, "X")])
    assert write(document) == "New\tB-LOC\nYork\tI-LOC\ner\tO\n\n"
    assert list(count_losses(document).values()) == [1, 1, 0, 0]
    assert list(count_losses(Document(" ")).values()) == [0, 0, 1, 0]
    assert not any(count_losses(Document("纽约人", [Entity(0, 2, "LOC")])).values())
    related = Document("ab", [], [Relation(Entity(0, 1, "X"), "p", Entity(1, 2, "X"))])
    assert list(count_losses(related).values()) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "rows",
    [
        "{0}B-PER\n{1}I-PER\n{2}O\n{3}B-LOC",
        "{0}I-PER\n{1}I-PER\n{2}O\n{3}I-LOC",
        "{0}B-PER\n{1}E-PER\n{2}O\n{3}S-LOC",
        "{0}B-PER\n{1}L-PER\n{2}O\n{3}U-LOC",
        "{0}B_PER\n{1}I_PER\n{2}O\n{3}B_LOC",
    ],
)
@pytest.mark.parametrize("gap", [" ", "\t", "\tNNP\tB-NP\t", " NNP "])
def test_schemes_and_separators(rows: str, gap: str) -> None:
    document = one(rows.format(*(word + gap for word in ("Anna", "Meyer", "in", "Wien"))))
    assert mentions(document) == [("Anna Meyer", "PER"), ("Wien", "LOC")]
    assert document.text == "Anna Meyer in Wien"


def test_what_was_detected_is_reported() -> None:
    reported: list[str] = []
    records("Anna\tI-PER\nMeyer\tI-PER\n", report=reported.append)
    records("Anna B-PER\nin O\nWien I-LOC\n", report=reported.append)
    assert reported == [
        "x.conll: columns separated by tabs, tokens in column 0, tags in column 1 (counted from 0), IOB1",
        "x.conll: columns separated by spaces, tokens in column 0, tags in column 1 (counted from 0), BIO",
        "x.conll: 1 tag without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval",
    ]


def test_two_tag_columns_give_nested_entities() -> None:
    reported: list[str] = []
    text = "#\thttp://x\t[2009]\n1\tUni\tB-ORG\tO\n2\tWien\tI-ORG\tB-LOC\n3\t.\tO\tO\n4\tGraz\tB-LOC\tO\n"
    document = one(text, text_column=1, report=reported.append)
    assert mentions(document) == [("Uni Wien", "ORG"), ("Wien", "LOC"), ("Graz", "LOC")]
    assert "tags in column 2, 3" in reported[0]
    assert mentions(one(text, text_column=1, label_columns=(2,))) == [("Uni Wien", "ORG"), ("Graz", "LOC")]
    assert mentions(one(text, text_column=1, label_columns=(-1,))) == [("Wien", "LOC")]


def test_a_chunk_column_is_not_a_second_layer() -> None:
    document = one("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    assert mentions(document) == [("EU", "ORG")]
    assert mentions(one("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", label_columns=(2,)))[0] == ("EU", "NP")


def test_document_markers_comments_and_hash_tokens() -> None:
    text = "-DOCSTART- -X- -X- O\n\n# id = 1\nUse O\n# O\n1 O\n\n\n\n# only a comment\n\nBob B-PER"
    first, second = records(text)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.text, second.text) == ("Use # 1", "Bob")
    assert (first.where, second.where) == ("x.conll:3", "x.conll:12")


def test_tokens_alone_are_text_to_predict() -> None:
    assert one("Anna\nmet\nBob") == Document("Anna met Bob")


def test_another_text_column_and_joiner() -> None:
    text = "1 甲 B-X\n2 乙 I-X\n"
    assert one(text, text_column=1).text == "甲乙"
    assert one(text, text_column=-2, joiner=" ").text == "甲 乙"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("broken", "x.conll:5: expected at least 2 columns, got 1: 'broken'"),
        ("Bob\tPER", "x.conll:5: expected a tag such as O or B-PER, got 'PER': 'Bob\\tPER'"),
        ("\tO", "x.conll:5: the token is empty: '\\tO'"),
    ],
)
def test_a_bad_line_spoils_its_sentence_alone(line: str, message: str) -> None:
    good = "Anna\tB-PER\nmet\tO\n"
    text = f"{good}\nx\tO\n{line}\ny\tO\n\n" + f"{good}\n" * 60
    before, bad, *after = records(text)
    assert isinstance(before, Document)
    assert isinstance(bad, BadLine)
    assert bad.error.message == message
    assert bad.where == "x.conll:4"
    assert bad.raw == f"x\tO\n{line}\ny\tO"
    assert len(after) == 60
    assert all(isinstance(record, Document) for record in after)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_column": 2}, r"no column 2 \(text_column\): the lines have 2 columns"),
        ({"text_column": -3}, r"no column -3 \(text_column\)"),
        ({"label_columns": (5,)}, r"no column 5 \(label_columns\): the lines have 2 columns"),
        ({"text_column": 1}, r"column 1 is named as the column of the tokens \(text_column\), but contains tags"),
        ({"text_column": -1}, r"column 1 is named as the column of the tokens \(text_column\), but contains tags"),
    ],
)
def test_a_missing_or_wrong_column_is_an_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        records("Anna B-PER\n", **options)


def test_columns_without_tags_are_an_error() -> None:
    with pytest.raises(DataError, match="none of the 2 columns contains tags") as caught:
        records("Anna NNP\n")
    assert "label_columns" in str(caught.value.hint)


def test_reading_streams_after_the_look_ahead() -> None:
    taken = 0

    def lines() -> object:
        nonlocal taken
        for number in range(1, 10**9):
            taken = number
            yield number, "" if number % 2 else "Anna B-PER"

    first = list(islice(read(lines(), "x", Reading()), 3000))  # type: ignore[arg-type]
    assert len(first) == 3000
    assert taken < 2 * 3000 + 10


def test_entities_score_like_seqeval(tmp_path: Path) -> None:
    from ie_cli.metrics.entities import EntityScorer

    gold = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X"], ["B-Y", "I-Y"]]
    guess = [["B-X", "I-X", "O", "B-X"], ["B-X", "I-X"], ["B-Y", "B-Y"]]
    scorer = EntityScorer()
    for rows in zip(gold, guess, strict=True):
        a, b = (one("".join(f"t{n} {tag}\n" for n, tag in enumerate(row)), label_columns=(1,)) for row in rows)
        scorer.add(a, b)
    assert scorer.scores().f1 == pytest.approx(f1_score(gold, guess), abs=1e-15)


def test_a_document_keeps_its_lines_if_asked() -> None:
    text = "# a comment\n1 Anna NNP B-PER\n2 met VBD O\n3 Bob NNP B-PER\n"
    document = one(text, text_column=1, keep_columns=True)
    assert document.columns == ColumnRows(
        ((0, 4), (5, 8), (9, 12)),
        (("1", "Anna", "NNP", "B-PER"), ("2", "met", "VBD", "O"), ("3", "Bob", "NNP", "B-PER")),
        1,
        (3,),
        " ",
        ("# a comment",),
    )
    assert one(text, text_column=1) == document
    assert one(text, text_column=1).columns is None
