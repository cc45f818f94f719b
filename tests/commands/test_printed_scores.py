"""What `ie train` and `ie eval` print: support beside every score, and the ceiling of recall, against plain counting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.references import Item, pair_counts, ratios
from typer.testing import CliRunner

from ie_cli.cli import app
from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import read_documents
from ie_cli.recipe.loader import dump_recipe

FAR = "雨" * 80  # more than a window holds


@dataclass(frozen=True)
class Run:
    """A model trained by the command, its dev data, and what the command printed."""

    directory: Path
    gold: list[Document]
    printed: str

    def evaluate(self, *options: str) -> str:
        return ie("eval", str(self.directory / "run" / "model"), str(self.directory / "dev.jsonl"), *options)[1]

    def predicted(self) -> list[Document]:
        model, out = self.directory / "run" / "model", self.directory / "predicted.jsonl"
        ie("predict", str(self.directory / "dev.jsonl"), "-m", str(model), "-o", str(out))
        return list(read_documents(str(out)))


def ie(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def run(directory: Path, kind: str) -> Run:
    options = {"epochs": 15, "eval_every": 100, "learning_rate": 3e-3}
    if kind == "entities":
        data = documents()
        odd = Document(
            f"李娜 在{FAR}东湖",
            [Entity(0, 2, "person"), Entity(0, 3, "person"), Entity(4, 86, "place"), Entity(84, 86, "river")],
        )
        made = recipe(
            write_jsonl(directory / "t.jsonl", data), data={"dev": str(directory / "dev.jsonl")}, training=options
        )
    else:
        data = relation_documents(annotated=True)
        a, b, c = Entity(0, 2, "person"), Entity(3, 5, "person"), Entity(85, 87, "person")
        odd = Document(
            f"李娜和王伟{FAR}陈晨", [a, b, c], [Relation(a, "老师", b), Relation(a, "老师", c), Relation(b, "同学", a)]
        )
        made = relation_recipe(
            write_jsonl(directory / "t.jsonl", data), data={"dev": str(directory / "dev.jsonl")}, training=options
        )
    write_jsonl(directory / "dev.jsonl", [*data, odd])
    (directory / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    _, printed = ie("train", str(directory / "recipe.yaml"), "--output", str(directory / "run"))
    return Run(directory, [*data, odd], printed)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ner(directory: Path) -> Run:
    (directory / "ner").mkdir()
    return run(directory / "ner", "entities")


@pytest.fixture(scope="module")
def relations(directory: Path) -> Run:
    (directory / "relations").mkdir()
    return run(directory / "relations", "relations")


def tables(printed: str) -> list[dict[str, list[str]]]:
    """The tables of scores: the cells of each row by its name, those of the head under ''."""
    found: list[dict[str, list[str]]] = []
    for line in printed.splitlines():
        cells = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
        if line.startswith("┃"):
            found.append({"": cells[1:]})
        elif line.startswith("│"):
            found[-1][cells[0]] = cells[1:]
    return found


def cells(gold: Sequence[Item], predicted: Sequence[Item]) -> list[str]:
    """The expected values of a row, with a dash if there is nothing to score."""
    counts = pair_counts(gold, predicted, lambda a, b: a == b)
    values = [f"{value:.4f}" for value in ratios(*counts)] if gold or predicted else ["–"] * 3
    return [*values, *map(str, counts)]


def spots(found: list[Document]) -> list[tuple[int, int, int, str]]:
    return [(n, e.start, e.end, e.label) for n, document in enumerate(found) for e in document.entities]


HEAD = ["precision", "recall", "F1", "gold", "predicted", "correct"]


def test_entity_scores_have_their_support(ner: Run) -> None:
    gold, predicted = spots(ner.gold), spots(ner.predicted())
    assert predicted
    labels = {"person", "place", "school", "river"}
    for printed in (ner.printed, ner.evaluate()):
        [table] = tables(printed)
        assert table.pop("") == HEAD
        assert table["all (micro)"] == cells(gold, predicted)
        assert table["boundaries only"][:3] == cells([g[:3] for g in gold], [p[:3] for p in predicted])[:3]
        assert table.keys() - labels == {"all (micro)", "boundaries only", "macro"}
        for label in labels:
            assert table[label] == cells(*([item for item in side if item[3] == label] for side in (gold, predicted)))
        f1 = [float(table[label][2]) for label in labels]
        assert float(table["macro"][2]) == pytest.approx(sum(f1) / 4, abs=1e-4)


def test_the_ceiling_of_entities_names_what_is_out_of_reach(ner: Run) -> None:
    # Whitespace at the boundary, longer than a window, a label that training does not have; 54 others and one more.
    assert sum(len(document.entities) for document in ner.gold) == 58
    said = (
        "recall ceiling 0.9483: 3 of 58 entities cannot be predicted (1 label unknown to the model, "
        "1 longer than a window holds, 1 whitespace or control character at the boundary)"
    )
    for printed in (ner.printed, ner.evaluate()):
        assert said in printed.splitlines()
        [table] = tables(printed)
        assert float(table["all (micro)"][1]) <= 0.9483


def test_relation_scores_have_their_support(relations: Run) -> None:
    sides = relations.gold, relations.predicted()
    strict = [[(n, r) for n, document in enumerate(side) for r in document.relations] for side in sides]
    spans = [
        [(n, r.predicate, r.subject.start, r.subject.end, r.object.start, r.object.end) for n, r in side]
        for side in strict
    ]
    assert strict[1]
    for printed in (relations.printed, relations.evaluate()):
        table, entities = tables(printed)
        assert table.pop("") == entities.pop("") == HEAD
        assert table["all (micro)"] == cells(*strict)
        assert table["by spans"][:3] == cells(*spans)[:3]
        for predicate in ("学校", "老师", "同学"):
            assert table[predicate] == cells(
                *([item for item in side if item[1].predicate == predicate] for side in strict)
            )
        assert entities["all (micro)"] == cells(*(spots(side) for side in sides))


def test_the_ceiling_of_relations_names_what_is_out_of_reach(relations: Run) -> None:
    assert sum(len(document.relations) for document in relations.gold) == 41
    lines = [
        "recall ceiling 0.9512: 2 of 41 relations cannot be predicted "
        "(1 predicate unknown to the model, 1 subject and object in no common window)",
        "recall ceiling 1.0000",  # of the entities
    ]
    for printed in (relations.printed, relations.evaluate()):
        assert [line for line in printed.splitlines() if line.startswith("recall ceiling")] == lines
