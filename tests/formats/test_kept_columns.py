"""Columns in, columns out: the same tokens and columns, and only the tags are new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity
from ie_cli.formats import FORMATS, Reading
from ie_cli.formats.common.tag_schemes import bio_tags
from ie_cli.formats.kept_columns import rows_of

SAMPLES = Path(__file__).parent.parent.parent / "data" / "samples"
NEWS = """-DOCSTART- -X- O

# source: a newspaper
EU NNP B-ORG
3,4 CD O
German JJ B-MISC

-DOCSTART- -X- O

Peter NNP B-PER
Blackburn NNP I-PER

"""


def read(text: str, **options: object) -> list[Document]:
    reading = replace(Reading(keep_columns=True), **options)  # type: ignore[arg-type]
    records = list(FORMATS["conll"].read(enumerate(text.split("\n"), 1), "x.conll", reading))
    assert all(isinstance(record, Document) for record in records)
    return records  # type: ignore[return-value]


def predicted(text: str, *entities: list[Entity]) -> list[Document]:
    """The documents of a file with the annotation that a model gave them."""
    documents = read(text, annotation=False)
    assert [document.entities for document in documents] == [[] for _ in documents]
    for document, some in zip(documents, entities, strict=True):
        assert document.columns is not None
        document.entities, document.columns = some, document.columns.without_tags()
    return documents


def written(documents: list[Document]) -> str:
    write = FORMATS["conll"].write
    assert write is not None
    return "".join(map(write, documents))


def losses(document: Document) -> dict[str, int]:
    return {what: count for what, count in FORMATS["conll"].count_losses(document).items() if count}


def test_what_is_read_is_written_again() -> None:
    assert written(read(NEWS)) == NEWS
    for name in ("nested.tsv", "ner.conll"):
        text = (SAMPLES / name).read_text(encoding="utf-8")
        assert written(read(text)).splitlines()[:-1] == text.rstrip("\n").splitlines()
        assert all(not losses(document) for document in read(text))


def test_predictions_are_an_additional_last_column() -> None:
    documents = predicted(NEWS, [Entity(0, 2, "ORG"), Entity(3, 6, "NUM")], [])
    assert documents[0].text == "EU 3,4 German"
    assert (
        written(documents)
        == """-DOCSTART- -X- O O

# source: a newspaper
EU NNP B-ORG B-ORG
3,4 CD O B-NUM
German JJ B-MISC O

-DOCSTART- -X- O O

Peter NNP B-PER O
Blackburn NNP I-PER O

