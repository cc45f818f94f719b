"""Recipes of relations: task and head determine each other; schema files, joiners, thresholds of predicates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.errors import RecipeError
from ie_cli.formats.registry import READING_OPTIONS
from ie_cli.recipe.heads import GPLinkerSection, heads_of
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import DataSection, EncoderSection, Recipe, TrainingSection

SMALL = "name: a\nencoder: {name: tiny}\ndata: {train: t.jsonl}\n"


def load(directory: Path, text: str, *overrides: str, stored: bool = True) -> Recipe:
    path = directory / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides, stored=stored)


def complaint(directory: Path, text: str, *overrides: str) -> list[str]:
    """Return the lines of the error, without the directory."""
    with pytest.raises(RecipeError) as raised:
        load(directory, text, *overrides)
    return [line.removeprefix(f"{directory}{os.sep}") for line in raised.value.message.split("\n")]


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("task: relation", {}),
        ("task: relation\nhead:", {}),
        ("task: relation\nhead: {}", {}),
        ("task: relation\nhead: {head_size: 32, entity_rows: roles}", {"head_size": 32, "entity_rows": "roles"}),
        ("head: {type_pairs: observed}\ntask: relation", {"type_pairs": "observed"}),
    ],
)
def test_the_task_determines_the_head(tmp_path: Path, text: str, head: dict[str, Any]) -> None:
    recipe = load(tmp_path, SMALL + text)
    assert (recipe.task, recipe.head) == ("relation", GPLinkerSection(name="gplinker", **head))


@pytest.mark.parametrize(
    "text",
    [
        "head: gplinker",
        "head: {name: gplinker}",
        "head:\n  name: gplinker\n",
        "task: relation\nhead: gplinker",
        "head: {name: gplinker}\ntask: relation",
    ],
)
def test_the_head_determines_the_task(tmp_path: Path, text: str) -> None:
    recipe = load(tmp_path, SMALL + text)
    assert (recipe.task, recipe.head) == ("relation", GPLinkerSection(name="gplinker"))


@pytest.mark.parametrize("text", ["", "task: ner", "head:", "head: global_pointer", "task: ner\nhead: {head_size: 32}"])
def test_without_either_it_is_entities(tmp_path: Path, text: str) -> None:
    recipe = load(tmp_path, SMALL + text)
    assert recipe.task == "ner"
    assert recipe.head.name in ("efficient_global_pointer", "global_pointer")


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", ["task=relation"]),
        ("", ["head=gplinker"]),
        ("", ["head.name=gplinker"]),
        ("", ["head={name: gplinker}"]),
        ("", ["task=relation", "head=gplinker"]),
        ("task: relation", ["head.head_size=64"]),
        ("task: ner", ["task=relation"]),
        ("head: global_pointer", ["head=gplinker"]),
        ("task: relation\nhead: gplinker", ["task=null"]),
    ],
)
def test_overrides_determine_each_other_too(tmp_path: Path, text: str, overrides: list[str]) -> None:
    recipe = load(tmp_path, SMALL + text, *overrides)
    assert (recipe.task, recipe.head) == ("relation", GPLinkerSection(name="gplinker"))


@pytest.mark.parametrize(
    ("text", "override", "head"),
    [
        ("head: {head_size: 32}", "task=relation", "gplinker"),
        ("task: relation", "task=ner", "efficient_global_pointer"),
        ("head: gplinker", "head=global_pointer", "global_pointer"),
    ],
)
def test_an_override_moves_what_was_only_filled_in(tmp_path: Path, text: str, override: str, head: str) -> None:
    assert load(tmp_path, SMALL + text, override).head.name == head


FOR_RELATIONS = f"but task relation supports {', '.join(heads_of('relation'))}"
FOR_ENTITIES = f"head.name: got gplinker, but task ner supports {', '.join(heads_of('ner'))}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: ner\nhead: gplinker", f"recipe.yaml:5: {FOR_ENTITIES}"),
        ("task: ner\nhead:\n  head_size: 32\n  name: gplinker", f"recipe.yaml:7: {FOR_ENTITIES}"),
        ("head: {name: gplinker}\ntask: ner", f"recipe.yaml:4: {FOR_ENTITIES}"),
        ("task: relation\nhead: global_pointer", f"recipe.yaml:5: head.name: got global_pointer, {FOR_RELATIONS}"),
        (
            "task: relation\nhead:\n\n  name: global_pointer",
            f"recipe.yaml:7: head.name: got global_pointer, {FOR_RELATIONS}",
        ),
        (
            "head: efficient_global_pointer\ntask: relation",
            f"recipe.yaml:4: head.name: got efficient_global_pointer, {FOR_RELATIONS}",
        ),
    ],
)
def test_a_head_of_another_task_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    assert complaint(tmp_path, SMALL + text) == [message]


def test_a_head_of_another_task_may_come_from_an_override(tmp_path: Path) -> None:
    assert complaint(tmp_path, SMALL + "task: relation", "head=global_pointer") == [
        f"--set head=global_pointer: head.name: got global_pointer, {FOR_RELATIONS}"
    ]


@pytest.mark.parametrize("field", ["entity_rows: roles", "entity_scorer: global_pointer", "type_pairs: any"])
def test_fields_of_gplinker_are_unknown_to_other_heads(tmp_path: Path, field: str) -> None:
    [problem] = complaint(tmp_path, SMALL + f"head: {{name: global_pointer, {field}}}")
    name = field.split(":")[0]
    assert problem.startswith(f"recipe.yaml:4: head.{name}: the head global_pointer has no such field, only gplinker")
    assert problem.endswith("replace the whole section with `head: global_pointer`")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entity_rows: role", "head.entity_rows: got 'role', expected 'auto', 'types' or 'roles'; did you mean 'roles'?"),
        ("type_pairs: [a]", "head.type_pairs: got [\"a\"], expected 'schema', 'observed' or 'any'"),
        ("type_pairs: all", "head.type_pairs: got 'all', expected 'schema', 'observed' or 'any'"),
        (
            "entity_scorer: gplinker",
            "head.entity_scorer: got 'gplinker', expected 'global_pointer' or 'efficient_global_pointer'",
        ),
    ],
)  # fmt: skip
def test_errors_of_gplinker(tmp_path: Path, text: str, message: str) -> None:
    [problem] = complaint(tmp_path, SMALL + f"task: relation\nhead:\n  {text}")
    assert problem.startswith(f"recipe.yaml:6: {message}")


@pytest.mark.parametrize(
    "where", ["task: relation\nhead:\n", "tasks:\n  a:\n    data: {train: t}\n    task: relation\n    head:\n"]
)
def test_errors_name_the_values_that_the_head_allows(tmp_path: Path, where: str) -> None:
    """Fields of the same name have other values in another head."""
    base = SMALL if "tasks" not in where else "name: a\nencoder: {name: tiny}\n"
    expected = {
        "gplinker": ("got 'role', expected 'auto', 'types' or 'roles'", "got -1, expected an even integer"),
        "tplinker": ("got 'role', expected 'auto' or 'roles'", "got -1, expected an integer"),
    }
    for name, messages in expected.items():
        indent = " " * (len(where.splitlines()[-1]) - len(where.splitlines()[-1].lstrip()) + 2)
        fields = (f"{indent}name: {name}\n{indent}{field}" for field in ("entity_rows: role", "head_size: -1"))
        for text, message in zip(fields, messages, strict=True):
            [problem] = complaint(tmp_path, base + where + text)
            assert message in problem


def test_the_dump_explains_the_fields_of_the_head(tmp_path: Path) -> None:
    lines = dump_recipe(load(tmp_path, SMALL + "head: tplinker\ntask: relation"), explain=True).splitlines()
    assert lines[lines.index("  entity_rows: auto") - 1].endswith("['auto' or 'roles']")


@pytest.mark.parametrize("task", ["relations", "[relation]", ""])
def test_a_wrong_task_is_not_an_error_of_the_head(tmp_path: Path, task: str) -> None:
    [problem] = complaint(tmp_path, SMALL + f"task: {task}\nhead: {{head_size: 32}}")
    assert problem.startswith("recipe.yaml:4: task: got ")


# Schema files


def with_data(data: str, rest: str = "task: relation") -> str:
    return SMALL.replace("train: t.jsonl", f"train: t.jsonl, {data}") + rest


def test_a_schema_file_is_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(with_data("schema_file: ../d/schema.json"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/r.yaml").data.schema_file == os.path.join("d", "schema.json")


def test_a_schema_file_of_an_override_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(with_data("schema_file: s.json"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/r.yaml", ["data.schema_file=mine.json"]).data.schema_file == "mine.json"


@pytest.mark.parametrize("path", ["s3://bucket/schema.json", "-"])
def test_a_schema_file_that_is_not_a_path_stays(tmp_path: Path, path: str) -> None:
    assert load(tmp_path, with_data(f"schema_file: '{path}'"), stored=False).data.schema_file == path


def test_a_stored_recipe_keeps_its_schema_file(tmp_path: Path) -> None:
    assert load(tmp_path, with_data("schema_file: ../d/s.json"), stored=True).data.schema_file == "../d/s.json"


def test_without_a_schema_file_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL + "task: relation", stored=False).data.schema_file is None


@pytest.mark.parametrize("rest", ["", "task: ner", "head: global_pointer"])
def test_a_schema_file_is_rejected_for_entities(tmp_path: Path, rest: str) -> None:
    assert complaint(tmp_path, with_data("schema_file: s.json", rest)) == [
        "recipe.yaml:3: data.schema_file: applies only to task: relation"
    ]


def test_a_schema_file_must_be_text(tmp_path: Path) -> None:
    [problem] = complaint(tmp_path, with_data("schema_file: [s.json]"))
    assert problem == 'recipe.yaml:3: data.schema_file: got ["s.json"], expected text'


# Options of formats


@pytest.mark.parametrize(
    "format", ["conll04", "conll04-table", "multihead", "bio-json", "w2ner", "dygie", "oneie", "conll", None]
)
def test_a_joiner_separates_tokens(tmp_path: Path, format: str | None) -> None:
    data = "joiner: ''" + (f", format: {format}" if format else "")
    assert load(tmp_path, with_data(data)).data.joiner == ""


@pytest.mark.parametrize("format", ["duie", "duie1", "triples", "jsonl", "text", "cluener"])
def test_a_joiner_is_rejected_if_data_have_texts(tmp_path: Path, format: str) -> None:
    [problem] = complaint(tmp_path, with_data(f"format: {format},\n  joiner: ''"))
    assert problem.startswith("recipe.yaml:4: data.joiner: applies only to format conll")
    assert problem.endswith(f"but data.format is {format}")


@pytest.mark.parametrize("option", ["text_column: 1", "label_columns: [1]"])
@pytest.mark.parametrize("format", ["conll04", "multihead", "duie"])
def test_columns_are_those_of_conll_and_pairs_alone(tmp_path: Path, option: str, format: str) -> None:
    [problem] = complaint(tmp_path, with_data(f"format: {format}, {option}"))
    name = option.split(":")[0]
    assert problem == f"recipe.yaml:3: data.{name}: applies only to format conll, pairs, but data.format is {format}"


def test_grades_are_those_of_pairs_alone(tmp_path: Path) -> None:
    for format in READING_OPTIONS["grades"]:
        assert load(tmp_path, with_data(f"format: {format}, grades: false")).data.grades is False
    [problem] = complaint(tmp_path, with_data("format: jsonl, grades: true"))
    named = ", ".join(READING_OPTIONS["grades"])
    assert problem == f"recipe.yaml:3: data.grades: applies only to format {named}, but data.format is jsonl"


@pytest.mark.parametrize("mentions", ["nearest", "first", "all"])
def test_mentions(tmp_path: Path, mentions: str) -> None:
    assert load(tmp_path, with_data(f"format: duie, mentions: {mentions}")).data.mentions == mentions


def test_other_mentions_are_an_error(tmp_path: Path) -> None:
    assert complaint(tmp_path, with_data("mentions: last")) == [
        "recipe.yaml:3: data.mentions: got 'last', expected 'nearest', 'first' or 'all'"
    ]


@pytest.mark.parametrize("match", ["auto", "strict", "boundaries", "text"])
def test_match(tmp_path: Path, match: str) -> None:
    assert load(tmp_path, SMALL + f"task: relation\ntraining: {{match: {match}}}").training.match == match


# Names of labels and predicates


def test_thresholds_and_weights_may_name_predicates(tmp_path: Path) -> None:
    text = "task: relation\nhead: {thresholds: {创始人: 0.3}}\ntraining: {label_weights: {创始人: 2.0}}"
    recipe = load(tmp_path, SMALL + text)
    assert (recipe.head.thresholds, recipe.training.label_weights) == ({"创始人": 0.3}, {"创始人": 2.0})


def test_they_may_if_the_labels_are_listed_too(tmp_path: Path) -> None:
    text = "task: relation\nhead: {thresholds: {创始人: 0.3}}\ntraining: {label_weights: {创始人: 2.0}}"
    assert load(tmp_path, with_data("labels: [人物]", text)).head.thresholds == {"创始人": 0.3}


def test_a_slot_may_be_named_by_an_override(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL + "task: relation", "head.thresholds.获奖.onDate=0.4")
    assert recipe.head.thresholds == {"获奖.onDate": 0.4}


# There and back

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    ["NO", "获奖.onDate", "1e3", "null", "a: b", "#x", "\u2028"]
)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    names = draw(st.none() | st.lists(texts, min_size=1, max_size=3, unique=True))
    named = st.sampled_from(names) if names else texts
    return Recipe(
        name="relations",
        task="relation",
        data=DataSection(
            train=draw(texts),
            format=draw(st.none() | st.sampled_from(["conll04", "multihead"])),
            labels=names,
            schema_file=draw(st.none() | texts),
            mentions=draw(st.sampled_from(["nearest", "first", "all"])),
            joiner=draw(st.none() | texts | st.just("")),
        ),
        encoder=EncoderSection(name=draw(texts)),
        head=GPLinkerSection(
            name="gplinker",
            head_size=draw(st.integers(1, 99)) * 2,
            flat=draw(st.booleans()),
            threshold=draw(shares),
            thresholds=draw(st.dictionaries(named, shares, max_size=2)),
            entity_rows=draw(st.sampled_from(["auto", "types", "roles"])),
            entity_scorer=draw(st.sampled_from(["global_pointer", "efficient_global_pointer"])),
            type_pairs=draw(st.sampled_from(["schema", "observed", "any"])),
        ),
        training=TrainingSection(
            label_weights=draw(st.dictionaries(named, st.floats(0, 1e6, exclude_min=True), max_size=2)),
            match=draw(st.sampled_from(["auto", "strict", "boundaries", "text"])),
        ),
    )


@given(recipes(), st.booleans())
def test_a_dumped_recipe_loads_as_itself(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, explain: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "relations.yaml"
    path.write_text(dump_recipe(recipe, explain=explain), encoding="utf-8")
    assert load_recipe(path, stored=True) == recipe


def test_the_dump_explains_the_fields_of_gplinker(tmp_path: Path) -> None:
    lines = dump_recipe(load(tmp_path, SMALL + "task: relation"), explain=True).splitlines()
    at = lines.index("  entity_rows: auto")
    assert lines[at - 1].startswith("  # Entity labels:")
    assert lines[at - 1].endswith("['auto', 'types' or 'roles']")
    assert "task: relation" in lines
