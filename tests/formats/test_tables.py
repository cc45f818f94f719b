"""Tables: CSV, TSV, Parquet and Excel, with a span, a document or a token per row."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, get_args

import datasets
import pyarrow
import pytest
from hypothesis import given, settings
from pyarrow import parquet
from support.random_documents import documents
from support.runner import ie, said

from ie_cli.data.dataset import Split
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, RecipeError
from ie_cli.formats import FORMATS, BadLine, Reading, Record, read_documents, read_records, table
from ie_cli.formats.common.table_columns import ROLES, TableColumns
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import DataSection, TablePart

SPANS = """\
doc_id,Text,start,end,label,mention,annotator
a,"Anna met, in Oslo",0,4,person,Anna,x
a,"Anna met, in Oslo",13,17,city,Oslo,x
b,It rained.,,,,,y
c,"two
lines",4,9.0,word,lines,y
"""


def of(path: Path, content: str | bytes, **options: Any) -> list[Record]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_records(str(path), reading=Reading(**options)))


def problem(path: Path, content: str, **options: Any) -> str:
    found = of(path, content, **options)
    bad = [record for record in found if isinstance(record, BadLine)]
    assert len(bad) == 1
    assert bad[0].error.hint
    return bad[0].error.message.removeprefix(f"{path}")


def test_a_span_per_row(tmp_path: Path) -> None:
    reports, formats = list[str](), list[str]()
    path = tmp_path / "x.csv"
    path.write_text(SPANS)
    found = list(read_documents(str(path), reading=Reading(report=reports.append), detected=formats.append))
    assert formats == ["csv"]
    assert found == [
        Document("Anna met, in Oslo", [Entity(0, 4, "person"), Entity(13, 17, "city")], id="a"),
        Document("It rained.", id="b"),
        Document("two\nlines", [Entity(4, 9, "word")], id="c"),
    ]
    assert [document.where for document in found] == [f"{path}:{line}" for line in (2, 4, 5)]
    assert reports == [f"{path}: a span per row; columns that are not read: annotator"]
    assert [one.text for one in read_documents(str(path), reading=Reading(annotation=False))] == [
        one.text for one in found
    ]


def test_line_ends_in_quotes_are_text_and_offsets_count_them(tmp_path: Path) -> None:
    [document] = of(tmp_path / "x", 'text,start,end,label\r\n"a\r\nb\rc",3,6,x\r\n')
    assert document == Document("a\r\nb\rc", [Entity(3, 6, "x")])
    [document] = of(tmp_path / "x", b'\xef\xbb\xbftext;start;end;label\n"a;b";0;3;x')
    assert document == Document("a;b", [Entity(0, 3, "x")])
    [document] = of(tmp_path / "x", "text\tstart\tend\tlabel\na,b\t0\t3\tx\n")
    assert document == Document("a,b", [Entity(0, 3, "x")])


def test_long_texts_are_read(tmp_path: Path) -> None:
    [document] = of(tmp_path / "x.csv", f"text,start,end,label\n{'a' * 300_000},0,3,x\n")
    assert isinstance(document, Document)
    assert len(document.text) == 300_000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("abc,0,4,x,", ":2: entity 'x' covers characters 0-4, but the text has 3"),
        ("abc,0,2,x,bc", ":2: entity 'x' covers characters 0-2, which are 'ab', but its text is 'bc'"),
        ("abc,0,,x,", ":2: a span lacks end"),
        ("abc,0,2,,", ":2: a span lacks label"),
        ("abc,0,two,x,", ":2: entity 'x': end must be an integer, got 'two'"),
        ("abc,0,1,x,\nother,,,,\nabc,1,2,x,", ":4: rows of the document 'abc' occur again after those of another one"),
    ],
)
def test_errors_of_spans_name_the_row(tmp_path: Path, rows: str, message: str) -> None:
    assert problem(tmp_path / "x.csv", f"text,start,end,label,mention\n{rows}\n").startswith(message)


def test_rows_of_an_id_with_another_text_are_an_error(tmp_path: Path) -> None:
    rows = "id,text,start,end,label\n1,abc,0,1,x\n1,abd,0,1,x\n"
    assert problem(tmp_path / "x.csv", rows).startswith(":3: the text differs from that of the same id in ")
    [one] = of(tmp_path / "x.csv", rows.replace("1,abd", "1,"))
    assert isinstance(one, Document)
    assert one.entities == [Entity(0, 1, "x")] * 2


def test_invalid_rows_are_an_error_of_the_file(tmp_path: Path) -> None:
    for content, line in (
        ('text,start,end,label\n"a"b,0,1,x\n', 2),
        ('text,start,end,label\na,0,1,x\n"never closed\n', 3),
    ):
        with pytest.raises(DataError, match=rf"x.csv:{line}: not a row of a table"):
            of(tmp_path / "x.csv", content)
    (tmp_path / "y").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="the columns of the table are not known: a, b"):
        list(read_records(str(tmp_path / "y"), format="csv"))


@pytest.mark.parametrize(
    ("names", "named", "shown"),
    [
        (
            "sentence,begin,stop,tag",
            {},
            "the columns 'begin', 'tag' look like those of spans, but there is none for end",
        ),
        ("text,start,end,kind", {}, "the columns 'start', 'end' look like those of spans, but there is none for label"),
        (
            "text,entity,type",
            {},
            "the columns 'type', 'entity' look like those of spans, but there is none for start and end",
        ),
        (
            "text,from,to,kind",
            {"start": "from"},
            "the column 'from' looks like one of spans, but there is none for end and label",
        ),
    ],
)
def test_a_part_of_the_columns_of_spans_is_an_error(
    tmp_path: Path, names: str, named: dict[str, str], shown: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{names}\n" + ",".join(["Anna", "0", "4", "p"][: names.count(",") + 1]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"x.csv: {shown}"):
        list(read_records(str(path), reading=Reading(columns=named)))
    [text] = read_records(str(path), reading=Reading(columns=named, annotation=False))
    assert isinstance(text, Document)
    path.write_text("text,label\nAnna,p\n", encoding="utf-8")  # a class of the text
    assert len(list(read_records(str(path)))) == 1


def test_the_recipe_knows_the_parts_of_tables() -> None:
    assert set(get_args(TablePart)) == ROLES.keys()


def test_commands_name_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("body,from,to,kind\n" + "".join(f"Anna {n},0,4,p\n" for n in range(5)))
    named = [option for one in ("text=body", "start=from", "end=to", "label=kind") for option in ("--column", one)]
    result = ie("init", "x.csv", "--from", "csv", "--encoder", "tiny", "-o", "recipe.yaml", *named)
    assert result.exit_code == 0, said(result)
    recipe = load_recipe("recipe.yaml")
    assert recipe.data is not None
    assert recipe.data.columns == {"text": "body", "start": "from", "end": "to", "label": "kind"}
    assert [len(document.entities) for document in Split(("x.csv",), recipe.data)] == [1] * 5
    plain = DataSection(train="x.csv", format="csv")
    assert Split(("x.csv",), plain).fingerprint != Split(("x.csv",), recipe.data).fingerprint
    result = ie("convert", "x.csv", "-", "--from", "csv", "--column", "txt=body")
    assert (result.exit_code, "expected PART=NAME" in said(result)) == (2, True)
    result = ie("convert", "x.csv", "out.parquet", *named)
    assert "5 records, csv to parquet" in said(result)
    assert len(list(read_documents("out.parquet"))) == 5
    result = ie("convert", "out.parquet", "out.parquet.gz")
    assert "the format parquet is not compressed further" in said(result)
    with pytest.raises(RecipeError, match="applies only to format csv, tsv, parquet, excel, but data.format is jsonl"):
        load_recipe("recipe.yaml", ["data.format=jsonl"])


def test_named_columns(tmp_path: Path) -> None:
    content = "body,text,from,to,kind\nabc,note,0,2,x\n"
    columns = {"text": "body", "start": "from", "end": "TO", "label": "kind"}
    path = tmp_path / "x.csv"
    path.write_text(content)
    [found] = read_documents(str(path), format="csv", reading=Reading(columns=columns))
    assert found == Document("abc", [Entity(0, 2, "x")])
    with pytest.raises(DataError, match=r"x\.csv: there is no column 'kinds'; did you mean 'kind'\?") as caught:
        list(read_documents(str(path), format="csv", reading=Reading(columns=columns | {"label": "kinds"})))
    assert "'body'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("text,entities,source", '"Anna met","[{""start"": 0, ""end"": 4, ""label"": ""p""}]",s'),
        ("Text;Entities;source", "\"Anna met\";\"[{'start': 0, 'end': 4, 'label': 'p'}]\";s"),
        ("tokens,ner_tags,source", "\"['Anna', 'met']\",\"['B-p', 'O']\",s"),
        ("tokens,ner_tags,source", '"[""Anna"", ""met""]",B-p O,s'),
        ("words,word_labels,source", 'Anna met,"B-p,O",s'),
    ],
)
def test_a_document_per_row(tmp_path: Path, header: str, row: str) -> None:
    [found] = of(tmp_path / "x.csv", f"{header}\n{row}\n")
    assert found == Document("Anna met", [Entity(0, 4, "p")], meta={"source": "s"})


def test_lists_as_numpy_writes_them_are_not_guessed(tmp_path: Path) -> None:
    assert "'tokens' must be a list" in problem(tmp_path / "x.csv", "tokens,ner_tags\n['Anna' 'met'],['B-p' 'O']\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_token_per_row(tmp_path: Path, separator: str) -> None:
    rows = ["Sentence #,Word,POS,Tag", "Sentence: 1,Anna,N,B-p", ",met,V,O", "Sentence: 2,New,N,B-c", ",Oslo,N,I-c"]
    content = "".join(row.replace(",", separator) + "\n" for row in rows)
    found = list(read_documents(str(tmp_path / "x"), format="csv")) if of(tmp_path / "x", content) else []
    assert found == [Document("Anna met", [Entity(0, 4, "p")]), Document("New Oslo", [Entity(0, 8, "c")])]
    assert [one.where for one in found] == [f"{tmp_path / 'x'}:2", f"{tmp_path / 'x'}:4"]


def test_tables_without_annotation_are_texts_to_predict(tmp_path: Path) -> None:
    for content in ("id,text\n1,abc\n", "text,label\nabc,good\n"):
        [found] = of(tmp_path / "x.csv", content, annotation=False)
        assert isinstance(found, Document)
        assert (found.text, found.entities) == ("abc", [])


def test_what_is_no_table_is_not_taken_for_one(tmp_path: Path) -> None:
    assert TableColumns.find(["Text", " more words"]) is not None
    with pytest.raises(DataError, match="the format cannot be detected"):  # only by the suffix
        of(tmp_path / "x.txt", "Text, more words\nand words\n")
    reported = list[str]()
    for content in ("word\ttag\nAnna\tB-p\n\n", "sentence1,sentence2,label\na,b,1\n"):
        (tmp_path / "x.tsv").write_text(content)
        list(read_records(str(tmp_path / "x.tsv"), detected=reported.append))
    assert reported == ["conll", "pairs"]


@settings(max_examples=30)
@given(document=documents())
def test_rows_are_those_of_the_standard_library(document: Document) -> None:
    rows = list(csv.reader(io.StringIO(table.write(document), newline="")))
    assert all(len(row) == 8 for row in rows)
    if not any(0xD800 <= ord(char) < 0xE000 for char in document.text):
        assert {row[1] for row in rows} == {document.text}


def saved(path: Path, *some: Document) -> Path:
    container = FORMATS["parquet"].container
    assert container is not None
    assert container.save is not None
    with container.save(str(path)) as store:
        for document in some:
            store(document)
    return path


def test_parquet_is_written_and_read(tmp_path: Path) -> None:
    some = [
        Document("Anna\r\nmet", [Entity(0, 4, "p", 0.25), Entity(0, 9, "q")], id="1"),
        Document("Anna\r\nmet"),
        Document("Anna\r\nmet", [Entity(0, 4, "p")]),
        Document("", id="x"),
    ]
    assert list(read_documents(str(saved(tmp_path / "x.parquet", *some)))) == some
    assert list(read_documents(str(saved(tmp_path / "empty.parquet")))) == []
    assert parquet.read_table(tmp_path / "x.parquet").column("start").to_pylist() == [0, 0, None, 0, None]


def test_parquet_of_documents(tmp_path: Path) -> None:
    entities = [[{"start": 0, "end": 4, "label": "p"}], []]
    rows = pyarrow.table({"text": ["Anna met", "no"], "entities": entities, "source": ["s", None]})
    parquet.write_table(rows, tmp_path / "x.parquet")
    one, two = read_documents(str(tmp_path / "x.parquet"))
    assert one == Document("Anna met", [Entity(0, 4, "p")], meta={"source": "s"})
    assert (two.text, two.entities, two.where) == ("no", [], f"{tmp_path / 'x.parquet'}:2")


def test_classes_that_datasets_stores_in_parquet(tmp_path: Path) -> None:
    tags = datasets.List(datasets.ClassLabel(names=["O", "B-p"]))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": tags})
    data = datasets.Dataset.from_dict({"tokens": [["Anna", "met"]], "ner_tags": [[1, 0]]}, features=features)
    data.to_parquet(str(tmp_path / "x.parquet"))
    assert list(read_documents(str(tmp_path / "x.parquet"))) == [Document("Anna met", [Entity(0, 4, "p")])]


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.parquet", Document("abc"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x\.parquet: not a readable Parquet file"):
        list(read_documents(str(path)))


def test_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (
        ["id", "text", "start", "end", "label"],
        [7, "Anna met", 0, 4, "p"],
        [None] * 5,
        [8, 2021, None, None, None],
    ):
        book.active.append(row)
    book.create_sheet("more")
    book.save(tmp_path / "x.xlsx")
    reports = list[str]()
    found = list(read_documents(str(tmp_path / "x.xlsx"), reading=Reading(report=reports.append)))
    assert found == [Document("Anna met", [Entity(0, 4, "p")], id=7), Document("2021", id=8)]
    assert [one.where for one in found] == [f"{tmp_path / 'x.xlsx'}:{number}" for number in (2, 4)]
    assert reports == [f"{tmp_path / 'x.xlsx'}: only the first of 2 sheets is read"]
    (tmp_path / "x.xlsx").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(DataError, match="not a readable Excel file"):
        list(read_documents(str(tmp_path / "x.xlsx")))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(DataError, match=r"x\.xlsx: reading \.xlsx requires the openpyxl package") as caught:
        list(read_documents(str(tmp_path / "x.xlsx")))
    assert "ie-cli[excel]" in str(caught.value.hint)


def test_saved_datasets(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["O", "B-p"])
    text = datasets.Value("string")
    features = datasets.Features({"tokens": datasets.List(text), "ner_tags": datasets.List(names)})
    data = datasets.Dataset.from_dict({"tokens": [["Anna", "met"]], "ner_tags": [[1, 0]]}, features=features)
    datasets.DatasetDict({"train": data, "validation": data}).save_to_disk(tmp_path / "saved")
    reports, formats = list[str](), list[str]()
    path = str(tmp_path / "saved")
    [found] = read_documents(path, reading=Reading(report=reports.append), detected=formats.append)
    assert (found, formats) == (Document("Anna met", [Entity(0, 4, "p")]), ["datasets"])
    assert f"hub:{path}: reading the split 'train' of train, validation" in reports
    assert list(read_documents(f"{path}/validation")) == [found]


def test_numbers_of_another_table_do_not_split_documents(tmp_path: Path) -> None:
    rows = "text,start,end,label,number\nAnn met Bob,0,3,x,1\nAnn met Bob,8,11,x,1\nBob slept,0,3,x,0\n"
    spans = [Entity(0, 3, "x"), Entity(8, 11, "x")]
    assert of(tmp_path / "x.csv", rows) == [Document("Ann met Bob", spans), Document("Bob slept", spans[:1])]
    named = of(tmp_path / "x.csv", rows, columns={"number": "number"})
    assert named == [
        Document("Ann met Bob", spans[:1]),
        Document("Ann met Bob", spans[1:]),
        Document("Bob slept", spans[:1]),
    ]
    assert FORMATS["csv"].write is not None
    lines = [*map(str.rstrip, [FORMATS["csv"].frame[0]]), *(FORMATS["csv"].write(one).rstrip() for one in named)]
    assert list(FORMATS["csv"].read(enumerate("\n".join(lines).split("\n"), 1), "x", Reading())) == named


@pytest.mark.parametrize("text", ["\r", "a\rb", "a\nb", 'a"b', "a,b", "a\r\nb"])
def test_a_record_is_one_row_whatever_its_line_ends(text: str) -> None:
    rows = list(csv.reader(io.StringIO(table.write(Document(text)), newline="")))
    assert [row[1] for row in rows] == [text]


@pytest.mark.parametrize("name", ["entities", "Label", "labels", "ner", "spans"])
@pytest.mark.parametrize(
    "cell", ['[[0, 4, "person"]]', "[(0, 4, 'person')]", '[{"start_offset": 0, "end_offset": 4, "label": "person"}]']
)
def test_entities_in_columns_with_the_names_of_other_tools(name: str, cell: str, tmp_path: Path) -> None:
    quoted = cell.replace('"', '""')
    found = of(tmp_path / "x.csv", f'id,text,{name}\n1,Anna met,"{quoted}"\n2,It rained.,[]\n')
    assert found == [Document("Anna met", [Entity(0, 4, "person")], id="1"), Document("It rained.", id="2")]


@pytest.mark.parametrize(
    ("name", "cell"), [("label", "[sic] news"), ("label", "['good', 'long']"), ("tone", "[[0, 4, 'x']]")]
)
def test_other_cells_with_brackets_are_user_fields(name: str, cell: str, tmp_path: Path) -> None:
    [found] = of(tmp_path / "x.csv", f'id,text,{name}\n1,Anna met,"{cell}"\n')
    assert found == Document("Anna met", id="1", meta={name: cell})


@pytest.mark.parametrize("cell", ['[{"start": 0, "end": 4, "labels": ["person"]}]', "[[0, 4]]", "[(0, 4, 7)]"])
def test_spans_in_another_form_are_an_error_instead_of_none(cell: str, tmp_path: Path) -> None:
    quoted = cell.replace('"', '""')
    path = tmp_path / "x.csv"
    path.write_text(f'id,text,label\n1,Anna met,"{quoted}"\n')
    [record] = read_records(str(path), format="csv")
    assert isinstance(record, BadLine)
    assert record.error.message.startswith(f"{path}:2: no field 'entities', and 'label' has a form that is not read")
    [text] = read_records(str(path), format="csv", reading=Reading(annotation=False))
    assert isinstance(text, Document)


def test_numbers_of_labels_get_the_names_in_the_file_of_doccano(tmp_path: Path) -> None:
    """Doccano before 1.0 exported a span per row with a header, and the id of its label."""
    path, said = tmp_path / "x.csv", list[str]()
    path.write_text("id,text,meta,label,start_offset,end_offset,user\n1,Anna met,{},12,0,4,1\n1,Anna met,{},40,5,8,1\n")
    labels = [
        [entity.label for entity in one.entities]
        for one in read_documents(str(path), reading=Reading(report=said.append))
    ]
    assert labels == [["12", "40"]]
    unnamed = f"{path}: entities whose label is a number, which is read as text, because no label_config.json names it"
    assert f"{unnamed}: 2" in said
    said.clear()
    (tmp_path / "label_config.json").write_text('[{"id": 12, "text": "person"}]')
    [document] = read_documents(str(path), reading=Reading(report=said.append))
    assert [entity.label for entity in document.entities] == ["person", "40"]
    assert f"{path}: entities whose label is a number, with its name from label_config.json: 1" in said
    assert f"{unnamed}: 1" in said
    said.clear()
    assert len(list(read_documents(str(path), reading=Reading(annotation=False, report=said.append)))) == 1
    assert not any("label_config.json" in line for line in said)
