"""A task that this file defines goes through `ie check`, and several tasks of one recipe too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from support.corpora import recipe as recipe_of_entities
from support.corpora import relation_documents, write_jsonl
from support.runner import ie, said

from ie_cli.codecs.base import Targets
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.data_checks import check
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.metrics.scores import Scorer, Scores
from ie_cli.recipe.heads import HEADS, HeadSection, HeadSpec
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks import TASKS, Kind, Proposal, ScoringOptions, TrainingItems, Words

MOODS = Kind(
    item="mood",
    items="moods",
    name="mood",
    names="moods",
    name_of=str,
    show=lambda text, mood: f"{mood} of {text!r}",
)


class MoodTask:
    """The mood of a text, which records give in a separate field."""

    name = "mood"
    metric = "accuracy"
    words = Words(
        title="Moods",
        tags=("moods",),
        item="mood",
        items="moods",
        a_item="a mood",
        annotated="moods",
        name="mood",
        names="moods",
        attribute="meta",
        jq=".mood",
    )
    kinds = (MOODS,)
    schema_first = False

    def build_schema(self, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema:
        return LabelSchema(("good", "bad"))

    def validate(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> None:
        if recipe.training.match != "auto":
            raise DataError("training.match: moods have no spans", hint="leave it out.")

    def misfit(self, schema: LabelSchema) -> str | None:
        return None

    def validate_options(self, options: ScoringOptions) -> None:
        """Nothing means nothing."""

    def items(self, document: Document) -> set[Hashable]:
        return set(self.annotation(document)["moods"])

    def seen(self, documents: Iterable[Document]) -> Collection[Any]:
        return {mood for document in documents for mood in self.items(document)}

    def scorer(self, schema: LabelSchema, options: ScoringOptions) -> Scorer:
        raise NotImplementedError

    def describe(self, counts: Mapping[str, int], schema: LabelSchema) -> list[str]:
        return [f"{counts['moods']} moods"]

    def diagnose(self, scores: Scores, items: TrainingItems, schema: LabelSchema) -> str:
        return "a bad mood"

    def annotation(self, document: Document) -> dict[str, list[str]]:
        return {"moods": [document.meta["mood"]] if "mood" in document.meta else []}

    def preview_schema(self, recipe: Recipe, section: TaskSection, statistics: DatasetStatistics) -> LabelSchema | None:
        self.validate(recipe, section, statistics)
        return self.build_schema(section, statistics)

    def schema_of(self, document: Document) -> LabelSchema:
        return LabelSchema(("good", "bad"))

    def findings(
        self,
        split: str,
        *,
        statistics: DatasetStatistics,
        names: Mapping[str, Counter[str]],
        items: TrainingItems,
    ) -> Iterator[Finding]:
        if len(names["moods"]) == 1:
            yield Finding("warning", f"{split}: all {statistics.documents} texts are in one mood")

    def propose(self, statistics: DatasetStatistics, *, overlapping: int) -> Proposal | None:
        return None


class MoodCodec:
    """Of a mood nothing is out of reach."""

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema

    def encode(self, document: Document, *given: object, **options: object) -> Targets:
        return Targets({}, {"moods": int("mood" in document.meta)})


class MoodSection(HeadSection):
    """A head for moods."""

    name: Literal["barometer"] = "barometer"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TASKS, "mood", MoodTask())
    spec = HeadSpec(section=MoodSection, tasks=("mood",), codec=lambda: MoodCodec, builder=lambda: None)
    monkeypatch.setitem(HEADS, "barometer", spec)
    return tmp_path


def write(name: str, *moods: tuple[str, str | None]) -> None:
    records = [{"text": text, "entities": []} | ({"mood": mood} if mood else {}) for text, mood in moods]
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def checked(more: str = "") -> list[str]:
    Path("recipe.yaml").write_text(
        "name: moods\ntask: mood\ndata: {train: train.jsonl, dev: dev.jsonl, format: jsonl}\n"
        f"encoder: {{name: tiny, max_length: 32, stride: 8}}\n{more}",
        encoding="utf-8",
    )
    result = ie("check", "recipe.yaml", "--no-time")  # the task has no head to train
    if result.exit_code not in (0, 1):
        pytest.fail(said(result))
    return [line for line in result.stderr.splitlines() if "chosen largely by chance" not in line]


def test_a_task_of_a_test_goes_through_check(here: Path) -> None:
    write("train.jsonl", *((f"text {n}", "good") for n in range(6)), ("text 0", "bad"), ("a" * 40, None))
    write("dev.jsonl", ("text 3", "good"), ("other", "odd"))
    assert checked() == [
        "train: 8 examples (1 without a mood), 7 moods: good 6, bad 1",
        "warning: train: 1 text occurs again with different annotations:",
        "  train.jsonl:7: 'text 0'",
        "warning: train: 1 of 8 texts is a duplicate",
        "train: 1 text is longer than a window (the longest has 40 tokens) and split into several windows; nothing is lost",
        "dev: 2 examples (0 without a mood), 2 moods: good 1, odd 1",
        "warning: train contains 1 of 2 texts of dev: scores on dev will be too high; set data.dev: 0.1 to split texts off train",
        "warning: moods of dev that train does not contain and no model can predict: odd",
        "warning: moods with fewer than 5 examples in train: bad",
    ]


def test_findings_of_the_task_are_reported(here: Path) -> None:
    write("train.jsonl", *((f"text {n}", "good") for n in range(5)))
    write("dev.jsonl", ("a", "good"), ("b", "good"))
    assert checked()[2:] == [
        "warning: train: all 5 texts are in one mood",
        "warning: dev: all 2 texts are in one mood",
    ]


def test_what_it_refuses_is_an_error(here: Path) -> None:
    write("train.jsonl", *((f"text {n}", "good") for n in range(5)))
    write("dev.jsonl", ("a", None))
    assert checked("training: {match: text}\n")[1:] == [
        "dev: 1 example (1 without a mood), 0 moods: none",
        "error: dev: no moods; check that data.format is right",
        "error: training.match: moods have no spans",
        "hint: leave it out.",
        "error: 2 errors in the recipe or data",
        "hint: see the lines above.",
    ]


def test_names_in_the_recipe_are_looked_up_in_its_schema(here: Path) -> None:
    write("train.jsonl", *((f"text {n}", "good") for n in range(5)))
    write("dev.jsonl", ("a", "good"))
    lines = checked("head: {thresholds: {goood: 0.4}}\n")
    assert "error: head.thresholds: the data contain no label 'goood'; did you mean 'good'?" in lines


def test_each_task_of_a_recipe_is_checked(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", relation_documents(annotated=True))
    one = recipe_of_entities(train, data={"dev": None}, head={"flat": True})
    fields = one.model_dump()
    data = fields.pop("data")
    links = {"task": "relation", "data": data, "head": {"name": "gplinker"}}
    tasks = {"names": {"task": fields.pop("task"), "data": data, "head": fields.pop("head")}, "links": links}
    several = Recipe.model_validate({**fields, "tasks": tasks})
    entities = [finding.text for finding in check(one)]
    reported = [finding.text for finding in check(several)]
    assert reported[: len(entities)] == [f"names: {text}" for text in entities]
    assert all(text.startswith("links: ") for text in reported[len(entities) :])
    counts = reported[len(entities) + 1]  # after the note on a record without relations
    assert counts.startswith("links: train: 20 examples (1 without a relation), 57 entities: ")
    assert counts.endswith("; 38 relations: 学校 19, 老师 19")
