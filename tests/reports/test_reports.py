"""Terminal, Markdown and HTML show the same tables, and a page lets nothing of the data act."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ie_cli.document import Document, Entity, Relation
from ie_cli.evaluation.prediction_files import evaluate_predictions
from ie_cli.evaluation.result import EvaluationResult
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.relations import RelationScorer
from ie_cli.metrics.scores import Ceiling, ScoreTable
from ie_cli.reports.cells import cells
from ie_cli.reports.html import PAGE_STYLE, html_page
from ie_cli.reports.model_card import score_lines
from ie_cli.reports.terminal import print_tables
from ie_cli.tasks import ScoringOptions

NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' & | ` --> \x00\x1b[2J\u202e"
Shown = list[dict[str, list[str]]]
"""Of each table the cells of every row by its name; the head has the name of the first column."""


class Page(HTMLParser):
    """A page as a browser reads it: its tags, and the texts of the cells of its tables."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.marks: list[tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "meta":
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "mark":
            self.marks.append((str(dict(attrs)["class"]), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if "mark" in self.open:
            kind, text = self.marks.pop()
            self.marks.append((kind, text + data))


def on_terminal(tables: list[ScoreTable]) -> Shown:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_tables(console, tables, "title")
    assert isinstance(console.file, io.StringIO)
    found: Shown = []
    for line in console.file.getvalue().splitlines():
        if line[:1] in "┃│":
            name, *values = (cell.strip() for cell in re.split("[│┃]", line)[1:-1])
            if line.startswith("┃"):
                found.append({})
            found[-1][name] = values
    return found


def in_markdown(tables: list[ScoreTable]) -> Shown:
    found: Shown = []
    for line in score_lines("title", tables):
        if line.startswith("## "):
            found.append({})
        elif line.startswith("| "):
            name, *values = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            found[-1][name.strip("`*")] = values
    return found


def in_page(source: str) -> Shown:
    *shown, environment = Page(source).tables
    assert environment[0][0] == "task"
    return [{name: values for name, *values in table} for table in shown]


def result(pairs: list[tuple[Document, Document]], **options: bool) -> EvaluationResult:
    return evaluate_predictions(pairs, options=ScoringOptions(documents=True, **options), model="m", data="d", keep=3)  # type: ignore[arg-type]


def entity_pairs() -> list[tuple[Document, Document]]:
    gold = Document("Anna met Bob", [Entity(0, 4, "name"), Entity(9, 12, "name")], where="d:1")
    return [(gold, Document("Anna met Bob", [Entity(0, 4, "name"), Entity(5, 8, "verb")]))]


SPAN = st.builds(lambda at, label: Entity(at, at + 1, label), st.integers(0, 7), st.sampled_from(["X", "Y", "Z"]))
SIDES = st.lists(SPAN, max_size=6, unique_by=lambda entity: entity.start)


@settings(max_examples=40)
@given(st.lists(st.tuples(SIDES, SIDES), max_size=4))
def test_all_reports_of_entities_show_the_same_numbers(sides: list[tuple[list[Entity], list[Entity]]]) -> None:
    made = result([(Document("abcdefgh", a), Document("abcdefgh", b)) for a, b in sides], seqeval=True)
    same_numbers(made)


def test_all_reports_of_relations_show_the_same_numbers() -> None:
    a, b, c = Entity(0, 1, "X"), Entity(2, 3, "X"), Entity(4, 5, "Y")
    gold = Document("abcdef", [a, b, c], [Relation(a, "p", b), Relation(a, "q", c), Relation(b, "p", c)])
    guess = Document("abcdef", [a, b], [Relation(a, "p", b), Relation(b, "r", a)])
    same_numbers(
        evaluate_predictions(
            [(gold, guess)], options=ScoringOptions(official=OfficialScorer(), documents=True), model="m", data="d"
        )
    )


def same_numbers(made: EvaluationResult) -> None:
    tables = made.scores.tables()
    expected = [
        {table.columns[0]: list(table.columns[1:])}
        | {row[0]: list(cells(row)) for row in (*table.rows, *table.summary)}
        for table in tables
    ]
    assert on_terminal(tables) == in_markdown(tables) == in_page(html_page(made)) == expected


def test_what_has_no_score_is_a_dash_and_what_has_no_count_is_empty() -> None:
    assert cells(("never", (None, None, None, 0, 0, 0))) == ("–", "–", "–", "0", "0", "0")
    assert cells(("macro", (None, None, 0.25, None, None, None))) == ("", "", "0.2500", "", "", "")
    assert cells(("rho", (-0.12345, 1))) == ("-0.1235", "1")


def test_notes_appear_below_their_table_everywhere() -> None:
    scorer = EntityScorer()
    scorer.add(*entity_pairs()[0])
    ceiling = {"entities": Ceiling(1, 2, {"too long": 1})}
    tables = scorer.scores(ceiling).tables()
    note = "recall ceiling 0.5000: 1 of 2 entities cannot be predicted (1 too long)"
    console = Console(file=io.StringIO(), width=200)
    print_tables(console, tables, "t")
    assert isinstance(console.file, io.StringIO)
    assert note in console.file.getvalue()
    assert f"R{note[1:]}." in score_lines("t", tables)


def test_tables_have_separate_titles_if_there_are_several() -> None:
    assert [line for line in score_lines("dev", EntityScorer().scores().tables()) if "#" in line] == ["## dev"]
    tables = RelationScorer(entities=True).scores().tables()
    assert [line for line in score_lines("dev", tables) if "#" in line] == ["## dev: relations", "## dev: entities"]


def test_a_page_marks_errors_in_their_text() -> None:
    page = Page(html_page(result(entity_pairs())))
    assert page.marks == [
        ("gold", "gold"),
        ("predicted", "predicted"),
        ("both", "both"),
        ("gold", "Bob"),
        ("predicted", "met"),
    ]
    assert "0 wrong label, 0 wrong boundary, 0 wrong boundary and label, 1 missed, 1 invented" in page.text
    assert "gold 'Bob' name; predicted nothing" in page.text
    assert "m on d" in page.text


def test_marks_that_cross_are_split_where_they_meet() -> None:
    gold, guess = Document("abcdef", [Entity(0, 3, "X")]), Document("abcdef", [Entity(2, 5, "X")])
    page = Page(html_page(result([(gold, guess)])))
    assert page.marks[3:] == [("gold", "ab"), ("both", "c"), ("predicted", "de")]


def test_nothing_of_the_data_acts_in_a_page() -> None:
    text = NASTY + "x"
    gold = Document(text, [Entity(0, len(NASTY), NASTY)], where=NASTY)
    made = evaluate_predictions(
        [(gold, Document(text, [Entity(1, 3, NASTY)]))],
        options=ScoringOptions(documents=True),
        model=NASTY,
        data=NASTY,
        keep=2,
    )
    source = html_page(made)
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "bdi", "table", "thead", "tbody", "tr", "th", "td",
        "p", "mark", "article", "header", "b", "small", "i",
    }  # fmt: skip
    assert not {name for _, attributes in page.tags for name in attributes if name.startswith("on")}
    assert not {"\x00", "\x1b"} & set(source)
    assert "<script>alert(1)</script>" in page.text
    policy = next(str(a["content"]) for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(PAGE_STYLE.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f"<style>{PAGE_STYLE}</style>" in source
    assert not re.search(r"<(script|link|img|iframe|object|base|form)\b|\bhref=|url\(|@import", source)


def test_names_neither_end_a_markdown_cell_nor_control_the_terminal() -> None:
    scorer = EntityScorer([NASTY])
    tables = scorer.scores().tables()
    [row] = [line for line in score_lines("t", tables) if "alert" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert row.count("`") == 2
    console = Console(file=io.StringIO(), width=200)
    print_tables(console, tables, NASTY)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[2J" not in console.file.getvalue()


@pytest.mark.parametrize("value", ["date", "ie", "python", "platform", "tokenizers"])
def test_a_page_names_the_environment(value: str) -> None:
    assert value in [row[0] for row in Page(html_page(result(entity_pairs()))).tables[-1]]