"""
    )
    assert not losses(documents[0])


def test_tokens_without_tags_and_tables_with_a_header_get_a_column() -> None:
    assert written(predicted("Anna\nslept\n", [Entity(0, 4, "PER")])) == "Anna\tB-PER\nslept\tO\n\n".replace(
        "\t",
        read("Anna\nslept\n", annotation=False)[0].columns.separator,  # type: ignore[union-attr]
    )
    table = "word\tpos\ttag\nAnna\tNNP\tB-PER\nslept\tVB\tO\n\nBob\tNNP\tB-PER\nate\tVB\tO\n"
    out = written(predicted(table, [Entity(0, 4, "PER")], []))
    assert out.startswith(
        "word\tpos\ttag\tprediction\nAnna\tNNP\tB-PER\tB-PER\nslept\tVB\tO\tO\n\nBob\tNNP\tB-PER\tO\n"
    )


def test_entities_that_cut_a_token_are_widened_and_counted() -> None:
    entities = [Entity(3, 4, "NUM"), Entity(8, 12, "LAND")]  # "3" of 3,4 and "erma" of German
    [first, _] = predicted(NEWS, entities, [])
    lines = written([first]).splitlines()
    assert lines[4:6] == ["3,4 CD O B-NUM", "German JJ B-MISC B-LAND"]
    [(what, count)] = losses(first).items()
    assert ("widened to the whole token" in what, count) == (True, 2)


def test_what_a_column_cannot_hold_is_counted() -> None:
    cut = [Entity(3, 4, "NUM"), Entity(5, 6, "NUM"), Entity(0, 6, "ALL"), Entity(2, 3, "GAP"), Entity(7, 13, "A b")]
    [first, _] = predicted(NEWS, cut, [])
    assert [line.split()[-1] for line in written([first]).splitlines()[3:6]] == ["B-ALL", "I-ALL", "B-A_b"]
    counts = {what.split(",")[0].split(";")[0]: count for what, count in losses(first).items()}
    assert counts == {
        "entities that overlap longer ones cannot be stored in one tag column": 2,
        "entities with a boundary inside a token are widened to the whole token": 2,
        "entities that contain no token are lost": 1,
        "labels that contain a space get _ instead": 1,
    }
    padded = predicted(NEWS, [Entity(2, 7, "NUM")], [])[0]
    assert [what.split(" lose")[0] for what in losses(padded)] == ["entities that start or end with whitespace"]


def test_documents_of_other_origin_are_written_as_before() -> None:
    [document, _] = read(NEWS)
    plain = Document(document.text, document.entities)
    assert plain == document
    assert written([plain]) == "EU\tB-ORG\n3,4\tO\nGerman\tB-MISC\n\n"
    assert read(NEWS, keep_columns=False)[0].columns is None


WORDS = st.lists(st.sampled_from(["Anna", "3,4", "(", "a-b", "und", "x"]), min_size=1, max_size=7)


@given(st.lists(WORDS, min_size=1, max_size=4), st.data(), st.sampled_from(["\t", " "]))
def test_any_columns_keep_their_lines(sentences: list[list[str]], data: st.DataObject, separator: str) -> None:
    blocks = []
    for words in sentences:
        spans = [(n, n, "X") for n in range(len(words)) if data.draw(st.booleans())]
        rows = zip(words, ["NN"] * len(words), bio_tags(len(words), spans), strict=True)
        blocks.append("".join(separator.join(row) + "\n" for row in rows) + "\n")
    text = "".join(blocks)
    options = {"label_columns": (2,)}
    documents = read(text, **options)
    assert written(documents) == text
    for document in documents:
        assert document.columns is not None
        document.columns = document.columns.without_tags()
        starts = data.draw(st.lists(st.integers(0, len(document.text) - 1), max_size=3))
        document.entities = [Entity(at, data.draw(st.integers(at + 1, len(document.text))), "Y") for at in starts]
    lines = written(documents).split("\n")
    assert [line.rpartition(separator)[0] for line in lines] == text.split("\n")
    again = read("\n".join(lines), label_columns=(3,))
    assert [document.text for document in again] == [document.text for document in documents]
    for document, back in zip(documents, again, strict=True):
        for entity in back.entities:  # each is a predicted one, moved to the boundaries of its tokens
            assert any(entity.start < one.end and one.start < entity.end for one in document.entities)


@pytest.mark.parametrize("moved", [False, True])
def test_nested_tags_stay_in_their_columns(moved: bool) -> None:
    text = (SAMPLES / "nested.tsv").read_text(encoding="utf-8")
    [document, *_] = read(text)
    if moved:  # an entity that no column had goes where there is room
        document.entities = [*document.entities, Entity(0, 3, "ART")]
    rows = [line.split("\t") for line in written([document]).splitlines() if line and line[0] != "#"]
    given = [line.split("\t") for line in text.split("\n\n")[0].splitlines() if line[0] != "#"]
    assert rows[1:] == given[1:]
    assert rows[0] == ([*given[0][:1], "B-ART", *given[0][2:]] if moved else given[0])


@pytest.mark.parametrize("name", ["conll04", "multihead"])
def test_tokens_of_other_formats_are_kept_too(name: str) -> None:
    sample = {"conll04": "relations.conll04.json", "multihead": "relations.multihead.txt"}[name]
    lines = (SAMPLES / sample).read_text(encoding="utf-8").split("\n")
    documents = [
        record
        for record in FORMATS[name].read(enumerate(lines, 1), "x", Reading(keep_columns=True))
        if isinstance(record, Document)
    ]
    assert documents
    for document in documents:
        assert document.columns is not None
        rows = [line.split("\t") for line in written([document]).splitlines()]
        assert [row[0] for row in rows[:-1]] == [document.text[start:end] for start, end in document.columns.spans]
        assert not any("widened" in what for what in losses(document))


def test_tokens_that_columns_cannot_hold_are_split_as_before() -> None:
    assert rows_of(["a b", "c"], [0, 4]) is not None
    for token in ("a\tb", "a\nb", "\u3000", "-DOCSTART-"):
        assert rows_of(["x", token], [0, 2]) is None
    assert rows_of([], []) is None


def test_comments_without_a_sentence_are_kept_in_their_order() -> None:
    text = (
        "# file\n\ntoken\ttag\n# one\nAnn\tB-PER\nmet\tO\nus\tO\n\n# two\n\n-DOCSTART-\tO\n\n# three\n\nBob\tB-PER\n\n"
    )
    again = "# file\ntoken\ttag\n# one\nAnn\tB-PER\nmet\tO\nus\tO\n\n# two\n-DOCSTART-\tO\n\n# three\nBob\tB-PER\n\n"
    assert written(read(text)) == again
    assert written(read(again)) == again


@pytest.mark.parametrize(
    "start", ["# file\ntoken\ttag\n", "token\ttag\n# file\n", "# file\n# more\ntoken\ttag\n# one\n"]
)
def test_a_header_stays_before_the_first_sentence(start: str) -> None:
    text = f"{start}Ann\tB-PER\nmet\tO\nus\tO\nyesterday\tO\n\nBob\tB-PER\n\n"
    assert written(read(text)) == text
