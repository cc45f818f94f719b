"""Pairs of texts in columns, as LCQMC, ATEC, GLUE and STS-B have them, and their detection."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_documents, read_records
from ie_cli.formats.common.detect import detect

# Layouts of public data with texts of our own.
LCQMC = "text_a\ttext_b\tlabel\n怎么给花浇水\t花要怎么浇水\t1\n这本书多少钱\t这本书谁写的\t0\n"
AFQMC = '怎么给花浇水呢\t花要怎么浇水\t1\n这本书多少钱\t这本书是谁写的\t0\n他说“好"吗\t他说好吗\t0\n'
ATEC = "1\t怎么给花浇水呢\t花要怎么浇水\t1\n2\t这本书多少钱\t这本书是谁写的\t0\n"
PAWSX = 'id\tsentence1\tsentence2\tlabel\n1\tHe "wrote" the song .\tThe song was written by him .\t1\n2\tA b , c\tC b , a\t0\n'
STSB = 'A cat sleeps.,A cat is asleep.,4.75\r\n"One, two.","He said ""two"".",0.0\r\n'
BENCHMARK = (
    "main-captions\tfile-a\t2012test\t0001\t5.000\tA cat sleeps.\tA cat is asleep.\n"
    'main-news\tfile-b\t2013\t24\t0.400\tIt rained all day.\tPrices "fell" again.\tsource x\tsource y\n'
    "main-forums\tfile-c\t2015\t7\t3\tAsk your doctor.\tSee a doctor first.\n"
)
GLUE_STSB = (
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    "0\tmain-captions\tf\t2012\t1\tnone\tnone\tA cat sleeps.\tA cat is asleep.\t5\n"
)
MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\tHe left early .\tEarly he left .\n"
SNLI = (
    "gold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\tlabel1\n"
    "neutral\t( A cat )\tA cat sleeps.\tIt is old.\t7n\tneutral\n-\t( A )\tA cat sleeps.\tIt eats.\t8x\tneutral\n"
)


def written(directory: Path, content: str, name: str = "x") -> str:
    (directory / name).write_text(content, encoding="utf-8", newline="")
    return str(directory / name)


def read(path: str, reading: Reading | None = None, format: str | None = None) -> list[Document]:
    return list(read_documents(path, reading=reading, format=format))


def pair(first: str, second: str, label: str | float | None = None, **more: object) -> Document:
    classes = {"label": label} if isinstance(label, str) else {"score": label}
    return Document(first, text_pair=second, **classes, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (LCQMC, [pair("怎么给花浇水", "花要怎么浇水", "1"), pair("这本书多少钱", "这本书谁写的", "0")]),
        (
            AFQMC,
            [
                pair("怎么给花浇水呢", "花要怎么浇水", "1"),
                pair("这本书多少钱", "这本书是谁写的", "0"),
                pair('他说“好"吗', "他说好吗", "0"),
            ],
        ),
        (ATEC, [pair("怎么给花浇水呢", "花要怎么浇水", "1", id="1"), pair("这本书多少钱", "这本书是谁写的", "0", id="2")]),
        (
            PAWSX,
            [
                pair('He "wrote" the song .', "The song was written by him .", "1", id="1"),
                pair("A b , c", "C b , a", "0", id="2"),
            ],
        ),
        (STSB, [pair("A cat sleeps.", "A cat is asleep.", 4.75), pair("One, two.", 'He said "two".', 0.0)]),
    ],
)  # fmt: skip
def test_layouts_are_detected_and_read(tmp_path: Path, content: str, expected: list[Document]) -> None:
    found: list[str] = []
    path = written(tmp_path, content)
    assert list(read_documents(path, detected=found.append)) == expected
    assert found == ["pairs"]
    assert read(path, format="pairs") == expected


def test_the_sts_benchmark_has_grades_in_its_original_files_and_in_glue(tmp_path: Path) -> None:
    first, second, third = read(written(tmp_path, BENCHMARK))
    assert first == pair(
        "A cat sleeps.",
        "A cat is asleep.",
        5.0,
        meta={"genre": "main-captions", "file": "file-a", "year": "2012test", "index": "0001"},
    )
    assert (second.text_pair, second.score, third.score) == ('Prices "fell" again.', 0.4, 3.0)
    [document] = read(written(tmp_path, GLUE_STSB))
    assert (document.id, document.score, document.label) == ("0", 5.0, None)
    assert document.meta["old_index"] == "1"


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    [document] = read(written(tmp_path, MRPC))
    assert document == pair("He left early .", "Early he left .", "1", meta={"#1 ID": "70", "#2 ID": "71"})
    reports: list[str] = []
    path = written(tmp_path, SNLI)
    labels = [document.label for document in read(path, Reading(report=reports.append))]
    assert labels == ["neutral", None]
    assert reports == [
        f"{path}: columns separated by tabs, texts in columns 2 and 3, classes 'neutral' in column 0 (counted from 0); "
        "line 1 is a header",
        f"{path}: pairs without a label, which is empty or -, and which are neither learned nor scored: 1 of 2",
    ]


def test_a_text_to_predict_has_no_label(tmp_path: Path) -> None:
    reading = Reading(annotation=False)
    assert read(written(tmp_path, AFQMC), reading)[0] == pair("怎么给花浇水呢", "花要怎么浇水")
    assert read(written(tmp_path, "a\tb\nc\td\n"), reading, "pairs") == [pair("a", "b"), pair("c", "d")]
    # AFQMC's test data: an id, and no labels.
    assert read(written(tmp_path, "0\t怎么给花浇水呢\t花要怎么浇水\n"), reading, "pairs") == [
        pair("怎么给花浇水呢", "花要怎么浇水", id="0")
    ]


def test_numbers_before_short_texts_may_be_ids_or_texts(tmp_path: Path) -> None:
    for reading in (Reading(), Reading(annotation=False)):
        with pytest.raises(DataError, match="it is unclear which of the 3 columns"):
            read(written(tmp_path, "0\tcat\tdog\n1\tsun\tmoon\n"), reading, "pairs")
    assert read(written(tmp_path, "0\tcat\t1\n1\tsun\t0\n"), format="pairs") == [
        pair("0", "cat", "1"),
        pair("1", "sun", "0"),
    ]
    assert read(written(tmp_path, "0\ta cat\ta dog\n"), format="pairs") == [pair("a cat", "a dog", id="0")]


def test_a_quoted_text_may_have_several_lines_and_an_open_quote_loses_one_row(tmp_path: Path) -> None:
    content = 'text1,text2,label\n"one\ntwo, three",b,1\n\nc,"d,0\ne,f,1\n' + "g,h,0\n" * 40
    first, bad, second, *rest = read_records(written(tmp_path, content))
    assert first == pair("one\ntwo, three", "b", "1")
    assert isinstance(bad, BadLine)
    assert bad.error.message == (
        f"{tmp_path / 'x'}:5: not a row of comma-separated values: unexpected end of data: 'c,\"d,0'"
    )
    assert second == pair("e", "f", "1")
    assert [record for record in rest if isinstance(record, BadLine)] == []
    assert len(rest) == 40


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b\tc d", "expected 3 columns, got 2: 'a b\\tc d'"),
        ("a b\tc d\te\t1", "expected 3 columns, got 4: 'a b\\tc d\\te\\t1'"),
        ("a b\tc d\tyes", "expected a whole number as the class of the pair, as in the first records, got 'yes'"),
        ("a b\tc d\t0.5", "expected a whole number as the class of the pair, as in the first records, got '0.5'"),
    ],
)
def test_a_bad_row_is_reported_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, "a b\tc d\t1\n" * 20 + line + "\n" + "a b\tc d\t0\n")
    records = list(read_records(path))
    [bad] = [record for record in records if isinstance(record, BadLine)]
    assert bad.error.message == f"{path}:21: {message}"
    assert bad.error.hint
    assert len(records) == 22


def test_whole_numbers_are_classes_and_other_numbers_grades_unless_the_options_say_otherwise(tmp_path: Path) -> None:
    def labels(content: str, *, grades: bool | None = None) -> list[str | float | None]:
        documents = read(written(tmp_path, content), Reading(grades=grades), "pairs")
        return [document.score if document.label is None else document.label for document in documents]

    whole, mixed = "a\tb\t5\nc\td\t0\n", "a\tb\t5\nc\td\t0.5\n"
    assert labels(whole) == ["5", "0"]
    assert labels(whole, grades=True) == [5.0, 0.0]
    assert labels(mixed) == [5.0, 0.5]
    assert labels(mixed, grades=False) == ["5", "0.5"]
    assert labels("a\tb\tsame\nc\td\tother\n") == ["same", "other"]
    assert labels("text1\ttext2\tscore\na\tb\t5\n") == [5.0]
    assert labels("text1\ttext2\tscore\na\tb\thigh\n") == ["high"]
    with pytest.raises(DataError, match="expected a number as the grade of the pair, got 'x'") as caught:
        labels("a\tb\tx\n", grades=True)
    assert "data.grades: false" in str(caught.value.hint)
    with pytest.raises(DataError, match="expected a number as the grade of the pair, got '1e999'"):
        labels("a\tb\t0.5\nc\td\t1e999\n")


def test_the_options_of_reading_name_the_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "1\tx\ta b\tc d\n0\ty\te f\tg h\n")
    with pytest.raises(DataError, match="the format cannot be detected"):
        read(path)
    with pytest.raises(
        DataError, match=r"it is unclear which of the 4 columns, separated by tabs, hold the two"
    ) as caught:
        read(path, Reading(), "pairs")
    assert "add a first line with the names of the columns" in str(caught.value.hint)
    expected = [pair("a b", "c d", "1"), pair("e f", "g h", "0")]
    assert read(path, Reading(text_column=2, label_columns=(0,)), "pairs") == expected
    assert read(path, Reading(text_column=-2, label_columns=(-4,)), "pairs") == expected
    assert read(path, Reading(text_column=2), "pairs") == [pair("a b", "c d"), pair("e f", "g h")]
    with pytest.raises(DataError, match="there is no column 4: the lines have 4 columns"):
        read(path, Reading(label_columns=(4,)), "pairs")
    for text, labels in ((3, (0,)), (1, (2,)), (2, (0, 1))):
        with pytest.raises(DataError, match="a pair has its first text in column"):
            read(path, Reading(text_column=text, label_columns=labels), "pairs")
    # A header is no row, whoever names the columns.
    assert read(written(tmp_path, LCQMC), Reading(label_columns=(2,)), "pairs") == read(written(tmp_path, LCQMC))


def detected(content: str) -> str:
    try:
        return detect(list(enumerate(content.split("\n"), 1)), "x")
    except DataError:
        return "error"


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ("The\tDT\tO\ncat\tNN\tB-animal\n", "conll"),
        ("The cat\ta cat\tO\n" * 3, "conll"),  # tokens with spaces
        ("The\t0\t3\ncat\t1\t0\n" * 9, "error"),  # tokens and heads
        ("1\tThe\tthe\t3\n2\tcat\tcat\t0\n", "error"),
        ("新华社\t新华社\t3\n北京\t北京\t0\n", "error"),
        ("a b\tc d\t1\n\na b\tc d\t0\n", "error"),  # an empty line separates sentences
        ("I like it, you like it, 3\nYou are here, I am there, 4\n", "pairs"),
        ("One, two\nI like it, you like it\n", "error"),
        ("I like it, you like it, we like it\n" * 3, "error"),
        ("a b\tc d\tyes\n" * 9, "error"),  # no known label
        ("a b\tc d\tentailment\na b\td e\t-\n", "pairs"),
        ("sentence1\tsentence2\tlabel\n", "pairs"),
        ("\n\na b\tc d\t1\n", "pairs"),
    ],
)
def test_other_data_are_not_taken_for_pairs(content: str, format: str) -> None:
    assert detected(content) == format


PART = st.text(st.sampled_from("ab中, \"'#\r\u2028。-\x00")) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=9
)
NUMBERS, WORDS = st.sampled_from(["0", "1", "2", "-1"]), st.sampled_from(["same", "contradiction", "一"])
GRADES = st.floats(-1e6, 1e6)


@st.composite
def pairs(draw: st.DrawFn) -> list[Document]:
    """Pairs that are all labelled with classes, all with grades, or not at all."""
    labels = draw(st.sampled_from([NUMBERS, WORDS, GRADES, st.none()]))
    return [pair(*texts) for texts in draw(st.lists(st.tuples(PART, PART, labels), min_size=1, max_size=5))]


@given(documents=pairs())
def test_pairs_are_read_as_they_were_written(documents: list[Document]) -> None:
    format = FORMATS["pairs"]
    assert format.write is not None
    text = format.frame[0] + "".join(map(format.write, documents))
    back = list(format.read(enumerate(text.removesuffix("\n").split("\n"), 1), "x", Reading()))
    if any(format.count_losses(document) for document in documents):
        assert len(back) == len(documents)
        return
    assert back == documents


@given(documents=pairs(), header=st.booleans())
def test_values_separated_by_commas_are_read_as_the_standard_library_writes_them(
    documents: list[Document], header: bool
) -> None:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    if header:
        rows.writerow(["text1", "text2", "label"])
    for document in documents:
        label = document.label if document.score is None else document.score
        rows.writerow([document.text, document.text_pair, label])
    # The file may be one of tabs, and the library does not quote a carriage return.
    assume("\t" not in out.getvalue() and "\r" not in out.getvalue())
    assume(header or any(document.text_pair for document in documents))  # else no column looks like a second text
    lines = enumerate(out.getvalue().removesuffix("\n").split("\n"), 1)
    records: list[Record] = list(FORMATS["pairs"].read(lines, "x", Reading()))
    assert records == documents


def test_what_cannot_be_written_is_counted() -> None:
    write, count = FORMATS["pairs"].write, FORMATS["pairs"].count_losses
    assert write is not None
    assert write(Document("a\tb", text_pair="c\r\nd", label="1", score=0.5)) == "a b\tc  d\t1\n"
    assert count(Document("a\tb", text_pair="c\nd", label="1", score=0.5)) == {
        "second texts in which tabs and line breaks become spaces": 1,
        "texts in which tabs and line breaks become spaces": 1,
        "second texts with a class lose their grade": 1,
    }
    assert count(Document("a")) == {"second texts, which these records lack, are written as empty texts": 1}
    lost = "second texts whose label is not read as it is written"
    for label in ("0.5", "-", "", " x", "1e5", "a\tb"):
        assert count(pair("a", "b", label)) == {lost: 1}, label
    for label in ("0", "-1", "yes", "a b", "007"):
        assert count(pair("a", "b", label)) == {}, label
