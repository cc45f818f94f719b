"""What the neighbours of a text change, measured with a backend whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import documents, write_jsonl
from support.fakes import Oracle, characters
from support.fakes import engine as engine_with
from support.pairs import pairs, write_pair_model
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import INSIDE_WORD
from ie_cli.encoding.sentences import sentence_spans
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.evaluation.context import Agreement, ContextScores, cut_out, inside, surrounded
from ie_cli.evaluation.evaluate import evaluate_engine
from ie_cli.evaluation.gold import ACROSS, CeilingCounter
from ie_cli.evaluation.result import read_result, write_result
from ie_cli.inference.pipeline import Engine
from ie_cli.inference.splitting import Split, Splitter
from ie_cli.reports.html import html_page
from ie_cli.tasks import TASKS, ScoringOptions

TEXTS = st.lists(st.text("王a。 ", max_size=5), min_size=1, max_size=6)


@given(TEXTS, st.integers(0, 3), st.integers(0, 3))
def test_a_text_is_between_its_neighbours_at_the_given_place(texts: list[str], before: int, after: int) -> None:
    placed = list(surrounded(texts, before, after, "|"))
    assert len(placed) == len(texts)
    for number, (text, (joined, start)) in enumerate(zip(texts, placed, strict=True)):
        assert joined[start : start + len(text)] == text
        neighbours = [texts[(number + offset) % len(texts)] for offset in range(-before, after + 1)]
        assert joined.replace("|", "") == "".join(neighbours)


def test_what_overlaps_the_text_is_cut_out() -> None:
    inner, across, outer = Entity(4, 6, "x"), Entity(2, 5, "x"), Entity(0, 2, "x")
    found = Document("01234567", [outer, across, inner], [Relation(inner, "p", outer), Relation(outer, "p", outer)])
    cut = cut_out(found, 3, 4)
    assert (cut.text, cut.entities) == ("3456", [Entity(-1, 2, "x"), Entity(1, 3, "x")])
    assert cut.relations == [Relation(Entity(1, 3, "x"), "p", Entity(-3, -1, "x"))]
    assert inside(cut) == Document("3456", [Entity(1, 3, "x")])


def test_agreement() -> None:
    assert Agreement.of([{1}, set(), {1}, set()], [{1}, set(), {2}, {3}]) == Agreement(4, 2, 3, 1)


def ids(text: str) -> tuple[int, ...]:
    return tuple(TextTokenizer(characters()).encode([text])[0].ids.tolist())


GOLD = [Document("去北京。", [Entity(1, 3, "place")]), Document("京。", []), Document("北", []), Document("海。", [])]


def engine(split: Split = "never") -> Engine:
    """Finds every 北京, also across the boundary of two texts."""
    made = engine_with(Oracle({ids("北京"): [0], ids("京。海"): [0]}, 1), ("place",))
    return replace(made, splitter=Splitter(split))


def result(split: Split = "never") -> ContextScores:
    found = evaluate_engine(
        engine(split), iter(GOLD), task=TASKS["ner"], options=ScoringOptions(), model="m", data="d", context=1
    ).context
    assert found is not None
    return found


def test_f1_and_agreement_between_neighbours() -> None:
    # Neighbours: 海。去北京。京。 / 去北京。京。北 / 京。北¶¶海。 / 北¶¶海。去北京。
    assert result() == ContextScores(neighbours=1, alone=1.0, between=1.0, agreement=Agreement(4, 4, 1, 1))
    assert result("sentences") == result()


def test_an_item_across_the_boundary_changes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "GOLD", [*GOLD[:2], GOLD[3], GOLD[2]])
    # 去北京。京。海。: what is across its end changes the answer of 京。 and 海。; nothing of it counts as found in them.
    found = result()
    assert (found.alone, found.between) == (1.0, 1.0)
    assert found.agreement == Agreement(4, 2, 3, 1)
    assert result("sentences").agreement == Agreement(4, 4, 1, 1)


def test_the_result_is_stored_and_shown(tmp_path: Path) -> None:
    made = evaluate_engine(
        engine(), iter(GOLD), task=TASKS["ner"], options=ScoringOptions(), model="m", data="d", context=2
    )
    write_result(made, str(tmp_path / "x.json"))
    assert read_result(str(tmp_path / "x.json")).context == made.context
    line = made.context_line()
    assert line is not None
    assert line.startswith("F1 1.0000 alone, ")
    assert "with 2 texts on each side; " in line
    assert line in html_page(made)
    plain = replace(made, context=None)
    assert "context" not in plain.to_dict()
    assert plain.context_line() is None


def test_counts_are_those_of_the_texts_alone() -> None:
    made = engine()
    evaluate_engine(made, iter(GOLD), task=TASKS["ner"], options=ScoringOptions(), model="m", data="d", context=1)
    assert made.counts.texts == len(GOLD)


def test_the_command(tmp_path: Path) -> None:
    data = str(write_jsonl(tmp_path / "gold.jsonl", documents(5)))
    model = str(write_model(tmp_path / "model", labels=("person", "place", "school")))
    given = ("eval", model, data, "--threshold", "0.999")  # a model without training finds nearly everything otherwise
    shown = ie(*given, "--context", "1")
    assert shown.exit_code == 0
    assert "context: F1 " in said(shown)
    found = json.loads(ie(*given, "--context", "1", "--json", "--quiet").stdout)
    assert found["context"]["neighbours"] == 1
    assert found["context"]["alone"] == found["f1"]
    assert "context" not in json.loads(ie(*given, "--json", "--quiet").stdout)
    wrong = ie("eval", data, "--predictions", data, "--context", "1")
    assert (wrong.exit_code, "--context requires a model" in said(wrong)) == (2, True)


def test_pairs_have_no_neighbours(tmp_path: Path) -> None:
    data = str(write_jsonl(tmp_path / "pairs.jsonl", pairs(4)))
    wrong = ie("eval", str(write_pair_model(tmp_path / "model")), data, "--context", "1")
    assert wrong.exit_code == 1
    assert "--context applies to entities and relations, but the task compares pairs of texts" in said(wrong)


def drawn_gold() -> Iterator[Document]:
    text = "去北京。北京 海。京"
    spans = sentence_spans(text)
    assert len(spans) == 3
    yield Document(text, [Entity(1, 3, "place"), Entity(4, 6, "place"), Entity(2, 5, "place"), Entity(7, 10, "river")])


def test_the_recall_ceiling_knows_where_texts_are_cut() -> None:
    ceilings = {}
    for split in ("never", "sentences"):
        counter = CeilingCounter.of(engine(split))
        for document in drawn_gold():
            counter.add(document)
        ceilings[split] = counter.ceilings()["entities"]
    assert (ceilings["never"].reachable, ceilings["never"].total) == (3, 4)
    assert (ceilings["sentences"].reachable, ceilings["sentences"].total) == (2, 4)
    assert ceilings["sentences"].reasons[ACROSS] == 2


def test_the_recall_ceiling_of_a_cut_text_knows_words() -> None:
    document = Document("Anna saw it. Wien is far.", [Entity(0, 4, "person"), Entity(13, 16, "place")])
    counted = {}
    for split in ("never", "sentences"):
        made = engine(split)
        made = replace(made, tasks=tuple(replace(part, whole_words=True) for part in made.tasks))
        counter = CeilingCounter.of(made)
        counter.add(document)
        counted[split] = counter.ceilings()["entities"]
    assert counted["sentences"] == counted["never"]
    assert counted["sentences"].reasons[INSIDE_WORD] == 1
