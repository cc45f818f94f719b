"""Another head by an override: the fields that it has are kept, and the others of the file are left out with a note."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.runner import ie, said

from ie_cli.errors import RecipeError
from ie_cli.recipe.bundled import find_recipe
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe

SMALL = "name: a\ndata: {train: t.jsonl}\nencoder: {name: tiny}\n"
GPLINKER = (
    SMALL + "head: {name: gplinker, type_pairs: any, entity_scorer: global_pointer, threshold: 0.3, flat: true}\n"
)
NAMED = SMALL.replace("data: {train: t.jsonl}\n", "") + (
    "tasks:\n  one: {data: {train: t.jsonl}, head: {name: gplinker, type_pairs: any, threshold: 0.3}}\n"
    "  two: {data: {train: t.jsonl}, head: {name: gplinker, type_pairs: any}}\n"
)


def load(text: str, *overrides: str) -> tuple[Recipe, list[str]]:
    """Return a recipe and the notes on it."""
    Path("recipe.yaml").write_text(text, encoding="utf-8")
    notes: list[str] = []
    return load_recipe("recipe.yaml", overrides, report=notes.append), notes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_fields_that_the_other_head_has_are_kept() -> None:
    recipe, notes = load(GPLINKER, "head.name=casrel")
    assert recipe.head.model_dump() == {
        "name": "casrel",
        "threshold": 0.3,
        "flat": True,
        "thresholds": {},
        "input_dropout": 0.0,
        "whole_words": "auto",
        "entity_rows": "auto",
    }
    assert notes == [
        "--set head.name=casrel: head.type_pairs, head.entity_scorer of the recipe left out, because the head casrel has no "
        "such field"
    ]
    assert load(GPLINKER, "head.name=gplinker", "head.threshold=0.4")[1] == []


def test_each_task_has_a_head_of_its_own() -> None:
    recipe, notes = load(NAMED, "tasks.one.head.name=casrel")
    assert [task.head.name for task in recipe.tasks.values()] == ["casrel", "gplinker"]
    assert recipe.tasks["one"].head.threshold == 0.3
    assert notes == [
        "--set tasks.one.head.name=casrel: tasks.one.head.type_pairs of the recipe left out, because the head casrel has no "
        "such field"
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tasks.tow.head.name=casrel", "tasks.tow.data is missing; did you mean 'two'?"),
        ("head.name=crf", "tasks: replaces task, data and head; move these into each task, e.g. tasks.NAME.head"),
        ("data.dev=0.1", "tasks: replaces task, data and head"),
        ("training.select={}", "training.select: got an empty mapping, expected 'mean' or 'worst' or a mapping"),
    ],
)
def test_an_override_that_does_not_fit_several_tasks_is_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"--set {override}: {message}")):
        load(NAMED, override)


@pytest.mark.parametrize(
    ("text", "overrides", "field"),
    [
        (GPLINKER, ["head.name=casrel", "head.type_pairs=observed"], "type_pairs"),
        (GPLINKER, ["head.type_pairs=observed", "head.name=casrel"], "type_pairs"),
        (GPLINKER, ["head={name: casrel, type_pairs: any}"], "type_pairs"),
        (GPLINKER.replace("name: gplinker", "name: casrel"), [], "type_pairs"),
        (GPLINKER.replace("flat: true", "flatt: true"), ["head.name=casrel"], "flatt"),
    ],
)
def test_a_field_that_is_wrong_in_any_case_is_an_error(text: str, overrides: list[str], field: str) -> None:
    with pytest.raises(RecipeError, match=rf"head\.{field}"):
        load(text, *overrides)


@pytest.mark.parametrize("name", HEADS)
def test_every_bundled_recipe_of_a_task_works_with_every_head(name: str) -> None:
    names = {"ner": ["quickstart"], "relation": ["quickstart-relations", "quickstart-en"]}
    for bundled in (find_recipe(found) for task in HEADS[name].tasks for found in names.get(task, [])):
        assert bundled is not None
        before, after = load_recipe(bundled.path), load_recipe(bundled.path, [f"head.name={name}"])
        assert after.head.name == name
        assert (after.head.threshold, after.head.thresholds) == (before.head.threshold, before.head.thresholds)


def test_the_note_is_printed_once_and_the_recipe_on_stdout_stays_valid() -> None:
    shown = ie("show", "quickstart-en", "--set", "head.name=casrel")
    assert shown.exit_code == 0
    assert said(shown).count("head.type_pairs of the recipe left out") == 1
    Path("again.yaml").write_text(shown.stdout, encoding="utf-8")
    assert load_recipe("again.yaml").head.name == "casrel"


def test_a_head_of_another_task_is_the_only_error() -> None:
    for recipe in ("quickstart-relations", "quickstart-en"):
        shown = ie("check", recipe, "--set", "head.name=crf")
        assert shown.exit_code == 1
        [first, *hints] = shown.stderr.splitlines()
        assert first.startswith("error: --set head.name=crf: head.name: got crf, but task relation supports gplinker")
        assert all(line.startswith("hint: ") for line in hints)


def test_thresholds_of_predicates_are_no_second_error_about_a_head_of_another_task() -> None:
    text = SMALL.replace("t.jsonl", "t.jsonl, labels: [person]") + "task: relation\nhead: {thresholds: {likes: 0.3}}\n"
    with pytest.raises(RecipeError) as caught:
        load(text, "head.name=crf")
    assert len(caught.value.message.splitlines()) == 1


@pytest.mark.parametrize("name", HEADS)
def test_the_hint_of_an_error_in_a_head_explains_the_fields_of_this_head(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(SMALL + f"head: {{name: {name}, threshold: 2}}\n")
    [command] = re.findall(r"`ie (show .*)`", str(caught.value.hint))
    shown = ie(*command.split())
    assert shown.exit_code == 0, shown.stderr
    fields = shown.stdout[shown.stdout.index("\nhead:") :]
    assert f"  name: {name}\n" in fields
    assert f"['{name}']" not in fields
    for field in HEADS[name].section.model_fields:
        assert f"\n  {field}: " in fields


def test_other_errors_have_the_hint_on_all_fields() -> None:
    for text in (SMALL + "training: {epochs: 0}\n", SMALL + "head: {name: nothing}\n"):
        with pytest.raises(RecipeError) as caught:
            load(text)
        assert caught.value.hint == "see `ie show quickstart-en --help-fields` for the help of every field."
    assert heads_of("relation")[0] == load_recipe(find_recipe("quickstart-en").path).head.name  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "joiner"), [(" ", " "), ("\t", "\t"), ('""', ""), ("、", "、"), ("", None), ("null", None)]
)
def test_spaces_are_a_text_and_nothing_is_the_default(value: str, joiner: str | None) -> None:
    recipe, _ = load(SMALL, "data.context.texts=3", f"data.context.joiner={value}", f"data.joiner={value}")
    assert (recipe.data.context_joiner, recipe.data.joiner) == (joiner, joiner)
